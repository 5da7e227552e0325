"""Guarantee 13: a batch function may load from any loader, its own too, and nothing locks; endless data is an error."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batchio
from batchio import Limits, LoadCycle
from batchio.testing import record

ONE = Limits(max_in_flight=1)
Links = Mapping[int, Sequence[int]]


def tree_loader(links: Links, batches: list[list[int]] | None = None, **options: Any) -> batchio.Loader[int, int]:
    """A loader whose value for a key is the number of keys below it, itself included; it loads them from itself."""

    async def count(keys: list[int]) -> dict[int, int]:
        if batches is not None:
            batches.append(keys)
        below = await batchio.gather({key: loader.load_many(links.get(key, ())) for key in keys})
        return {key: 1 + sum(counts) for key, counts in below.items()}

    loader = batchio.Loader(count, name="tree", **options)
    return loader


def ring(length: int, first: int = 0) -> dict[int, list[int]]:
    """Links that go round."""
    return {first + n: [first + (n + 1) % length] for n in range(length)}


# --- nothing locks ------------------------------------------------------------------------------------------------


async def test_guarantee_13_chains_do_not_lock_a_loader_that_loads_from_itself() -> None:
    """A batch that loads from its own loader needs no slot for that, though the loader has but one."""
    assert await tree_loader({1: [2, 3], 2: [4], 3: [4], 4: []}, limits=ONE)(1) == 5


async def test_guarantee_13_chains_do_not_lock_when_every_slot_is_taken_by_a_chain() -> None:
    """Eight chains on a loader of one slot: one at a time holds it, and all are answered."""
    tree = tree_loader({n: [n - 1] for n in range(1, 10)}, limits=Limits(max_in_flight=1, max_batch_size=1))
    assert await batchio.gather(*map(tree, range(1, 9))) == tuple(range(2, 10))


@pytest.mark.parametrize("slots", [1, 2])
async def test_guarantee_13_chains_do_not_lock_through_another_loader(slots: int) -> None:
    """A loads from B and B from A: the inner batch of A needs none of A's slots."""
    limits = Limits(max_in_flight=slots)

    @batchio.loader(limits=limits)
    async def a(keys: list[int]) -> dict[int, str]:
        return {key: f"a{await b(key)}" if key else "." for key in keys}

    @batchio.loader(limits=limits)
    async def b(keys: list[int]) -> dict[int, str]:
        return {key: f"b{await a(key - 1)}" for key in keys}

    assert await batchio.gather(a(3), b(3), a(2)) == ("ababab.", "babab.", "abab.")


@pytest.mark.parametrize("slots", [1, 3])
async def test_guarantee_13_chains_do_not_lock_two_loaders_with_all_slots_of_both_in_use(slots: int) -> None:
    """Every batch of A waits for B and every batch of B for A, and neither has a slot: the loads leave all the same."""
    limits = Limits(max_in_flight=slots, max_batch_size=1)
    busy = asyncio.Barrier(2 * slots)

    @batchio.loader(limits=limits)
    async def a(keys: list[int]) -> dict[int, int]:
        return {key: key if key < 0 else await ask(b, -1 - key) for key in keys}

    @batchio.loader(limits=limits)
    async def b(keys: list[int]) -> dict[int, int]:
        return {key: key if key < 0 else await ask(a, -1 - key) for key in keys}

    async def ask(other: Any, key: int) -> int:
        await busy.wait()
        return await other(key)

    loads = [loader(key) for loader in (a, b) for key in range(slots)]
    assert await batchio.gather(*loads) == tuple(-1 - key for key in range(slots)) * 2


