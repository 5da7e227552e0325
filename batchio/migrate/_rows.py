"""Rows of awaits that do not depend on each other: where they are in a block, and the one gather that they become.

Rules of this room:

- A row goes on as long as a statement reads and binds nothing that an earlier one binds.
- What is certain is one statement; the rest of a row is told. Comments stay: with them the call has a line for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import libcst as cst

from batchio.migrate._steps import Between, Kind, Step, between, step
from batchio.migrate._syntax import code

__all__ = ["Row", "gathered", "rows", "runs"]

WIDTH = 100  # columns; a longer call has a line for each of its arguments


@dataclass
class Row:
    """Statements in a row, from the first that waits to the last."""

    start: int
    parts: list[Step | Between] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [part for part in self.parts if isinstance(part, Step)]


def rows(body: Sequence[cst.CSTNode], kind: Kind) -> list[Row]:
    """The rows of a block that have two steps or more, and one that surely loads."""
    found: list[Row] = []
    row: Row | None = None
    for place, statement in enumerate(body):
        part = step(statement, kind) or between(statement)
        if part is not None and row is not None and _fits(part, row):
            row.parts.append(part)
            continue
        row = Row(place, [part]) if isinstance(part, Step) else None
        found += [row] if row else []
    return [row for row in map(_trimmed, found) if len(row.steps) > 1 and any(one.kind for one in row.steps)]


def _fits(part: Step | Between, row: Row) -> bool:
    waited_for = set[str]().union(*(step.binds for step in row.steps))
    bound = set[str]().union(*(each.binds for each in row.parts))
    if part.reads & waited_for or part.binds & bound:
        return False
    # What stands between will stand before the row: nothing in it may have read the name as it was.
    return isinstance(part, Step) or not any(part.binds & each.reads for each in row.parts)


def runs(row: Row) -> list[Row]:
    """The parts of a row that are certain: two steps or more, all with a target or all without."""
    found: list[Row] = []
    run: Row | None = None
    for place, part in enumerate(row.parts):
        if isinstance(part, Between):
            if run:
                run.parts.append(part)
        elif part.kind is None or part.doubt:
            run = None
        elif run and (run.steps[0].target is None) == (part.target is None):
            run.parts.append(part)
        else:
            run = Row(row.start + place, [part])
            found.append(run)
    return [run for run in map(_trimmed, found) if len(run.steps) > 1]


def _trimmed(row: Row) -> Row:
    while isinstance(row.parts[-1], Between):
        row.parts.pop()
    return row


def gathered(run: Row, depth: int) -> list[Any]:
    """The statements that a run becomes: what stood between, and the gather."""
    before: list[Any] = [part.line for part in run.parts if isinstance(part, Between)]
    steps = run.steps
    first = run.parts[0].line
    targets = ", ".join(step.target for step in steps if step.target)
    start = f"{targets} = await batchio.gather(" if targets else "await batchio.gather("
    text = f"{start}{', '.join(code(step.call) for step in steps)})"
    many = any(_comments(step.line) for step in steps[1:]) or steps[0].line.trailing_whitespace.comment
    if many or "\n" in text or 4 * depth + len(text) > WIDTH:
        text = start + "\n" + "".join(_own_line(step, step is not steps[0]) for step in steps) + ")"
    made: Any = cst.ensure_type(cst.parse_statement(text + "\n"), cst.SimpleStatementLine)
    if before:
        before[0] = before[0].with_changes(leading_lines=[*first.leading_lines, *before[0].leading_lines])
        return [*before, made]
    return [made.with_changes(leading_lines=first.leading_lines)]


def _own_line(step: Step, with_comments: bool) -> str:
    above = [line.comment.value for line in step.line.leading_lines if line.comment] if with_comments else []
    comment = step.line.trailing_whitespace.comment
    text = code(step.call)
    if not any(quotes in text for quotes in ('"""', "'''")):  # a string's own lines are not to be moved
        text = text.replace("\n", "\n    ")
    lines = [*above, text + "," + (f"  {comment.value}" if comment else "")]
    return "".join(f"    {line}\n" for line in lines)


def _comments(line: cst.SimpleStatementLine) -> bool:
    return bool(line.trailing_whitespace.comment) or any(each.comment for each in line.leading_lines)
