"""The figures: what the fault tests, the chaos tests and a soak have counted, taken from what pytest and the soak write.

Rules:
- A test gives a figure by `record_property`; pytest writes it into its JUnit file, with each test's loop in its name.
  Figures of one name are added up.
- A soak prints its figures as `name: figure`.
- All run in development mode with warnings as errors. A test that fails, or a violation, ends the command: there is no
  figure for that.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[3]
STRICT = [sys.executable, "-X", "dev", "-W", "error"]
TESTS = (
    "tests/faults",
    "tests/chaos",
    "--ignore=tests/faults/scoreboard",
)  # which reads the page that is being written
LOOPS = ("asyncio", "eager", "uvloop")


class Figure(NamedTuple):
    """One line of the page."""

    what: str
    count: str
    same: bool  # on every machine, so that it can be compared


# The properties that tests record, in the page's words.
COUNTED = {
    "chaos seeds": ("seeds of the chaos loop, added up over its scenarios", True),
    "chaos runs": ("runs on it, each in an order of its own", True),
    "chaos cancellations": ("runs on the chaos loop in which a task was cancelled at one of its awaits", False),
    "machine examples": ("runs of the state machine", True),
    "machine steps": ("steps of these, with all invariants checked after each", True),
    "machine answers": ("answers of these, each compared with the model", True),
    "rounds": (
        "rounds of callers that give up at once, on memcached and MariaDB, each followed by a right answer",
        True,
    ),
    "gave up": ("of the rounds of giving up in which the time was over before the answer came", False),
    "cuts of a lookup": ("positions at which memcached's reply to a lookup was cut", False),
    "cuts of a fill": ("positions at which memcached's reply to a lease or a fill was cut", True),
    "cuts of a deletion": ("positions at which memcached's reply to a deletion was cut", True),
    "cuts of a statement": ("positions at which MariaDB's side of a connection was cut", False),
    "crowd": ("loads in crowds of 200,000 in one tick", True),
    "accepted": ("requests that services had accepted when they were told to end, all answered", False),
}
SOAK = {
    "violations": ("violations found by the checker of the soak", True),
    "processes": ("worker processes of the soak", True),
    "seconds": ("seconds that the soak took", False),
    "operations": ("operations in the soak", False),
    "faults": ("faults injected into the soak", False),
    "stalest": ("for which a newer version had been known, at most, when a read gave an older one", False),
}


class Failed(Exception):
    """A run that must be green was not."""


def of_tests() -> Iterator[Figure]:
    """Run the tests of faults and chaos."""
    with tempfile.TemporaryDirectory(prefix="batchio-faults-") as folder:
        file = Path(folder) / "junit.xml"
        run(
            [
                *STRICT,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "-o",
                "junit_family=xunit1",
                f"--junitxml={file}",
                *TESTS,
            ]
        )
        yield from read(ET.parse(file))


def read(tree: ET.ElementTree) -> Iterator[Figure]:
    """The figures of a JUnit file."""
    counts: Counter[str] = Counter()
    loops: Counter[str] = Counter()
    for case in tree.iter("testcase"):
        if case.find("skipped") is None:
            loops[loop_of(case.get("name", ""))] += 1
        for one in case.iter("property"):
            counts[one.get("name", "")] += int(one.get("value", "0"))
    for loop in (*LOOPS, ""):
        where = f"on {loop}" if loop else "without a loop, or on one of their own"
        yield Figure(f"tests passed {where}", f"{loops[loop]:,}", True)
    yield from named(counts, COUNTED)


def loop_of(name: str) -> str:
    """The kind of loop in a test's name."""
    words = re.split(r"[\[\]-]", name)
    return next((loop for loop in LOOPS if loop in words), "")


def named(counts: Mapping[str, int | str], words: Mapping[str, tuple[str, bool]]) -> Iterator[Figure]:
    """Counts in the page's words; one that is missing is a mistake here or in the test."""
    for name, (what, same) in words.items():
        if name not in counts:
            raise Failed(f"no test and no soak has told {name!r}")
        count, bracket, more = str(counts[name]).partition(" (")  # a soak says more in brackets
        yield Figure(what + bracket + more, f"{int(count):,}" if count.isdigit() else count, same)


def of_soak(seconds: int) -> Iterator[Figure]:
    """Run a soak."""
    said = run([*STRICT, "-m", "tests.soak", "--seconds", str(seconds)])
    figures = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    yield from named(figures, SOAK)


def run(command: list[str]) -> str:
    """A command's output; its end, where it failed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed("\n".join([" ".join(command), *(done.stdout + done.stderr).splitlines()[-60:]]))
    return done.stdout
