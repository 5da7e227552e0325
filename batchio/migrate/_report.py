"""What a run has to tell: the diff, the spots for a human, what could not be read, and the sums.

Rules of this room: text in the order of the files, and the same facts as JSON. Lines are those of the files as they
are read; after ``--write``, of the files as they were written.
"""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Outcome", "as_check", "as_json", "as_text", "diff", "exit_code"]


COUNTED = {
    "functions": "functions",
    "yields": "yields",
    "sync_calls": "calls from plain code",
    "gathers": "gathers",
    "imports": "imports",
}


@dataclass
class Outcome:
    """What became of one file."""

    path: str
    old: str = ""
    new: str = ""
    left: list[tuple[int, str]] = field(default_factory=list)
    trouble: str = ""
    outside: list[str] = field(default_factory=list)
    written: bool = False
    encoding: str = "utf-8"
    stale: bool = False
    """Whether the file is not any more what was looked at."""
    counts: dict[str, int] = field(default_factory=dict)
    found: list[tuple[int, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is a difference to show or to write."""
        return self.old != self.new


def exit_code(outcomes: list[Outcome], *, check: bool = False) -> int:
    """0: nothing is left for a human; 1: something is, a file that could not be read or written included.

    Who checks wants 1 for what would change too.
    """
    return int(any(outcome.left or outcome.trouble or (check and outcome.changed) for outcome in outcomes))


def diff(outcome: Outcome) -> str:
    """A unified diff of one file."""
    old, new = (list(io.StringIO(text)) for text in (outcome.old, outcome.new))  # no other ends than patch knows
    path = "/" + outcome.path.removeprefix("/")
    lines = difflib.unified_diff(old, new, f"a{path}", f"b{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def as_text(outcomes: list[Outcome]) -> str:
    """One line for each spot and each trouble, and the sums."""
    return "\n".join([*_lines(outcomes), _sums(outcomes)])


def as_check(outcomes: list[Outcome]) -> str:
    """One line for each spot that would change or is for a human, as compilers write them."""
    lines = [
        f"{outcome.path}:{line}: {reason}"
        for outcome in outcomes
        for line, reason in sorted([*outcome.found, *outcome.left])
    ]
    lines += [f"{outcome.path}: {outcome.trouble}" for outcome in outcomes if outcome.trouble]
    return "".join(f"{line}\n" for line in lines)


def _lines(outcomes: list[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.trouble:
            yield f"{outcome.path}: {outcome.trouble}"
        if outcome.outside:
            modules = ", ".join(outcome.outside)
            yield f"{outcome.path}: calls functions of modules that were not given; they must be async: {modules}"
        for line, reason in outcome.left:
            yield f"{outcome.path}:{line}: {reason}"


def _sums(outcomes: list[Outcome]) -> str:
    facts = _facts(outcomes)
    counts = ", ".join(f"{facts[name]} {words}" for name, words in COUNTED.items() if name in facts)
    return (
        f"{facts['files_changed']} of {facts['files']} files change: {counts or 'nothing'}; "
        f"{facts['left']} spots for a human, {facts['troubles']} files with trouble"
    )


def _facts(outcomes: list[Outcome]) -> dict[str, int]:
    names = {name: None for outcome in outcomes for name in outcome.counts}
    return {
        "files": len(outcomes),
        "files_changed": sum(outcome.changed for outcome in outcomes),
        "files_written": sum(outcome.written for outcome in outcomes),
        **{name: sum(outcome.counts.get(name, 0) for outcome in outcomes) for name in names},
        "left": sum(len(outcome.left) for outcome in outcomes),
        "troubles": sum(bool(outcome.trouble) for outcome in outcomes),
    }


def as_json(outcomes: list[Outcome]) -> str:
    """The same facts for programs."""
    files: list[dict[str, Any]] = []
    for outcome in outcomes:
        facts = asdict(outcome)
        for name in ("old", "new", "encoding", "stale"):
            del facts[name]
        facts["changed"] = outcome.changed
        for key in ("left", "found"):
            facts[key] = [{"line": line, "reason": reason} for line, reason in facts[key]]
        files.append(facts)
    return json.dumps({"files": files, "sums": _facts(outcomes)}, indent=2)
