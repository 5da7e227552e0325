"""The scenarios: what services do, each in a dozen lines, with right answers that no order may change.

Rules:
- A scenario starts callers and may do more; whoever it starts without `World.caller` it ends itself.
- A caller asserts its own answers, as a function of the key, or of what the source had when it asked.
- Limits are small, so that a run of twenty loads meets full batches, used slots and queues.
- `batchio.Loader` objects are made anew in each run: nothing but the seed decides how it goes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextvars import ContextVar
from typing import Any

import batchio
from tests.chaos.world import World

SMALL = batchio.Limits(max_batch_size=3, max_in_flight=2)
viewer: ContextVar[str] = ContextVar("viewer")


class BadKeyError(Exception):
    """The source's own error, for one key."""


def value(name: str, key: Any) -> str:
    """The right answer."""
    return f"{name} {key}"


def pass_on(told: Iterable[Any]) -> None:
    """Raise what only a victim's callers may meet."""
    for error in told:
        if isinstance(error, (asyncio.CancelledError, batchio.BatchAborted)):
            raise error


def loader(world: World, name: str, **options: Any) -> batchio.Loader[int, str]:
    """A loader whose source answers after a while, and has an error of its own for keys from 100 on."""
    options.setdefault("limits", SMALL)
    count = Counter[str]()

    async def fetch(keys: list[int]) -> dict[int, Any]:
        assert len(set(keys)) == len(keys) <= options["limits"].max_batch_size
        count["calls"] += 1
        await world.pause(name, count["calls"])
        return {key: BadKeyError(key) if key >= 100 else value(name, key) for key in keys}

    return batchio.Loader(fetch, name=name, **options)


# --- reading ------------------------------------------------------------------------------------------------------


async def page(world: World) -> None:
    """Pages of gathers over three loaders, three levels deep."""
    users, posts, comments = (loader(world, name) for name in ("users", "posts", "comments"))

    async def render_comment(key: int) -> str:
        text, user = await batchio.gather(comments(key), users(key % 4))
        return f"{text} by {user}"

    async def render_post(key: int) -> list[Any]:
        text = await posts(key)
        return [text, *await batchio.gather(users(key % 3), *(render_comment(key + i) for i in range(2)))]

    async def render(first: int) -> None:
        shown = await batchio.gather([render_post(key) for key in range(first, first + 3)])
        assert shown == [
            [
                value("posts", key),
                value("users", key % 3),
                *(f"{value('comments', key + i)} by {value('users', (key + i) % 4)}" for i in range(2)),
            ]
            for key in range(first, first + 3)
        ]

    for first in range(3):
        world.caller(render(first))


async def mixed(world: World) -> None:
    """load_many and single loads of the same keys, in scopes and outside, some primed, some cleared."""
    users = loader(world, "users")

    async def look(start: int, *, primes: bool) -> None:
        if primes:
            users.prime(start, value("users", start))
        single, many = users(start), users.load_many([start + 1, start, start + 2, start])
        await world.pause("look", start)
        if primes:
            users.clear(start + 1)
        more = [users(start + 1), users.load_many(range(start, start + 5))]
        answers = await batchio.gather(many, single, *more)
        wanted = [start + 1, start, start + 2, start]
        assert answers[0] == [value("users", key) for key in wanted]
        assert answers[1:3] == (value("users", start), value("users", start + 1))
        assert answers[3] == [value("users", key) for key in range(start, start + 5)]

    for start in range(4):
        world.caller(look(start, primes=start % 2 == 0), scope=start < 3)


async def nested(world: World) -> None:
    """Gathers in gathers, with errors: which one is told depends on its position alone."""
    users = loader(world, "users")

    async def deep(*keys: int) -> Any:
        await world.pause("deep", keys)
        return await batchio.gather(*map(users, keys))

    async def both() -> Any:  # a gather that never begins leaves its coroutines so: Python 3.11 complains
        return await batchio.gather(deep(2, 103), deep(102, 3))

    async def failing() -> Any:
        return await batchio.gather(users(1), both(), users(101))

    async def first_error() -> None:
        told = await batchio.gather(failing(), return_exceptions=True)
        pass_on(told)
        assert [error.args for error in told] == [(103,)]

    async def all_errors() -> None:
        told = await batchio.gather(users(100), deep(1, 2), deep(101), return_exceptions=True)
        pass_on(told)
        assert told[1] == (value("users", 1), value("users", 2))
        assert [error.args for error in (told[0], told[2])] == [(100,), (101,)]

    for _ in range(2):
        world.caller(first_error())
        world.caller(all_errors(), scope=False)


