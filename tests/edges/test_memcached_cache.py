"""`MemcachedCache` on a real server: what is stored, under which name and for how long, and what it holds on to.

- Two caches on one server stand for two processes.
- `Source` is a loader's batch function that remembers what it was asked.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest

import batchio
from batchio.memcached import MemcachedCache
from batchio.testing import check_cache
from tests import proxy, servers


class Post(NamedTuple):
    id: int
    title: str | None


class Source:
    """A batch function; `make` gives the value of a key."""

    def __init__(self, make: Callable[[Any], Any] = str) -> None:
        self.make = make
        self.batches: list[list[Any]] = []

    async def __call__(self, keys: list[Any]) -> dict[Any, Any]:
        self.batches.append(keys)
        return {key: self.make(key) for key in keys}

    def loader(self, cache: MemcachedCache, name: str = "names", value_type: Any = str, **options: Any) -> Any:
        return batchio.Loader(self, name=name, cache=cache, value_type=value_type, **options)


@pytest.fixture
async def mc(memcached_address: str) -> AsyncIterator[MemcachedCache]:
    """A cache on an empty server, patient enough for a busy machine."""
    async with MemcachedCache(memcached_address, timeout=2.0) as cache:
        yield cache


PATIENT = batchio.Limits(cache_timeout=5.0)


# --- the contract ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["msgpack", "json"])
async def test_it_keeps_the_contract_of_caches(memcached_address: str, codec: Any) -> None:
    """Both codecs pass the checks that batchio.testing has for anybody's cache."""
    async with MemcachedCache(memcached_address, codec=codec, timeout=2.0) as cache:
        await check_cache(lambda: cache, ttl=None)


@pytest.mark.flavours("asyncio")
async def test_values_end_with_their_ttl(memcached_address: str) -> None:
    """It passes them also where time is waited for; the clock is the server's, so one loop will do."""
    async with MemcachedCache(memcached_address, timeout=2.0) as cache:
        await check_cache(lambda: cache, ttl=2.0, values=[])


async def test_three_servers_keep_the_contract_and_share_the_keys(memcached_address: str) -> None:
    """Several servers are one cache, and each holds some of the keys."""
    with servers.memcached() as second, servers.memcached() as third:
        async with MemcachedCache(memcached_address, second.address, third.address, timeout=2.0) as cache:
            await check_cache(lambda: cache, ttl=None)
            keys = cache.bind("names", int)
            await keys.set_many({number: number for number in range(300)}, None)
            assert (await keys.get_many(range(400))).hits == {number: number for number in range(300)}
            assert min(int(server.stats()["curr_items"]) for server in (second, third)) > 50


# --- on the wire ----------------------------------------------------------------------------------------------------


async def test_loaders_that_ask_in_one_tick_share_one_get(memcached_server: Any, memcached_address: str) -> None:
    """Three loaders with many keys cost one get, one round of leases and one write of fills; once warm, one get."""
    counter, chunks = proxy.MemcachedCounter(), list[bytes]()

    def on_up(connection: int, chunk: bytes) -> None:
        counter(connection, chunk)
        chunks.append(chunk)

    async with (
        proxy.Proxy(proxy.HOST, memcached_server.port, on_up=on_up) as line,
        MemcachedCache(line.address, timeout=2.0) as mc,
    ):
        posts = Source(lambda key: Post(key, str(key))).loader(mc, "posts", Post, limits=PATIENT)
        names, scores = Source().loader(mc, "names", limits=PATIENT), Source(float).loader(mc, "scores", float)
        wanted = [*map(posts, range(20)), *map(names, range(30)), *map(scores, range(40))]
        cold = await asyncio.gather(*wanted)
        await batchio.drain(5)
        assert (counter.commands["get"], counter.commands["mg"], counter.commands["ms"]) == (1, 90, 90)
        assert len([chunk for chunk in chunks if b"ms " in chunk]) == 1
        counter.clear()
        warm = await asyncio.gather(*map(posts, range(20)), *map(names, range(30)), *map(scores, range(40)))
        assert warm == cold
        assert counter.commands == {"get": 1}


# --- keys and values ------------------------------------------------------------------------------------------------


async def test_keys_of_one_loader_that_python_finds_equal_have_their_own_values(mc: MemcachedCache) -> None:
    """1, True, 1.0, '1', b'1' and (1,) are six keys of one loader, cold and warm."""
    source = Source(repr)
    load = source.loader(mc, limits=PATIENT)
    for _ in range(2):
        for key in (1, True, 1.0, "1", b"1", (1,)):
            assert await load(key) == repr(key)
            await batchio.drain(5)
    assert len(source.batches) == 6


