"""Faults 29 to 35: nobody looks, loops end, threads, forks, eager tasks, a busy loop, a clock that jumps.

Rules:
- What must be silent runs as a program of its own, in development mode, with warnings as errors, and prints nothing.
- A busy loop is counted in passes, not in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batchio
from batchio import MemoryCache
from batchio.events import BatchDispatched
from batchio.testing import record
from tests.faults.helpers import DEVELOPMENT, Source, answers, kinds, on_its_own_loop, program

PASSES = 24  # of a busy loop until a key leaves, at most: 16 of patience with what may still come, and a few


async def test_fault_29_an_error_that_nobody_looks_at_makes_no_noise_and_is_counted(flavour: Any) -> None:
    """No "exception was never retrieved", not even in development mode; an observer is told of each key that failed."""
    text = """
        told = []

        class Count(batchio.Observer):
            def on_answer(self, event):
                told.append(type(event.error).__name__)

        @batchio.loader
        async def down(keys):
            raise ValueError("down")

        async def main():
            with batchio.scope():
                await asyncio.wait([down(1), down.load_many([2, 3])])  # until they are done, and no further
                await asyncio.wait([down(4), down(4)])
            gc.collect()

        with batchio.observe(Count()):
            run(main())
        gc.collect()
        print(told)
    """
    assert await program(flavour, text) == (0, f"{['ValueError'] * 4}\n", "")


async def test_fault_29_a_load_that_nobody_awaits_may_fail_in_silence(flavour: Any) -> None:
    """Outside of asyncio's debug mode, which has a hint for a forgotten await."""
    text = """
        @batchio.loader
        async def down(keys):
            raise ValueError("down")

        async def main():
            down(1), down.load_many([2, 3])
            await batchio.drain()
            gc.collect()

        run(main())
        gc.collect()
    """
    assert await program(flavour, text, options=("-W", "error")) == (0, "", "")


async def test_fault_30_a_loop_that_ends_with_loads_pending_ends_in_silence_and_the_next_one_works(
    flavour: Any,
) -> None:
    """Keys queued, batches in flight and callers that wait go with their loop; the same loader serves the next run."""
    text = """
        first = True

        @batchio.loader(cache=batchio.MemoryCache())
        async def numbers(keys):
            if first:
                await asyncio.Event().wait()
            return {key: key for key in keys}

        async def one(load):
            with batchio.scope():
                return await load()

        async def left(turns):
            tasks = [asyncio.create_task(one(load)) for load in (lambda: numbers(1), lambda: numbers.load_many([1, 2]))]
            for _ in range(turns):
                await asyncio.sleep(0)
            return tasks, asyncio.ensure_future(one(lambda: numbers(3)))

        async def by_hand(turns):
            loads = numbers(6), numbers.load_many([6, 7])  # no task of ours, which nobody would cancel
            for load in loads:
                load.add_done_callback(print)
            for _ in range(turns):
                await asyncio.sleep(0)
            return loads

        async def right():
            return await asyncio.gather(one(lambda: numbers(1)), one(lambda: numbers.load_many([4, 5])))

        for turns in (0, 30):
            run(left(turns))
            loop = new_loop()
            loop.run_until_complete(by_hand(turns))
            loop.close()
            run(left(turns))
        first = False
        for _ in range(2):
            gc.collect()
            print(run(right()))
    """
    done = "[1, [4, 5]]\n"
    assert await program(flavour, text) == (0, done * 2, "")


async def test_fault_31_a_load_without_a_running_loop_is_refused_at_the_call(flavour: Callable[[], Any]) -> None:
    """RuntimeError at once, in a thread beside the running loop too; nothing is queued anywhere."""
    source = Source()
    loader = source.loader()

    def in_thread() -> list[str]:
        words = []
        for ask in (lambda: loader(1), lambda: loader.load(1), lambda: loader.load_many([1])):
            with pytest.raises(RuntimeError) as caught:
                ask()
            words.append(str(caught.value))
        return words

    with batchio.scope():
        words = await asyncio.to_thread(in_thread)
        assert await loader(2) == "value 2"
    assert len(set(words)) == 1
    assert "users: a load needs a running event loop" in words[0]
    assert source.calls == [[2]]


async def test_fault_31_a_loader_works_on_any_loop_and_a_foreign_scope_acts_as_none(flavour: Callable[[], Any]) -> None:
    """Not refused there: a loop in a thread has batches of its own, and nothing of a scope that belongs elsewhere."""
    calls = []

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, str]:
        calls.append(keys)
        return {key: f"value {key}" for key in keys}

    async def elsewhere() -> tuple[str, list[str]]:
        with pytest.raises(RuntimeError):
            fetch.prime(1, "foreign")
        return await fetch(1), await fetch.load_many([1, 2])

    with batchio.scope():
        assert await fetch(1) == "value 1"
        told = await on_its_own_loop(flavour, lambda loop: loop.run_until_complete(elsewhere()))
        assert told == ("value 1", ["value 1", "value 2"])
        assert await fetch(1) == "value 1"
    assert calls == [[1], [1], [1, 2]]


