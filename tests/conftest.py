"""How every test runs: on each kind of event loop, watched for hangs, and asked to leave nothing behind.

Rules:
- An async test runs once per flavour of loop: asyncio, eager (where Python has eager tasks) and uvloop.
  `@pytest.mark.flavours("asyncio", "uvloop")` restricts it; `@pytest.mark.virtual` runs it on virtual time alone.
- A test that takes longer than `PATIENCE` fails with the names of what was waiting.
  `@pytest.mark.patience(60)` gives it other seconds. After `HANGS` of them the run is given up.
- A test fails if a task of its loop is still pending after it, or if anything reached a loop's exception handler.
  One that means to provoke that takes `loop_errors`, reads the list and clears it.
- `memcached_address` and `mysql_url` are empty stores, on servers that the first test to ask for them starts.
- With CI set, a skip whose reason does not stand in `allowed_skips.txt` fails the run.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import uvloop
from hypothesis import settings

PATIENCE = 30.0  # seconds of real time; the slowest honest test takes a few
HANGS = 10  # tests; after so many the run is given up
PASSES = 20  # turns of the loop in which tasks that are already ending may end, after a test
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")

# Hypothesis would fail an example that takes 200 ms: on a busy machine any may.
settings.register_profile("unhurried", settings.default, deadline=None)
settings.load_profile("unhurried")


# --- flavours of loop ---------------------------------------------------------------------------------------------


class Flavour:
    """A named way to make an event loop."""

    def __init__(self, name: str, make: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.name, self.make = name, make

    def __call__(self) -> asyncio.AbstractEventLoop:
        return self.make()


def eager_loop() -> asyncio.AbstractEventLoop:
    """asyncio's own loop, whose tasks run up to their first wait inside `create_task`."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # 3.12
    return loop


def virtual_loop() -> asyncio.AbstractEventLoop:
    """A loop whose clock jumps to the next deadline when nothing else is left to do."""
    from batchio.testing import VirtualLoop  # here, so that a broken batchio.testing fails its users

    return VirtualLoop()


FLAVOURS = {
    "asyncio": Flavour("asyncio", asyncio.new_event_loop),
    "eager": Flavour("eager", eager_loop),
    "uvloop": Flavour("uvloop", uvloop.new_event_loop),
    "virtual": Flavour("virtual", virtual_loop),
}
ABSENT = set() if hasattr(asyncio, "eager_task_factory") else {"eager"}
REAL = ("asyncio", "eager", "uvloop")


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Flavour]:
    """Name the flavours that `item` runs on; a test for absent ones alone is dropped after its collection."""
    named = wanted_flavours(item)
    present = [name for name in named if name not in ABSENT]
    return {name: FLAVOURS[name] for name in present or named}


def wanted_flavours(item: pytest.Item) -> tuple[str, ...]:
    """Read a test's markers."""
    if item.get_closest_marker("virtual"):
        return ("virtual",)
    marker = item.get_closest_marker("flavours")
    named: tuple[str, ...] = marker.args if marker else REAL
    if not named or set(named) - set(FLAVOURS):
        raise pytest.UsageError(f"{item.nodeid}: flavours are {', '.join(FLAVOURS)}, and not {named}")
    return named