async def test_guarantee_13_chains_do_not_lock_beside_keys_that_their_own_scope_asked_for() -> None:
    """An isolated batch function, which sees its scope, loads from a loader that the scope's own code is loading from."""
    both_left, scope_asked = asyncio.Event(), asyncio.Event()

    @batchio.loader(limits=ONE, isolated=True)
    async def a(keys: list[int]) -> dict[int, int]:
        await scope_asked.wait()
        return {key: await b(key + 10) if key == 1 else key for key in keys}

    @batchio.loader(limits=ONE)
    async def b(keys: list[int]) -> dict[int, int]:
        both_left.set()
        return {key: await a(key + 10) if key == 2 else key for key in keys}

    with batchio.scope():
        holders = a(1), b(2)  # each will wait for the other's slot
        await both_left.wait()
        beside = b(3)
        scope_asked.set()
        assert await batchio.gather(*holders, beside) == (11, 12, 3)


async def test_guarantee_13_chains_do_not_lock_behind_strangers_who_wait_for_a_slot() -> None:
    """Strangers' loads with other parameters wait for a slot; a load that a slot's holder waits for passes them by."""
    busy = asyncio.Barrier(4)

    @batchio.loader(limits=ONE)
    async def a(keys: list[int], *, page: int) -> dict[int, int]:
        return {key: await ask(b, key) if key == 1 else 10 * page for key in keys}

    @batchio.loader(limits=ONE)
    async def b(keys: list[int], *, page: int) -> dict[int, int]:
        return {key: await ask(a, key) if key == 1 else 10 * page for key in keys}

    async def ask(other: Any, key: int) -> int:
        await busy.wait()
        return await other(key + 1, page=3)

    async def stranger(loader: Any) -> int:
        while not repr(loader).endswith("1 batches in flight>"):
            await asyncio.sleep(0)
        load = loader(2, page=2)
        await busy.wait()
        return await load

    async with asyncio.timeout(5):
        answers = await batchio.gather(a(1, page=1), b(1, page=1), stranger(a), stranger(b))
    assert answers == (30, 30, 20, 20)


async def test_guarantee_13_chains_do_not_lock_a_ring_of_loaders_with_all_slots_in_use() -> None:
    """The same with five loaders, each of whose only batch waits for the next one's."""
    busy = asyncio.Barrier(5)
    loaders: list[batchio.Loader[int, int]] = []

    def make(n: int) -> batchio.Loader[int, int]:
        async def fetch(keys: list[int]) -> dict[int, int]:
            if keys == [0]:
                await busy.wait()
                return {0: await loaders[(n + 1) % 5](1)}
            return {key: 10 * key + n for key in keys}

        return batchio.Loader(fetch, name=f"ring{n}", limits=ONE)

    loaders.extend(map(make, range(5)))
    assert await batchio.gather(*(loader(0) for loader in loaders)) == (11, 12, 13, 14, 10)


async def test_guarantee_13_a_load_behind_another_loader_takes_a_slot_when_one_comes_free() -> None:
    """max_in_flight holds for a loader that stands behind another, as long as its own batches can end."""
    under_way: list[int] = []

    @batchio.loader(limits=Limits(max_in_flight=2, max_batch_size=1))
    async def source(keys: list[int]) -> dict[int, int]:
        under_way.append(len(under_way) + 1)
        assert len(under_way) <= 2
        await asyncio.sleep(0.001)
        under_way.pop()
        return {key: key for key in keys}

    @batchio.loader
    async def front(keys: list[int]) -> dict[int, int]:
        values = await batchio.gather(*map(source, keys))
        return dict(zip(keys, values, strict=True))

    assert await front.load_many(range(10)) == list(range(10))


async def test_guarantee_13_chains_do_not_lock_in_a_shared_batch() -> None:
    """Loads of a batch function and of strangers share a batch; the batch may load from all their loaders."""
    leaves: list[list[int]] = []

    @batchio.loader(limits=ONE)
    async def outer(keys: list[int]) -> dict[int, int]:
        return dict(zip(keys, await inner.load_many(keys), strict=True))

    @batchio.loader(limits=ONE)
    async def inner(keys: list[int]) -> dict[int, int]:
        leaves.append(keys)
        return {key: key if key < 10 else await outer(key - 10) for key in keys}

    async def stranger() -> int:
        while not repr(outer).endswith("1 batches in flight>"):
            await asyncio.sleep(0)
        return await inner(31)

    assert await batchio.gather(outer(22), stranger()) == (2, 1)
    assert sorted(leaves[0]) == [22, 31]


