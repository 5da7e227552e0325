"""How long drop-in loaders live, on which loops, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from batchio._core.tick import ATTRIBUTE
from batchio.compat import aiodataloader, strawberry
from tests.compat.doors import Listed, both


class Derived(aiodataloader.DataLoader[int, int]):
    async def batch_load_fn(self, keys: list[int]) -> list[int]:
        return [self.value(key) for key in keys]

    def value(self, key: int) -> Any:
        return ValueError("odd") if key % 2 else key


async def fetch(keys: list[int]) -> list[Any]:
    return [ValueError("odd") if key % 2 else key for key in keys]


ways = pytest.mark.parametrize(
    "make",
    [
        lambda: aiodataloader.DataLoader(fetch),
        lambda: aiodataloader.DataLoader(fetch, get_cache_key=str, cache_map={}),
        lambda: aiodataloader.DataLoader(fetch, cache=False),
        Derived,
        lambda: strawberry.DataLoader(fetch),
        lambda: strawberry.DataLoader(fetch, cache_key_fn=str),
    ],
    ids=["aiodataloader", "with a cache_map", "without a cache", "derived", "strawberry", "with a cache_key_fn"],
)


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@ways
@pytest.mark.usefixtures("_no_collector")
async def test_a_loader_goes_with_its_request(make: Any) -> None:
    """When its last user is gone a loader is freed at once, with what it remembers; no collector has to run."""
    loader = make()
    gone = weakref.ref(loader)
    assert await loader.load_many([2, 4]) == [2, 4]
    await asyncio.gather(loader.load(1), return_exceptions=True)
    await asyncio.gather(loader.load(1), loader.load(3), return_exceptions=True)
    loader.load(6).cancel()
    loader.clear(2)
    assert await loader.load(2) == 2
    del loader
    await asyncio.sleep(0)
    assert gone() is None


@ways
@pytest.mark.usefixtures("_no_collector")
async def test_a_loader_lives_as_long_as_its_loads(make: Any) -> None:
    """A loader that nobody holds any more answers what was asked of it, and is freed then."""
    loader = make()
    gone = weakref.ref(loader)
    answer = loader.load(2)
    del loader
    assert await answer == 2
    await asyncio.sleep(0)
    assert gone() is None


@ways
async def test_nothing_stays_on_the_loop(make: Any) -> None:
    """After a request the loop's dispatcher knows none of its loaders, batches or keys."""
    for _ in range(3):
        loaders = [make() for _ in range(5)]
        await asyncio.gather(*[loader.load(key) for loader in loaders for key in (2, 4)])
        await asyncio.gather(*[loader.load(1) for loader in loaders], return_exceptions=True)
    dispatcher = getattr(asyncio.get_running_loop(), ATTRIBUTE)
    assert not dispatcher.queues
    assert not dispatcher.open
    assert not dispatcher.tasks


@both
def test_a_loader_works_on_one_loop_after_another(make: Any) -> None:
    """A loader that was made at import time loads on any loop; what it remembers holds on each."""
    source = Listed()
    users = make(source)

    async def page(*keys: int) -> list[str]:
        return await asyncio.gather(*map(users.load, keys))

    assert asyncio.run(page(1, 2)) == ["value 1", "value 2"]
    assert asyncio.run(page(2, 3)) == ["value 2", "value 3"]
    assert source.calls == [[1, 2], [3]]


@both
def test_a_load_that_a_dead_loop_left_is_made_again(make: Any) -> None:
    """A key that was pending when its loop ended is fetched on the next one, and not waited for in vain."""
    calls = []

    async def slow(keys: list[int]) -> list[int]:
        calls.append(keys)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return keys

    users = make(slow)

    async def give_up() -> None:
        users.load(1)
        while not calls:
            await asyncio.sleep(0)

    async def again() -> int:
        return await users.load(1)

    asyncio.run(give_up())
    assert asyncio.run(again()) == 1
    assert calls == [[1], [1]]


@both
def test_a_load_without_a_loop_is_an_error_that_says_so(make: Any) -> None:
    """Outside of a running loop a load raises at the call."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        make(Listed()).load(1)


@both
def test_a_loader_that_was_given_a_loop_loads_before_it_runs(make: Any) -> None:
    """With `loop=` loads and primes can be made first, and the loop be run then."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        users = make(Listed(), loop=loop)
        users.prime(2, "primed")
        assert users.loop is loop
        assert loop.run_until_complete(users.load(1)) == "value 1"
        assert loop.run_until_complete(users.load(2)) == "primed"


@both
def test_the_running_loop_comes_before_the_given_one(make: Any) -> None:
    """A loader that was given a loop loads on another one that runs."""
    with asyncio.Runner() as given:
        users = make(Listed(), loop=given.get_loop())

        async def page() -> str:
            assert users.loop is asyncio.get_running_loop()
            return await users.load(1)

        assert asyncio.run(page()) == "value 1"