def flavour_of(item: pytest.Item) -> Flavour | None:
    """Say on which flavour an item runs; None for a test without a loop."""
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    return next((value for value in values if isinstance(value, Flavour)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop what this Python has no loop for: absent, not skipped."""
    items[:] = [item for item in items if not ((flavour := flavour_of(item)) and flavour.name in ABSENT)]


def pytest_collection_finish() -> None:
    """Take what imports and collection made out of the collector's sight: a collection per test then costs little."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """The flavour this test runs on; call it for one more loop of the same kind."""
    found = flavour_of(request.node)
    assert found, "only an async test has a flavour"
    return found


# --- nothing left behind ------------------------------------------------------------------------------------------


class LoopErrors(logging.Handler):
    """What reached the exception handler of any loop, as text; loops report there through asyncio's logger."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


reached_a_loop = LoopErrors()
logging.getLogger("asyncio").addHandler(reached_a_loop)


@pytest.fixture
def loop_errors() -> list[str]:
    """What reached a loop's exception handler so far; a test that provokes it must clear the list."""
    return reached_a_loop.messages


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    # Set up before a test's loop, hence finished after it is closed: what nobody awaited or retrieved speaks up when
    # it dies, and it should die in its own test. What lives on is frozen: a collection then costs what the test made,
    # and not half of the suite's time.
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_task_outlives_its_test(request: pytest.FixtureRequest, _collected: None) -> None:
    if flavour_of(request.node):
        request.getfixturevalue("_look_for_pending_tasks")


@pytest.fixture
async def _look_for_pending_tasks() -> AsyncIterator[None]:
    # The first fixture of an async test, hence the last to be finished: those of the test have ended their tasks.
    yield
    for _ in range(PASSES):
        if not pending_tasks():
            return
        await asyncio.sleep(0)
    left = "\n  ".join(sorted(map(describe, pending_tasks())))
    pytest.fail(f"the test left tasks pending:\n  {left}", pytrace=False)


def pending_tasks() -> set[asyncio.Task[Any]]:
    """All tasks of the running loop but this one."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]


def describe(task: asyncio.Task[Any]) -> str:
    """Name a task and the innermost line at which it waits."""
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    while getattr(getattr(coroutine, "cr_await", None), "cr_frame", None):
        coroutine = coroutine.cr_await
    frame = getattr(coroutine, "cr_frame", None)
    where = f" at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""
    return f"{task.get_name()} ({name}){where}"


# --- no test hangs ------------------------------------------------------------------------------------------------


hung_tests: set[str] = set()


class Hung(KeyboardInterrupt):
    """Out of patience. A KeyboardInterrupt, because loops let nothing else through at once."""


def out_of_patience(signum: int, frame: FrameType | None) -> None:
    """Interrupt the main thread wherever it is, and say who was waiting; but never inside coverage's lock."""
    if frame and "coverage" in Path(frame.f_code.co_filename).parts:
        return  # it would keep the lock for ever; the next alarm comes in a second
    try:
        waiting = [describe(task) for task in asyncio.all_tasks()]
    except RuntimeError:  # no loop is running
        waiting = [f"thread {thread.name}" for thread in threading.enumerate()]
    raise Hung("\n  ".join(["the test hung; waiting were:", *sorted(waiting)]))


@contextmanager
def watched(item: pytest.Item) -> Iterator[None]:
    """Fail what takes longer than its patience; again each second, should somebody swallow the interrupt."""
    marker = item.get_closest_marker("patience")
    before = signal.signal(signal.SIGALRM, out_of_patience)
    signal.setitimer(signal.ITIMER_REAL, marker.args[0] if marker else PATIENCE, 1.0)
    hung = None
    try:
        yield
    except Hung as told:
        hung = str(told)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if hung:
        give_up_after_many(item)
        pytest.fail(hung, pytrace=False)


def give_up_after_many(item: pytest.Item) -> None:
    """Where most tests hang, one wants to know soon and not PATIENCE by PATIENCE."""
    hung_tests.add(item.nodeid)
    if len(hung_tests) >= HANGS:
        item.session.shouldfail = f"{HANGS} tests hung"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    reached_a_loop.messages.clear()
    with watched(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with watched(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    with watched(item):
        result = yield
    if reached_a_loop.messages:
        told = "\n\n".join(reached_a_loop.messages)
        pytest.fail(f"these reached a loop's exception handler:\n{told}", pytrace=False)
    return result


# --- servers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def memcached_server() -> Iterator[Any]:
    """The run's memcached, for tests that do not harm it; who stops or pauses one starts their own."""
    from tests.servers import memcached  # here: most tests need no server

    with memcached() as server:
        yield server


@pytest.fixture
def memcached_address(memcached_server: Any) -> str:
    """`host:port` of the run's memcached, which is empty."""
    memcached_server.flush()
    return memcached_server.address


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Any]:
    """The run's MariaDB, for tests that do not harm it."""
    from tests.servers import mariadb

    with mariadb() as server:
        yield server


@pytest.fixture
def mysql_url(mariadb_server: Any) -> Iterator[str]:
    """The URL of an empty database on the run's MariaDB, which goes with the test."""
    name = f"t_{next(schemas)}"
    mariadb_server.execute(f"CREATE DATABASE {name}")
    yield mariadb_server.url_of(name)
    mariadb_server.execute(f"DROP DATABASE {name}")


schemas = itertools.count(1)


# --- what the run says at its end ---------------------------------------------------------------------------------

outcomes: Counter[tuple[str, str]] = Counter()
skip_reasons: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    flavour = flavour_of(item)
    report.loop = f"flavour {flavour.name}" if flavour else "without a loop"
    return report


def pytest_runtest_logreport(report: Any) -> None:
    # Counted from reports, which also come here from the processes that `-n` starts.
    name = getattr(report, "loop", "without a loop")  # such a process that died has none
    if report.skipped and not hasattr(report, "wasxfail"):
        outcomes[name, "skipped"] += 1
        skip_reasons.add(report.longrepr[2].removeprefix("Skipped: "))
    elif report.failed or report.when == "call":
        outcomes[name, report.outcome] += 1


def unexpected_skips() -> set[str]:
    """The reasons of this run's skips that the list does not name."""
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    return skip_reasons - {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("CI") and unexpected_skips() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("loops")
    for name in sorted({name for name, _ in outcomes}):
        counts = ", ".join(f"{outcomes[name, kind]} {kind}" for kind in ("passed", "skipped", "failed"))
        terminalreporter.line(f"{name}: {counts}")
    for reason in sorted(unexpected_skips()):
        verdict = "a failure with CI set" if os.environ.get("CI") else "would be a failure with CI set"
        terminalreporter.line(f"skip not in {ALLOWED_SKIPS.name}, {verdict}: {reason}")