async def test_guarantee_13_a_key_of_its_own_chain_is_fetched_again() -> None:
    """A batch of 1 and 2 whose 1 needs 2 fetches 2 in a batch of its own, instead of waiting for itself."""
    batches: list[list[int]] = []
    tree = tree_loader({1: [2]}, batches)
    with batchio.scope():
        assert await batchio.gather(tree(1), tree(2)) == (2, 1)
    assert batches == [[1, 2], [2]]


async def test_guarantee_13_a_chain_leaves_in_a_batch_of_its_own() -> None:
    """What a batch loads from its own loader shares no batch with strangers' loads of the same moment."""
    batches: list[list[int]] = []
    tree = tree_loader({1: [2]}, batches)

    async def stranger() -> int:
        while not batches:
            await asyncio.sleep(0)
        return await tree(2)

    await batchio.gather(tree(1), stranger())
    assert sorted(batches) == [[1], [2], [2]]


async def test_guarantee_13_siblings_of_a_chain_share_a_batch() -> None:
    """A level of a tree is one batch, whatever its width: as many batches as the tree is deep."""
    batches: list[list[int]] = []
    links = {n: [2 * n, 2 * n + 1] for n in range(1, 32)}
    assert await tree_loader(links, batches, limits=ONE)(1) == 63
    assert [len(batch) for batch in batches] == [1, 2, 4, 8, 16, 32]


async def test_guarantee_13_a_chain_bears_small_batches() -> None:
    """A level that does not fit into a batch leaves in several, all without slots."""
    links = {n: [2 * n, 2 * n + 1] for n in range(1, 32)}
    assert await tree_loader(links, limits=Limits(max_in_flight=1, max_batch_size=3))(1) == 63


async def test_guarantee_13_a_task_left_behind_by_a_batch_is_no_chain() -> None:
    """A task that a batch function started and did not wait for loads as anybody does, once the batch is over."""
    left: list[asyncio.Task[int]] = []
    over = asyncio.Event()

    @batchio.loader
    async def numbers(keys: list[int]) -> dict[int, int]:
        if keys == [1]:
            left.append(asyncio.create_task(later()))
        return {key: key for key in keys}

    async def later() -> int:
        await over.wait()
        one, many = numbers(1), numbers.load_many([2])
        return await one + sum(await many)

    assert await numbers(1) == 1
    left_behind = left.pop()
    with record() as recorded:
        over.set()
        assert await left_behind == 3
    assert recorded.batches(numbers) == [[1, 2]]


# --- joins that would wait for themselves -------------------------------------------------------------------------


async def test_guarantee_13_coalesce_does_not_join_a_batch_that_waits_for_the_load() -> None:
    """A coalescing loader that loads a key of its own chain fetches it again."""
    batches: list[list[int]] = []
    tree = tree_loader({1: [2, 3], 2: [3]}, batches, coalesce=True, limits=ONE)
    assert await tree.load_many([1, 2, 3]) == [4, 2, 1]
    assert batches == [[1, 2, 3], [2, 3], [3]]


async def test_guarantee_13_coalesce_joins_a_strangers_batch_from_a_chain() -> None:
    """A batch function's load joins a flight that does not wait for it."""
    batches: list[list[int]] = []
    go = asyncio.Event()

    @batchio.loader(coalesce=True)
    async def source(keys: list[int]) -> dict[int, int]:
        batches.append(keys)
        await go.wait()
        return {key: key for key in keys}

    @batchio.loader
    async def front(keys: list[int]) -> dict[int, int]:
        asyncio.get_running_loop().call_soon(go.set)
        return {key: await source(key) for key in keys}

    first = source(1)
    while not batches:
        await asyncio.sleep(0)
    assert await batchio.gather(first, front(1)) == (1, 1)
    assert batches == [[1]]


