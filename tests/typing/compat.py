"""What type checkers make of the drop-in loaders."""

from __future__ import annotations

import asyncio
from typing import assert_type

from batchio.compat import aiodataloader, strawberry


async def names(keys: list[int]) -> list[str]:
    return [str(key) for key in keys]


async def some(keys: list[int]) -> list[str | ValueError]:
    return [str(key) if key else ValueError("zero") for key in keys]


class Names(aiodataloader.DataLoader[int, str]):
    max_batch_size = 100

    async def batch_load_fn(self, keys: list[int]) -> list[str]:
        return [str(key) for key in keys]

    def get_cache_key(self, key: int) -> str:
        return str(key)


async def of_aiodataloader() -> None:
    loader = aiodataloader.DataLoader(names)
    assert_type(loader, aiodataloader.DataLoader[int, str])
    assert_type(await loader.load(1), str)
    assert_type(await Names().load_many([1, 2]), list[str])
    assert_type(Names().clear(1).prime(1, "one"), Names)
    assert_type(Names().loop, asyncio.AbstractEventLoop)


async def of_strawberry() -> None:
    loader = strawberry.DataLoader(load_fn=names)
    assert_type(loader, strawberry.DataLoader[int, str])
    assert_type(await loader.load(1), str)
    assert_type(await loader.load_many([1, 2]), list[str])
    loader.prime_many({1: "one"}, force=True)
    cache = strawberry.DefaultCache[int, str]()
    assert_type(await strawberry.DataLoader(names, cache_map=cache, cache_key_fn=str).load(1), str)
    await strawberry.DataLoader[int, str](load_fn=some).load(1)
