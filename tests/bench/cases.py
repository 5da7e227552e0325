"""Where loads are reached at different depths: how many batches they become, here and in asynq.

Rules: a case is written twice, as a coroutine and as an asynq generator, of the same shape: where one gathers, the other
yields a list. asynq has nothing like a lock or a pass of the loop, so there are no such cases here. A case is run some
times, and the run with the fewest batches counts: a batch also leaves after 5 ms, which a busy machine may take away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asynq import asynq as task

import batchio
from tests.bench.peers.asynq import Source

Hop = Callable[..., Any]
TRIES = 3


async def ours() -> dict[str, list[int]]:
    """The sizes of batchio's batches, by case."""
    return {name: min([await sizes_of(name, case) for _ in range(TRIES)], key=len) for name, case in COROUTINES.items()}


async def sizes_of(name: str, case: Hop) -> list[int]:
    sizes: list[int] = []

    @batchio.loader(name=name)
    async def load(keys: list[int]) -> dict[int, int]:
        sizes.append(len(keys))
        await asyncio.sleep(0.0005)
        return {key: key for key in keys}

    await case(load)
    return sizes


def theirs() -> dict[str, list[int]]:
    """The sizes of asynq's batches, by case."""
    found = {}
    for name, case in GENERATORS.items():
        sizes: list[int] = []

        def fetch(keys: list[int]) -> list[int]:
            sizes.append(len(keys))  # noqa: B023
            return keys

        case(Source(fetch).load)
        found[name] = sizes
    return found


# Coroutines ---------------------------------------------------------------------------------------------------------


async def below(load: Any, depth: int, key: int) -> int:
    """A load under so many gathers."""
    if not depth:
        return await load(key)
    (found,) = await batchio.gather(below(load, depth - 1, key))
    return found


async def depths(load: Any) -> None:
    await batchio.gather(*[below(load, d, 10 * d + i) for d in range(6) for i in range(8)])


async def again(load: Any) -> None:
    async def twice(depth: int) -> int:
        return await load(100 + await below(load, depth, depth))

    await batchio.gather(*[twice(depth) for depth in range(8)])


async def chain(load: Any) -> None:
    for key in range(10):
        await load(key)


async def tree(load: Any) -> None:
    async def node(depth: int, key: int) -> Any:
        if not depth:
            return await load(key)
        return await batchio.gather(node(depth - 1, 2 * key), node(depth - 1, 2 * key + 1))

    await node(5, 1)


async def uneven(load: Any) -> None:
    async def straight(depth: int, key: int) -> int:
        return await load(key) if not depth else await straight(depth - 1, key)

    await batchio.gather(
        *[straight(d, d) for d in range(4)],
        *[below(load, d, 10 + d) for d in range(4)],
        *[below(load, 0, 20 + d) for d in range(4)],
    )


# Generators ---------------------------------------------------------------------------------------------------------


@task()
def below_asynq(load: Any, depth: int, key: int) -> Any:
    if not depth:
        return (yield load(key))
    (found,) = yield [below_asynq.asynq(load, depth - 1, key)]
    return found


@task()
def depths_asynq(load: Any) -> Any:
    yield [below_asynq.asynq(load, d, 10 * d + i) for d in range(6) for i in range(8)]


@task()
def twice_asynq(load: Any, depth: int) -> Any:
    found = yield below_asynq.asynq(load, depth, depth)
    return (yield load(100 + found))


@task()
def again_asynq(load: Any) -> Any:
    yield [twice_asynq.asynq(load, depth) for depth in range(8)]


@task()
def chain_asynq(load: Any) -> Any:
    for key in range(10):
        yield load(key)


@task()
def node_asynq(load: Any, depth: int, key: int) -> Any:
    if not depth:
        return (yield load(key))
    return (yield node_asynq.asynq(load, depth - 1, 2 * key), node_asynq.asynq(load, depth - 1, 2 * key + 1))


@task()
def tree_asynq(load: Any) -> Any:
    yield node_asynq.asynq(load, 5, 1)


@task()
def straight_asynq(load: Any, depth: int, key: int) -> Any:
    if not depth:
        return (yield load(key))
    return (yield straight_asynq.asynq(load, depth - 1, key))


@task()
def uneven_asynq(load: Any) -> Any:
    straight = [straight_asynq.asynq(load, d, d) for d in range(4)]
    deep = [below_asynq.asynq(load, d, 10 + d) for d in range(4)]
    flat = [below_asynq.asynq(load, 0, 20 + d) for d in range(4)]
    yield [*straight, *deep, *flat]


COROUTINES = {
    "48 loads at depths 0 to 5": depths,
    "8 tasks that unwind and load again": again,
    "10 loads one after another": chain,
    "a tree of 32 leaves": tree,
    "plain awaits and gathers mixed": uneven,
}
GENERATORS = {
    "48 loads at depths 0 to 5": depths_asynq,
    "8 tasks that unwind and load again": again_asynq,
    "10 loads one after another": chain_asynq,
    "a tree of 32 leaves": tree_asynq,
    "plain awaits and gathers mixed": uneven_asynq,
}