async def test_guarantee_13_two_coalescing_batches_do_not_wait_for_each_other() -> None:
    """Each of two batches wants the other's key: one joins, and the other fetches again."""
    ready = asyncio.Barrier(2)
    links = {"a1": "b2", "b1": "a2"}

    @batchio.loader(coalesce=True, limits=Limits(max_in_flight=2, max_batch_size=2))
    async def pairs(keys: list[str]) -> dict[str, str]:
        if len(keys) == 2:
            await ready.wait()
        return {key: f"{key}>{await pairs(links[key])}" if key in links else key for key in keys}

    async with asyncio.timeout(5):
        assert await pairs.load_many(["a1", "a2", "b1", "b2"]) == ["a1>b2", "a2", "b1>a2", "b2"]


async def test_guarantee_13_a_memo_join_does_not_wait_for_itself() -> None:
    """An isolated batch loads in its scope, whose memo knows its own keys: they are fetched again."""
    batches: list[list[int]] = []
    tree = tree_loader({1: [2, 3], 2: [3]}, batches, isolated=True, limits=ONE)
    with batchio.scope():
        assert await batchio.gather(tree(1), tree(2), tree.load_many([3])) == (4, 2, [1])
        assert await tree(3) == 1
    assert batches == [[1, 2, 3], [2, 3], [3]]


@pytest.mark.parametrize("many", [False, True], ids=["load", "load_many"])
async def test_guarantee_13_two_isolated_batches_do_not_wait_for_each_other_through_the_memo(many: bool) -> None:
    """Two loaders of one scope that each want the other's pending key: one joins, the other fetches again."""
    ready = asyncio.Barrier(2)
    options: dict[str, Any] = {"isolated": True, "limits": ONE}

    async def ask(other: Any, keys: list[int]) -> Any:
        if len(keys) == 2:
            await ready.wait()
        return (await other.load_many([2]))[0] if many else await other(2)

    @batchio.loader(**options)
    async def a(keys: list[int]) -> dict[int, str]:
        return {key: f"a{await ask(b, keys)}" if key == 1 else "A" for key in keys}

    @batchio.loader(**options)
    async def b(keys: list[int]) -> dict[int, str]:
        return {key: f"b{await ask(a, keys)}" if key == 1 else "B" for key in keys}

    with batchio.scope():
        async with asyncio.timeout(5):
            answers = await batchio.gather(a.load_many([1, 2]), b.load_many([1, 2]))
    assert answers == (["aB", "A"], ["bA", "B"])


async def test_guarantee_13_isolated_loaders_chain_in_their_scope() -> None:
    """Isolated loaders load from each other with one slot each, in every scope at once."""

    @batchio.loader(isolated=True, limits=ONE)
    async def a(keys: list[int]) -> dict[int, str]:
        return {key: f"a{await b(key)}" if key else "." for key in keys}

    @batchio.loader(isolated=True, limits=ONE)
    async def b(keys: list[int]) -> dict[int, str]:
        return {key: f"b{await a(key - 1)}" for key in keys}

    async def request() -> tuple[str, str]:
        with batchio.scope():
            return await batchio.gather(a(2), b(2))

    async with asyncio.timeout(5):
        assert await batchio.gather(*(request() for _ in range(3))) == (("abab.", "bab."),) * 3


@pytest.mark.virtual
async def test_guarantee_13_a_chain_does_not_wait_for_the_lease_that_its_own_batch_holds() -> None:
    """With a cache, a key of its own chain is fetched again at once: the one who is filling it waits for the answer."""
    tree = tree_loader({n: [n - 1] for n in range(1, 6)}, cache=batchio.MemoryCache())
    loop = asyncio.get_running_loop()
    assert await tree.load_many(range(1, 6)) == [2, 3, 4, 5, 6]
    assert loop.time() < 0.1


# --- endless data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", range(6))
async def test_guarantee_13_cyclic_data_is_an_error_however_deep_it_begins(depth: int) -> None:
    """A key that is its own parent, so many levels down: LoadCycle, in words that name loader and keys."""
    links = {n: [n - 1] for n in range(1, depth + 1)} | {0: [0]}
    with pytest.raises(LoadCycle, match=r"tree: a batch asked, while fetching \[0\], for the same keys again"):
        await tree_loader(links, limits=ONE)(depth)