async def chains(world: World) -> None:
    """One loader's batch function loads from another one and that from the first, with one slot each; and a circle."""
    one = batchio.Limits(max_in_flight=1, max_batch_size=2)

    async def through(other: Any, keys: list[int]) -> dict[int, int]:
        await world.pause("through", *keys)
        below = await batchio.gather([other()(key - 1) for key in keys if key])
        return dict(zip(keys, [number + 1 for number in below] if 0 not in keys else [0] * len(keys), strict=True))

    async def even(keys: list[int]) -> dict[int, int]:
        return {**(await through(lambda: odds, [k for k in keys if k])), **{k: 0 for k in keys if not k}}

    async def odd(keys: list[int]) -> dict[int, int]:
        return await through(lambda: evens, keys)

    async def circle(keys: list[int]) -> list[int]:
        return await circles.load_many(keys)

    evens, odds, circles = (batchio.Loader(function, limits=one) for function in (even, odd, circle))

    async def depth(key: int) -> None:
        assert await (odds if key % 2 else evens)(key) == key

    async def endless() -> None:
        await circles(1)

    for key in (2, 3, 4, 4):
        world.caller(depth(key))
    world.caller(endless(), batchio.LoadCycle)


async def streamed(world: World) -> None:
    """A batch function that yields its answers one by one, lacks some, and breaks off for key 9."""

    async def fetch(keys: list[int]) -> AsyncIterator[tuple[int, str]]:
        for key in keys:
            await world.pause("stream", key)
            if key == 9:
                raise BadKeyError(key)
            if key != 5:
                yield key, value("users", key)

    users = batchio.Loader(fetch, name="users", limits=SMALL)

    async def look(key: int) -> None:
        assert await users(key) == value("users", key)

    async def look_many() -> None:
        assert await users.load_many([2, 3, 4]) == [value("users", key) for key in (2, 3, 4)]

    for key in (1, 2, 3, 4, 1, 6):
        world.caller(look(key), BadKeyError)
    world.caller(look_many(), BadKeyError)
    world.caller(look(5), batchio.KeyNotFound, BadKeyError)
    world.caller(look(9), BadKeyError)


async def halves(world: World) -> None:
    """A source that fails whole for one bad key, and a loader that halves: the others never hear of it."""

    async def fetch(keys: list[int]) -> list[str]:
        await world.pause("halves", *keys)
        if 7 in keys:
            raise BadKeyError(7)
        return [value("users", key) for key in keys]

    users = batchio.Loader(fetch, name="users", split_on_error=True, limits=batchio.Limits(max_batch_size=4))

    async def look(key: int) -> None:
        assert await users(key) == value("users", key)

    for key in (1, 2, 3, 4, 5, 2):
        world.caller(look(key))
    world.caller(look(7), BadKeyError)


async def isolated(world: World) -> None:
    """Batches of one's own, in a copy of the scope's context: nobody sees another one's viewer."""

    async def fetch(keys: list[int]) -> dict[int, str]:
        await world.pause("isolated", *keys)
        return {key: f"{viewer.get()} sees {key}" for key in keys}

    posts = batchio.Loader(fetch, name="posts", isolated=True, limits=SMALL)

    async def look(who: str) -> None:
        viewer.set(who)
        told = await batchio.gather(posts(1), posts.load_many([1, 2, 3, 4]), posts(2))
        assert told[1] == [f"{who} sees {key}" for key in (1, 2, 3, 4)]
        assert (told[0], told[2]) == (told[1][0], told[1][1])

    for who in ("Ada", "Bob", "Eve"):
        world.caller(look(who))


# --- coming and going ---------------------------------------------------------------------------------------------


