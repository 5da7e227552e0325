"""What a soak prints: its figures, and each broken promise with what happened to the same key around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.soak.checker import History, Violation, stalest
from tests.soak.history import FAILED, OK, UNKNOWN, Fault, Found, Invalidation, Missed, Read, Record, Write

SHOWN = 10  # violations
AROUND = 6  # neighbours on either side


def figures(history: History) -> dict[str, Any]:
    """How much was done, and how much went wrong."""
    reads, missed, found = history.of(Read), history.of(Missed), history.of(Found)
    writes, invalidations = history.of(Write), history.of(Invalidation)
    unwritten = sum(one.outcome == FAILED for one in writes)
    untold = sum(one.outcome == FAILED for one in invalidations)
    kinds = Counter(fault.kind for fault in history.faults)
    unfinished = len(history.begun) - len(writes)
    return {
        "operations": len(reads) + len(missed) + len(history.begun) + len(invalidations),
        "reads": len(reads),
        "hits": sum(one.hits for one in found),
        "writes": len(history.committed),
        "invalidations": sum(one.outcome == OK for one in invalidations),
        "failed": f"{len(missed) + unwritten + untold} ({len(missed)} reads, of which {cancelled(missed)} were cancelled; "
        f"{unwritten} writes; {untold} invalidations)",
        "unknown": f"{sum(one.outcome == UNKNOWN for one in writes) + unfinished} writes",
        "faults": f"{len(history.faults)} ({', '.join(f'{kinds[kind]} {kind}' for kind in sorted(kinds))})",
        "slowest": f"read {longest([*reads, *missed]):.2f} s, write {longest(writes):.2f} s, "
        f"invalidation {longest(invalidations):.2f} s",
        "stalest": f"{stalest(history):.2f} s ({history.allowed:.2f} s are allowed)",
    }


def longest(done: Sequence[Any]) -> float:
    """Seconds."""
    return max((one.end - one.start for one in done), default=0.0)


def cancelled(missed: Sequence[Missed]) -> int:
    """Reads that their caller gave up."""
    return sum(one.error == "CancelledError" for one in missed)


def shown(history: History, broken: Sequence[Violation]) -> Iterator[str]:
    """The first violations, with their neighbours; times are seconds from the first record."""
    zero = min((moment(one)[0] for one in history.records if moment(one)), default=0.0)
    for violation in broken[:SHOWN]:
        yield f"--- rule {violation.rule}: {violation.text}"
        yield from (line(one, zero, violation) for one in neighbours(history, violation))
    if len(broken) > SHOWN:
        yield f"--- and {len(broken) - SHOWN} more"
    if broken:
        yield from (f"{fault.start - zero:9.4f} to {fault.end - zero:9.4f}  {fault.kind}" for fault in history.faults)


def moment(record: Record | Fault) -> tuple[float, ...]:
    """When a record begins and ends; nothing for one that has no time."""
    times = (getattr(record, "start", None), getattr(record, "end", None))
    return tuple(time for time in times if time is not None)


def neighbours(history: History, violation: Violation) -> list[Record]:
    """What happened to the key just before and after, by the order of ends; with what obliged the culprit."""
    same = [one for one in history.records if moment(one) and getattr(one, "key", None) == violation.key]
    if violation.culprit is None:
        return same[:AROUND]
    same = [one for one in same if getattr(one, "by", None) in (None, getattr(violation.culprit, "by", None))]
    same.sort(key=lambda one: moment(one)[-1])
    place = next((i for i, one in enumerate(same) if one is violation.culprit), 0)
    near = same[max(0, place - AROUND) : place + AROUND + 1]
    witness = violation.witness
    return near if witness is None or any(one is witness for one in near) else [witness, *near]


def line(record: Record, zero: float, violation: Violation) -> str:
    """A record in a line; the culprit is marked, and what obliged it."""
    mark = ">" if record is violation.culprit else "!" if record is violation.witness else " "
    fields = record._asdict()
    times = " to ".join(f"{time - zero:9.4f}" for time in moment(record))
    rest = " ".join(
        f"{name}={value}" for name, value in fields.items() if name not in ("start", "end", "process") and value != ""
    )
    if isinstance(record, Read):
        rest = rest.replace(f"since={record.since}", f"since={record.since - zero:.4f}")
    return f"{mark} {times:22}  {record.process:8} {type(record).__name__:12} {rest}"