async def test_guarantee_13_cyclic_data_is_an_error_for_cycles_of_any_length() -> None:
    """Rings of 1 to 200 keys through one loader all end in LoadCycle, and soon."""
    for length in (*range(1, 13), 31, 32, 33, 63, 64, 65, 66, 99, 127, 128, 129, 200):
        batches: list[list[int]] = []
        with pytest.raises(LoadCycle):
            await tree_loader(ring(length), batches)(0)
        assert length <= len(batches) <= 4 * length


@pytest.mark.parametrize("count", [1, 2, 3, 5])
async def test_guarantee_13_cyclic_data_is_an_error_through_several_loaders(count: int) -> None:
    """A ring that passes through several loaders ends in LoadCycle."""
    loaders: list[batchio.Loader[int, int]] = []

    def make(n: int) -> batchio.Loader[int, int]:
        async def fetch(keys: list[int]) -> dict[int, int]:
            return {key: await loaders[(n + 1) % count]((key + 1) % 7) for key in keys}

        return batchio.Loader(fetch, name=f"ring{n}", limits=ONE)

    loaders.extend(map(make, range(count)))
    with pytest.raises(LoadCycle):
        await loaders[0](0)


async def test_guarantee_13_a_cycle_beside_good_data_is_found_though_strangers_share_its_batches() -> None:
    """Rings and a chain that ends, loaded together: whoever shares a batch with a ring is told, and nobody waits."""
    links = {**ring(3), **ring(5, first=10), 20: [21], 21: [22]}
    results = await batchio.gather(*map(tree_loader(links), (0, 10, 20)), return_exceptions=True)
    assert [type(result) for result in results] == [LoadCycle] * 3


@pytest.mark.parametrize("options", [{"coalesce": True}, {"isolated": True}, {"memo": False}], ids=str)
async def test_guarantee_13_cyclic_data_is_an_error_whatever_the_options(options: dict[str, Any]) -> None:
    """A ring ends in LoadCycle for loaders that coalesce, that are isolated, that have no memo."""
    for length in (1, 2, 5, 70):
        tree = tree_loader(ring(length), limits=ONE, **options)
        with batchio.scope():
            results = await batchio.gather(*map(tree, range(length)), return_exceptions=True)
        assert {type(result) for result in results} == {LoadCycle}


@pytest.mark.parametrize("options", [{"coalesce": True}, {"isolated": True}], ids=["coalesce", "isolated"])
async def test_guarantee_13_a_cycle_is_found_though_a_sibling_joins_its_batch(options: dict[str, Any]) -> None:
    """A batch that repeats its parent's key is a cycle, also when another load joined it before it began."""
    batches: list[list[int]] = []

    @batchio.loader(isolated="isolated" in options)
    async def side(keys: list[int]) -> dict[int, int]:
        return {key: await circle(0) for key in keys}

    @batchio.loader(**options)
    async def circle(keys: list[int]) -> dict[int, int]:
        batches.append(keys)
        assert len(batches) < 100, "round and round"
        return {key: sum(await batchio.gather(side(1), circle(key))) for key in keys}

    with batchio.scope(), pytest.raises(LoadCycle):
        await circle(0)


async def test_guarantee_13_a_cycle_is_told_as_its_own_batch_function_may_catch_it() -> None:
    """A batch function that catches LoadCycle answers, and the rest of the data with it."""

    @batchio.loader
    async def parents(keys: list[int]) -> dict[int, str]:
        async def one(key: int) -> str:
            try:
                return f"{key}>{await parents({1: 2, 2: 1}[key])}"
            except LoadCycle:
                return f"{key}, again"

        return dict(zip(keys, await batchio.gather(*map(one, keys)), strict=True))

    assert await parents(1) == "1>2, again"


