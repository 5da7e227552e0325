"""What the processes of a soak write down while they run: one line for each operation, read again when all is over.

Rules:
- A line is one `write` to the file: what was done before a kill -9 stands there, and at most the last line is torn.
- Times are seconds of CLOCK_MONOTONIC, which all processes of a machine share: a start is taken before anything is
  sent, an end after the last byte was understood.
- A write is noted twice, before and after: of a writer that died one must know what it had in hand.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

ID, NAME = "id", "name"  # the two loaders of a row: by which column
OK, FAILED, UNKNOWN = "ok", "failed", "unknown"  # FAILED: it was certainly not done


class Read(NamedTuple):
    """A load that was answered."""

    process: str
    by: str
    key: int
    start: float
    since: float  # when its scope had asked for the key first: a memo may answer from then on; else the same as start
    end: float
    id: int  # that stands in the answer, -1 if the answer is not whole
    version: int
    token: str  # of the write that made this version


class Missed(NamedTuple):
    """A load that was not answered."""

    process: str
    by: str
    key: int
    start: float
    end: float
    error: str


class Begun(NamedTuple):
    """A write that is about to be sent."""

    process: str
    key: int
    start: float
    token: str


class Write(NamedTuple):
    """A write that has come to its end."""

    process: str
    key: int
    start: float
    end: float
    token: str
    outcome: str
    error: str


class Invalidation(NamedTuple):
    """An invalidation, confirmed or not."""

    process: str
    by: str
    key: int
    start: float
    end: float
    outcome: str
    error: str


class Found(NamedTuple):
    """What one look into the cache gave, in keys."""

    process: str
    hits: int
    leases: int
    filling: int


class Trouble(NamedTuple):
    """What should never be: an operation that does not end, a worker that fails."""

    process: str
    what: str


class Fault(NamedTuple):
    """What the nemesis did."""

    kind: str
    start: float
    end: float


class Committed(NamedTuple):
    """A row of the database's own list of writes, made by a trigger in the write's transaction."""

    seq: int
    key: int
    version: int
    token: str


Record: TypeAlias = Read | Missed | Begun | Write | Invalidation | Found | Trouble

KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Read, Missed, Begun, Write, Invalidation, Found, Trouble)
}


class Journal:
    """The history file of one process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, record: Record) -> None:
        """Write a line; it is in the kernel's hands when this returns."""
        os.write(self._file, json.dumps([type(record).__name__, *record]).encode() + b"\n")


def records(folder: Path) -> Iterator[Record]:
    """Everything that all processes wrote down; a torn last line was never finished, and so never promised."""
    for path in sorted(folder.glob("*.history")):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                kind, *fields = json.loads(line)
                yield KINDS[kind](*fields)
