"""What readers and writers see when memcached is away, slow, new, old, cut off or somebody else.

- A miss is what a reader sees of a fault, within its time; an error is what a writer sees of a deletion that nobody
  confirmed. No fault ever gives a wrong value, and nothing hangs.
- Servers that are stopped, paused or fake are the test's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import batchio
import batchio.testing
from batchio._core.errors import BatchioError
from batchio.memcached import MemcachedCache
from tests import proxy, servers

SHORT = batchio.Limits(cache_timeout=0.15)  # seconds; the cache's own is 0.1
PATIENT = batchio.Limits(cache_timeout=5.0)


class Source:
    """A batch function that counts its batches; `hold` makes it wait for the test."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.called, self.hold = asyncio.Event(), asyncio.Event()
        self.hold.set()

    async def __call__(self, keys: list[Any]) -> dict[Any, str]:
        self.batches.append(keys)
        self.called.set()
        await self.hold.wait()
        return {key: f"value {key}" for key in keys}

    def loader(self, cache: MemcachedCache, limits: batchio.Limits = SHORT) -> Any:
        return batchio.Loader(self, name="names", cache=cache, value_type=str, limits=limits)


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so, within what the test may take."""
    while not await seen():
        await asyncio.sleep(0.01)


async def settled(load: Any, source: Source, key: Any) -> None:
    """Load a key until it is a hit: the cache works."""

    async def hit() -> bool:
        before = len(source.batches)
        assert await load(key) == f"value {key}"
        await batchio.drain(5)
        return len(source.batches) == before

    await until(hit)


def said(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return len([line for line in caplog.messages if text in line])


# --- away -----------------------------------------------------------------------------------------------------------


async def test_a_server_that_is_stopped_is_misses_for_readers_and_errors_for_writers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Loads are answered from the source, an invalidation raises within its time, and the log says it once."""
    with servers.memcached() as server:
        async with MemcachedCache(server.address, timeout=2.0) as mc:
            source = Source()
            load = source.loader(mc, PATIENT)
            await settled(load, source, 1)
            server.stop()
            for _ in range(5):
                assert await load(1) == "value 1"
                with pytest.raises((OSError, BatchioError)):
                    await load.invalidate(1)
            assert (said(caplog, "does not answer"), said(caplog, "taken for a miss")) == (1, 0)
            server.start()
            await settled(load, source, 1)
            assert (said(caplog, "does not answer"), said(caplog, "answers again")) == (1, 1)


async def test_after_a_restart_the_first_invalidation_and_the_first_lookup_succeed() -> None:
    """Connections that died while nobody used them are replaced, and nobody notices."""
    with servers.memcached() as server:
        async with MemcachedCache(server.address, timeout=2.0) as mc:
            source = Source()
            load = source.loader(mc, PATIENT)
            await settled(load, source, 1)
            for ask in (load.invalidate, load):
                server.stop()
                server.start()
                await ask(1)
            await settled(load, source, 1)


async def test_a_lease_of_a_server_that_restarted_is_worth_nothing() -> None:
    """Though its numbers begin anew, and the same number is given for the same key, the old fill is not stored."""
    with servers.memcached() as server:
        async with (
            MemcachedCache(server.address, timeout=2.0) as mc,
            MemcachedCache(server.address, timeout=2.0) as other,
        ):
            here, there = mc.bind("names", str), other.bind("names", str)
            old = (await here.get_many([1])).leases
            server.stop()
            server.start()
            new = (await there.get_many([1])).leases
            assert [old[1][0]] == [new[1][0]], "the test wants equal numbers"
            await here.fill_many({1: "old"}, old, None)
            assert (await here.get_many([1])).hits == {}
            await here.fill_many({}, old, None)  # nor may it be given back in the new one's name
            await there.fill_many({1: "new"}, new, None)
            assert (await here.get_many([1])).hits == {1: "new"}


async def test_of_three_servers_one_that_is_down_makes_only_its_own_keys_misses() -> None:
    """The keys of the others are hits, and an invalidation raises only where the missing one is concerned."""
    with servers.memcached() as one, servers.memcached() as two, servers.memcached() as three:
        async with MemcachedCache(one.address, two.address, three.address, timeout=2.0) as mc:
            keys = mc.bind("names", int)
            await keys.set_many({number: number for number in range(300)}, None)
            before = int(two.stats()["curr_items"])
            two.stop()
            found = await keys.get_many(range(300))
            assert len(found.hits) == 300 - before
            assert (found.leases, found.filling) == ({}, [])
            lost = set(range(300)) - found.hits.keys()
            held = [number for number in range(300) if number not in lost]
            await keys.delete_many(held[:10])
            with pytest.raises((OSError, BatchioError)):
                await keys.delete_many([*held, *lost])
            assert (await keys.get_many(held)).hits == {}


# --- slow -----------------------------------------------------------------------------------------------------------


