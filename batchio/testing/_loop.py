"""Time that waits for nobody, and a hang that says who waits.

Rules of this room:

- Time is virtual. It stands still while anything runs, and jumps to the next timer when all wait.
- The world outside is real. Before time jumps, sockets are polled; while the outside may still answer, it is waited
  for really, and that waiting costs no virtual time:

      | may still answer              | timers | what the loop does                                             |
      |-------------------------------|--------|----------------------------------------------------------------|
      | nothing                       | none   | raises ``Deadlock``                                            |
      | nothing                       | some   | jumps at once                                                  |
      | a job in a thread             | some   | waits as long as a real loop would, and at least ``patience``  |
      | a socket, pipe or own thread  | some   | waits as long as a real loop would, and at most ``patience``   |
      | any of them                   | none   | waits for ever, as a server does                               |

  A job ends, so no timer overtakes it that would not on a real loop. An idle socket may stay silent for ever (a
  listening server, a kept-alive connection), so it holds time up for ``patience`` seconds at most. A thread that was
  there before the loop, or that an executor brought, is idle as far as anybody can see.
- Whoever answers from a thread that outlives loops says so for each job: ``batchio_outside``. Our own edges do, and
  name their threads ``batchio-...``, so that those do not count as long as they are idle.
- A task that spins is not at rest, and yet waits for time to pass: after 1,000 passes without a jump each further one
  takes 10 microseconds, about what it takes on a real loop. Below that, ``loop.time()`` stays exact.
- Of the loop's inside only ``_scheduled`` and ``_clock_resolution`` are touched, each in one function.
"""

from __future__ import annotations

import asyncio
import linecache
import math
import selectors
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from batchio._core.tick import describe

__all__ = ["Deadlock", "VirtualLoop", "run"]

T = TypeVar("T")

PATIENCE = 1.0  # seconds; a query on a busy machine may take a good part of one, and a test that waits it out is rare
FREE_PASSES = 1_000  # a chain of 1,000 awaits that unwinds is work, and costs no time
PASS_SECONDS = 1e-5
STRANGERS = (str(Path(asyncio.__file__).parent), str(Path(__file__).parents[1]))  # frames that are not the user's


