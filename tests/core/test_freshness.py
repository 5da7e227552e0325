"""Guarantee 4: no load is answered by a batch that left before it, but for its own scope's memo, or coalesce=True.

Rules:
- An answer says in which batch it was fetched: `("a", 2)` is key a as the second batch read it.
- A batch waits at the source's gate, so that "while it is in flight" is a place in the test and not a matter of luck.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

import batchio

Answer = tuple[Any, int]


class Source:
    """A batch function whose first batch waits at a gate; it answers each key with (key, number of the batch)."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.first_left = asyncio.Event()
        self.gate = asyncio.Event()

    async def fetch(self, keys: list[Any]) -> dict[Any, Answer]:
        self.batches.append(keys)
        number = len(self.batches)
        self.first_left.set()
        if number == 1:
            await self.gate.wait()
        return {key: (key, number) for key in keys}

    def loader(self, **options: Any) -> Any:
        return batchio.Loader(self.fetch, name="source", **options)


@pytest.fixture
async def source() -> Source:
    return Source()


async def passes(count: int = 20) -> None:
    """Let the loop turn so many times: enough for any queue to leave."""
    for _ in range(count):
        await asyncio.sleep(0)


async def in_a_scope_of_its_own(awaitable: Any) -> Any:
    with batchio.scope():
        return await awaitable()


# --- without a memo -----------------------------------------------------------------------------------------------


async def test_guarantee_04_freshness_a_batch_that_left_answers_no_later_load(source: Source) -> None:
    """A load made while a batch fetches its key, with no scope, leaves in a batch of its own."""
    load = source.loader()
    early = load("a")
    await source.first_left.wait()
    assert await load("a") == ("a", 2)
    assert not early.done()
    source.gate.set()
    assert await early == ("a", 1)
    assert source.batches == [["a"], ["a"]]


@pytest.mark.parametrize("way", ["load", "load_many"])
async def test_guarantee_04_freshness_nor_one_of_another_scope(source: Source, way: str) -> None:
    """A scope does not see the flights of another scope."""
    load = source.loader()

    async def one() -> Any:
        return await load("a") if way == "load" else (await load.load_many(["a"]))[0]

    early = asyncio.create_task(in_a_scope_of_its_own(one))
    await source.first_left.wait()
    assert await in_a_scope_of_its_own(one) == ("a", 2)
    source.gate.set()
    assert await early == ("a", 1)


async def test_with_memo_off_a_scope_does_not_join_its_own_flight(source: Source) -> None:
    """memo=False: each load made after a batch has left fetches again, in one scope too."""
    load = source.loader(memo=False)
    with batchio.scope():
        early = load("a")
        await source.first_left.wait()
        assert await load("a") == ("a", 2)
        assert await load("a") == ("a", 3)
        source.gate.set()
        assert await early == ("a", 1)


async def test_without_a_scope_nothing_is_remembered(source: Source) -> None:
    """The same key, loaded one time after another outside of any scope, is fetched each time."""
    load = source.loader()
    source.gate.set()
    assert [await load("a"), await load("a"), await load("a")] == [("a", 1), ("a", 2), ("a", 3)]


# --- the memo -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["load", "load_many"])
@pytest.mark.parametrize("second", ["load", "load_many"])
async def test_a_scope_joins_what_it_asked_for(source: Source, first: str, second: str) -> None:
    """Within one scope a key that is under way, or was answered, is not fetched again, by whichever call."""
    load = source.loader()

    async def ask(way: str) -> Any:
        return await load("a") if way == "load" else (await load.load_many(["a"]))[0]

    with batchio.scope():
        early = asyncio.ensure_future(ask(first))
        await source.first_left.wait()
        late = asyncio.ensure_future(ask(second))
        await passes()
        source.gate.set()
        assert [await early, await late, await ask(first), await ask(second)] == [("a", 1)] * 4
    assert source.batches == [["a"]]


async def test_a_memo_is_asked_key_by_key(source: Source) -> None:
    """A load_many fetches only those of its keys that its scope neither knows nor waits for."""
    load = source.loader()
    with batchio.scope():
        under_way = load("a")
        await source.first_left.wait()
        load.prime("b", ("b", 0))
        many = load.load_many(["c", "b", "a", "c"])
        await passes()
        source.gate.set()
        assert await many == [("c", 2), ("b", 0), ("a", 1), ("c", 2)]
        assert await under_way == ("a", 1)
    assert source.batches == [["a"], ["c"]]


