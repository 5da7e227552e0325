"""Whether a history keeps the promises. Pure: it reads records and the database's own list of writes, and says what broke.

What is older than what, the database says: a trigger lists each write with the version that it made, in the write's
transaction. So one knows of a write whose answer was lost whether it was done, and in which order. Of a version's
moment one knows that it was before the first *sign* of it: the end of a write that was confirmed, or of a read that saw
it. The rules:

a. A read that starts after a confirmed invalidation of its key returns at least the newest version of which there was a
   sign before that invalidation began. Where a scope has asked for the key before, its memo may answer: then the first
   ask counts as the start.
b. However invalidations end, a read returns at least the newest version of which there was a sign `allowed` seconds
   before it starts: the ttl and some slack.
c. A confirmed write is in the list, once; a write that was refused is not, and none that nobody began; the versions of
   a key have no gaps, the row has the last one, and a write that began after another was confirmed has the later one.
d. A read returns the row of its key, whole, as a write of the list has made it, and one that had begun by then.
e. No operation takes longer than `patience`, none hangs, and no worker fails.

A database that is killed may lose a commit that it had shown already but not yet written down, and told to nobody as done
(InnoDB shows a commit before its log is written). What a read saw of such a *lost* write is no version of the list; it
is taken for something between its version and the one before, and counts as a sign of the latter.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from tests.soak.history import (
    FAILED,
    OK,
    UNKNOWN,
    Begun,
    Committed,
    Fault,
    Invalidation,
    Missed,
    Read,
    Record,
    Trouble,
    Write,
)

R = TypeVar("R")

CRASH = "database crash"
FIRST = ""  # the token of version 0, with which every row begins


class Violation(NamedTuple):
    """A promise that was broken."""

    rule: str
    text: str
    key: int | None = None
    culprit: Record | None = None
    witness: Record | None = None  # what obliged it


@dataclass
class History:
    """All that is known after a run. `final` is the version and token of each row at the end."""

    records: Sequence[Record]
    committed: Sequence[Committed]
    final: Mapping[int, tuple[int, str]]
    allowed: float  # seconds, for rule b
    patience: float  # seconds, for rule e
    faults: Sequence[Fault] = ()
    version_of: dict[str, Committed] = field(init=False)
    begun: dict[str, Begun] = field(init=False)
    ended: dict[str, Write] = field(init=False)

    def __post_init__(self) -> None:
        self.version_of = {row.token: row for row in self.committed}
        self.begun = {record.token: record for record in self.of(Begun)}
        self.ended = {record.token: record for record in self.of(Write)}

    def of(self, kind: type[R]) -> list[R]:
        """The records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]


class Steps:
    """Something that only grows, known at some moments: what was it at most, before a given time?"""

    def __init__(self, points: Iterable[tuple[float, int, Record]]) -> None:
        self.times: list[float] = []
        self.heights: list[int] = []
        self.records: list[Record | None] = []
        for time, height, record in sorted(points, key=lambda point: point[:2]):
            if not self.heights or height > self.heights[-1]:
                self.times.append(time)
                self.heights.append(height)
                self.records.append(record)

    def before(self, time: float) -> tuple[int, Record | None]:
        """The height just before a moment, and the record that says so; 0 before the first."""
        place = bisect_left(self.times, time) - 1
        return (self.heights[place], self.records[place]) if place >= 0 else (0, None)

    def above(self, height: int) -> float:
        """The moment of the first step above a height; never is infinity."""
        place = bisect_right(self.heights, height)
        return self.times[place] if place < len(self.times) else float("inf")


def violations(history: History) -> list[Violation]:
    """Everything that a history breaks, in the order of time; first what has no time."""
    strange = list(strange_reads(history))
    culprits = {id(one.culprit) for one in strange}
    reads = [read for read in history.of(Read) if id(read) not in culprits]
    broken = [*troubles(history), *lost_writes(history), *strange, *stale_reads(history, reads)]
    return sorted(broken, key=lambda one: getattr(one.culprit, "start", 0.0))


def troubles(history: History) -> Iterator[Violation]:
    """Rule e."""
    for trouble in history.of(Trouble):
        yield Violation("e", f"{trouble.process}: {trouble.what}")
    for one in history.records:
        if isinstance(one, Read | Missed | Write | Invalidation) and one.end - one.start > history.patience:
            yield Violation("e", f"it took {one.end - one.start:.1f} s", one.key, one)


# --- writes -------------------------------------------------------------------------------------------------------


def lost_writes(history: History) -> Iterator[Violation]:
    """Rule c."""
    yield from unlike_told(history)
    rows: dict[int, list[Committed]] = defaultdict(list)
    for row in sorted(history.committed):
        rows[row.key].append(row)
    for key, final in history.final.items():
        yield from broken_chain(key, rows[key], final)
        yield from back_in_time(history, rows[key])


