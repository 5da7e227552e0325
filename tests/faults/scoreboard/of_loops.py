"""Programs: event loops of all kinds, threads, and the order in which tasks reach their loads."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

from tests.faults.scoreboard.source import Case, Source, ask, value
from tests.faults.scoreboard.verdict import Broken, at_most, due, program, settled

PASSES = 500  # of a loop that never rests


@program(31, guarantee=12)
def without_a_loop(case: Case) -> None:
    """A load where no event loop runs is refused at the call."""
    try:
        case.face.declared(Source().fetch).load(1)
    except RuntimeError:
        return
    raise Broken("silent", "a load was taken that nothing will ever run")


@program(31, guarantee=12)
def second_loop(case: Case) -> None:
    """A loader that is made at import works on one event loop after another."""

    async def main(key: int) -> Any:
        return (await settled(ask(loader, key)))[0]

    loader = case.face.declared(Source().fetch)
    for key in (1, 2):
        with asyncio.Runner(loop_factory=case.new_loop) as runner:
            due(runner.run(main(key)), value(key))


@program(31, guarantee=12)
def second_thread(case: Case) -> None:
    """A loader that is made at import works on two event loops in two threads."""
    loader = case.face.declared(Source().fetch)
    told: dict[int, Any] = {}
    first_is_done, second_is_done = threading.Event(), threading.Event()

    async def main(key: int) -> None:
        try:
            told[key] = (await settled(ask(loader, key)))[0]
        except Exception as error:
            told[key] = error

    def first() -> None:
        with asyncio.Runner(loop_factory=case.new_loop) as runner:
            runner.run(main(1))
            first_is_done.set()
            second_is_done.wait()

    thread = threading.Thread(target=first)
    thread.start()
    first_is_done.wait()
    with asyncio.Runner(loop_factory=case.new_loop) as runner:
        runner.run(main(2))
    second_is_done.set()
    thread.join()
    for key, got in sorted(told.items()):
        if isinstance(got, Broken):
            raise got
        due(got, value(key))


@program(33, needs="eager")
def eager_tasks(case: Case) -> None:
    """Where tasks start eagerly, five tasks' loads are one call."""

    def new_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # 3.12
        return loop

    async def main() -> list[list[Any]]:
        source = Source()
        async with case.request(source.fetch) as loader:
            for key, got in enumerate(await settled(*[asyncio.create_task(ask(loader, key)) for key in range(5)])):
                due(got, value(key))
        return source.calls

    with asyncio.Runner(loop_factory=new_loop) as runner:
        at_most(len(runner.run(main())), 1, "more calls", "calls")


@program(34, guarantee=2)
async def never_idle(case: Case) -> None:
    """On an event loop that is never idle a load is answered within 500 passes."""
    async with case.request(Source().fetch) as loader:
        load = asyncio.ensure_future(loader.load(1))
        for _ in range(PASSES):
            await asyncio.sleep(0)
        if not load.done():
            raise Broken("hangs", f"no answer in {PASSES} passes")
        due(await load, value(1))


@program(guarantee=1)
async def at_six_depths(case: Case) -> None:
    """Loads that are reached through up to five gathers, one inside the other, are one call."""
    source = Source()

    async def nested(loader: Any, depth: int, key: int) -> Any:
        if not depth:
            return await loader.load(key)
        return (await case.face.gather(nested(loader, depth - 1, key)))[0]

    async with case.request(source.fetch) as loader:
        loads = [asyncio.create_task(nested(loader, key % 6, key)) for key in range(12)]
        for key, got in enumerate(await settled(*loads)):
            due(got, value(key))
    at_most(len(source.calls), 1, "more calls", "calls")


@program(guarantee=1)
async def through_a_lock(case: Case) -> None:
    """Loads of eight tasks that pass one after another through a lock are one call."""
    source, lock = Source(), asyncio.Lock()

    async def locked(loader: Any, key: int) -> Any:
        async with lock:
            pass
        return await loader.load(key)

    async with case.request(source.fetch) as loader:
        await lock.acquire()
        tasks = [asyncio.create_task(locked(loader, key)) for key in range(8)]
        await asyncio.sleep(0)
        lock.release()
        for key, got in enumerate(await settled(*tasks)):
            due(got, value(key))
    at_most(len(source.calls), 1, "more calls", "calls")


@program(85)
def told_to_end(case: Case) -> None:
    """A service gets SIGTERM and ends as the documentation says: loads that it had accepted have their values."""
    loads: list[Any] = []

    async def main() -> None:
        source, stop = Source(opened=False), asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        loader = case.face.declared(source.fetch)
        loads.extend(asyncio.ensure_future(loader.load(key)) for key in range(3))
        await source.called()
        asyncio.get_running_loop().call_later(0.05, source.gate.set)  # the store answers soon
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        await case.face.shutdown(loader)

    with asyncio.Runner(loop_factory=case.new_loop) as runner:
        runner.run(main())
    answered = sum(load.done() and not load.cancelled() and load.exception() is None for load in loads)
    if answered < len(loads):
        raise Broken("lost", f"{len(loads) - answered} of {len(loads)} loads")