async def test_a_row_comes_back_as_itself(mc: MemcachedCache) -> None:
    """A NamedTuple that was fetched is the same NamedTuple when it is read from the cache."""
    source = Source(lambda key: Post(key, None))
    load = source.loader(mc, value_type=Post, limits=PATIENT)
    fetched = await load(1)
    await batchio.drain(5)
    read = await load(1)
    assert (fetched, read, type(read), len(source.batches)) == (Post(1, None), Post(1, None), Post, 1)


@pytest.mark.parametrize("change", [{"version": 2}, {"value_type": Post | None}, {"value_type": int}], ids=str)
async def test_another_version_or_type_is_a_miss_and_is_replaced(
    mc: MemcachedCache, memcached_address: str, change: dict[str, Any]
) -> None:
    """After a deploy the old code's value is not read, the new one takes its place, and an invalidation reaches both."""
    old = mc.bind("posts", Post, 1)
    await old.set_many({1: Post(1, "old")}, None)
    async with MemcachedCache(memcached_address, timeout=2.0) as deployed:
        new = deployed.bind("posts", **{"value_type": Post, "version": 1, **change})
        value = 5 if change.get("value_type") is int else Post(1, "new")
        missed = await new.get_many([1])
        assert (missed.hits, list(missed.leases)) == ({}, [1])
        await new.fill_many({1: value}, missed.leases, None)
        assert (await new.get_many([1])).hits == {1: value}
        assert (await old.get_many([1])).hits == {}
        await new.set_many({1: value}, None)
        await old.delete_many([1])
        assert (await new.get_many([1])).hits == {}


async def test_strange_bytes_under_a_key_are_a_miss_and_are_replaced(mc: MemcachedCache, memcached_server: Any) -> None:
    """What another program left, even with our own flags, is never a value; the next fill replaces it."""
    posts = mc.bind("posts", Post)
    await posts.set_many({1: Post(1, "a")}, None)
    flags = re.findall(rb"f(\d+)", memcached_server.ask("mg posts/1 f"))[0].decode()
    for mark in (flags, "0", "4294967295"):
        assert (
            memcached_server.ask(f"set posts/1 {mark} 0 5\r\n\xff...".replace("\xff", "\x01")[:-1] + "..")
            == b"STORED\r\n"
        )
        missed = await posts.get_many([1])
        assert (missed.hits, list(missed.leases)) == ({}, [1])
        await posts.fill_many({1: Post(1, mark)}, missed.leases, None)
        assert (await posts.get_many([1])).hits == {1: Post(1, mark)}


async def test_a_value_over_a_mebibyte_is_served_and_not_cached(
    mc: MemcachedCache, caplog: pytest.LogCaptureFixture
) -> None:
    """Its readers get it each time, its neighbour is cached, nobody waits for it, and the log says it once."""
    source = Source(lambda key: "x" * 2**20 if key == 1 else "y")
    load = source.loader(mc, limits=PATIENT)
    for _ in range(3):
        assert [len(value) for value in await asyncio.gather(load(1), load(2))] == [2**20, 1]
        await batchio.drain(5)
    assert source.batches == [[1, 2], [1], [1]]
    assert len([one for one in caplog.messages if "not cached" in one]) == 1


async def test_a_value_that_the_server_refuses_is_served_and_not_cached() -> None:
    """A server with a smaller limit than ours: the lease goes back, and the value that stood there is gone."""
    with servers.memcached("-I", "512k") as small:
        async with MemcachedCache(small.address, timeout=2.0) as cache:
            source = Source(lambda key: "x" * 600_000 if key == 1 else "y")
            load = source.loader(cache, limits=PATIENT)
            for _ in range(3):
                assert [len(value) for value in await asyncio.gather(load(1), load(2))] == [600_000, 1]
                await batchio.drain(5)
            assert source.batches == [[1, 2], [1], [1]]
            keys = cache.bind("other", str)
            await keys.set_many({1: "old"}, None)
            await keys.set_many({1: "x" * 600_000}, None)
            assert list((await keys.get_many([1])).leases) == [1]


