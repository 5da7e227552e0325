"""batchio.testing keeps its word: time that waits for nobody, hangs with names, records, and a contract for caches.

Rules:
- Virtual loops are made in the test, by plain functions, so one test can look at a loop from outside.
- Where the real world takes part (threads, sockets), the test fixes who acts first; ``patience`` is far away or tiny.
"""

from __future__ import annotations

import asyncio
import gc
import math
import queue
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

import batchio
from batchio.testing import Deadlock, VirtualLoop, run

SOON = 0.03  # real seconds after which an outsider answers
FAR = 60.0  # real seconds of patience that no test waits out


def run_on(make_loop: Callable[[], VirtualLoop], main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of one's own making."""
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(main)


def now() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()


# -- virtual time --------------------------------------------------------------------------------------------------------


def test_a_long_sleep_returns_at_once() -> None:
    """A sleep of a day and more takes no real time, and ends at exactly its second."""

    async def main() -> float:
        await asyncio.sleep(100_000)
        return now()

    assert run(main()) == 100_000


def test_timers_keep_their_order() -> None:
    """Timers run in the order of their deadlines, and those of one deadline in the order in which they were set."""
    ran: list[tuple[str, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for name, delay in [("third", 3.0), ("first", 1.0), ("second", 1.0), ("last", 7.5)]:
            loop.call_later(delay, note, name)
        await asyncio.sleep(10)

    def note(name: str) -> None:
        ran.append((name, now()))

    run(main())
    assert ran == [("first", 1.0), ("second", 1.0), ("third", 3.0), ("last", 7.5)]


def test_a_cancelled_timer_moves_no_time() -> None:
    """Time jumps to the next timer that is still wanted."""

    async def main() -> float:
        asyncio.get_running_loop().call_later(1.0, print).cancel()
        await asyncio.sleep(2.0)
        return now()

    assert run(main()) == 2.0


def test_a_timeout_ends_at_its_second() -> None:
    """asyncio.timeout counts virtual seconds."""

    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        return now()

    assert run(main()) == 5.0


@pytest.mark.parametrize("start", [2.0**24, 1e9, 1e15])
def test_timers_run_however_late_it_is(start: float) -> None:
    """A timer runs even where a nanosecond more is no other float."""

    async def main() -> float:
        await asyncio.sleep(start)
        await asyncio.sleep(1.0)
        return now()

    assert run(main()) == start + 1.0


def test_a_task_that_spins_lets_time_pass() -> None:
    """A task that spins until a timer has run does not spin for ever."""

    async def main() -> float:
        asyncio.get_running_loop().call_later(0.005, (rung := asyncio.Event()).set)
        while not rung.is_set():
            await asyncio.sleep(0)
        return now()

    assert 0.005 <= run(main()) < 0.006


def test_work_takes_no_time() -> None:
    """Some hundreds of passes of the loop leave the time exactly where it was."""

    async def main() -> float:
        for _ in range(900):
            await asyncio.sleep(0)
        return now()

    assert run(main()) == 0.0


def test_code_may_take_time() -> None:
    """advance() moves time forward while code runs, and timers that are due by then run next."""

    async def main() -> tuple[bool, bool]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.call_later(1.0, (rung := asyncio.Event()).set)
        loop.advance(0.5)
        await asyncio.sleep(0)
        before = rung.is_set()
        loop.advance(0.5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return before, rung.is_set()

    assert run(main()) == (False, True)


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_time_does_not_go_back(seconds: float) -> None:
    """advance() refuses what would turn time back."""

    async def main() -> None:
        asyncio.get_running_loop().advance(seconds)  # type: ignore[attr-defined]

    with pytest.raises(ValueError, match="does not go back"):
        run(main())


def test_run_hands_errors_on() -> None:
    """run() raises what the coroutine raised, and its debug= is asyncio's."""

    async def main() -> None:
        raise LookupError(f"debug is {asyncio.get_running_loop().get_debug()}")

    with pytest.raises(LookupError, match="debug is True"):
        run(main(), debug=True)
    with pytest.raises(LookupError, match="debug is False"):
        run(main(), debug=False)


def test_eager_tasks_sleep_too() -> None:
    """A virtual loop works with eager tasks where Python has them, and with lazy ones."""
    factories = [None, *([asyncio.eager_task_factory] if hasattr(asyncio, "eager_task_factory") else [])]
    for factory in factories:

        def make(factory: Any = factory) -> VirtualLoop:
            loop = VirtualLoop()
            loop.set_task_factory(factory)
            return loop

        async def main() -> float:
            await asyncio.gather(*(asyncio.create_task(asyncio.sleep(n)) for n in (3, 1, 2)))
            return now()

        assert run_on(make, main()) == 3.0


def test_a_closed_loop_is_garbage() -> None:
    """A virtual loop that is closed is freed."""
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(1))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


# -- the world outside ---------------------------------------------------------------------------------------------------


def test_no_timer_overtakes_a_thread_job() -> None:
    """A job in a thread takes no virtual time, and a timer that is shorter than it does not run before its end."""

    async def main() -> float:
        async with asyncio.timeout(SOON / 10):
            await asyncio.to_thread(threading.Event().wait, SOON)
        return now()

    assert run_on(partial(VirtualLoop, patience=FAR), main()) == 0.0


def test_time_jumps_again_after_a_thread_job() -> None:
    """The idle thread that a job leaves behind holds no timer up."""

    async def main() -> float:
        await asyncio.to_thread(int)
        await asyncio.sleep(100_000)
        return now()

    assert run_on(partial(VirtualLoop, patience=FAR), main()) == 100_000


def test_a_job_that_needs_a_timer_gets_it() -> None:
    """A job that waits for a timer of the loop holds that timer up for `patience` seconds only."""

    async def main() -> tuple[bool, float]:
        rung = threading.Event()
        asyncio.get_running_loop().call_later(0.001, rung.set)
        return await asyncio.to_thread(rung.wait, FAR), now()

    assert run_on(partial(VirtualLoop, patience=SOON), main()) == (True, 0.001)


def test_a_job_is_no_deadlock() -> None:
    """A loop that waits for nothing but a thread job waits for it."""

    async def main() -> bool:
        return await asyncio.to_thread(threading.Event().wait, SOON)

    assert run(main()) is False


def test_a_job_whose_waiter_went_away_is_joined() -> None:
    """A job that nobody waits for any more holds no time up, and the loop still closes in peace."""
    gate = threading.Event()

    async def main() -> float:
        job = asyncio.create_task(asyncio.to_thread(gate.wait, FAR))
        await asyncio.sleep(0)
        job.cancel()
        await asyncio.sleep(3600)
        threading.Timer(SOON, gate.set).start()
        return now()

    assert run(main()) == 3600


def test_a_thread_of_ones_own_is_no_deadlock() -> None:
    """A thread that was started under the loop may still call it, so it is waited for."""

    async def main() -> None:
        rung = asyncio.Event()
        threading.Timer(SOON, asyncio.get_running_loop().call_soon_threadsafe, (rung.set,)).start()
        await rung.wait()

    run(main())


def test_an_old_thread_that_announces_its_answers_is_waited_for() -> None:
    """A thread older than the loop is waited for as a job is, for each answer that was announced, and no longer."""
    jobs: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    gate = threading.Event()

    def work() -> None:
        while not gate.wait(SOON):
            jobs.get()()

    async def main() -> float:
        loop: Any = asyncio.get_running_loop()
        async with asyncio.timeout(SOON / 10):
            for _ in range(2):
                loop.batchio_outside(answer := loop.create_future())
                jobs.put(partial(loop.call_soon_threadsafe, answer.set_result, None))
                await answer
        await asyncio.sleep(100_000)
        return now()

    older = threading.Thread(target=work)
    older.start()
    try:
        assert run_on(partial(VirtualLoop, patience=FAR), main()) == 100_000
    finally:
        gate.set()
        jobs.put(int)
        older.join()


def test_an_idle_thread_of_an_edge_is_no_excuse() -> None:
    """A thread of batchio's own, which announces its answers, hides no deadlock while it is idle."""
    gate = threading.Event()

    async def main() -> None:
        threading.Thread(target=gate.wait, name="batchio-edge").start()
        await asyncio.Event().wait()

    try:
        with pytest.raises(Deadlock):
            run(main())
    finally:
        gate.set()


def test_a_thread_that_was_there_before_is_no_excuse() -> None:
    """A thread that is older than the loop does not hide a deadlock."""
    gate = threading.Event()
    older = threading.Thread(target=gate.wait)
    older.start()
    try:
        with pytest.raises(Deadlock):
            run(asyncio.Event().wait())
    finally:
        gate.set()
        older.join()


def test_a_server_and_its_client_talk_at_once() -> None:
    """Both ends of a real connection can live on one virtual loop, and their talk takes no virtual time."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    async def main() -> tuple[bytes, float]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, asyncio.timeout(FAR):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(b"tea\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return line, now()

    assert run_on(partial(VirtualLoop, patience=FAR), main()) == (b"TEA\n", 0.0)


def test_a_slow_answer_is_waited_for() -> None:
    """A timer does not overtake the answer of a socket, when that comes within `patience` and the timer's seconds."""
    near, far = socket.socketpair()
    near.setblocking(False)
    outsider = threading.Timer(SOON, far.send, (b"tea",))

    async def main() -> tuple[bytes, float]:
        async with asyncio.timeout(3600):
            return await asyncio.get_running_loop().sock_recv(near, 10), now()

    outsider.start()  # before the loop: the loop sees the socket, and not the thread behind it
    with near, far:
        assert run_on(partial(VirtualLoop, patience=FAR), main()) == (b"tea", 0.0)


def test_a_silent_socket_holds_time_up_for_a_while_only() -> None:
    """A socket that stays silent, as an idle server's does, delays a jump by `patience` real seconds at most."""
    near, far = socket.socketpair()

    async def main() -> float:
        asyncio.get_running_loop().add_reader(near, print)
        await asyncio.sleep(100_000)
        asyncio.get_running_loop().remove_reader(near)
        return now()

    with near, far:
        assert run_on(partial(VirtualLoop, patience=SOON), main()) == 100_000


def test_a_socket_is_no_deadlock() -> None:
    """A loop that waits for nothing but a socket waits for it, as a server does."""
    near, far = socket.socketpair()
    near.setblocking(False)
    outsider = threading.Timer(SOON, far.send, (b"tea",))

    async def main() -> bytes:
        return await asyncio.get_running_loop().sock_recv(near, 10)

    outsider.start()
    with near, far:
        assert run_on(partial(VirtualLoop, patience=SOON / 10), main()) == b"tea"


def test_what_was_waited_counts() -> None:
    """Traffic that never stops does not hold a timer up for ever: what was waited really is not waited again."""
    near, far = socket.socketpair()
    stop = threading.Event()

    def chatter() -> None:
        while not stop.wait(SOON / 10):
            far.send(b"x")

    async def main() -> float:
        asyncio.get_running_loop().add_reader(near, near.recv, 10)
        await asyncio.sleep(100_000)
        asyncio.get_running_loop().remove_reader(near)
        return now()

    talker = threading.Thread(target=chatter)
    talker.start()
    with near, far:
        try:
            assert run_on(partial(VirtualLoop, patience=SOON), main()) >= 100_000
        finally:
            stop.set()
            talker.join()


def test_a_subprocess_is_waited_for() -> None:
    """A child process is part of the world outside."""

    async def main() -> tuple[int, float]:
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(3)")
        return await child.wait(), now()

    assert run(main()) == (3, 0.0)


# -- deadlock ------------------------------------------------------------------------------------------------------------


async def wait_for_ever(event: asyncio.Event) -> None:
    await event.wait()  # the line that a deadlock names


def test_a_deadlock_names_each_waiting_task() -> None:
    """A hang is a Deadlock that names each task with file, line and source of the place where it waits."""

    async def main() -> None:
        event = asyncio.Event()
        reader = asyncio.create_task(wait_for_ever(event), name="the reader")
        await asyncio.gather(reader, asyncio.create_task(outer(event), name="outer"))

    async def outer(event: asyncio.Event) -> None:
        await wait_for_ever(event)

    with pytest.raises(Deadlock) as caught:
        run(main())
    line = wait_for_ever.__code__.co_firstlineno + 1
    place = f"at {__file__}:{line} in wait_for_ever: await event.wait()  # the line that a deadlock names"
    assert "and 3 tasks wait" in str(caught.value)
    assert f"the reader {place}" in str(caught.value)
    assert f"outer {place}" in str(caught.value)


def test_a_deadlock_names_loaders_with_batches_in_flight() -> None:
    """A Deadlock says which loaders have keys queued and batches in flight, and where the batch function waits."""

    @batchio.loader(name="stuck", limits=batchio.Limits(timeout=None, max_in_flight=1))
    async def stuck(keys: list[int]) -> dict[int, int]:
        await asyncio.Event().wait()
        return {}

    async def main() -> None:
        first = stuck(1)
        await asyncio.sleep(1)
        await batchio.gather(first, stuck(2), stuck(3))

    with pytest.raises(Deadlock) as caught:
        run(main())
    assert "stuck: 2 keys queued, 1 batches in flight" in str(caught.value)
    assert f"{__file__}:{stuck.__wrapped__.__code__.co_firstlineno + 2} in " in str(caught.value)  # type: ignore[attr-defined]


def test_a_timer_at_infinity_is_no_way_out() -> None:
    """A task that sleeps for ever, among others that wait, is part of the deadlock."""
    with pytest.raises(Deadlock, match="1 task waits"):
        run(asyncio.sleep(math.inf))


def test_no_task_can_swallow_a_deadlock() -> None:
    """A Deadlock is raised by the loop, past any except of the code under test, whose finally blocks run."""
    seen: list[str] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        except Exception:
            seen.append("swallowed")
        finally:
            seen.append("cleaned up")

    with pytest.raises(Deadlock):
        run(main())
    assert seen == ["cleaned up"]


def test_a_deadlock_in_a_generator_is_placed() -> None:
    """A task that waits inside an old-style awaitable is placed at its innermost frame, too."""

    class Old:
        def __await__(self) -> Any:
            yield from asyncio.get_running_loop().create_future().__await__()

    async def main() -> None:
        await Old()

    with pytest.raises(Deadlock, match=r"in .*Old.__await__: yield from"):
        run(main())