class Deadlock(AssertionError):
    """Nothing can happen any more on a ``VirtualLoop``: no task can run, no timer is set, nobody outside may answer.

    The message names each task that waits, with file, line and source of the place in your code, and the loaders that
    have keys queued or batches in flight. It is raised by the loop, not in a task, so no ``except`` of the code under
    test can swallow it.

    Example:
        >>> import asyncio, batchio.testing
        >>> async def main() -> None:
        ...     await asyncio.Event().wait()
        >>> try:
        ...     batchio.testing.run(main())
        ... except batchio.testing.Deadlock as error:
        ...     print(str(error).splitlines()[0])
        deadlock: nothing can happen any more (virtual time 0.0 s), and 1 task waits
    """


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, with virtual time: ``sleep(100_000)`` returns at once, and a hang is a ``Deadlock``.

    Sockets, threads and subprocesses work, and are waited for really; the table at the top of this module says how
    long. batchio's hints for beginners are on. For pytest-asyncio, put this in ``conftest.py``::

        from batchio.testing import VirtualLoop

        def pytest_asyncio_loop_factories(config, item):
            return {"virtual": VirtualLoop}

    Args:
        patience: seconds of real time for which a silent socket can hold up a timer.

    Example:
        >>> import asyncio
        >>> from batchio.testing import VirtualLoop
        >>> async def main() -> float:
        ...     await asyncio.sleep(100_000)
        ...     return asyncio.get_running_loop().time()
        >>> with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        ...     runner.run(main())
        100000.0
    """

    batchio_hints = True

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._now = 0.0
        self._patience = patience
        self._waited = 0.0  # real seconds since the last jump that were spent waiting
        self._passes = 0  # since the last jump
        self._jobs: set[object] = set()
        self._idle_threads = weakref.WeakSet(threading.enumerate())
        self._poller = _Poller(self._rest)
        super().__init__(self._poller)
        self._own_files = len(self._poller.get_map())  # the pipe through which other threads wake this loop

    def time(self) -> float:
        """Virtual time.

        Returns:
            Seconds since the loop was made.

        Example:
            >>> from batchio.testing import VirtualLoop
            >>> loop = VirtualLoop()
            >>> loop.time()
            0.0
            >>> loop.close()
        """
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass while your code runs, as if it had computed that long.

        Args:
            seconds: how long, of virtual time.

        Raises:
            ValueError: when ``seconds`` is negative: time does not go back.

        Example:
            >>> import asyncio
            >>> from batchio.testing import run
            >>> async def main() -> float:
            ...     loop = asyncio.get_running_loop()
            ...     loop.advance(0.25)
            ...     return loop.time()
            >>> run(main())
            0.25
        """
        if not seconds >= 0:
            raise ValueError(f"advance: {seconds!r} seconds; virtual time does not go back")
        self._move_to(self._now + seconds)

    def run_in_executor(self, executor: Executor | None, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """As asyncio's; no timer overtakes the job while somebody waits for it.

        Args:
            executor: where to run it; None for the loop's own threads.
            func: the function.
            *args: its arguments.

        Returns:
            A future of its result.

        Example:
            >>> import asyncio
            >>> from batchio.testing import run
            >>> async def main() -> int:
            ...     return await asyncio.get_running_loop().run_in_executor(None, max, 1, 2)
            >>> run(main())
            2
        """
        before = set(threading.enumerate())
        job = super().run_in_executor(executor, func, *args)
        self._idle_threads.update(set(threading.enumerate()) - before)  # an executor's thread is idle without its job
        self.batchio_outside(job)
        return job

    def batchio_outside(self, answer: asyncio.Future[Any]) -> None:
        """Say that a future will be answered from another thread, which is no executor's: it is a job, too.

        Args:
            answer: the future; it counts until it is done.

        Example:
            >>> import asyncio, threading
            >>> from batchio.testing import run
            >>> def work(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[str]) -> None:
            ...     loop.call_soon_threadsafe(answer.set_result, "done")
            >>> async def main() -> str:
            ...     loop = asyncio.get_running_loop()
            ...     answer = loop.create_future()
            ...     loop.batchio_outside(answer)
            ...     threading.Thread(target=work, args=(loop, answer)).start()
            ...     return await answer
            >>> run(main())
            'done'
        """
        self._jobs.add(answer)
        answer.add_done_callback(self._jobs.discard)

    async def shutdown_default_executor(self, *args: Any) -> None:
        """As asyncio's; joining the threads is a job, too.

        Args:
            *args: the timeout in seconds, from Python 3.12 on.

        Example:
            >>> import asyncio
            >>> from batchio.testing import run
            >>> async def main() -> None:
            ...     await asyncio.get_running_loop().shutdown_default_executor()
            >>> run(main())
        """
        self._jobs.add(token := object())
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jobs.discard(token)

    def _rest(self, timeout: float | None) -> list[Any]:
        """What the loop's ``select`` does: poll; and when all tasks wait, wait for the outside, jump, or give up."""
        if (events := self._poller.poll(0)) or timeout == 0:
            self._pass()
            return events
        deadline = self._next_timer()
        if events := self._wait_outside(deadline):
            self._pass()
        elif deadline is None:
            raise Deadlock(_report(self))
        else:
            self._move_to(deadline)
            self._waited, self._passes = 0.0, 0
        return events

    def _wait_outside(self, deadline: float | None) -> list[Any]:
        """Wait really for whoever may still answer; what was waited since the last jump counts."""
        until_timer = None if deadline is None else deadline - self._now
        seconds = _real_seconds(until_timer, self._patience, jobs=bool(self._jobs), others=self._others())
        started = time.monotonic()
        events = self._poller.poll(None if seconds is None else max(0.0, seconds - self._waited))
        self._waited += time.monotonic() - started
        return events

    def _others(self) -> bool:
        """Whether a socket or a pipe is being waited for, or a thread lives that may call."""
        if len(self._poller.get_map()) > self._own_files:
            return True
        me = threading.current_thread()
        others = [one for one in threading.enumerate() if one is not me and one not in self._idle_threads]
        return any(not thread.name.startswith("batchio-") for thread in others)

    def _next_timer(self) -> float | None:
        """When the next timer is due; a timer at infinity never is."""
        # asyncio gives select() the seconds until then, but cut to a day; this is exact
        timers = self._scheduled  # type: ignore[attr-defined]
        return timers[0].when() if timers and timers[0].when() < math.inf else None

    def _pass(self) -> None:
        """Count a pass that did not jump; a spinning task pays for its time in the end."""
        self._passes += 1
        if self._passes > FREE_PASSES:
            self._move_to(self._now + PASS_SECONDS)

    def _move_to(self, now: float) -> None:
        """Set the time. asyncio runs timers up to ``time() + resolution``; far out, that must not round to nothing."""
        self._now = now
        self._clock_resolution = max(1e-9, math.ulp(now))


def _real_seconds(until_timer: float | None, patience: float, *, jobs: bool, others: bool) -> float | None:
    """How long to wait really before time may jump, in seconds; None for as long as it takes."""
    if not jobs and not others:
        return 0.0
    if until_timer is None:
        return None
    return max(until_timer, patience) if jobs else min(until_timer, patience)


class _Poller(selectors.DefaultSelector):
    """A real selector whose ``select`` first asks the loop what to do."""

    def __init__(self, rest: Callable[[float | None], list[Any]]) -> None:
        super().__init__()
        self._rest = rest

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return self._rest(timeout)

    def poll(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout)


def run(main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
    """Run a coroutine on a new ``VirtualLoop``, as ``asyncio.run`` does on a real loop.

    Args:
        main: the coroutine.
        debug: asyncio's debug mode; None leaves it to the environment.

    Returns:
        What the coroutine returned.

    Raises:
        Deadlock: when it can never end.

    Example:
        >>> import asyncio
        >>> from batchio.testing import run
        >>> async def main() -> str:
        ...     await asyncio.sleep(3600)
        ...     return "an hour later"
        >>> run(main())
        'an hour later'
    """
    with asyncio.Runner(debug=debug, loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def _report(loop: VirtualLoop) -> str:
    """The message of a deadlock: which tasks wait, and where; which loaders have work."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: (len(task.get_name()), task.get_name()))
    count = f"{len(tasks)} tasks wait" if len(tasks) != 1 else "1 task waits"
    lines = [f"deadlock: nothing can happen any more (virtual time {loop.time()} s), and {count}"]
    lines += [f"  {task.get_name()} {_place(task)}" for task in tasks]
    lines += [f"  {line}" for line in describe(loop)]
    lines.append("what they wait for never comes, or they wait for each other: look at the lines named here")
    return "\n".join(lines)


def _place(task: asyncio.Task[Any]) -> str:
    """Where a task waits: the innermost frame of somebody's own code, not of asyncio or batchio."""
    frames = list(_frames(task.get_coro()))
    own = [frame for frame in frames if not frame.f_code.co_filename.startswith(STRANGERS)]
    if not frames:
        return f"in {task.get_coro()!r}"
    frame = (own or frames)[-1]
    file, line = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(file, line).strip()
    return f"at {file}:{line} in {frame.f_code.co_qualname}" + (f": {source}" if source else "")


def _frames(awaited: object) -> Iterator[FrameType]:
    """The frames of a waiting coroutine, outermost first; a task's own ``get_stack`` gives only that one."""
    while awaited is not None:
        for frame, inner in (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await")):
            if (found := getattr(awaited, frame, None)) is not None:
                yield found
                awaited = getattr(awaited, inner)
                break
        else:
            return