async def test_a_memo_knows_parameters_apart() -> None:
    """A title in French is no answer for the title in English, and clearing one leaves the other."""
    asked: list[tuple[str, list[int]]] = []

    @batchio.loader
    async def title(ids: list[int], *, locale: str) -> dict[int, int]:
        asked.append((locale, ids))
        return dict.fromkeys(ids, len(asked))

    with batchio.scope():
        assert [await title(1, locale="fr"), await title(1, locale="en"), await title(1, locale="fr")] == [1, 2, 1]
        title.clear(1, locale="fr")
        assert [await title(1, locale="en"), await title(1, locale="fr")] == [2, 3]
        title.bind(locale="en").clear_all()
        assert [await title(1, locale="fr"), await title(1, locale="en")] == [3, 4]


@pytest.mark.parametrize("second", ["load", "load_many"])
async def test_a_load_that_was_cancelled_before_it_left_is_forgotten(source: Source, second: str) -> None:
    """After it, a scope's memo works as if that load had not been made: one fetch for the loads that follow."""
    load = source.loader()
    with batchio.scope():
        load("a").cancel()
        await passes()
        assert source.batches == []
        again = load("a") if second == "load" else load.load_many(["a"])
        await source.first_left.wait()
        late = load("a")
        await passes()
        source.gate.set()
        assert await late == ("a", 1)
        await again
    assert source.batches == [["a"]]


async def test_a_key_can_be_primed_though_a_load_of_it_was_cancelled(source: Source) -> None:
    """A load that nobody waits for, and that never left, does not stand in the way of prime."""
    load = source.loader()
    with batchio.scope():
        load("a").cancel()
        await batchio.drain()  # the tick at which it would have left, and is dropped
        load.prime("a", "primed")
        source.gate.set()
        assert await load("a") == "primed"


async def test_prime_does_not_overwrite(source: Source) -> None:
    """What a scope knows, or waits for, stays as it is when it is primed."""
    load = source.loader()
    with batchio.scope():
        under_way = load("a")
        load.prime("a", "primed")
        await source.first_left.wait()
        load.prime("a", "primed")
        source.gate.set()
        assert await under_way == ("a", 1)
        load.prime("a", "primed")
        load.prime_many({"a": "primed", "b": "first"})
        load.prime("b", "second")
        assert await load.load_many(["a", "b"]) == [("a", 1), "first"]


# --- clear --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["clear", "clear_many", "clear_all", "invalidate"])
async def test_what_is_cleared_is_fetched_again(source: Source, how: str) -> None:
    """A key that was answered and then cleared is fetched by its next load; keys that were not cleared are not."""
    load = source.loader()
    source.gate.set()
    with batchio.scope():
        assert await load.load_many(["a", "b"]) == [("a", 1), ("b", 1)]
        await clear(load, how, "a")
        assert await load("a") == ("a", 2)
        assert await load("b") == (("b", 3) if how == "clear_all" else ("b", 1))


async def clear(load: Any, how: str, key: Any) -> None:
    """Forget a key in one of the four ways; clear_all forgets all others, too."""
    if how == "clear":
        load.clear(key)
    elif how == "clear_many":
        load.clear_many([key])
    elif how == "clear_all":
        load.clear_all()
    else:
        await load.invalidate(key)


async def test_clearing_the_unknown_is_no_error(source: Source) -> None:
    """Keys that nobody asked for can be cleared, with and without a scope."""
    load = source.loader()
    load.clear("a")
    load.clear_all()
    with batchio.scope():
        load.clear("a")
        load.clear_many(["b", "c"])
        load.clear_all()
        await load.invalidate("a", "b")
    assert source.batches == []


@pytest.mark.parametrize("how", ["clear", "clear_many", "clear_all", "invalidate"])
@pytest.mark.parametrize("way", ["load", "load_many"])
@pytest.mark.parametrize("old_answers", ["last", "first"])
async def test_guarantee_04_freshness_clear_cuts_a_key_loose(
    source: Source, how: str, way: str, old_answers: str
) -> None:
    """Cleared in flight, a key is fetched again by its next load; the old flight answers only who asked before."""
    load = source.loader()
    with batchio.scope():
        early = load("a") if way == "load" else load.load_many(["a"])
        await source.first_left.wait()
        await clear(load, how, "a")
        late = load("a")
        if old_answers == "last":
            assert await late == ("a", 2)
        source.gate.set()
        assert await early == (("a", 1) if way == "load" else [("a", 1)])
        assert await late == ("a", 2)
        assert await load("a") == ("a", 2)
        assert await load.load_many(["a"]) == [("a", 2)]