@pytest.mark.parametrize("before", ["a fresh process", "a loop has run", "a loop is running"])
async def test_fault_32_a_forked_child_loads_for_itself(flavour: Any, before: str, tmp_path: Path) -> None:
    """Loader, memory cache and database work in the child, with what was cached before, and the parent goes on."""
    text = """
        import batchio.sqlite

        path, before = sys.argv[1:]
        db = batchio.sqlite.Database(path)
        names = db.row("names", key="id", columns="name")

        @batchio.loader(cache=batchio.MemoryCache())
        async def pids(keys):
            return {key: os.getpid() for key in keys}

        async def work(*keys):
            with batchio.scope():
                return [await names(1), await batchio.gather(*map(pids, keys))]

        def child():
            name, cached_and_own = run(work(1, 2))
            parent = os.getppid() if before != "a fresh process" else os.getpid()
            os._exit(0 if (name, cached_and_own) == ("Ada", (parent, os.getpid())) else 1)

        def fork():
            if not (pid := os.fork()):
                try:
                    child()
                finally:
                    os._exit(2)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        async def within():
            await work(1)
            code = fork()
            return code, await work(1)

        async def done(*results):
            await db.close()
            print(results == (0, ["Ada", (os.getpid(),)]))

        if before == "a loop is running":
            run(done(*run(within())))
        else:
            if before == "a loop has run":
                run(work(1))
            run(done(fork(), run(work(1))))
    """
    options = (*DEVELOPMENT, "-W", "ignore:This process:DeprecationWarning")  # fork beside a thread
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.executescript(
            "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO names VALUES (1, 'Ada')"
        )
    told = await program(flavour, text, str(tmp_path / "a.db"), before, options=options)
    assert told == (0, "True\n", "")


@pytest.mark.parametrize("way", ["gather", "task group", "batchio"])
async def test_fault_33_tasks_that_start_eagerly_batch_as_others_do(way: str) -> None:
    """Five tasks are one batch, which has not begun when the last of their loads is made; the same on every loop."""
    source, begun = Source(), []
    loader = source.loader()

    async def one(key: int) -> str:
        load = loader(key)
        begun.append(len(source.calls))
        return await load

    if way == "task group":
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(key)) for key in range(5)]
        told = [task.result() for task in tasks]
    else:
        told = list(await (asyncio.gather if way == "gather" else batchio.gather)(*map(one, range(5))))
    assert told == [f"value {key}" for key in range(5)]
    assert (source.calls, begun) == ([[0, 1, 2, 3, 4]], [0] * 5)


@pytest.mark.parametrize("others", [1, 100])
async def test_fault_34_on_a_loop_that_is_never_idle_a_key_leaves_after_some_passes(others: int) -> None:
    """Callbacks that call themselves again for ever delay a batch by some passes of the loop, and do not hold it."""
    loop, source = asyncio.get_running_loop(), Source()
    loader = source.loader(max_delay=1000.0)
    passes = [0] * others
    storm = True

    def again(number: int) -> None:
        passes[number] += 1
        if storm:
            loop.call_soon(again, number)

    for number in range(others):
        again(number)
    for key in range(3):
        before = max(passes)
        load = loader(key)
        await source.called(key + 1)
        assert max(passes) - before <= PASSES
        assert await load == f"value {key}"
    storm = False


async def test_fault_34_a_stream_of_new_keys_that_never_ends_does_not_hold_the_first() -> None:
    """Each pass brings a key, for as long as none has left: the oldest has waited `max_delay`, and they go."""
    source = Source()
    loader = source.loader(max_delay=0.001)
    loads = []
    with record() as recorded:
        while not source.calls:
            loads.append(loader(len(loads)))
            await asyncio.sleep(0)
    assert [event.reason for event in recorded.events if isinstance(event, BatchDispatched)] == ["max_delay"]
    assert await answers(*loads) == [f"value {key}" for key in range(len(loads))]


async def test_fault_35_a_wall_clock_that_jumps_is_not_looked_at(flavour: Any) -> None:
    """Delays, timeouts, a memory cache and its ttl work though the time of day jumps by years whenever it is asked."""
    first = """
        import time

        looks = []

        def jumping():
            looks.append(4e9 if len(looks) % 2 else 0.0)
            return looks[-1]

        time.time, time.time_ns = jumping, lambda: int(jumping() * 1e9)
    """
    text = """
        limits = batchio.Limits(timeout=3600.0, max_delay=0.001)

        @batchio.loader(cache=batchio.MemoryCache(), ttl=3600.0, limits=limits)
        async def patient(keys):
            print(keys)
            await opened.wait()
            return {key: key for key in keys}

        @batchio.loader(limits=batchio.Limits(timeout=0.01))
        async def hasty(keys):
            await asyncio.Event().wait()

        opened = asyncio.Event()

        async def main():
            loads = [patient(1), patient.load_many([2, 3])]
            print(type((await asyncio.gather(hasty(1), return_exceptions=True))[0]).__name__)
            opened.set()
            print(await asyncio.gather(*loads))
            await batchio.drain()
            print(await patient.load_many([1, 2, 3]), looks)

        run(main())
    """
    lines = ["[1, 2, 3]", "BatchTimeout", "[1, [2, 3]]", "[1, 2, 3] []", ""]
    assert await program(flavour, text, first=first) == (0, "\n".join(lines), "")


@pytest.mark.virtual
async def test_fault_35_only_the_time_of_the_loop_counts() -> None:
    """A machine that slept for a year of the loop's time: what was in flight has timed out, what was cached has ended."""
    loop: Any = asyncio.get_running_loop()
    source = Source()
    loader = source.loader(cache=MemoryCache(clock=loop.time), ttl=60.0, timeout=30.0)
    assert await loader(1) == "value 1"
    await batchio.drain()
    source.gate.clear()
    load = loader(2)
    await source.called(2)
    loop.advance(365 * 86400.0)
    assert kinds(await answers(load)) == [batchio.BatchTimeout]
    source.gate.set()
    assert await answers(loader(1), loader(2)) == ["value 1", "value 2"]
    assert source.calls == [[1], [2], [1, 2]]