async def slow(world: World) -> None:
    """A source that hangs at first, callers who wait less long than it, and a batch that is slow to die."""
    limits = batchio.Limits(max_batch_size=2, max_in_flight=1, timeout=0.05)
    calls = Counter[str]()

    async def fetch(keys: list[int]) -> dict[int, str]:
        calls["all"] += 1
        if calls["all"] <= 2:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                await asyncio.sleep(0.02)
                raise
        await world.pause("slow", calls["all"])
        return {key: value("users", key) for key in keys}

    users = batchio.Loader(fetch, name="users", limits=limits)

    async def look(key: int, seconds: float | None) -> None:
        async with asyncio.timeout(seconds):
            assert await users(key) == value("users", key)

    async def persist(key: int) -> None:
        for _ in range(4):
            try:
                await look(key, None)
            except batchio.BatchTimeout:
                continue
            return
        raise AssertionError("the source has long been well again")

    for key, seconds in ((1, 0.01), (2, 0.06), (3, None), (4, 0.2)):
        world.caller(look(key, seconds), TimeoutError)
    world.caller(persist(1))
    world.caller(persist(5))


async def abandoned(world: World) -> None:
    """Batches end when their last caller leaves; whoever stays, or comes later, is answered."""
    calls: list[list[int]] = []

    async def fetch(keys: list[int]) -> dict[int, str]:
        calls.append(keys)
        await asyncio.sleep(0.002 * len(calls))
        await world.pause("abandoned", len(calls))
        return {key: value("users", key) for key in keys}

    users = batchio.Loader(fetch, name="users", cancel_abandoned=True, limits=SMALL)

    async def look(*keys: int) -> None:
        await world.pause("look", *keys)
        assert await batchio.gather(*map(users, keys)) == tuple(value("users", key) for key in keys)

    async def look_many(*keys: int) -> None:
        assert await users.load_many(keys) == [value("users", key) for key in keys]

    leave = [look(1), look(1, 2), look_many(3, 4, 1), look_many(5)]
    leaving = [world.caller(work, asyncio.CancelledError) for work in leave]
    world.caller(look(2, 6))
    world.caller(look_many(4, 7))
    for number, task in enumerate(leaving):
        await world.pause("leave", number)
        task.cancel()
        world.caller(look(1, number))


async def coalesced(world: World) -> None:
    """Callers join flights of others, but none that was cleared after a write."""
    versions = Counter[int]()
    calls = Counter[str]()

    async def fetch(keys: list[int]) -> dict[int, tuple[int, int]]:
        calls["all"] += 1
        read = {key: (key, versions[key]) for key in keys}
        await asyncio.sleep(0.003)
        await world.pause("coalesced", calls["all"])
        return read

    users = batchio.Loader(fetch, name="users", coalesce=True, limits=SMALL)

    async def look(number: int) -> None:
        await world.pause("look", number)
        least = versions[1]  # each write is cleared in the same step, so no flight that read before may be joined
        answers = await batchio.gather(users(1), users.load_many([2, 1, 3 + number]))
        assert answers[0][0] == 1
        assert [key for key, _ in answers[1]] == [2, 1, 3 + number]
        assert min(answers[0][1], answers[1][1][1]) >= least, "older than the load"

    async def write() -> None:
        for number in range(3):
            await world.pause("write", number)
            versions[1] += 1
            users.clear(1)

    world.caller(write(), scope=False)
    for number in range(6):
        world.caller(look(number), scope=number % 3 > 0)


async def cleared(world: World) -> None:
    """A scope that clears what it has just written: it never sees the old value again, whichever flight brings it."""
    versions, calls = Counter[int](), Counter[str]()

    async def fetch(keys: list[int]) -> dict[int, int]:
        calls["all"] += 1
        read = {key: versions[key] for key in keys}
        await world.pause("cleared", calls["all"])
        return read

    users = batchio.Loader(fetch, name="users", limits=SMALL)

    async def edit(number: int) -> None:
        early = [users.load_many([1, 2, number]), users(2)]
        await world.pause("edit", number)
        for key in (1, 2):
            versions[key] += 1
            users.clear(key)
        least = [versions[1], versions[2]]
        await world.pause("again", number)
        late = await batchio.gather(users(1), users(2))
        await batchio.gather(early, return_exceptions=True)
        again = await users.load_many([1, 2])
        assert all(a >= b for a, b in zip([*late, *again], least * 2, strict=True)), "an old flight's answer"
        assert tuple(again) == late, "the scope forgot"

    for number in range(3, 6):
        world.caller(edit(number))