@pytest.mark.parametrize("way", ["load", "load_many", "cancelled load", "cancelled load_many"])
async def test_the_old_flight_does_not_enter_the_memo(source: Source, way: str) -> None:
    """Cleared in flight and asked for only after that flight came back, a key is fetched again."""
    load = source.loader()
    with batchio.scope():
        early = load.load_many(["a", "b"]) if way.endswith("many") else load("a")
        await source.first_left.wait()
        load.clear("a")
        if way.startswith("cancelled"):
            early.cancel()
        source.gate.set()
        await passes()
        assert await load("a") == ("a", 2)


async def test_a_key_that_was_cleared_in_flight_can_be_primed(source: Source) -> None:
    """After a write, the new value can be told at once; the old flight does not replace it."""
    load = source.loader()
    with batchio.scope():
        early = load.load_many(["a", "b"])
        await source.first_left.wait()
        load.clear("a")
        load.prime("a", "written")
        assert await load("a") == "written"
        source.gate.set()
        assert await early == [("a", 1), ("b", 1)]
        assert await load.load_many(["a", "b"]) == ["written", ("b", 1)]


async def test_a_key_that_is_cleared_before_it_leaves_is_fetched_once(source: Source) -> None:
    """A batch that has not left will read what was written before: clearing a queued key makes no second fetch."""
    load = source.loader()
    source.gate.set()
    with batchio.scope():
        early = load("a")
        load.clear("a")
        late = load("a")
        assert await batchio.gather(early, late, load("a")) == (("a", 1),) * 3
    assert source.batches == [["a"]]


async def test_clear_is_the_business_of_its_scope(source: Source) -> None:
    """What one scope clears, another scope still knows."""
    load = source.loader()
    source.gate.set()

    async def other() -> None:
        load.clear("a")
        assert await load("a") == ("a", 2)

    with batchio.scope():
        assert await load("a") == ("a", 1)
        await asyncio.create_task(in_a_scope_of_its_own(other))
        assert await load("a") == ("a", 1)


# --- coalesce -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scoped", [True, False])
@pytest.mark.parametrize("way", ["load", "load_many"])
async def test_guarantee_04_freshness_coalesce_joins_a_flight(source: Source, scoped: bool, way: str) -> None:
    """With coalesce=True a load joins the flight of another scope, or of none, and each scope remembers it."""
    load = source.loader(coalesce=True)

    async def twice() -> list[Any]:
        first = await load("a") if way == "load" else (await load.load_many(["a"]))[0]
        return [first, await load("a")] if scoped else [first]

    early = asyncio.create_task(in_a_scope_of_its_own(twice) if scoped else twice())
    await source.first_left.wait()
    late = asyncio.create_task(in_a_scope_of_its_own(twice) if scoped else twice())
    await passes()
    source.gate.set()
    assert [*await early, *await late] == [("a", 1)] * (4 if scoped else 2)
    assert source.batches == [["a"]]


async def test_coalesce_fetches_what_no_flight_brings(source: Source) -> None:
    """Of a load_many, only the keys that nobody is fetching leave."""
    load = source.loader(coalesce=True)
    early = load("a")
    await source.first_left.wait()
    late = load.load_many(["b", "a"])
    await passes()
    source.gate.set()
    assert (await early, await late) == (("a", 1), [("b", 2), ("a", 1)])


async def test_coalesce_does_not_join_a_flight_that_has_landed(source: Source) -> None:
    """Coalescing is about flights; an answer that was given is remembered by scopes alone."""
    load = source.loader(coalesce=True)
    source.gate.set()
    assert [await load("a"), await load("a")] == [("a", 1), ("a", 2)]


async def test_coalesce_does_not_join_for_a_key_that_was_answered_already() -> None:
    """A stream that has brought a key, and goes on for others, is no flight for that key any more."""
    gate, batches = asyncio.Event(), []

    @batchio.loader(coalesce=True)
    async def stream(keys: list[str]) -> AsyncIterator[tuple[str, Answer]]:
        batches.append(keys)
        number = len(batches)
        for key in keys:
            yield key, (key, number)
            if number == 1:
                await gate.wait()

    early = stream.load_many(["a", "b"])
    first = stream("a")
    assert await first == ("a", 1)
    assert await stream("a") == ("a", 2)
    gate.set()
    assert await early == [("a", 1), ("b", 1)]


@pytest.mark.parametrize("how", ["clear", "clear_all", "invalidate"])
async def test_coalesce_does_not_join_a_flight_whose_key_was_cleared(source: Source, how: str) -> None:
    """A flight that left before a write is nobody's to join after it, in whatever scope the write was made."""
    load = source.loader(coalesce=True)

    async def write() -> None:
        await clear(load, how, "a")

    early = load("a")
    await source.first_left.wait()
    await in_a_scope_of_its_own(write)
    assert await load("a") == ("a", 2)
    source.gate.set()
    assert await early == ("a", 1)


