"""Faults 13 to 15: batch functions that load themselves, in a circle, and 10,000 levels deep.

Rules:
- Every loader here has one slot: what waits for a slot that only its own answer could free would hang.
- A circle is found by the loads that it makes, not by a clock: the calls of the batch functions are counted.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import batchio
from batchio import Limits, LoadCycle, Loader
from tests.faults.helpers import Source, answers, caused_by, kinds

ONE_SLOT = Limits(max_in_flight=1, timeout=None)
DEEP = 10_000

depths = pytest.mark.parametrize("depth", range(1, 6))


@depths
async def test_fault_13_a_batch_function_may_load_though_every_slot_is_taken(depth: int) -> None:
    """Through a chain of loaders, and from itself at every link: all is answered, and each link is fetched in turn."""
    source = Source()
    loaders: list[Loader[Any, str]] = [source.loader(max_in_flight=1)]

    def link(below: Loader[Any, str]) -> Loader[Any, str]:
        @batchio.loader(limits=ONE_SLOT)
        async def above(keys: list[tuple[int, int]]) -> dict[Any, str]:
            mine = {key: above((key[0], key[1] - 1)) if key[1] else below((key[0], depth)) for key in keys}
            return dict(zip(mine, await batchio.gather(*mine.values()), strict=True))

        return above

    for _ in range(depth):
        loaders.append(link(loaders[-1]))
    told = await answers(*(loaders[-1]((key, depth)) for key in range(3)))
    assert told == [f"value ({key}, {depth})" for key in range(3)]
    assert source.calls == [[(key, depth) for key in range(3)]]


async def test_fault_13_two_loaders_that_load_from_each_other_need_no_third_slot() -> None:
    """With the only slot of each taken by a batch that waits for the other's, both go on: nobody else could end."""

    def make(name: str) -> Loader[tuple[str, int], str]:
        @batchio.loader(name=name, limits=ONE_SLOT)
        async def fetch(keys: list[tuple[str, int]]) -> dict[tuple[str, int], str]:
            order.append(name)
            return {(key, more): await other(name)((key, more - 1)) if more else name for key, more in keys}

        return fetch

    def other(name: str) -> Loader[tuple[str, int], str]:
        return right if name == "left" else left

    order: list[str] = []
    left, right = make("left"), make("right")
    assert await answers(left(("a", 3)), right(("b", 3))) == ["right", "left"]
    assert sorted(order) == ["left"] * 4 + ["right"] * 4


@depths
async def test_fault_14_a_circle_of_loaders_is_an_error_and_no_hang(depth: int) -> None:
    """LoadCycle (no error of ours is named deadlock), once each loader was called once; it names loader and key."""
    calls: list[int] = []
    ring: list[Loader[str, str]] = []

    def make(place: int) -> Loader[str, str]:
        @batchio.loader(name=f"loader {place}", limits=ONE_SLOT)
        async def fetch(keys: list[str]) -> dict[str, str]:
            calls.append(place)
            return {key: await ring[(place + 1) % depth](key) for key in keys}

        return fetch

    ring.extend(map(make, range(depth)))
    (told,) = await answers(ring[0]("a"))
    assert calls == list(range(depth))
    assert set(kinds(caused_by(told))) == {LoadCycle}
    assert str(told) == "loader 0: a batch asked, while fetching ['a'], for the same keys again; the data has a cycle"
    assert [repr(loader) for loader in ring] == [f"<Loader loader {place}>" for place in range(depth)]


@depths
async def test_fault_14_a_circle_of_keys_is_an_error_and_no_hang(depth: int) -> None:
    """The same within one loader, whose key waits for itself through others; a good key beside it has its value."""
    calls = []

    @batchio.loader(limits=ONE_SLOT)
    async def parent(keys: list[int]) -> dict[int, Any]:
        calls.append(keys)
        below = await batchio.gather(*(parent((key + 1) % depth) for key in keys), return_exceptions=True)
        return dict(zip(keys, below, strict=True))

    @batchio.loader
    async def good(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    told = await answers(parent(0), good(7))
    assert (type(told[0]), told[1]) == (LoadCycle, 7)
    assert calls == [[key] for key in range(depth)]


@pytest.mark.patience(120)
async def test_fault_15_a_page_of_10_000_levels_is_rendered() -> None:
    """Each level awaits a load, and then the level below through `batchio.gather`: no RecursionError, no level lost."""
    source = Source()
    loader = source.loader(max_delay=1000.0)  # or a pause of the collector may let the first keys go alone

    async def render(level: int) -> int:
        assert await loader(level) == f"value {level}"
        if level == DEEP:
            return 1
        below, beside = await batchio.gather(render(level + 1), loader(-level))
        assert beside == f"value {-level}"
        return below + 1

    assert await render(1) == DEEP
    assert len(source.calls) == DEEP  # what stands beside a level leaves with the level below


@pytest.mark.patience(120)
async def test_fault_15_loads_of_loads_10_000_levels_deep_are_answered() -> None:
    """A tree that is walked by its batch function, through `batchio.gather`, comes back up without a RecursionError."""

    @batchio.loader(limits=ONE_SLOT)
    async def size(keys: list[int]) -> dict[int, int]:
        sizes = {}
        for key in keys:
            below = await batchio.gather(*map(size, [key - 1, 0] if key > 1 else []))
            sizes[key] = 1 + sum(below)
        return sizes

    await asyncio.wait([load := size(DEEP)])
    assert type(load.exception()).__name__ == "NoneType"  # an error would bring more causes than can be printed
    assert load.result() == 2 * DEEP - 1
