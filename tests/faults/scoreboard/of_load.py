"""Programs: crowds of keys, bounds, what is left alive, and how old an answer may be."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from tests.faults.scoreboard.source import Case, Source, Values, ask, turn, value
from tests.faults.scoreboard.verdict import Broken, at_most, due, program, settled

CROWD = 200_000
FAILURES = 10_000
FEW = 200  # objects: no more than a library's own, whatever the number of loads


@program(38, guarantee=10)
async def queue_bound(case: Case) -> None:
    """A limit of 100 keys that wait can be set; the key too many is refused at the call."""
    source = Source()
    async with case.request(source.fetch, max_queued=100) as loader:
        loads = [loader.load(key) for key in range(100)]
        try:
            loads.append(loader.load(100))
        except Exception:
            await settled(*loads)
            return
        await settled(*loads)
        raise Broken("no bound", f"{len(loads)} keys were taken")


@program(38, guarantee=10)
async def flights_bound(case: Case) -> None:
    """Of 5,000 keys in batches of 100, no more than eight batches are under way at once."""
    source = Source(opened=False)
    async with case.request(source.fetch, max_batch_size=100) as loader:
        loads = list(map(loader.load, range(5_000)))
        await turn(200)
        begun = len(source.calls)
        source.gate.set()
        for key, got in enumerate(await settled(*loads)):
            due(got, value(key))
    at_most(begun, 8, "no bound", "batches at once")


@program(guarantee=5)
async def unhashable_key(case: Case) -> None:
    """A key that cannot be hashed is refused at the call, and others are not disturbed."""
    async with case.request(Source().fetch) as loader:
        good = loader.load(1)
        try:
            bad = loader.load([2])
        except TypeError:
            bad = None
        due((await settled(good))[0], value(1), "stranger's error")
        if bad is not None:
            raise Broken("silent", "a list was taken as a key")


class Turns:
    """Counts the passes of the loop, and what happens in each."""

    def __init__(self) -> None:
        self.passes = 0
        self.keys: Counter[int] = Counter()
        self.over = False

    def turn(self) -> None:
        self.passes += 1
        if not self.over:
            asyncio.get_running_loop().call_soon(self.turn)


@program(39, guarantee=10, computes=60.0)
async def crowd(case: Case) -> None:
    """200,000 loads of one tick leave in batches of 1,000; no pass of the loop starts more than eight of them."""
    turns = Turns()

    async def fetch(keys: Sequence[int]) -> Values:
        turns.keys[turns.passes] += len(keys)
        return list(keys)

    async with case.request(fetch, max_batch_size=1_000, max_queued=CROWD) as loader:
        turns.turn()
        for key, got in enumerate(await settled(*map(loader.load, range(CROWD)))):
            if got != key:
                due(got, key)
        turns.over = True
    at_most(max(turns.keys.values()), 8_000, "held", "keys started in one pass")


@program(37, computes=30.0)
async def failures_left(case: Case) -> None:
    """10,000 loads of one request that failed leave nothing behind in it."""

    async def fetch(keys: Sequence[int]) -> Values:
        raise ValueError("away")

    async def wave(loader: Any, first: int) -> None:
        await settled(*map(loader.load, range(first, first + 100)))

    async with case.request(fetch) as loader:
        await wave(loader, 0)
        gc.collect()
        before = len(gc.get_objects())
        for first in range(100, FAILURES, 100):
            await wave(loader, first)
        await turn()
        gc.collect()
        at_most(len(gc.get_objects()) - before, FEW, "leaks", "objects more")


@program(guarantee=8)
async def requests_left(case: Case) -> None:
    """A hundred requests of a hundred keys leave nothing behind in a service that goes on."""
    request = case.face.service(Source().fetch)

    async def one(first: int) -> None:
        async with request() as loader:
            await settled(*map(loader.load, range(first, first + 100)))

    await one(0)
    gc.collect()
    before = len(gc.get_objects())
    for first in range(100, 10_000, 100):
        await one(first)
    await turn()
    gc.collect()
    # A call that the source remembers is a list.
    at_most(len(gc.get_objects()) - before, FEW + 100, "leaks", "objects more")


@program(guarantee=8)
async def memo_of_another(case: Case) -> None:
    """What one request has read, another reads anew."""
    written = {1: "old"}

    async def fetch(keys: Sequence[int]) -> Values:
        return [written[key] for key in keys]

    request = case.face.service(fetch)
    async with request() as loader:
        due((await settled(loader.load(1)))[0], "old")
        written[1] = "new"
        async with request() as other:
            due((await settled(other.load(1)))[0], "new")


@program(42, guarantee=3)
async def herd(case: Case) -> None:
    """A hundred requests that want one key at the same time are one call."""
    source = Source()
    request = case.face.service(source.fetch)
    async with AsyncExitStack() as stack:
        loaders = [await stack.enter_async_context(request()) for _ in range(100)]
        for got in await settled(*[asyncio.create_task(ask(loader, 1)) for loader in loaders]):
            due(got, value(1))
    at_most(len(source.calls), 1, "more calls", "calls")


class Written:
    """A source that can be written; a call reads at its beginning, and answers when it is let go."""

    def __init__(self) -> None:
        self.now = "old"
        self.gates: list[asyncio.Event] = []

    async def fetch(self, keys: Sequence[Any]) -> Values:
        read = self.now
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
        return [read for _ in keys]

    async def reading(self, calls: int) -> bool:
        """Whether so many calls have begun, some turns from now."""
        for _ in range(50):
            if len(self.gates) >= calls:
                return True
            await asyncio.sleep(0)
        return False

    def let_go(self) -> None:
        for gate in self.gates:
            gate.set()


@program(guarantee=4)
async def cleared_in_flight(case: Case) -> None:
    """A key is written and cleared while it is in flight: the next load, and each after it, gets the new value."""
    source = Written()
    async with case.request(source.fetch) as loader:
        early = asyncio.ensure_future(loader.load(1))
        await source.reading(1)
        source.now = "new"
        loader.clear(1)
        late = asyncio.ensure_future(loader.load(1))
        await source.reading(2)
        source.let_go()
        _, got = await settled(early, late)
        due(got, "new")
        due((await settled(loader.load(1)))[0], "new")


@program(guarantee=4)
async def written_in_flight(case: Case) -> None:
    """Without a memo, a load that is made after a write gets what was written, whatever is in flight."""
    source = Written()
    async with case.request(source.fetch, memo=False) as loader:
        early = asyncio.ensure_future(loader.load(1))
        await source.reading(1)
        source.now = "new"
        late = asyncio.ensure_future(loader.load(1))
        await source.reading(2)
        source.let_go()
        _, got = await settled(early, late)
        due(got, "new")
