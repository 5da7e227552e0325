"""A loop that was held past a time limit: by a garbage collection, a large page, a machine that slept.

Rules:
- Times are exact: virtual time, which the holder lets pass itself.
- What "has arrived" is set in the pass after the hold, as a socket's reader would, and before any timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import batchio
from batchio import BatchTimeout, Limits, MemoryCache
from batchio._core.cache import Lookup

pytestmark = pytest.mark.virtual


def hold(seconds: float, arrives: asyncio.Future[Any] | None = None) -> None:
    """Hold the loop from its next pass on; meanwhile an answer may arrive."""
    loop: Any = asyncio.get_running_loop()

    def held() -> None:
        loop.advance(seconds)
        if arrives is not None:
            loop.call_soon(arrives.set_result, "answer")

    loop.call_later(0.1, held)


async def test_an_answer_that_came_while_the_loop_was_held_counts() -> None:
    """The batch's time is over when the loop runs again, but the answer lies there: the load has it."""
    came = asyncio.get_running_loop().create_future()

    @batchio.loader(limits=Limits(timeout=1.0))
    async def fetch(keys: list[int]) -> dict[int, str]:
        return dict.fromkeys(keys, await came)

    hold(5.0, came)
    assert await fetch(1) == "answer"


async def test_a_held_loop_puts_a_time_limit_off_once_and_shortly() -> None:
    """Where no answer came, the load fails within milliseconds of the hold, however often the loop is held then."""
    loop: Any = asyncio.get_running_loop()

    @batchio.loader(limits=Limits(timeout=1.0))
    async def fetch(keys: list[int]) -> dict[int, str]:
        await asyncio.Event().wait()
        return {}

    hold(5.0)
    load = fetch(1)
    with pytest.raises(BatchTimeout):
        await load
    assert loop.time() == pytest.approx(0.1 + 5.0 + 0.005)

    began = loop.time()
    hold(5.0)
    loop.call_later(5.1025, loop.advance, 3.0)  # before the limit that was put off
    with pytest.raises(BatchTimeout):
        await fetch(2)
    assert loop.time() - began == pytest.approx(0.1 + 5.0 + 0.0025 + 3.0, abs=0.001)


class Remote:
    """A cache whose lookups and deletions wait for an answer from outside."""

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self.answer = answer
        self.inner: Any = None

    def bind(self, name: str, value_type: Any, version: int | str) -> Remote:
        self.inner = MemoryCache().bind(name)
        return self

    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        return Lookup(hits=dict.fromkeys(keys, await self.answer))

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        raise AssertionError("nothing was missed")

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        raise AssertionError("nothing is set")

    async def delete_many(self, keys: Sequence[Any]) -> None:
        await self.answer


async def test_a_hit_that_came_while_the_loop_was_held_counts() -> None:
    """A lookup whose time is over when the loop runs again is still a hit if its answer lies there."""
    came = asyncio.get_running_loop().create_future()

    @batchio.loader(cache=Remote(came), limits=Limits(cache_timeout=0.25))
    async def fetch(keys: list[int]) -> dict[int, str]:
        raise AssertionError("the source is not asked")

    hold(5.0, came)
    assert await fetch(1) == "answer"


async def test_a_confirmation_that_came_while_the_loop_was_held_counts() -> None:
    """An invalidation that the cache confirmed in the meantime has not failed; one that it did not confirm has."""
    came = asyncio.get_running_loop().create_future()

    @batchio.loader(cache=Remote(came), limits=Limits(cache_timeout=0.25))
    async def fetch(keys: list[int]) -> dict[int, str]:
        return {}

    hold(5.0, came)
    await fetch.invalidate(1)

    @batchio.loader(cache=Remote(asyncio.get_running_loop().create_future()), limits=Limits(cache_timeout=0.25))
    async def never(keys: list[int]) -> dict[int, str]:
        return {}

    hold(5.0)
    with pytest.raises(BatchTimeout):
        await never.invalidate(1)


async def test_a_key_that_is_asked_for_after_a_hold_still_waits_for_its_neighbours() -> None:
    """Its wait begins when it is asked for: a pass that took a second before that has not made it late."""
    loop: Any = asyncio.get_running_loop()
    loop.batchio_hints = False  # which make all loads take the long way
    batches: list[list[int]] = []

    @batchio.loader
    async def early(keys: list[int]) -> dict[int, int]:
        return dict.fromkeys(keys, 0)

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        batches.append(keys)
        return dict.fromkeys(keys, 0)

    async def neighbour() -> None:
        await asyncio.sleep(0)
        await fetch(2)

    later = asyncio.create_task(neighbour())
    held = early(1)
    loop.advance(1.0)
    await batchio.gather(held, fetch(1), later)
    assert batches == [[1, 2]]
