"""What is measured without a server: the page, single loads, many loads, a busy loop, memory.

Rules:
- A way is written once for all loaders, on the calls that they have in common: `load`, `load_many` and a `gather`, each
  peer's own. asynq, which is awaited by nobody, takes part where it has the same thing to offer.
- Batch functions do nothing: what is left is what the loader costs.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any

import batchio as library
from tests.bench.measure import Clock, Figure, Way, interleaved
from tests.bench.page import QUESTIONS, Store
from tests.bench.peers import aiodataloader, asynq, batchio, dloader, floor, primed, strawberry

MANY = 1000
HITS = 500
ONES = 50
PAGES = 10  # one after another in a sample: a way finds its own code in the processor's caches, not its neighbours'
SPINNERS = 200
SPUN = 6  # loads on a busy loop, one after another
REMEMBERED = 100_000
SIZES = (10, 30, 100, 300, 1000, 10_000, 100_000)
FEW = 10_000  # keys; where there are more, which takes a while, only two take part
SAMPLE = 2000  # keys in a sample, where ticks are smaller
HEARTBEAT = 0.001  # seconds


def loaders(loop: str) -> dict[str, ModuleType]:
    """What has a `load` that is awaited, by name."""
    found = [batchio, aiodataloader, strawberry, *([] if loop == "eager" else [dloader]), floor]
    return {one.NAME: one for one in found}


def peers(loop: str) -> dict[str, ModuleType]:
    """What renders the page."""
    return {**loaders(loop), asynq.NAME: asynq, primed.NAME: primed}


def load_of(loader: Any) -> Callable[[int], Any]:
    """A loader's load: batchio's is the loader itself."""
    return loader if isinstance(loader, library.Loader) else loader.load


# The page -----------------------------------------------------------------------------------------------------------


async def page(loop: str, at_once: int, seconds: float) -> dict[str, Any]:
    """Pages rendered at once, so many in each way; microseconds per page, and the calls of one such lot."""
    stores = {name: Store() for name in peers(loop)}
    ways = {name: _page(peer, stores[name], at_once) for name, peer in peers(loop).items()}
    calls = {}
    for name, way in ways.items():
        await way(Clock())
        calls[name] = sum(stores[name].calls.values()) / _lots(at_once)
    figures = await interleaved(ways, seconds, _lots(at_once) * at_once)
    return {name: {**figures[name], "calls": calls[name]} for name in ways}


def _lots(at_once: int) -> int:
    return PAGES if at_once == 1 else 1


def _page(peer: ModuleType, store: Store, at_once: int) -> Way:
    render = peer.pages(store)
    lots = [[i] for i in range(PAGES)] if at_once == 1 else [[i % QUESTIONS for i in range(at_once)]]

    async def way(clock: Clock) -> None:
        with clock:
            for lot in lots:
                await render(lot)

    return way


# Loads --------------------------------------------------------------------------------------------------------------


def each(loop: str, make: Callable[[ModuleType], Way]) -> dict[str, Way]:
    """A way for each loader."""
    return {name: make(peer) for name, peer in loaders(loop).items()}


def many_cold(peer: ModuleType) -> Way:
    """`load_many` of keys that nobody asked for."""
    keys = list(range(MANY))

    async def way(clock: Clock) -> None:
        for _ in range(3):
            async with peer.session() as loader:
                with clock:
                    await loader.load_many(keys)

    return way


def many_memo(peer: ModuleType) -> Way:
    """`load_many` of keys that are all remembered."""
    keys = list(range(MANY))

    async def way(clock: Clock) -> None:
        async with peer.session() as loader:
            await loader.load_many(keys)
            with clock:
                for _ in range(3):
                    await loader.load_many(keys)

    return way


def gathered(peer: ModuleType, size: int = MANY) -> Way:
    """Loads of different keys in one gather; small ones several times, each time in another session."""
    times = max(1, SAMPLE // size)

    async def way(clock: Clock) -> None:
        for _ in range(times):
            async with peer.session() as loader:
                load, gather = load_of(loader), peer.gather
                with clock:
                    await gather(*[load(key) for key in range(size)])

    return way


def tasks(peer: ModuleType, size: int = MANY) -> Way:
    """Coroutines in one gather, each of which awaits one load."""
    times = max(1, SAMPLE // size)

    async def way(clock: Clock) -> None:
        for _ in range(times):
            async with peer.session() as loader:
                load, gather = load_of(loader), peer.gather

                async def one(key: int) -> int:
                    return await load(key)  # noqa: B023 - it runs within this turn of the loop

                with clock:
                    await gather(*[one(key) for key in range(size)])

    return way


def hit(peer: ModuleType) -> Way:
    """A load of a remembered key."""

    async def way(clock: Clock) -> None:
        async with peer.session() as loader:
            load = load_of(loader)
            await load(1)
            with clock:
                for _ in range(HITS):
                    await load(1)

    return way


def one(peer: ModuleType) -> Way:
    """One load, awaited, where nothing is remembered."""

    async def way(clock: Clock) -> None:
        async with peer.session(cached=False) as loader:
            load = load_of(loader)
            with clock:
                for key in range(ONES):
                    await load(key)

    return way


def spin(peer: ModuleType, *, first: bool = False) -> Way:
    """One load while other tasks never let the loop rest; the first of all, or those after it."""

    async def way(clock: Clock) -> None:
        async with peer.session() as loader, spinners():
            load = load_of(loader)
            if first:
                with clock:
                    await load(0)
                return
            await load(0)
            with clock:
                for key in range(1, 1 + SPUN):
                    await load(key)

    return way


@asynccontextmanager
async def spinners() -> AsyncIterator[None]:
    """Tasks that do nothing but come back."""
    over = False

    async def turn() -> None:
        while not over:
            await asyncio.sleep(0)

    running = [asyncio.create_task(turn()) for _ in range(SPINNERS)]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        over = True
        await asyncio.gather(*running)


async def asynq_gathered(clock: Clock) -> None:
    """asynq's `yield` of a list of loads."""
    for _ in range(2):
        with clock:
            asynq.gathered(range(MANY))