async def test_loads_with_other_parameters_are_no_cycle() -> None:
    """The same key with another parameter is another load: a chain of those that ends is answered."""

    @batchio.loader
    async def page(keys: list[str], *, number: int) -> dict[str, int]:
        return {key: number if number == 9 else await page(key, number=number + 1) for key in keys}

    assert await page("posts", number=1) == 9


# --- depth --------------------------------------------------------------------------------------------------------


@pytest.mark.patience(120)
async def test_guarantee_13_a_tree_of_10_000_levels_is_answered() -> None:
    """Ten thousand levels through one loader raise no RecursionError, and are worked off one by one."""
    deep = tree_loader({n: [n - 1] for n in range(1, 10_000)}, limits=Limits(max_in_flight=1, timeout=None))(9_999)
    await asyncio.wait([deep])
    assert type(deep.exception()).__name__ == "NoneType"  # an error would come with more causes than pytest can print
    assert deep.result() == 10_000


@pytest.mark.parametrize("options", [{"coalesce": True}, {"isolated": True}], ids=["coalesce", "isolated"])
async def test_guarantee_13_a_deep_tree_is_answered_whatever_the_options(options: dict[str, Any]) -> None:
    """The same, a thousand levels deep, for loaders that look for flights to join."""
    deep = tree_loader({n: [n - 1] for n in range(1, 1_000)}, limits=Limits(max_in_flight=1, timeout=None), **options)
    with batchio.scope():
        assert await deep(999) == 1_000


@pytest.mark.patience(120)
@pytest.mark.flavours("asyncio")
async def test_guarantee_13_an_error_comes_up_10_000_levels() -> None:
    """An error at the bottom reaches the caller, each level's copy with the one below as its cause."""

    @batchio.loader(limits=Limits(timeout=None))
    async def down(keys: list[int]) -> dict[int, int]:
        return {key: await down(key - 1) if key else 1 // 0 for key in keys}

    await asyncio.wait([load := down(9_999)])
    error: BaseException | None = load.exception()
    kinds = []
    while error is not None:  # more of them than pytest could print
        kinds.append(type(error).__name__)
        error = error.__cause__
    assert (len(kinds), set(kinds)) == (10_001, {"ZeroDivisionError"})


# --- any data -----------------------------------------------------------------------------------------------------


ENOUGH = 2_000  # batches; data of seven keys that is answered, or found to be cyclic, takes a few hundred at most


class EndlessError(Exception):
    """The loaders go round and round."""


@dataclass(frozen=True)
class Graph:
    """Links between keys, the loader of each, how each loader is made, and which of them load one by one."""

    links: tuple[tuple[int, ...], ...]
    homes: tuple[int, ...]
    options: tuple[dict[str, Any], ...]
    one_by_one: tuple[bool, ...]
    asked: tuple[int, ...]
    scoped: bool

    def loaders(self) -> list[batchio.Loader[int, int]]:
        """Loaders whose value for a key is its height above the keys that link to nothing."""
        loaders: list[batchio.Loader[int, int]] = []
        batches = iter(range(ENOUGH))

        def make(home: int) -> batchio.Loader[int, int]:
            async def fetch(keys: list[int]) -> dict[int, int]:
                if next(batches, None) is None:
                    raise EndlessError
                if self.one_by_one[home]:
                    return {key: await self.height_slowly(loaders, key) for key in keys}
                heights = await batchio.gather(*(self.height(loaders, key) for key in keys))
                return dict(zip(keys, heights, strict=True))

            return batchio.Loader(fetch, name=f"home{home}", **self.options[home])

        loaders.extend(map(make, range(len(self.options))))
        return loaders

    async def height(self, loaders: list[batchio.Loader[int, int]], key: int) -> int:
        below = await batchio.gather(*(loaders[self.homes[child]](child) for child in self.links[key]))
        return 1 + max(below, default=-1)

    async def height_slowly(self, loaders: list[batchio.Loader[int, int]], key: int) -> int:
        height = 0
        for child in self.links[key]:
            height = max(height, 1 + await loaders[self.homes[child]](child))
        return height

    def true_height(self, key: int) -> int:
        return max((1 + self.true_height(child) for child in self.links[key]), default=0)

    async def answers(self) -> list[Any]:
        """What the loaders say of the keys that are asked for, some at once and some a little later."""
        loaders = self.loaders()

        async def ask(place: int, key: int) -> int:
            for _ in range(place % 3 * 4):
                await asyncio.sleep(0)
            return await loaders[self.homes[key]](key)

        async def page() -> list[Any]:
            asking = (ask(place, key) for place, key in enumerate(self.asked))
            return list(await batchio.gather(*asking, return_exceptions=True))

        async with asyncio.timeout(15):
            if not self.scoped:
                return await page()
            with batchio.scope():
                return await page()


OPTIONS = st.fixed_dictionaries(
    {
        "limits": st.builds(
            Limits, max_in_flight=st.integers(1, 2), max_batch_size=st.sampled_from([1, 2, 1000]), timeout=st.just(10.0)
        ),
        "coalesce": st.booleans(),
    }
) | st.fixed_dictionaries({"limits": st.builds(Limits, max_in_flight=st.just(1)), "isolated": st.just(True)})


@st.composite
def graphs(draw: st.DrawFn, *, cyclic: bool) -> Graph:
    """Random graphs of up to seven keys over up to three loaders."""
    size = draw(st.integers(1, 7))
    homes = draw(st.integers(1, 3))

    def children(key: int) -> st.SearchStrategy[tuple[int, ...]]:
        last = size - 1 if cyclic else key - 1
        return st.lists(st.integers(0, last), max_size=3, unique=True).map(tuple) if last >= 0 else st.just(())

    return Graph(
        links=tuple(draw(children(key)) for key in range(size)),
        homes=tuple(draw(st.integers(0, homes - 1)) for _ in range(size)),
        options=tuple(draw(OPTIONS) for _ in range(homes)),
        one_by_one=tuple(draw(st.booleans()) for _ in range(homes)),
        asked=tuple(draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=6))),
        scoped=draw(st.booleans()),
    )


