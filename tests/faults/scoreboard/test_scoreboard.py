"""The scoreboard in the suite, without its peers: batchio keeps every promise, the page is not stale, and programs bite.

Rules:
- Each program runs in its process, as `make faults` runs it, on asyncio's loop: the other loops, the peers and the
  figures are for `make faults`.
- The bad loader below is what most libraries were once: one future for all who wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.bench.peers.faces import Batchio, Peer
from tests.faults.scoreboard import figures
from tests.faults.scoreboard.page import PAGE, cell, stable
from tests.faults.scoreboard.trial import LOOPS, Result, Trial, run
from tests.faults.scoreboard.verdict import PROGRAMS, WORDS

HERE = [name for name, program in PROGRAMS.items() if "eager" not in program.needs or "eager" in LOOPS]


@pytest.fixture
def mysql(request: pytest.FixtureRequest) -> str:
    """The run's MariaDB, for programs that ask for it."""
    needs = PROGRAMS[request.node.callspec.params["name"]].needs
    return request.getfixturevalue("mariadb_server").url if "mysql" in needs else ""


@pytest.mark.patience(90)
@pytest.mark.parametrize("name", HERE)
def test_batchio_keeps_the_promise(name: str, mysql: str) -> None:
    """Whatever the program does to it."""
    assert run(Trial(name, "batchio"), mysql) == Result("kept")


# --- programs bite ------------------------------------------------------------------------------------------------


class OneFuture:
    """A loader that is wrong in most of the ways that there are: one future per key, kept for ever, with its error."""

    def __init__(self, fetch: Any, **_: Any) -> None:
        self.fetch = fetch
        self.futures: dict[Any, asyncio.Future[Any]] = {}
        self.queue: list[Any] = []

    def load(self, key: Any) -> asyncio.Future[Any]:
        if key not in self.futures:
            self.futures[key] = asyncio.get_running_loop().create_future()
            self.queue.append(key)
            if len(self.queue) == 1:
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._leave()))
        return self.futures[key]

    def clear(self, key: Any) -> None:
        """Forget nothing."""

    async def _leave(self) -> None:
        keys, self.queue = self.queue, []
        try:
            for key, value in zip(keys, await self.fetch(keys), strict=False):
                self.futures[key].set_result(value)
        except Exception as error:
            for key in keys:
                if not self.futures[key].done():
                    self.futures[key].set_exception(error)


class Bad(Peer):
    """Its face."""

    name = "bad"
    DataLoader = OneFuture


class Wrong(Batchio):
    """batchio, whose batch functions give each key the value of another."""

    def declared(self, fetch: Any, **options: Any) -> Any:
        async def turned(keys: Sequence[Any]) -> list[Any]:
            return [*(await fetch(keys))[::-1]]

        return super().declared(turned, **options)


@pytest.mark.parametrize(
    ("name", "word"),
    {
        "cancelled_in_flight": "stranger's error", "sibling_failed": "stranger's error", "failed_batch": "error",
        "base_exception": "hangs", "too_many": "wrong answer", "shared_exception": "leaks",
        "context_of_another": "leaks", "kept_by_errors": "leaks", "queue_bound": "no bound", "herd": "more calls",
        "nobody_looks": "noise", "told_to_end": "lost", "cleared_in_flight": "wrong answer", "crowd": "held",
    }.items(),
)  # fmt: skip
def test_a_loader_that_breaks_a_promise_is_not_kept(name: str, word: str) -> None:
    """One that shares one future, remembers errors and knows no bound comes to the word for that."""
    assert run(Trial(name, "bad"), face=Bad).word == word


def test_an_answer_to_the_wrong_key_is_seen() -> None:
    """A loader that mixes up its callers gives wrong answers."""
    assert run(Trial("at_six_depths", "wrong"), face=Wrong).word == "wrong answer"


class Spins(Bad):
    """Its batches are computed without end, at the first load."""

    def declared(self, fetch: Any, **options: Any) -> Any:
        while True:
            pass


class Absent(Bad):
    """Is not installed."""

    def __init__(self) -> None:
        raise ImportError("no module named bad")


class Dies(Bad):
    """Takes its process with it."""

    def declared(self, fetch: Any, **options: Any) -> Any:
        raise SystemExit(3)


def test_a_program_that_does_not_come_back_is_ended_and_spins() -> None:
    """Neither the loop nor a time limit of asyncio can end it."""
    assert run(Trial("failed_batch", "spins"), face=Spins).word == "spins"


def test_what_goes_wrong_before_the_program_is_nobodys_word() -> None:
    """A library that is not there, or a server that does not start, is a failure of the scoreboard."""
    with pytest.raises(RuntimeError, match="no module named bad"):
        run(Trial("failed_batch", "absent"), face=Absent)


def test_a_library_that_ends_the_program_has_not_kept_anything() -> None:
    """An exit is an error like others."""
    assert run(Trial("failed_batch", "dies"), face=Dies).word == "error"


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_has_each_program_with_its_promise() -> None:
    """And no program that is gone; `make faults` writes it."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    for name, program in PROGRAMS.items():
        (line,) = [line for line in lines if line.endswith(f"| `{name}` |")]
        assert line.startswith(f"| {program.promise} |"), f"the page is older than {name}: run make faults"
    assert sum(line.endswith("` |") for line in lines) == len(PROGRAMS)


def test_the_page_says_that_batchio_has_kept_all() -> None:
    """Its column holds one word, which the run that wrote it has seen; and every word of the others is explained."""
    text = stable(PAGE.read_text(encoding="utf-8"))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("|") and line.endswith("` |")]
    assert {cells[2] for cells in rows} == {"kept"}
    for word in {words for cells in rows for words in cells[3:6] if words in WORDS}:
        assert f"\n| {word} | {WORDS[word]} |" in text


def test_a_cell_names_the_loops_that_differ() -> None:
    """The word of asyncio's loop comes first."""
    assert cell({"asyncio": "kept", "uvloop": "kept"}) == "kept"
    assert cell({"asyncio": "kept", "eager": "hangs", "uvloop": "kept"}) == "kept (eager: hangs)"


def test_figures_are_added_up_from_what_tests_record() -> None:
    """By name, over tests and loops; and a figure that no test tells is an error."""
    recorded = "".join(f'<property name="{name}" value="2"/>' for name in figures.COUNTED)
    case = '<testcase name="test_x[{}-1]"><properties>{}</properties></testcase>'
    cases = case.format("asyncio", recorded) + case.format("uvloop", recorded)
    tree = ET.ElementTree(ET.fromstring(f"<testsuite>{cases}<testcase name='test_y'/></testsuite>"))
    found = {figure.what: figure.count for figure in figures.read(tree)}
    assert found["tests passed on asyncio"] == found["tests passed on uvloop"] == "1"
    assert found["seeds of the chaos loop, added up over its scenarios"] == "4"
    with pytest.raises(figures.Failed, match="chaos seeds"):
        list(figures.read(ET.ElementTree(ET.fromstring("<testsuite/>"))))
