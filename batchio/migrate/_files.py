"""Which files there are, and what stands in them; ``_write`` writes them.

Rules of this room:

- A file is read as bytes, and parsed only when it says "asynq", or imports a module that does.
- What cannot be read is one line with the reason; the other files go on.
"""

from __future__ import annotations

import io
import os
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Source", "Trouble", "find", "mentions", "read", "unusable"]

SKIPPED = {
    ".git",
    ".hg",
    ".svn",
    ".tox",
    ".nox",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    "build",
}


class Trouble(Exception):
    """Something about a file that a human must know: a sentence."""


@dataclass(frozen=True)
class Source:
    """A file's text, and how it was encoded."""

    text: str
    encoding: str


def unusable(path: Path) -> str:
    """Why nothing can be read under a path, if that can be seen from outside."""
    if not path.exists():
        return "there is no such file or folder"
    if not path.is_dir() and not path.is_file():
        return "it is neither a file nor a folder"
    return "" if os.access(path, os.R_OK) else "it may not be read"


def find(paths: Iterable[Path]) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The Python files under some paths, each once, and the paths that are none."""
    found: dict[str, Path] = {}
    missing: list[tuple[Path, str]] = []
    for path in paths:
        if reason := unusable(path):
            missing.append((path, reason))
            continue
        for file in _under(path) if path.is_dir() else [path]:
            found.setdefault(os.path.realpath(file), file)
    return list(found.values()), missing


def _under(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED and not name.endswith(".egg-info"))
        paths = (Path(root, name) for name in sorted(names) if name.endswith(".py"))
        yield from (path for path in paths if path.is_file() or path.is_symlink())  # a pipe would be read for ever


def mentions(data: bytes, words: re.Pattern[bytes]) -> bool:
    """Whether a file's bytes have one of the words."""
    return words.search(data) is not None


def read(data: bytes) -> Source:
    """Decode a file's bytes as Python would."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise Trouble(f"cannot be decoded: {error}") from None
    if "\0" in text:
        raise Trouble("it holds a null byte and is no Python")
    return Source(text, encoding)