@pytest.mark.parametrize(
    "value", [(1, 2), {1, 2}, object(), 2**70, "\ud800"], ids=["tuple", "set", "object", "large", "surrogate"]
)
async def test_a_value_that_would_change_is_served_and_not_cached(
    mc: MemcachedCache, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    """Under an unknown type what would come back as another value goes to its readers only; the log says what to do."""
    source = Source(lambda _: value)
    load = source.loader(mc, value_type=Any, limits=PATIENT)
    for _ in range(2):
        assert await load(1) is value
        await batchio.drain(5)
    assert source.batches == [[1], [1]]
    assert len([one for one in caplog.messages if "value_type=" in one]) == 1


async def test_a_key_without_a_safe_form_is_served_and_not_cached(
    mc: MemcachedCache, caplog: pytest.LogCaptureFixture
) -> None:
    """A key of a class of one's own is fetched each time, its neighbours are cached, and to invalidate it is no error."""
    key = object()
    source = Source(lambda key: type(key).__name__)
    load = source.loader(mc, limits=PATIENT)
    for _ in range(2):
        assert await asyncio.gather(load(key), load(1)) == ["object", "int"]
        await batchio.drain(5)
    await load.invalidate(key, 1)
    assert source.batches == [[key, 1], [key]]
    assert [one for one in caplog.messages if "a object has no safe form" in one]
    caplog.clear()
    caplog.set_level(logging.WARNING)


# --- how long -------------------------------------------------------------------------------------------------------

DAY = 24 * 3600


@pytest.mark.parametrize(
    ("ttl", "least", "most"),
    [
        *((None, -1, -1), (60.0, 54, 60), (9.9, 9, 9), (DAY, 0.9 * DAY, DAY)),
        *((31 * DAY, 27.8 * DAY, 31 * DAY), (400 * DAY, 359 * DAY, 400 * DAY), (1e12, -1, -1), (math.inf, -1, -1)),
    ],
)
async def test_values_live_their_ttl_less_a_random_tenth(
    mc: MemcachedCache, memcached_server: Any, ttl: float | None, least: float, most: float
) -> None:
    """The server counts what was said: for ever, short, and longer than the 30 days that it takes for a date."""
    keys = mc.bind("names", str)
    await keys.set_many(dict.fromkeys(range(30), "x"), ttl)
    missed = (await keys.get_many([100])).leases
    await keys.fill_many({100: "x"}, missed, ttl)
    lives = [memcached_server.ask(f"mg names/{number} t") for number in (*range(30), 100)]
    seconds = [int(re.findall(rb"t(-?\d+)", life)[0]) for life in lives]
    assert least - 2 * (least > 1) <= min(seconds)
    assert max(seconds) <= most + (least > 1)


async def test_values_that_were_stored_together_do_not_end_together(mc: MemcachedCache, memcached_server: Any) -> None:
    """The jitter spreads a batch over a tenth of its ttl; without any, all live as long."""
    keys = mc.bind("names", str)
    await keys.set_many(dict.fromkeys(range(50), "x"), 1000)
    lives = {memcached_server.ask(f"mg names/{number} t") for number in range(50)}
    assert len(lives) > 10
    assert {MemcachedCache("a", jitter=0)._seconds(1000) for _ in range(50)} == {1000}


def test_no_ttl_rounds_to_for_ever() -> None:
    """The server counts whole seconds, and 0 means for ever: less than a second is one, and 1.9 is one, too."""
    assert {MemcachedCache("a")._seconds(ttl) for ttl in (1e-9, 0.2, 1, 1.9) for _ in range(20)} == {1}


# --- names and addresses --------------------------------------------------------------------------------------------


async def test_a_name_is_one_living_loaders(mc: MemcachedCache) -> None:
    """Two loaders of one name are refused; a name is free again with its loader."""
    first = Source().loader(mc)
    with pytest.raises(ValueError, match="names: this cache already has a loader of that name"):
        Source().loader(mc)
    del first
    gc.collect()
    Source().loader(mc)


def test_a_type_that_cannot_be_stored_names_its_loader() -> None:
    """The error of a class that no codec knows says whose values they are."""
    with pytest.raises(TypeError, match="names: values of type Source cannot be stored"):
        MemcachedCache("localhost").bind("names", Source)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("localhost", "localhost:11211"),
        ("memcached://10.0.0.1:1/", "10.0.0.1:1"),
        ("[::1]:5", "::1:5"),
        ("::1", "::1:11211"),
        ("[::1]", "::1:11211"),
    ],
)
def test_addresses_are_read(written: str, read: str) -> None:
    """With a port or without, with a scheme or without, in both families."""
    assert repr(MemcachedCache(written)) == f"<batchio.memcached.MemcachedCache {read}>"


@pytest.mark.parametrize(
    "addresses",
    [(), ("",), ("a:",), (":1",), ("a:0",), ("a:65536",), ("a:b",), ("a/b",), ("a", "a:11211"), ("a", "memcached://a"), ("a:٣",)],
    ids=str,
)  # fmt: skip
def test_other_addresses_are_refused(addresses: tuple[str, ...]) -> None:
    """No server, one twice, and what is no address are refused where the cache is made."""
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:11211"):
        MemcachedCache(*addresses)


@pytest.mark.parametrize(
    "options", [{"codec": "pickle"}, {"jitter": 1}, {"jitter": -0.1}, {"timeout": 0}, {"connections": 0}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """A codec that runs code, a jitter that leaves nothing, no time, no connection."""
    with pytest.raises(ValueError):
        MemcachedCache("localhost", **options)
