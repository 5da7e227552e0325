"""Runs programs, each in a process of its own that can be ended, two at a time.

Rules:
- A process is forked from one that has imported everything and run nothing: it costs milliseconds, and inherits nothing
  that another program has done.
- Inside, loops are as in production, also where the run is in development mode: its hints to authors are warnings.
- Inside, a thread looks at the event loop's pulse. Where none comes while seconds of computing pass, the program spins.
  The same thread ends the process when the one that started it has gone.
  From outside, a process has `SECONDS`; then it is killed, and was hanging.
"""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tests import servers
from tests.bench.peers.faces import FACES
from tests.faults.scoreboard import of_batches, of_load, of_loops, of_stores, of_waiters
from tests.faults.scoreboard.of_stores import database
from tests.faults.scoreboard.source import Case
from tests.faults.scoreboard.verdict import PROGRAMS, Broken, Program

SECTIONS = {
    of_batches.__name__: "The batch function",
    of_waiters.__name__: "Callers",
    of_loops.__name__: "Event loops",
    of_load.__name__: "Crowds, memory, freshness",
    of_stores.__name__: "memcached and MySQL",
}

SECONDS = 60.0  # of a process, on a machine that is busy with others
PULSE = 0.02  # seconds
AT_ONCE = 2
NOT_BEGUN = "not begun"  # no word: a failure of the scoreboard's own


class Trial(NamedTuple):
    """A program to be run."""

    program: str
    peer: str
    loop: str = "asyncio"


class Result(NamedTuple):
    """What it came to."""

    word: str
    what: str = ""  # was seen, for whoever asks why


def eager_loop() -> asyncio.AbstractEventLoop:
    """asyncio's own loop with eager tasks."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # 3.12
    return loop


def uvloop_loop() -> asyncio.AbstractEventLoop:
    """uvloop's."""
    import uvloop

    return uvloop.new_event_loop()


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if hasattr(asyncio, "eager_task_factory"):
    LOOPS["eager"] = eager_loop
LOOPS["uvloop"] = uvloop_loop


# --- outside ------------------------------------------------------------------------------------------------------


def nursery() -> Any:
    """Where processes come from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*SECTIONS, __name__, "tests.bench.peers.preloaded"])
    return context


def run_all(trials: Iterable[Trial], mysql: str = "") -> Iterator[tuple[Trial, Result]]:
    """Run them, in this order."""
    trials = list(trials)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from zip(trials, pool.map(lambda trial: run(trial, mysql), trials), strict=True)


def run(trial: Trial, mysql: str = "", face: Callable[[], Any] | None = None) -> Result:
    """Run one; `mysql` is the URL of a server's database, beside which it may make one of its own."""
    context = nursery()
    ours, its = context.Pipe(duplex=False)
    process = context.Process(target=inside, args=(trial, mysql, face or FACES[trial.peer], its), daemon=True)
    process.start()
    its.close()
    try:
        return heard(ours, process)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def heard(pipe: Connection, process: Any) -> Result:
    """What it says, or what its silence means."""
    try:
        if not pipe.poll(SECONDS):
            return Result("hangs", f"no verdict in {SECONDS:.0f} s")
        told = pipe.recv()
        if told[0] == NOT_BEGUN:
            raise RuntimeError(f"the program did not begin: {told[1]}")
        return Result(*told)
    except EOFError:
        process.join()
        raise RuntimeError(f"a program's process ended without a verdict, with code {process.exitcode}") from None


# --- inside -------------------------------------------------------------------------------------------------------


def inside(trial: Trial, mysql: str, face: Callable[[], Any], pipe: Connection) -> None:
    """The life of a process: one program, one verdict."""
    quiet()
    program = PROGRAMS[trial.program]
    pulse = Pulse(LOOPS[trial.loop], program.computes, lambda: end(pipe))
    with ExitStack() as stack:  # ended before the verdict is given: who hears it ends the process
        try:
            case = Case(face(), pulse.new_loop, **stores(program.needs, mysql, stack))
        except Exception as error:
            verdict = Result(NOT_BEGUN, repr(error))
        else:
            pulse.start()
            verdict = judged(program, case)
    pipe.send(tuple(verdict))
    os._exit(0)  # whatever still runs in it


def quiet() -> None:
    """What libraries write to stderr is told by their words; warnings are none of them, also where `-W error` is set."""
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def judged(program: Program, case: Case) -> Result:
    """Run a program, and say what it came to."""
    try:
        if inspect.iscoroutinefunction(program.try_it):
            case.new_loop().run_until_complete(program.try_it(case))
        else:
            program.try_it(case)
    except Broken as broken:
        return Result(broken.word, broken.what)
    except BaseException as error:
        return Result("error", f"{type(error).__name__}: {str(error)[:300]}")
    return Result("kept")


def end(pipe: Connection) -> None:
    """The loop does not come back; nothing but the end of the process will stop it."""
    try:
        pipe.send(("spins", "computing went on, and the loop did not turn"))
    finally:
        os._exit(0)


def stores(needs: frozenset[str], mysql: str, stack: ExitStack) -> dict[str, Any]:
    """The servers that a program asks for: a memcached of its own, a database on a server that is shared."""
    given: dict[str, Any] = {}
    if "memcached" in needs:
        given["memcached"] = stack.enter_context(servers.memcached())
    if "mysql" in needs:
        given["mysql"] = stack.enter_context(database(mysql))
    return given


class Pulse:
    """Watches the loops of a process.

    Args:
        make: makes a loop.
        computes: seconds of the process's computing time in which no loop turned, after which it is over.
        over: is called then, from a thread.
    """

    def __init__(self, make: Callable[[], Any], computes: float, over: Callable[[], None]) -> None:
        self.make, self.computes, self.over = make, computes, over
        self.beats = 0

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """A loop with a pulse."""
        loop: asyncio.AbstractEventLoop = self.make()
        loop.set_debug(False)

        def beat() -> None:
            self.beats += 1
            loop.call_later(PULSE, beat)

        loop.call_soon(beat)
        return loop

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        parent, beats, since = multiprocessing.parent_process(), self.beats, time.process_time()
        while time.process_time() - since < self.computes:
            time.sleep(0.1)
            if parent and not parent.is_alive():  # nobody waits for the verdict, and nobody would end this process
                os._exit(0)
            if self.beats != beats:
                beats, since = self.beats, time.process_time()
        self.over()
