"""Writes all changed files, or none of them.

Rules of this room:

- First every file is looked at: whether it is still what was read. Then all new texts are put beside
  the old ones, under other names, and only then do they take their places, one quickly after the other.
- What fails before that leaves no trace, and what fails meanwhile is put back: half a tree of coroutine functions is
  worse than none, because the callers in the other half go on calling them as plain ones.
- An interrupt that comes while the places are taken waits until all are. A link stays a link, and a mode a mode.
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Change", "Refused", "digest", "is_read_only", "write"]

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Refused(Exception):
    """Why nothing was written: a sentence."""


@dataclass
class Change:
    """A file's new bytes, and a digest of those that they were made of."""

    path: Path
    data: bytes
    seen: bytes
    beside: str = ""
    """Where the new bytes lie until they take their place."""
    before: bytes = b""

    @property
    def target(self) -> Path:
        """The file itself: what a link points to is changed, and the link stays."""
        return Path(os.path.realpath(self.path))


def digest(data: bytes) -> bytes:
    """What tells whether a file's bytes are still those that were read."""
    return hashlib.blake2b(data, digest_size=16).digest()


def write(changes: list[Change], files: Mapping[Path, bytes]) -> None:
    """Put new texts in the places of files, if all files that were read are still what they were.

    Raises:
        Refused: one of them cannot be written; then none is.
        KeyboardInterrupt: it came meanwhile; its text says that all files are written, or nothing when none is.
    """
    done = False
    try:
        for path, seen in files.items():
            _compare(path, seen)
        for change in changes:
            _put_beside(change)
        with _held_back():
            _take_places(changes)
            done = True
    except Refused as error:
        raise Refused(f"nothing was written: {error}") from None
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"all {len(changes)} files had been written" if done else "") from None
    finally:
        for change in changes:
            if change.beside:
                Path(change.beside).unlink(missing_ok=True)


def _compare(path: Path, seen: bytes) -> bytes:
    """A file's bytes; refuse what is not any more what was read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path} cannot be read any more: {error.strerror or error}") from None
    if digest(data) != seen:
        raise Refused(f"{path} was changed by somebody else meanwhile")
    return data


def is_read_only(path: Path) -> bool:
    """Whether a file says that it is not to be written, also to root, who could."""
    try:
        return not path.stat().st_mode & stat.S_IWUSR or not os.access(path, os.W_OK)
    except OSError:  # it went away: that is found out when it is compared
        return False


def _put_beside(change: Change) -> None:
    target = change.target
    try:
        handle, change.beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(change.data)
            file.flush()
            os.fsync(file.fileno())
        Path(change.beside).chmod(stat.S_IMODE(target.stat().st_mode))
    except OSError as error:
        raise Refused(f"{change.path} cannot be written: {error.strerror or error}") from None


def _take_places(changes: list[Change]) -> None:
    for number, change in enumerate(changes):
        try:
            change.before = _compare(change.target, change.seen)
            Path(change.beside).replace(change.target)
        except (OSError, Refused) as error:
            lost = _put_back(changes[:number])
            raise Refused(f"{error}{lost}" if isinstance(error, Refused) else f"{change.path}: {error}{lost}") from None


def _put_back(changes: list[Change]) -> str:
    """Undo what was done; what cannot be undone is told."""
    lost: list[str] = []
    for change in changes:
        try:
            change.target.write_bytes(change.before)
        except OSError:
            lost.append(str(change.path))
    return f" (but {', '.join(lost)} had been, and could not be put back)" if lost else ""


@contextmanager
def _held_back() -> Iterator[None]:
    """Let signals wait until the block is done; only a process's main thread gets any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
    for number in came[:1]:
        signal.raise_signal(number)
