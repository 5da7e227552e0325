"""Guarantee 1 where it is hard: loads reached at different depths of await, gather, task and lock leave together.

Rules:
- Each case runs on every flavour of loop, with asyncio's gather and with ours.
- `PATIENT` takes the clock out of the tick: how many batches there are is a matter of passes, not of the machine.
- A batch's answer comes from outside the loop's own work (a timer), as a driver's does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

import batchio

PATIENT = batchio.Limits(max_delay=60.0)
DRIVER_SECONDS = 0.0005

Gather = Callable[..., Awaitable[Any]]

both_gathers = pytest.mark.parametrize("gather", [asyncio.gather, batchio.gather], ids=["asyncio", "batchio"])


class Source:
    """Counts the keys of its batches, and answers each key with itself."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.load: Any = batchio.Loader(self.fetch, name="source", limits=PATIENT)

    async def fetch(self, keys: list[Any]) -> dict[Any, Any]:
        self.sizes.append(len(keys))
        await asyncio.sleep(DRIVER_SECONDS)
        return {key: key for key in keys}


async def under(gather: Gather, levels: int, work: Coroutine[Any, Any, Any]) -> Any:
    """Await something below so many gathers, each a task deeper than the one before."""
    if levels == 0:
        return await work
    (value,) = await gather(under(gather, levels - 1, work))
    return value


async def load_one(source: Source, key: Any) -> Any:
    return await source.load(key)


# --- the ways down ------------------------------------------------------------------------------------------------


@both_gathers
async def test_guarantee_01_batching_at_depths_0_to_5(gather: Gather) -> None:
    """48 loads, 8 under each of 0 to 5 nested gathers, are one batch."""
    source = Source()
    await gather(*(under(gather, depth, load_one(source, (depth, i))) for depth in range(6) for i in range(8)))
    assert source.sizes == [48]


async def test_loads_below_nested_tasks_are_one_batch() -> None:
    """A load inside a task inside a task (and so on) joins the load beside them."""
    source = Source()

    async def below(levels: int, key: int) -> Any:
        if levels == 0:
            return await source.load(key)
        return await asyncio.create_task(below(levels - 1, key))

    await asyncio.gather(*(below(depth, depth) for depth in (0, 1, 2, 3, 4, 5, 0, 1)))
    assert source.sizes == [6]


async def test_loads_below_nested_task_groups_are_one_batch() -> None:
    """Task groups in task groups are no more in the way than gathers are."""
    source = Source()

    async def below(levels: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load_one(source, levels))
            if levels:
                tasks.create_task(below(levels - 1))

    await below(5)
    assert source.sizes == [6]


async def test_loads_below_plain_awaits_are_one_batch() -> None:
    """A hundred plain awaits between a task and its load cost no pass of the loop."""
    source = Source()

    async def below(levels: int, key: int) -> Any:
        return await (below(levels - 1, key) if levels else source.load(key))

    await asyncio.gather(*(below(depth, depth) for depth in (0, 1, 10, 100)))
    assert source.sizes == [4]


# --- the ways back up ---------------------------------------------------------------------------------------------


async def resume_wave(source: Source, gather: Gather) -> None:
    """8 tasks; each loads under a depth of its own, comes back up, and loads again."""

    async def two(depth: int) -> Any:
        first = await under(gather, depth, load_one(source, depth))
        return await source.load(first + 100)

    await gather(*map(two, range(8)))


@both_gathers
async def test_a_wave_that_comes_back_up_is_one_batch(gather: Gather) -> None:
    """One answer, unwound through 0 to 7 gathers, makes one second batch and not one for each depth."""
    source = Source()
    await resume_wave(source, gather)
    assert source.sizes == [8, 8]


@both_gathers
async def test_a_wave_comes_back_up_among_spinning_tasks(gather: Gather) -> None:
    """The same while three other tasks keep the loop from ever being idle."""
    source = Source()
    over = False

    async def spin() -> None:
        while not over:
            await asyncio.sleep(0)

    spinners = [asyncio.create_task(spin()) for _ in range(3)]
    try:
        await resume_wave(source, gather)
    finally:
        over = True
        await asyncio.gather(*spinners)
    assert source.sizes == [8, 8]


# --- the ways round -----------------------------------------------------------------------------------------------


@both_gathers
async def test_tasks_that_pass_one_lock_are_one_batch(gather: Gather) -> None:
    """8 tasks go one by one through a lock, wait a pass inside, and load behind it."""
    source, lock = Source(), asyncio.Lock()

    async def one(key: int) -> Any:
        async with lock:
            await asyncio.sleep(0)
        return await source.load(key)

    await gather(*map(one, range(8)))
    assert source.sizes == [8]