FLAVOURS = pytest.mark.flavours("asyncio", "eager", "uvloop")
SETTINGS = settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck))


@FLAVOURS
@pytest.mark.patience(120)
@SETTINGS
@given(graph=graphs(cyclic=False))
async def test_guarantee_13_acyclic_data_is_always_answered(graph: Graph) -> None:
    """Whatever shares a batch with whatever, data that ends is answered: no LoadCycle, and nobody waits for ever."""
    assert await graph.answers() == [graph.true_height(key) for key in graph.asked]


@FLAVOURS
@pytest.mark.patience(120)
@SETTINGS
@given(graph=graphs(cyclic=True))
async def test_guarantee_13_cyclic_data_is_answered_or_is_a_cycle(graph: Graph) -> None:
    """Data that may go round is answered or ends in LoadCycle, and nobody waits for ever."""
    answers = await graph.answers()
    assert all(isinstance(answer, (int, LoadCycle)) for answer in answers), answers


async def test_guarantee_13_wide_acyclic_data_is_answered_for_many_at_once() -> None:
    """Two hundred keys in five layers that share children, over three loaders of one slot each, with small batches."""
    dice = random.Random(13)
    layers = [range(40 * n, 40 * n + 40) for n in range(5)]
    links = {key: dice.sample(below, k=3) for below, layer in itertools.pairwise(layers) for key in layer}
    loaders: list[batchio.Loader[int, int]] = []

    def make(home: int) -> batchio.Loader[int, int]:
        async def fetch(keys: list[int]) -> dict[int, int]:
            children = dict.fromkeys(child for key in keys for child in links.get(key, ()))
            below = await batchio.gather({child: loaders[child % 3](child) for child in children})
            return {key: 1 + max((below[child] for child in links.get(key, ())), default=-1) for key in keys}

        return batchio.Loader(fetch, name=f"home{home}", limits=Limits(max_in_flight=1, max_batch_size=20))

    loaders.extend(map(make, range(3)))
    assert await batchio.gather(*(loaders[key % 3](key) for key in range(200))) == tuple(n // 40 for n in range(200))
