"""MemoryCache by itself, and a loader that asks a cache first."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import pytest

import batchio
from batchio import Limits, MemoryCache
from batchio._core.cache import LEASE_SECONDS, BoundCache, Lookup
from batchio.testing import check_cache


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Store:
    """A MemoryCache with its clock, bound once."""

    def __init__(self, max_items: int = 10_000) -> None:
        self.clock = Clock()
        self.cache = MemoryCache(max_items, clock=self.clock)
        self.keys = self.cache.bind("names")

    async def put(self, ttl: float | None = None, **values: Any) -> None:
        await self.keys.set_many(values, ttl)

    async def hits(self, *keys: Any) -> dict[Any, Any]:
        return (await self.keys.get_many(keys)).hits


@pytest.fixture
def store() -> Store:
    return Store()


# --- MemoryCache: values ------------------------------------------------------------------------------------------


@pytest.mark.flavours("asyncio")
async def test_a_memory_cache_keeps_the_contract_of_caches() -> None:
    """MemoryCache passes the checks that batchio.testing has for anybody's cache; it waits for time, and for no loop."""
    await check_cache(MemoryCache)


async def test_a_value_is_the_object_that_was_stored(store: Store) -> None:
    """A hit equals the miss in type and value, None and other empty values included."""
    value = object()
    await store.keys.set_many({"a": value, "b": None, "c": 0}, None)
    assert await store.hits("a", "b", "c") == {"a": value, "b": None, "c": 0}


async def test_a_value_lives_for_its_ttl(store: Store) -> None:
    """A value is there until ttl seconds have passed on the given clock, and one without a ttl for ever."""
    await store.put(ttl=10, short="s")
    await store.put(ttl=None, endless="e")
    store.clock.now = 9.999
    assert await store.hits("short", "endless") == {"short": "s", "endless": "e"}
    assert len(store.cache) == 2
    store.clock.now = 10
    assert await store.hits("short", "endless") == {"endless": "e"}
    assert len(store.cache) == 1
    store.clock.now = 1e12
    assert await store.hits("endless") == {"endless": "e"}


async def test_a_new_value_has_a_new_ttl(store: Store) -> None:
    """Storing again begins anew."""
    await store.put(ttl=10, a=1)
    store.clock.now = 9
    await store.put(ttl=10, a=2)
    store.clock.now = 18
    assert await store.hits("a") == {"a": 2}


async def test_the_least_recently_used_value_goes_first() -> None:
    """Beyond max_items the one that was neither read nor written for longest is dropped."""
    store = Store(max_items=3)
    await store.put(a=1)
    await store.put(b=2)
    await store.put(c=3)
    await store.hits("a")
    await store.put(b=4)
    await store.put(d=5)
    assert await store.hits("a", "b", "c", "d") == {"a": 1, "b": 4, "d": 5}
    assert len(store.cache) == 3


async def test_the_bound_holds_over_all_loaders_of_a_cache() -> None:
    """max_items counts the values of all loaders together, also when one verb brings more than fit."""
    store = Store(max_items=5)
    other = store.cache.bind("other")
    await other.set_many({n: n for n in range(100)}, None)
    await store.put(a=1)
    assert len(store.cache) == 5
    assert (await other.get_many(range(100))).hits == {n: n for n in range(96, 100)}


async def test_leases_are_bounded_too() -> None:
    """Misses that nobody fills take no more room than values do; a forgotten lease only loses a fill."""
    store = Store(max_items=3)
    first = await store.keys.get_many(["a"])
    await store.keys.get_many(["b", "c", "d"])
    assert repr(store.cache) == "<MemoryCache 0 of 3 items, 3 leases>"
    await store.keys.fill_many({"a": 1}, first.leases, None)
    assert await store.hits("a") == {}


@pytest.mark.parametrize("count", [0, -1])
def test_a_cache_of_nothing_is_refused(count: int) -> None:
    """max_items is at least one."""
    with pytest.raises(ValueError, match=f"MemoryCache: max_items is {count}; it must be at least 1"):
        MemoryCache(count)