async def test_coalesce_keeps_parameters_apart() -> None:
    """A flight for one locale is not joined by a load for another."""
    gate, left = asyncio.Event(), asyncio.Event()

    @batchio.loader(coalesce=True)
    async def title(ids: list[int], *, locale: str) -> dict[int, str]:
        left.set()
        if locale == "fr":
            await gate.wait()
        return dict.fromkeys(ids, locale)

    french = title(1, locale="fr")
    await left.wait()
    assert await title(1, locale="en") == "en"
    gate.set()
    assert await french == "fr"


# --- invalidate, with a cache -------------------------------------------------------------------------------------


async def test_invalidate_reaches_memo_flight_and_cache(source: Source) -> None:
    """After `await invalidate(key)` no load of the same scope gets what was read before, and no cache keeps it."""
    load = source.loader(cache=batchio.MemoryCache())
    with batchio.scope():
        early = load("a")
        await source.first_left.wait()
        await load.invalidate("a")
        late = load("a")
        await passes()
        source.gate.set()
        assert await early == ("a", 1)
        fresh = await late
    assert fresh == ("a", 2)
    assert await load("a") == ("a", 2)
    assert source.batches == [["a"], ["a"]]


async def test_a_flight_that_left_before_a_write_does_not_fill_the_cache(source: Source) -> None:
    """The answer of an invalidated flight is dropped by the cache, whoever asks next."""
    load = source.loader(cache=batchio.MemoryCache())
    early = load("a")
    await source.first_left.wait()
    await load.invalidate("a")
    source.gate.set()
    assert await early == ("a", 1)
    await passes()
    assert [await load("a"), await load("a")] == [("a", 2), ("a", 2)]


async def test_invalidate_takes_many_keys_and_the_parameters_of_one_locale() -> None:
    """Only the keys and the parameters that are named are read again."""
    cache, asked = batchio.MemoryCache(), []

    @batchio.loader(cache=cache)
    async def title(ids: list[int], *, locale: str) -> dict[int, int]:
        asked.append((locale, ids))
        return dict.fromkeys(ids, len(asked))

    await batchio.gather(title.load_many([1, 2, 3], locale="fr"))
    await title.load_many([1], locale="en")
    await title.invalidate(1, 2, locale="fr")
    assert await title.load_many([1, 2, 3], locale="fr") == [3, 3, 1]
    assert await title.load_many([1], locale="en") == [2]
    assert asked == [("fr", [1, 2, 3]), ("en", [1]), ("fr", [1, 2])]


class SlowToDelete:
    """A cache whose deletes wait at a gate; it never has a value."""

    def __init__(self) -> None:
        self.deleted: list[Any] = []
        self.deleting, self.gate = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    def bind(self, name: str, value_type: Any, version: int | str) -> SlowToDelete:
        return self

    async def get_many(self, keys: list[Any]) -> Any:
        raise ConnectionError("a miss")

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        raise AssertionError("nothing to fill without a lease")

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        raise AssertionError("a loader sets nothing")

    async def delete_many(self, keys: list[Any]) -> None:
        self.deleting.set()
        await self.gate.wait()
        if self.error:
            raise self.error
        self.deleted += keys


async def test_a_cancelled_writer_does_not_stop_an_invalidation() -> None:
    """The request that wrote goes away; what it wrote is invalidated nevertheless."""
    cache, source = SlowToDelete(), Source()
    load = source.loader(cache=cache, limits=batchio.Limits(cache_timeout=60.0))
    writer = asyncio.create_task(load.invalidate("a", "b", "a"))
    await cache.deleting.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    cache.gate.set()
    await batchio.drain(timeout=10)
    assert cache.deleted == ["a", "b"]


async def test_a_failed_invalidation_is_an_error_to_the_writer() -> None:
    """The cache may still hold the old value, and the writer is told."""
    cache, source = SlowToDelete(), Source()
    cache.error = ConnectionError("the cache is gone")
    cache.gate.set()
    with pytest.raises(ConnectionError, match="the cache is gone"):
        await source.loader(cache=cache).invalidate("a")


@pytest.mark.virtual
async def test_a_slow_invalidation_is_an_error_to_the_writer() -> None:
    """After cache_timeout seconds the writer gets a BatchTimeout that says what may be stale."""
    load = Source().loader(cache=SlowToDelete(), limits=batchio.Limits(cache_timeout=0.5))
    with pytest.raises(batchio.BatchTimeout, match=r"did not confirm an invalidation within 0\.5 s"):
        await load.invalidate("a")
    assert asyncio.get_running_loop().time() == 0.5
