"""Writes docs/explanation/faults.md from words that programs came to, and figures that tests told.

Rules:
- The text says what the page is; every word and number in its tables was observed by the run that wrote it.
- What differs from run to run stands under the last heading, and nothing else does: `stable` cuts it off.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.faults.rows import ROWS
from tests.faults.scoreboard.figures import Figure
from tests.faults.scoreboard.trial import LOOPS, SECTIONS, Result, Trial
from tests.faults.scoreboard.verdict import PROGRAMS, WORDS, Program

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "faults.md"
VARIES = "## What differs from run to run"

# By their names on PyPI; those of the first line are pinned.
PINNED = {"aiodataloader": "aiodataloader", "strawberry": "strawberry-graphql", "dloader": "dloader"}
FREE = ("aiomcache", "aiomysql", "PyMySQL", "uvloop", "hypothesis", "pytest")
PEERS = ("batchio", *PINNED)

Words = Mapping[Trial, Result]

OPENING = """\
# Promises under fire

Small programs, each of which does one bad thing to a DataLoader and looks whether a promise is kept; the same programs
for batchio and for three other DataLoaders. Then how much the tests of faults did.

`make faults` runs all of it and writes this page; `make faults CHECK=1` compares the page with a fresh run. Nothing in
the tables is written by hand. The programs are in `tests/faults/scoreboard`, and
`python -m tests.faults.scoreboard --only NAME` says what one of them has seen.
"""

HOW = """\
## How to read it

A program is written once, for any DataLoader. Each library is used as its documentation says: the others make a loader
for each request, batchio makes it once and enters a scope. An option that a library has not (a time limit, a bound) is
left out, and what happens then is what is told. Where memcached or MySQL is read, batchio uses its own edges and the
others call aiomcache or aiomysql in their batch function, as these drivers' documentation shows; all have the same
servers, behind the same proxy. batchio waits for memcached for up to a second here, and not for its default of a fifth,
so that a busy machine changes no word: after that a key counts as a miss, and the source is asked more often. These
promises are batchio's, and another library may never have given them.

A cell is what was seen on asyncio's own loop; another kind of loop is named where it came to another word.
{loops}
Each program runs in a process of its own. *Hangs* is decided by turns of the loop, hundreds of them with nothing held
back any more, and not by the clock.
"""

FIGURES = """\
## Figures

The tests in `tests/faults` and `tests/chaos`, run under `python -X dev -W error`, and a soak of a minute: worker
processes read, write and invalidate through memcached and MariaDB while a nemesis stops and kills them, and a checker
reads what all of them wrote down. Every test passed, or this page would not have been written.
"""

DIFFERS = """\
What follows depends on a clock, on chance, or on what is installed; `make faults CHECK=1` does not compare it.
"""


def page(words: Words, figures: Iterable[Figure]) -> str:
    """All of it."""
    figures = list(figures)
    blocks = [
        OPENING, *versions(PINNED.values()), *scoreboard(words),
        HOW.format(loops=told_loops()), *meanings(words), FIGURES, table([one for one in figures if one.same]),
        "## The rows of the fault table\n", *rows(words), f"{VARIES}\n", DIFFERS, *versions(FREE, whole=True),
        table([one for one in figures if not one.same]),
    ]  # fmt: skip
    return "\n".join(blocks)


def told_loops() -> str:
    """What ran where."""
    kinds = " and ".join(name for name in LOOPS if name != "asyncio")
    return f"batchio ran all programs on {kinds} too, the others all but long ones and those of memcached and MySQL."


def stable(text: str) -> str:
    """What is the same in every run."""
    return text.partition(VARIES)[0]


def versions(names: Iterable[str], *, whole: bool = False) -> Iterator[str]:
    """What was run."""
    python = platform.python_version() if whole else "{}.{}".format(*sys.version_info)
    yield f"Python {python}, " + ", ".join(f"{name} {version(name)}" for name in names) + ".\n"


def scoreboard(words: Words) -> Iterator[str]:
    """The tables."""
    yield "## The scoreboard\n"
    for module, heading in SECTIONS.items():
        yield f"### {heading}\n"
        yield f"| promise | rows | {' | '.join(PEERS)} | program |"
        yield f"|---|---|{'---|' * len(PEERS)}---|"
        for program in PROGRAMS.values():
            if program.try_it.__module__ == module:
                yield line(program, words)
        yield ""
    yield f"{kept(words)}\n"


def line(program: Program, words: Words) -> str:
    """One program."""
    cells = [cell({trial.loop: words[trial].word for trial in of(words, program.name, name)}) for name in PEERS]
    return f"| {program.promise} | {sources(program)} | {' | '.join(cells)} | `{program.name}` |"


def of(words: Words, program: str, peer: str) -> Sequence[Trial]:
    """A peer's runs of a program."""
    return [trial for trial in words if (trial.program, trial.peer) == (program, peer)]


def cell(by_loop: Mapping[str, str]) -> str:
    """The word of asyncio's loop, and those of others that differ."""
    first = by_loop["asyncio"]
    others = [f"{loop}: {word}" for loop, word in by_loop.items() if word != first]
    return f"{first} ({', '.join(others)})" if others else first


def sources(program: Program) -> str:
    """Where a promise comes from: rows of the fault table, guarantees of the design."""
    told = [f"[{row}](#fault-{row})" for row in program.rows]
    return ", ".join([*told, *(f"[g{number}](design.md#guarantees)" for number in program.guarantees)])


def kept(words: Words) -> str:
    """The sums."""

    def sums(loops: Container[str]) -> str:
        counts = []
        for name in PEERS:
            runs = [[trial for trial in of(words, program, name) if trial.loop in loops] for program in PROGRAMS]
            counts.append(f"{name} {sum(all(words[trial].word == 'kept' for trial in one) for one in runs)}")
        return ", ".join(counts)

    return (
        f"Kept on asyncio's own loop, of {len(PROGRAMS)}: {sums({'asyncio'})}. Kept on every loop that was tried:\n"
        f"{sums(LOOPS)}. `g` is a guarantee of the [design](design.md)."
    )


def meanings(words: Words) -> Iterator[str]:
    """The words that occur."""
    yield "| word | what was seen |\n|---|---|"
    seen = {result.word for result in words.values()}
    yield from (f"| {word} | {meaning} |" for word, meaning in WORDS.items() if word in seen)
    yield ""


def rows(words: Words) -> Iterator[str]:
    """What the numbers mean."""
    numbers = {row for program in PROGRAMS.values() for row in program.rows}
    for row in sorted(numbers):
        yield f"(fault-{row})=\n{row}: {ROWS[row]}.\n"


def table(figures: Sequence[Figure]) -> str:
    """Figures."""
    lines = [f"| {one.count} | {one.what} |" for one in figures]
    return "\n".join(["| | |", "|---:|---|", *lines, ""])