async def asynq_tasks(clock: Clock) -> None:
    """asynq's `yield` of a list of tasks with a load each."""
    for _ in range(2):
        with clock:
            asynq.tasks(range(MANY))


async def loads(loop: str, scale: float) -> dict[str, dict[str, Figure]]:
    """All of the above; `scale` stretches the time that each may take."""
    most = {"gathered": (gathered, 2 * MANY, 3), "tasks": (tasks, 2 * MANY, 4)}
    extra = {"gathered": asynq_gathered, "tasks": asynq_tasks}
    few: dict[str, tuple[Callable[[ModuleType], Way], int, float]] = {
        "load_many.cold": (many_cold, 3 * MANY, 2),
        "load_many.memo": (many_memo, 3 * MANY, 2),
        "hit": (hit, HITS, 1.5),
        "one": (one, ONES, 2),
        "spin": (spin, SPUN, 3),
        "spin.first": (partial(spin, first=True), 1, 2),
    }
    found = {}
    for name, (make, per, seconds) in {**most, **few}.items():
        ways = each(loop, make)
        if name in extra:
            ways[asynq.NAME] = extra[name]
        found[name] = await interleaved(ways, scale * seconds, per)
    return found


# Many keys in a tick ------------------------------------------------------------------------------------------------


async def sizes(loop: str, scale: float, most: int) -> dict[str, dict[str, dict[int, Figure]]]:
    """What a key costs, by how many leave together: gathered loads, and tasks with a load each."""
    found: dict[str, dict[str, dict[int, Figure]]] = {}
    for kind, make in (("gathered", gathered), ("tasks", tasks)):
        found[kind] = {name: {} for name in loaders(loop)}
        for size in (size for size in SIZES if size <= most):
            chosen = {
                name: peer for name, peer in loaders(loop).items() if size <= FEW or peer in (batchio, aiodataloader)
            }
            ways = {name: make(peer, size) for name, peer in chosen.items()}
            per = size * max(1, SAMPLE // size)
            for name, figure in (await interleaved(ways, scale * 0.6, per, least=2)).items():
                found[kind][name][size] = figure
    return found


async def hold(times: int, size: int) -> dict[str, float]:
    """The longest time between two heartbeats while a tick of many keys is cut, fetched and answered; milliseconds of
    process CPU, the best of several ticks. What the caller does in one go, to ask for them all, is the caller's."""
    held = []
    for _ in range(times):
        gc.collect()
        gc.disable()
        try:
            held.append(await _longest(size))
        finally:
            gc.enable()
    return {"min": min(held), "max": max(held)}


async def _longest(size: int) -> float:
    loop, gaps, beat = asyncio.get_running_loop(), [0], None
    async with batchio.session() as loader:
        answers = [loader(key) for key in range(size)]
        last = time.process_time_ns()

        def heartbeat() -> None:
            nonlocal last, beat
            now = time.process_time_ns()
            gaps.append(now - last)
            last = now
            beat = loop.call_later(HEARTBEAT, heartbeat)

        beat = loop.call_soon(heartbeat)
        for answer in answers:
            await answer
        heartbeat()
        beat.cancel()
    return max(gaps) / 1e6


# Memory -------------------------------------------------------------------------------------------------------------


async def memory(loop: str) -> dict[str, float]:
    """Bytes that each loader keeps for an int that it remembers, loaded one by one."""
    keys = list(range(1000, 1000 + REMEMBERED))  # ints of their own, made beforehand
    return {name: await _kept(peer, keys) for name, peer in loaders(loop).items()}


async def _kept(peer: ModuleType, keys: Sequence[int]) -> float:
    async with peer.session() as loader:
        load = load_of(loader)
        await load(0)
        gc.collect()
        tracemalloc.start()
        try:
            for start in range(0, len(keys), MANY):
                await peer.gather(*[load(key) for key in keys[start : start + MANY]])
            await asyncio.sleep(0)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] / len(keys)
        finally:
            tracemalloc.stop()