async def test_keys_of_different_types_are_different_keys(store: Store) -> None:
    """1, True and 1.0 are three keys to a cache, also inside tuples, named tuples and frozen sets."""

    class Point(NamedTuple):
        x: Any

    alike: list[list[Any]] = [
        [1, True, 1.0],
        [(1, 2), (True, 2)],
        [(1, (2,)), (1, (2.0,))],
        [Point(1), Point(True)],
        [frozenset({1, 2}), frozenset({True, 2}), frozenset({(1, 2)}), frozenset({(1.0, 2)})],
    ]
    for keys in alike:
        for place, key in enumerate(keys):
            await store.keys.set_many({key: place}, None)
        for place, key in enumerate(keys):
            assert await store.hits(key) == {key: place}


async def test_an_equal_instance_of_a_subclass_is_the_same_key(store: Store) -> None:
    """Whoever invalidates by a StrEnum's member reaches what was stored under its text."""

    class Point(NamedTuple):
        x: Any

    class Colour(StrEnum):
        RED = "red"

    for one, other in [(Colour.RED, "red"), (Point(1), (1,)), ((Colour.RED, 1), ("red", 1))]:
        await store.keys.set_many({other: "value"}, None)
        assert await store.hits(one) == {other: "value"}
        await store.keys.delete_many([one])
        assert await store.hits(other) == {}


async def test_loaders_and_versions_have_keys_of_their_own() -> None:
    """The same key of another loader, or of another version of the same one, is another key."""
    cache = MemoryCache()
    names, titles = cache.bind("names"), cache.bind("titles")
    await names.set_many({1: "Ada"}, None)
    assert (await titles.get_many([1])).hits == {}
    del names
    gc.collect()
    assert (await cache.bind("names", str, 1).get_many([1])).hits == {}
    gc.collect()
    assert (await cache.bind("names", str, 0).get_many([1])).hits == {1: "Ada"}


async def test_delete_forgets_and_asks_nothing(store: Store) -> None:
    """A deleted key is a miss, and deleting what is not there is no error."""
    await store.put(a=1, b=2)
    await store.keys.delete_many(["a", "never there"])
    assert await store.hits("a", "b") == {"b": 2}


# --- MemoryCache: leases ------------------------------------------------------------------------------------------


async def test_a_herd_makes_one_fetch(store: Store) -> None:
    """The first who misses gets the lease; others are told that somebody is filling, until it is filled."""
    first = await store.keys.get_many(["a", "b"])
    second = await store.keys.get_many(["b", "c"])
    assert (list(first.leases), first.filling) == (["a", "b"], [])
    assert (list(second.leases), second.filling) == (["c"], ["b"])
    await store.keys.fill_many({"a": 1, "b": 2}, first.leases, None)
    assert await store.hits("a", "b") == {"a": 1, "b": 2}


async def test_a_fill_never_overwrites_a_later_invalidation(store: Store) -> None:
    """A late fill is refused after a delete, and the key is free for the next one who misses."""
    late = await store.keys.get_many(["a"])
    await store.keys.delete_many(["a"])
    fresh = await store.keys.get_many(["a"])
    await store.keys.fill_many({"a": "stale"}, late.leases, None)
    assert await store.hits("a") == {}
    await store.keys.fill_many({"a": "fresh"}, fresh.leases, None)
    assert await store.hits("a") == {"a": "fresh"}


async def test_a_fill_never_overwrites_a_later_write(store: Store) -> None:
    """set_many voids the leases of its keys."""
    late = await store.keys.get_many(["a"])
    await store.put(a="written")
    await store.keys.fill_many({"a": "stale"}, late.leases, None)
    assert await store.hits("a") == {"a": "written"}


async def test_a_lease_expires(store: Store) -> None:
    """Whoever fills and dies frees the key after some seconds, and comes too late if the next one has a lease."""
    late = await store.keys.get_many(["a"])
    store.clock.now = LEASE_SECONDS - 0.001
    assert (await store.keys.get_many(["a"])).filling == ["a"]
    store.clock.now = LEASE_SECONDS
    fresh = await store.keys.get_many(["a"])
    assert list(fresh.leases) == ["a"]
    await store.keys.fill_many({"a": "late"}, late.leases, None)
    assert await store.hits("a") == {}
    await store.keys.fill_many({"a": "fresh"}, fresh.leases, None)
    assert await store.hits("a") == {"a": "fresh"}