def unlike_told(history: History) -> Iterator[Violation]:
    """Writes of which the list and the writer tell different things."""
    for token, times in Counter(row.token for row in history.committed).items():
        row = history.version_of[token]
        if times > 1:
            yield Violation("c", f"the write {token} was done {times} times", row.key, history.ended.get(token))
        if token not in history.begun or history.begun[token].key != row.key:
            yield Violation("c", f"nobody began the write {token} of version {row.version}", row.key)
    for write in history.ended.values():
        if write.outcome == OK and write.token not in history.version_of:
            yield Violation("c", f"the confirmed write {write.token} is lost", write.key, write)
        if write.outcome == FAILED and write.token in history.version_of:
            yield Violation("c", f"the write {write.token} was done, and told as refused", write.key, write)


def broken_chain(key: int, rows: Sequence[Committed], final: tuple[int, str]) -> Iterator[Violation]:
    """Versions that do not follow one another, in the order of their commits, up to what the row has at the end."""
    versions = [row.version for row in rows]
    if versions != list(range(1, len(rows) + 1)):
        yield Violation("c", f"the versions of the key are not 1 to {len(rows)}, in order: {versions}", key)
    last = (rows[-1].version, rows[-1].token) if rows else (0, FIRST)
    if final != last:
        yield Violation("c", f"the row has {final} at the end, and its last write made {last}", key)


def back_in_time(history: History, rows: Sequence[Committed]) -> Iterator[Violation]:
    """Writes that began when a later version was confirmed already."""
    newer: Write | None = None  # of the later versions, the one that was confirmed first
    for row in reversed(rows):
        begun, write = history.begun.get(row.token), history.ended.get(row.token)
        if begun and newer and newer.end < begun.start:
            yield Violation("c", f"the write {row.token} began after that of a later version", row.key, begun, newer)
        if write and write.outcome == OK and (newer is None or write.end < newer.end):
            newer = write


# --- reads --------------------------------------------------------------------------------------------------------


def strange_reads(history: History) -> Iterator[Violation]:
    """Rule d."""
    for read in history.of(Read):
        if text := strangeness(history, read):
            yield Violation("d", text, read.key, read, history.ended.get(read.token))


def strangeness(history: History, read: Read) -> str:
    """What is wrong with an answer, whenever it came; nothing, as a rule."""
    if read.id != read.key:
        return "the answer is not whole" if read.id < 0 else f"the answer is that of key {read.id}"
    if (read.version, read.token) == (0, FIRST):
        return ""
    row, begun = history.version_of.get(read.token), history.begun.get(read.token)
    if begun is None or begun.key != read.key:
        return f"nobody wrote {read.token} to this key"
    if begun.start > read.end:
        return f"the answer came before the write {read.token} began"
    if row is None:
        return "" if was_lost(history, begun) else f"the write {read.token} was never done"
    return "" if row.version == read.version else f"{read.token} made version {row.version}, not {read.version}"


def was_lost(history: History, begun: Begun) -> bool:
    """Whether the database may have shown a write, and lost it when it was killed, before it confirmed it."""
    write = history.ended.get(begun.token)
    told = write is not None and write.outcome != UNKNOWN
    return not told and any(fault.kind == CRASH and fault.end > begun.start for fault in history.faults)


def height(history: History, read: Read) -> int:
    """How new an answer is: twice its version, and one less for a write that was lost."""
    return 2 * read.version - (read.token not in history.version_of and read.token != FIRST)


def signs(history: History, reads: Iterable[Read]) -> dict[int, Steps]:
    """By key, when one could first know that a version was there."""
    points: dict[int, list[tuple[float, int, Record]]] = defaultdict(list)
    for write in history.ended.values():
        if write.outcome == OK and (row := history.version_of.get(write.token)):
            points[row.key].append((write.end, 2 * row.version, write))
    for read in reads:
        points[read.key].append((read.end, height(history, read) // 2 * 2, read))
    return {key: Steps(of_key) for key, of_key in points.items()}


def floors(history: History, known: Mapping[int, Steps]) -> dict[tuple[str, int], Steps]:
    """By loader and key, what confirmed invalidations oblige to."""
    points: dict[tuple[str, int], list[tuple[float, int, Record]]] = defaultdict(list)
    for done in history.of(Invalidation):
        if done.outcome == OK and done.key in known:
            points[done.by, done.key].append((done.end, known[done.key].before(done.start)[0], done))
    return {of: Steps(of_key) for of, of_key in points.items()}


def stale_reads(history: History, reads: Sequence[Read]) -> Iterator[Violation]:
    """Rules a and b."""
    known = signs(history, reads)
    obliged = floors(history, known)
    for read in reads:
        new = height(history, read)
        floor, witness = obliged[read.by, read.key].before(read.since) if (read.by, read.key) in obliged else (0, None)
        if new < floor:
            text = f"version {read.version} after version {floor // 2} was invalidated and confirmed"
            yield Violation("a", text, read.key, read, witness)
        floor, witness = known[read.key].before(read.since - history.allowed)
        if new < floor:
            text = f"version {read.version}, and version {floor // 2} was seen over {history.allowed} s before"
            yield Violation("b", text, read.key, read, witness)


def stalest(history: History) -> float:
    """For how many seconds, at most, a newer version than the one that a read gave had been known when it began."""
    reads = history.of(Read)
    known = signs(history, reads)
    return max([0.0, *(read.since - known[read.key].above(height(history, read)) for read in reads)])