async def drained(world: World) -> None:
    """A shutdown under load: what cannot end in time is told so, and the loop can be used again."""
    users, posts = loader(world, "users"), loader(world, "posts", limits=batchio.Limits(max_in_flight=1))

    async def serve(number: int) -> None:
        for step in range(4):
            await world.pause("serve", number, step)
            told = await batchio.gather(users(number + step), posts.load_many([step, number]))
            assert told == (value("users", number + step), [value("posts", step), value("posts", number)])

    async def stop(seconds: float | None) -> None:
        await asyncio.sleep(0.003)
        await batchio.drain(seconds)

    for number in range(5):
        world.caller(serve(number), batchio.BatchAborted)
    stops = [world.caller(stop(seconds), scope=False) for seconds in (0.0, 0.002, None)]
    await asyncio.wait(stops)
    world.caller(serve(9), batchio.BatchAborted)
    await batchio.drain()


# --- caches -------------------------------------------------------------------------------------------------------


class Busy:
    """A cache whose verbs take their time, before and after they act."""

    def __init__(self, world: World, inner: Any, name: str = "") -> None:
        self.world, self.inner, self.name = world, inner, name
        self.count = 0

    def bind(self, name: str, value_type: Any, version: int | str) -> Busy:
        return Busy(self.world, self.inner.bind(name, value_type, version), name)

    async def _do(self, verb: str, *args: Any) -> Any:
        self.count += 1
        try:
            await self.world.pause(self.name, verb, self.count)
            result = await getattr(self.inner, verb)(*args)
            await self.world.pause(self.name, verb, self.count, "after")
        except asyncio.CancelledError:
            self.world.cut_fills += 1
            raise
        return result

    async def get_many(self, keys: Any) -> Any:
        return await self._do("get_many", keys)

    async def fill_many(self, values: Any, leases: Any, ttl: Any) -> Any:
        return await self._do("fill_many", values, leases, ttl)

    async def delete_many(self, keys: Any) -> Any:
        return await self._do("delete_many", keys)


async def leases(world: World) -> None:
    """Readers through a cache, while writers write and invalidate: nothing older than what was confirmed."""
    await read_and_write(world, Busy(world, world.cache()))


async def memcached(world: World) -> None:
    """The same through a real memcached."""
    from batchio.memcached import MemcachedCache  # here, so that a broken edge fails its scenario alone

    cache = MemcachedCache(world.address, prefix=f"{world.loop.seed}/{world.loop.victim}/")
    await read_and_write(world, cache)
    await asyncio.wait([caller.task for caller in world.callers])
    await batchio.drain()
    await cache.close()


async def read_and_write(world: World, cache: Any) -> None:
    versions, confirmed, calls = Counter[int](), Counter[int](), Counter[str]()

    async def fetch(keys: list[int]) -> dict[int, int]:
        calls["all"] += 1
        read = {key: versions[key] for key in keys}
        await world.pause("read", calls["all"])
        return read

    stock = batchio.Loader(fetch, name="stock", cache=cache, ttl=3600.0, limits=SMALL, value_type=int)

    async def look(number: int) -> None:
        for step in range(3):
            await world.pause("look", number, step)
            with batchio.scope():
                keys = [(number + step) % 3, 0, 3]
                least = [confirmed[key] for key in keys]
                answers = await stock.load_many(keys) if number % 2 else await batchio.gather(*map(stock, keys))
                assert all(a >= b for a, b in zip(answers, least, strict=True)), "older than what was confirmed"

    async def write(key: int) -> None:
        for step in range(2):
            await world.pause("write", key, step)
            versions[key] += 1
            written = versions[key]
            await stock.invalidate(key)
            confirmed[key] = max(confirmed[key], written)

    for number in range(4):
        world.caller(look(number), scope=False)
    for key in (0, 0, 1):
        world.caller(write(key), scope=key > 0)


SCENARIOS = [
    page, mixed, nested, chains, streamed, halves, isolated, slow, abandoned, coalesced, cleared, drained, leases,
]  # fmt: skip