@both_gathers
async def test_tasks_that_pass_a_semaphore_two_by_two_are_one_batch(gather: Gather) -> None:
    """The same through a semaphore with room for two."""
    source, semaphore = Source(), asyncio.Semaphore(2)

    async def one(key: int) -> Any:
        async with semaphore:
            await asyncio.sleep(0)
        return await source.load(key)

    await gather(*map(one, range(8)))
    assert source.sizes == [8]


@both_gathers
async def test_late_askers_join(gather: Gather) -> None:
    """Tasks that give way 0, 2, 5 and 7 times before they load still share a batch."""
    source = Source()

    async def one(key: int, turns: int) -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await source.load(key)

    await gather(*(one(key, turns) for key, turns in enumerate([0, 2, 2, 2, 5, 7])))
    assert source.sizes == [6]


# --- a schema whose resolvers are tasks ---------------------------------------------------------------------------
#
# A GraphQL server runs each field of each object as an awaitable of its own and gathers the fields of an object, so
# a field's loads are reached as many gathers deep as its object stands. A selection is {field: selection or None}.

Resolver = Callable[[Any], Awaitable[Any]]


async def execute(gather: Gather, thing: Any, fields: dict[str, tuple[Resolver, Any]]) -> dict[str, Any]:
    """Resolve all fields of a thing at once."""
    results = await gather(*(resolve(gather, thing, *field) for field in fields.values()))
    return dict(zip(fields, results, strict=True))


async def resolve(gather: Gather, thing: Any, resolver: Resolver, below: Any) -> Any:
    """One field: its resolver, and what is selected below what that gave."""
    value = await resolver(thing)
    if below is None:
        return value
    if isinstance(value, list):
        return list(await gather(*(execute(gather, item, below) for item in value)))
    return await execute(gather, value, below)


def several(name: str, count: int) -> Resolver:
    """A resolver that needs no data: so many children, named after their parent."""

    async def children(thing: Any) -> list[Any]:
        return [(thing, name, number) for number in range(count)]

    return children


def loading(source: Source, name: str) -> Resolver:
    """A resolver that loads one key of its own for each thing."""

    async def field(thing: Any) -> Any:
        return await source.load((thing, name))

    return field


@both_gathers
async def test_a_schema_of_43_loads_over_4_depths_is_2_batches(gather: Gather) -> None:
    """34 loads that need no other answer, on three depths of objects, are one batch; 9 behind them are a second."""
    source = Source()
    a, b = loading(source, "a"), loading(source, "b")
    behind = {"b": (b, None)}
    shelf = {"a": (a, None), "b": (b, None), "books": (several("book", 1), {"a": (a, behind)})}
    query = {
        "viewer": (a, behind),  # 1, and 1 behind it
        "shelves": (several("shelf", 8), shelf),  # 16, and 8 one level deeper, and 8 behind those
        "tags": (several("tag", 1), {"a": (a, None), "posts": (several("post", 8), {"a": (a, None)})}),  # 1 and 8
    }
    await execute(gather, "root", query)
    assert source.sizes == [34, 9]


@both_gathers
async def test_a_schema_that_alternates_between_two_loaders_is_2_batches_of_each(gather: Gather) -> None:
    """17 books, their 16 authors, 9 favourite books of those, 1 author of these: 43 loads, 2 batches per key type."""
    books, authors = Source(), Source()
    book, favourite, author = loading(books, "book"), loading(books, "favourite"), loading(authors, "author")
    its_author = {"author": (author, None)}
    its_reader = {"author": (author, {"favourite": (favourite, None)})}
    rows = {"rows": (several("row", 2), {"books": (several("book", 2), {"book": (book, its_reader)})})}
    query = {
        "of the day": (book, {"author": (author, {"favourite": (favourite, its_author)})}),
        "shelves": (several("shelf", 2), rows),
        "new": (several("new", 7), {"book": (book, its_author)}),
        "found": (several("page", 1), {"on it": (several("hit", 1), {"book": (book, None)})}),
    }
    await execute(gather, "root", query)
    assert (books.sizes, authors.sizes) == ([17, 9], [16, 1])


@both_gathers
async def test_a_level_is_a_batch_in_a_deep_chain_of_resolvers(gather: Gather) -> None:
    """12 branches, each of four loads that depend on each other, are four batches of 12."""
    source = Source()
    below: Any = None
    for name in "dcba":
        below = {name: (loading(source, name), below)}
    await execute(gather, "root", {"branches": (several("branch", 12), below)})
    assert source.sizes == [12, 12, 12, 12]
