"""Says how far a long import is, on stderr: always at a terminal, and elsewhere only when the dump is large."""

from __future__ import annotations

import sys
from typing import TextIO

LARGE = 64 * 1024 * 1024  # bytes of XML; below it an import is over before anybody wonders
STEP = 5  # percent between two lines where stderr is a file


class Progress:
    """Counts bytes read against the bytes of the whole dump."""

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._total = max(total, 1)
        self._read = 0
        self._shown = -STEP  # so that the first line comes at once
        self._terminal = self._stream.isatty()
        self._wanted = self._terminal or total >= LARGE

    def advance(self, size: int, file: str) -> None:
        """``size`` bytes more were read from ``file``."""
        self._read += size
        percent = 100 * self._read // self._total
        if self._wanted and percent >= self._shown + (1 if self._terminal else STEP):
            self._shown = percent
            self._show(f"{percent:3d} % {file}")

    def done(self) -> None:
        """End the line, so that what is printed next stands alone."""
        if self._wanted and self._terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        self._stream.flush()