async def test_a_lease_is_used_once(store: Store) -> None:
    """A second fill with the same lease does nothing."""
    found = await store.keys.get_many(["a"])
    await store.keys.fill_many({"a": 1}, found.leases, None)
    await store.keys.fill_many({"a": 2}, found.leases, None)
    assert await store.hits("a") == {"a": 1}


async def test_a_lease_without_a_value_is_given_back(store: Store) -> None:
    """A fill that found nothing for a key frees it at once; a value without a lease is not stored."""
    found = await store.keys.get_many(["a"])
    await store.keys.fill_many({"b": 1}, found.leases, None)
    again = await store.keys.get_many(["a", "b"])
    assert (again.hits, list(again.leases)) == ({}, ["a", "b"])


async def test_fills_live_for_their_ttl(store: Store) -> None:
    """A filled value ends as a stored one does."""
    found = await store.keys.get_many(["a"])
    await store.keys.fill_many({"a": 1}, found.leases, 5)
    store.clock.now = 5
    assert await store.hits("a") == {}


def test_a_memory_cache_may_be_used_from_several_threads() -> None:
    """Four threads read, fill and delete the same keys; bounds hold, and no read gives another key's value."""
    cache = MemoryCache(50)
    bound = cache.bind("n")
    wrong: list[Any] = []

    async def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(300):
            keys = dice.sample(range(100), k=10)
            found = await bound.get_many(keys)
            wrong.extend((key, value) for key, value in found.hits.items() if key != value)
            await bound.fill_many({key: key for key in found.leases}, found.leases, None)
            await bound.delete_many(keys[:2])

    threads = [threading.Thread(target=asyncio.run, args=(work(seed),)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(cache) <= 50


# --- names --------------------------------------------------------------------------------------------------------


def make(cache: Any, name: str = "users", **options: Any) -> batchio.Loader[int, str]:
    async def fetch(keys: list[int]) -> dict[int, str]:
        return {key: f"user {key}" for key in keys}

    return batchio.Loader(fetch, name=name, cache=cache, **options)


def test_two_loaders_of_one_name_on_one_cache_are_refused() -> None:
    """They would read each other's values; the message says to name one of them."""
    cache = MemoryCache()
    held = make(cache)
    with pytest.raises(ValueError, match="users: this cache already has a loader of that name; give one of them name="):
        make(cache)
    make(cache, name="others")
    make(MemoryCache())
    del held
    gc.collect()
    make(cache)


# --- a loader with a cache ----------------------------------------------------------------------------------------


class Watched:
    """A MemoryCache that notes what it is asked, and that can fail or be slow."""

    def __init__(self, **how: Any) -> None:
        self.cache = MemoryCache()
        self.how = how  # by verb: an exception to raise, or an event to wait for first
        self.asked: list[tuple[str, Any]] = []

    def bind(self, name: str, value_type: Any, version: int | str) -> BoundCache[Any, Any]:
        self.bound = self.cache.bind(name, value_type, version)
        return self

    async def note(self, verb: str, keys: Any) -> None:
        self.asked.append((verb, keys))
        how = self.how.get(verb)
        if isinstance(how, BaseException):
            raise how
        if how is not None:
            await how.wait()

    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        await self.note("get", list(keys))
        return await self.bound.get_many(keys)

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await self.note("fill", (dict(values), ttl))
        await self.bound.fill_many(values, leases, ttl)

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        raise AssertionError("a loader fills, it does not set")

    async def delete_many(self, keys: Sequence[Any]) -> None:
        await self.note("delete", list(keys))
        await self.bound.delete_many(keys)


class Source:
    """A loader on a cache, which counts its fetches; each fetch of a key gives a new value."""

    def __init__(self, cache: Any, **options: Any) -> None:
        self.batches: list[list[Any]] = []
        self.loader = batchio.Loader(self.fetch, name="source", cache=cache, **options)

    async def fetch(self, keys: list[Any]) -> dict[Any, str]:
        self.batches.append(keys)
        return {key: f"{key} of batch {len(self.batches)}" for key in keys}


async def test_a_hit_does_not_call_the_batch_function() -> None:
    """What one request fetched another finds in the cache."""
    source = Source(MemoryCache())
    for _ in range(2):
        with batchio.scope():
            assert await source.loader.load_many([1, 2]) == ["1 of batch 1", "2 of batch 1"]
    assert source.batches == [[1, 2]]


async def test_a_load_that_misses_is_answered_beside_a_load_many_that_hits() -> None:
    """They leave in one batch; the cache answers some of it, and the batch function the rest."""
    source = Source(MemoryCache())
    await source.loader.load_many([2, 3])
    await batchio.drain()
    one, many = source.loader(1), source.loader.load_many([2, 3])
    assert [await one, await many] == ["1 of batch 2", ["2 of batch 1", "3 of batch 1"]]
    assert source.batches == [[2, 3], [1]]


async def test_the_batch_function_is_called_with_the_misses_only() -> None:
    """The cache is asked once for all keys of a batch, and the batch function for those that it lacks, in order."""
    cache = Watched()
    source = Source(cache)
    await source.loader(2)
    await batchio.drain()
    cache.asked.clear()
    assert await source.loader.load_many([3, 2, 1]) == ["3 of batch 2", "2 of batch 1", "1 of batch 2"]
    assert source.batches == [[2], [3, 1]]
    assert cache.asked[0] == ("get", [3, 2, 1])


async def test_ttl_and_default_reach_the_cache() -> None:
    """Values are filled with the loader's ttl, and a default as the value that it is."""
    cache = Watched()

    @batchio.loader(cache=cache, ttl=60, default="nobody")
    async def names(keys: list[int]) -> dict[int, str]:
        return {1: "Ada"}

    assert await names.load_many([1, 2]) == ["Ada", "nobody"]
    await batchio.drain()
    assert cache.asked[-1] == ("fill", ({1: "Ada", 2: "nobody"}, 60))


async def test_fills_happen_after_answers() -> None:
    """Nobody waits for a store to be written: loads are answered while the fill is still under way."""
    written = asyncio.Event()
    cache = Watched(fill=written)
    source = Source(cache, limits=Limits(max_in_flight=1, cache_timeout=30))
    assert await source.loader(1) == "1 of batch 1"
    assert len(cache.cache) == 0
    assert await source.loader(2) == "2 of batch 2"  # its slot is free, too
    written.set()
    await batchio.drain()
    assert len(cache.cache) == 2


async def test_an_error_gives_its_leases_back() -> None:
    """After a batch that failed the next one who misses may fill at once."""
    cache = MemoryCache()

    @batchio.loader(cache=cache)
    async def failing(keys: list[int]) -> dict[int, Any]:
        raise ValueError

    with pytest.raises(ValueError):
        await failing(1)
    await batchio.drain()
    assert repr(cache) == "<MemoryCache 0 of 10000 items, 0 leases>"


async def test_what_is_no_value_is_not_filled() -> None:
    """Errors as values and keys without a value leave the cache as it was, and the rest of their batch is filled."""
    cache = Watched()

    @batchio.loader(cache=cache)
    async def mixed(keys: list[int]) -> dict[int, Any]:
        return {1: "one", 2: ValueError()}

    await mixed.load_many([1, 2, 3], return_exceptions=True)
    await batchio.drain()
    assert cache.asked[-1] == ("fill", ({1: "one"}, None))


@pytest.mark.parametrize("error", [OSError("gone"), ValueError(), TimeoutError()], ids=repr)
async def test_a_cache_that_fails_is_a_miss_without_a_fill(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The reader gets the value from the source, the log a warning, and nothing is written."""
    cache = Watched(get=error)
    source = Source(cache)
    assert await source.loader.load_many([1, 2]) == ["1 of batch 1", "2 of batch 1"]
    await batchio.drain()
    assert [verb for verb, _ in cache.asked] == ["get"]
    assert "source: cache lookup failed, taken for a miss" in caplog.text


@pytest.mark.virtual
async def test_a_slow_cache_is_a_miss_without_a_fill(caplog: pytest.LogCaptureFixture) -> None:
    """A lookup that takes longer than cache_timeout counts as a miss, and the page goes on."""
    cache = Watched(get=asyncio.Event())
    source = Source(cache, limits=Limits(cache_timeout=0.1))
    assert await source.loader(1) == "1 of batch 1"
    assert asyncio.get_running_loop().time() == pytest.approx(0.1, abs=0.01)
    await batchio.drain()
    assert [verb for verb, _ in cache.asked] == ["get"]
    assert "cache lookup failed" in caplog.text


@pytest.mark.virtual
@pytest.mark.parametrize("how", [OSError("gone"), None], ids=["fails", "is slow"])
async def test_a_fill_that_fails_is_nobodys_error(how: Exception | None, caplog: pytest.LogCaptureFixture) -> None:
    """A cache that cannot be written costs nothing but the next fetch, and a line in the log."""
    source = Source(Watched(fill=how or asyncio.Event()))
    assert await source.loader(1) == "1 of batch 1"
    await batchio.drain()
    assert "source: cache fill failed" in caplog.text


async def test_a_lookup_that_answers_nothing_is_a_miss() -> None:
    """Keys of which a cache says nothing at all are fetched."""

    class Silent(Watched):
        async def get_many(self, keys: Sequence[Any]) -> Any:
            return None if keys == [1] else Lookup()

    source = Source(Silent())
    assert [await source.loader(1), await source.loader(2)] == ["1 of batch 1", "2 of batch 2"]


async def test_parameters_are_part_of_the_cache_key() -> None:
    """The same key with other parameters is another value in the cache, to read, to fill and to invalidate."""
    calls: list[tuple[str, list[int]]] = []

    @batchio.loader(cache=MemoryCache())
    async def title(keys: list[int], *, locale: str) -> dict[int, str]:
        calls.append((locale, keys))
        return {key: f"{key} {locale} {len(calls)}" for key in keys}

    assert [await title(1, locale="fr"), await title(1, locale="en")] == ["1 fr 1", "1 en 2"]
    assert [await title(1, locale="fr"), await title(1, locale="en")] == ["1 fr 1", "1 en 2"]
    await title.invalidate(1, locale="fr")
    assert [await title(1, locale="fr"), await title(1, locale="en")] == ["1 fr 3", "1 en 2"]
    assert calls == [("fr", [1]), ("en", [1]), ("fr", [1])]


async def test_split_on_error_fills_what_was_good() -> None:
    """Of a batch that was halved, the good keys are cached and the bad one is asked again."""

    @batchio.loader(cache=MemoryCache(), split_on_error=True)
    async def picky(keys: list[int]) -> dict[int, int]:
        calls.append(keys)
        if 3 in keys:
            raise ValueError
        return {key: key for key in keys}

    calls: list[list[int]] = []
    first = await picky.load_many([1, 2, 3, 4], return_exceptions=True)
    await batchio.drain()
    calls.clear()
    second = await picky.load_many([1, 2, 3, 4], return_exceptions=True)
    for answers in (first, second):
        assert [answer if isinstance(answer, int) else type(answer) for answer in answers] == [1, 2, ValueError, 4]
    assert calls == [[3]]


async def test_a_loader_works_with_one_cache_on_several_loops() -> None:
    """A value that was fetched on one loop is a hit on another."""
    source = Source(MemoryCache())

    async def elsewhere() -> str:
        return await source.loader(1)

    assert await source.loader(1) == "1 of batch 1"
    await batchio.drain()
    assert await asyncio.to_thread(asyncio.run, elsewhere()) == "1 of batch 1"


# --- keys that somebody else is filling ---------------------------------------------------------------------------


async def leased(cache: Watched, *keys: Any) -> Mapping[Any, Any]:
    """Another process missed these keys: its leases."""
    return (await cache.bound.get_many(keys)).leases


@pytest.mark.virtual
async def test_a_key_that_somebody_else_is_filling_is_waited_for() -> None:
    """A herd over several processes makes one fetch: the others look again soon, and find the value."""
    cache = Watched()
    source = Source(cache)
    leases = await leased(cache, 1)
    loads = source.loader.load_many([1, 2])
    await asyncio.sleep(0.01)
    assert source.batches == [[2]]
    await cache.bound.fill_many({1: "theirs"}, leases, None)
    assert await loads == ["theirs", "2 of batch 1"]
    assert source.batches == [[2]]


@pytest.mark.virtual
async def test_a_hit_is_not_held_up_by_a_key_that_somebody_else_is_filling() -> None:
    """Keys of the same batch are answered as soon as they are known."""
    cache = Watched()
    source = Source(cache)
    await cache.bound.set_many({1: "one"}, None)
    await leased(cache, 3)
    loads = [source.loader(key) for key in (1, 2, 3)]
    assert [await loads[0], await loads[1]] == ["one", "2 of batch 1"]
    assert asyncio.get_running_loop().time() < 0.001
    assert not loads[2].done()
    assert await loads[2] == "3 of batch 2"


@pytest.mark.virtual
async def test_a_key_whose_filler_gave_up_is_fetched_and_filled() -> None:
    """When the lease comes free the next look gets it: the key is fetched, and filled for all."""
    cache = Watched()
    source = Source(cache)
    leases = await leased(cache, 1)
    load = source.loader(1)
    await asyncio.sleep(0.01)
    await cache.bound.fill_many({}, leases, None)
    assert await load == "1 of batch 1"
    await batchio.drain()
    assert (await cache.bound.get_many([1])).hits == {1: "1 of batch 1"}


@pytest.mark.virtual
async def test_a_key_whose_filler_died_is_fetched_in_the_end() -> None:
    """Nobody waits for a dead process for longer than a few seconds; what was fetched without a lease is not filled."""
    cache = Watched()
    source = Source(cache)
    await leased(cache, 1)
    assert await source.loader(1) == "1 of batch 1"
    assert 1 < asyncio.get_running_loop().time() < 5
    await batchio.drain()
    assert [verb for verb, _ in cache.asked if verb != "get"] == []


@pytest.mark.virtual
async def test_a_key_that_is_waited_for_and_then_missed_gets_the_default_or_an_error() -> None:
    """Waiting for somebody else changes nothing about keys for which there is nothing."""
    cache = Watched()

    @batchio.loader(cache=cache)
    async def nothing(keys: list[int]) -> dict[int, int]:
        return {}

    await leased(cache, 1)
    with pytest.raises(batchio.KeyNotFound):
        await nothing(1)


# --- invalidate ---------------------------------------------------------------------------------------------------


async def test_invalidate_forgets_in_memo_and_cache() -> None:
    """After a write the next load fetches, in this scope and in any other."""
    source = Source(MemoryCache())
    with batchio.scope():
        await source.loader.load_many([1, 2])
        await source.loader.invalidate(1)
        assert await source.loader.load_many([1, 2]) == ["1 of batch 2", "2 of batch 1"]
    with batchio.scope():
        assert await source.loader.load_many([1, 2]) == ["1 of batch 2", "2 of batch 1"]


async def test_invalidate_without_a_cache_forgets_in_the_memo() -> None:
    """A loader without a cache may be invalidated all the same; no keys at all are no error."""
    source = Source(None)
    cached = Source(cache := Watched())
    with batchio.scope():
        await source.loader(1)
        await source.loader.invalidate(1)
        assert await source.loader(1) == "1 of batch 2"
        await cached.loader.invalidate()
    assert cache.asked == []


async def test_invalidate_normalises_keys_and_deletes_each_once() -> None:
    """invalidate takes the keys as loads do."""
    cache = Watched()
    source = Source(cache, key=int)
    await source.loader.invalidate("1", 1, 2)
    assert cache.asked == [("delete", [1, 2])]


async def test_an_invalidation_tells_keys_apart_by_type() -> None:
    """1 and True are one key to a dict, and two to a cache: both are deleted."""
    cache = Watched()
    source = Source(cache)
    await source.loader.invalidate(1, True, (1,), (True,), 1)
    assert list(map(repr, cache.asked[0][1])) == ["1", "True", "(1,)", "(True,)"]


async def test_what_a_flight_brings_after_an_invalidation_is_not_cached() -> None:
    """A batch that left before a write fills nothing after it: the next load fetches the new value."""
    cache = MemoryCache()
    go = asyncio.Event()
    values = {1: "old"}

    @batchio.loader(cache=cache)
    async def slow(keys: list[int]) -> dict[int, str]:
        read = {key: values[key] for key in keys}
        await go.wait()
        return read

    with batchio.scope():
        flight = slow(1)
        while "1 batches" not in repr(slow) or "1 leases" not in repr(cache):
            await asyncio.sleep(0)
        values[1] = "new"
        await slow.invalidate(1)
        go.set()
        assert await flight == "old"  # asked before the write
        assert await slow(1) == "new"
    assert await slow(1) == "new"


async def test_a_failed_invalidation_is_an_error_to_the_writer() -> None:
    """The writer gets the cache's own error, and its memo has forgotten the key."""
    cache = Watched(delete=OSError("gone"))
    source = Source(cache)
    with batchio.scope():
        await source.loader(1)
        with pytest.raises(OSError, match="gone"):
            await source.loader.invalidate(1)
        await batchio.drain()
        source.loader.prime(1, "forgotten, so this counts")
        assert await source.loader(1) == "forgotten, so this counts"


@pytest.mark.virtual
async def test_a_slow_invalidation_is_an_error_to_the_writer() -> None:
    """BatchTimeout after cache_timeout, in words that say what the cache may hold."""
    source = Source(Watched(delete=asyncio.Event()), limits=Limits(cache_timeout=0.1))
    with pytest.raises(batchio.BatchTimeout, match=r"source: the cache did not confirm an invalidation within 0\.1 s"):
        await source.loader.invalidate(1)


async def test_an_invalidation_that_the_cache_gives_up_itself_is_told_in_its_words() -> None:
    """A cache may know its own limits better: its BatchTimeout reaches the writer as it is."""
    source = Source(Watched(delete=batchio.BatchTimeout("node 2 of 3 is silent")))
    with pytest.raises(batchio.BatchTimeout, match="node 2 of 3 is silent"):
        await source.loader.invalidate(1)


async def test_a_cancelled_writer_does_not_stop_an_invalidation() -> None:
    """The delete goes on when its caller is cancelled: drivers are never cancelled by a caller."""
    go = asyncio.Event()
    cache = Watched(delete=go)
    source = Source(cache, limits=Limits(cache_timeout=30))
    await cache.bound.set_many({1: "old"}, None)
    writer = asyncio.create_task(source.loader.invalidate(1))
    while not cache.asked:
        await asyncio.sleep(0)
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    go.set()
    await batchio.drain()
    assert await source.loader(1) == "1 of batch 1"


def test_loaders_in_threads_share_a_cache() -> None:
    """Threads with loops of their own fetch each key once, or a few times where they missed together, and agree."""
    fetched: Counter[int] = Counter()

    @batchio.loader(cache=MemoryCache())
    async def numbers(keys: list[int]) -> dict[int, int]:
        fetched.update(keys)
        return {key: key * key for key in keys}

    answers: list[list[int]] = []

    async def main() -> None:
        answers.append(await numbers.load_many(range(50)))
        await batchio.drain()

    def thread(run: Callable[[], Any]) -> threading.Thread:
        one = threading.Thread(target=run)
        one.start()
        return one

    for one in [thread(lambda: asyncio.run(main())) for _ in range(4)]:
        one.join()
    assert answers == [[key * key for key in range(50)]] * 4
    assert set(fetched.values()) == {1}


def test_cache_failures_are_warnings_and_not_errors(caplog: pytest.LogCaptureFixture) -> None:
    """A cache that is down is logged for each lookup as a warning: the service goes on."""

    async def main() -> None:
        await Source(Watched(get=OSError("gone"))).loader(1)

    asyncio.run(main())
    assert [(record.name, record.levelno) for record in caplog.records] == [("batchio", logging.WARNING)]