async def test_a_server_that_hangs_costs_its_time_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """Loads are answered within the limits, writers get an error, and later answers are everybody's own."""
    loop = asyncio.get_running_loop()
    with servers.memcached() as server:
        async with MemcachedCache(server.address, timeout=0.1) as mc:
            source = Source()
            load = source.loader(mc)
            await settled(load, source, 1)
            server.pause()
            started = loop.time()
            answers = await asyncio.gather(*map(load, range(50)))
            assert answers == [f"value {number}" for number in range(50)]
            assert 0.05 < loop.time() - started < 1.0
            with pytest.raises((OSError, BatchioError)):
                await load.invalidate(1)
            assert said(caplog, "does not answer") == 1
            server.resume()
            for number in range(100, 150):
                assert await load(number) == f"value {number}"
            await settled(load, source, 200)
            assert await asyncio.gather(*map(load, range(100, 150))) == [f"value {n}" for n in range(100, 150)]


async def test_an_impatient_cache_is_never_wrong_and_keeps_few_connections() -> None:
    """After hundreds of answers that came too late, every value is its own key's, and no connection was left open."""
    with servers.memcached() as server:
        async with proxy.Proxy(proxy.HOST, server.port) as line, MemcachedCache(line.address, timeout=0.003) as mc:
            source = Source()
            load = source.loader(mc, batchio.Limits(cache_timeout=0.004))
            line.latency = 0.002
            for number in range(300):
                assert await asyncio.gather(load(number % 7), load(number)) == [
                    f"value {number % 7}",
                    f"value {number}",
                ]
            line.latency = 0
            assert int(server.stats()["curr_connections"]) < 30


async def test_a_lookup_that_is_cancelled_takes_no_connection_along() -> None:
    """Cancelled readers leave neither a wrong answer nor an open connection behind."""
    with servers.memcached() as server:
        async with MemcachedCache(server.address, timeout=2.0) as mc:
            keys = mc.bind("names", int)
            await keys.set_many({number: number for number in range(100)}, None)
            for number in range(100):
                lookup = asyncio.create_task(keys.get_many([number]))
                for _ in range(number % 9):
                    await asyncio.sleep(0)
                lookup.cancel()
                assert (await keys.get_many([number])).hits == {number: number}
                await asyncio.gather(lookup, return_exceptions=True)
            assert int(server.stats()["curr_connections"]) < 15


# --- cut off --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_replies_in_slices_are_read(size: int) -> None:
    """Replies that arrive in small pieces are the same replies."""
    with servers.memcached() as server:
        async with proxy.Proxy(proxy.HOST, server.port) as line, MemcachedCache(line.address, timeout=5.0) as mc:
            line.slice = size
            keys = mc.bind("names", str)
            values = {number: "END\r\n" * number for number in range(10)}
            missed = await keys.get_many(list(values))
            await keys.fill_many(values, missed.leases, None)
            assert (await keys.get_many(list(values))).hits == values


async def test_a_reply_that_is_cut_anywhere_is_a_miss_or_right() -> None:
    """Wherever a connection breaks, from its first byte to its last, a reader gets the right value."""
    with servers.memcached() as server:
        async with MemcachedCache(server.address, timeout=2.0) as direct:
            await direct.bind("names", str).set_many({1: "value 1"}, None)
        async with proxy.Proxy(proxy.HOST, server.port) as line:
            async with MemcachedCache(line.address, timeout=2.0) as mc:
                await mc.bind("names", str).get_many([1])
            length, source = line.bytes_down, Source()
            for cut in [0, 1, 100, 1000, *range(length - 50, length + 50)]:  # numbers among the stats grow
                line.cut_after = cut
                async with MemcachedCache(line.address, timeout=2.0) as mc:
                    assert await source.loader(mc, PATIENT)(1) == "value 1"
            assert 10 < len(source.batches) < 90


async def test_a_server_that_does_not_answer_is_left_alone_after_three_lookups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later lookups are misses at once, at no server's cost; the first answer to a deletion brings it back."""
    monkeypatch.setattr("batchio.memcached._breaker.FIRST_PAUSE", 3600.0)
    monkeypatch.setattr("batchio.memcached._breaker.LONGEST_PAUSE", 3600.0)
    with servers.memcached() as server:
        async with (
            proxy.Proxy("127.0.0.1", server.port) as between,
            MemcachedCache(between.address, timeout=0.1) as mc,
        ):
            source = Source()
            load = source.loader(mc, PATIENT)
            await settled(load, source, 1)
            between.black_hole = True
            with batchio.testing.record() as recorded:
                for key in range(10, 30):
                    assert await load(key) == f"value {key}"
            assert len(recorded.batches(f"memcached {between.address}")) == 3
            with pytest.raises(batchio.BatchTimeout, match=r"raise MemcachedCache\(timeout="):
                await load.invalidate(1)
            between.black_hole = False
            await between.reset()
            await load.invalidate(1)
            await settled(load, source, 2)


async def test_the_connection_of_an_exchange_that_timed_out_is_not_used_again() -> None:
    """Its late reply would be read as the next one's: a deletion would be confirmed by the answer to another."""
    with servers.memcached() as server:
        async with (
            proxy.Proxy("127.0.0.1", server.port) as between,
            MemcachedCache(between.address, timeout=0.1) as mc,
        ):
            load = Source().loader(mc, PATIENT)
            await load.invalidate(1)
            opened = between.connections
            between.latency = 0.3
            with pytest.raises(batchio.BatchTimeout):
                await load.invalidate(1)
            between.latency = 0.0
            await load.invalidate(2)
            assert between.connections == opened + 1
