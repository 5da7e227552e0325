"""Faults 27 and 48 to 51: a memcached that is down, slow, silent, killed or cut off, and callers that give up at once.

Rules:
- A reader gets the source's value or the cached one, which is the same here; a writer gets an error or it is done.
- Servers that are stopped, or paused are the test's own. Cache limits are long where they must not run out.
- A test that needs no clock has none: that a pause did not hold anybody is shown by answers while the pause lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import batchio
from batchio._core.errors import BatchioError
from batchio.memcached import MemcachedCache
from batchio.memcached._breaker import FAILURES, FIRST_PAUSE, Breaker
from batchio.testing import record
from tests import servers
from tests.faults.helpers import Source, answers
from tests.faults.stores import (
    LONG,
    NO_ANSWER,
    SOAK,
    Liar,
    Passes,
    cached,
    hits,
    leaving_at,
    rounds,
    tell,
    until,
    values,
)  # fmt: skip
from tests.proxy import HOST, Proxy

CONNECTIONS = 8  # that a cache has at most: four for reading and four for commands


pytestmark = pytest.mark.usefixtures("quiet")


@asynccontextmanager
async def behind(server: Any, *, timeout: float = LONG) -> AsyncIterator[tuple[Proxy, MemcachedCache]]:
    """A cache on a line that can be bad."""
    async with Proxy(HOST, server.port) as line, MemcachedCache(line.address, timeout=timeout) as cache:
        yield line, cache


# --- storms -------------------------------------------------------------------------------------------------------


@pytest.mark.patience(600 if SOAK else 30)
async def test_fault_27_after_a_storm_of_callers_that_give_up_memcached_is_never_wrong_and_nothing_leaks(
    memcached_server: Any, memcached_address: str, record_property: Any
) -> None:
    """500 rounds of next to no time, whose cancellation reaches the batch; after each the next answer is its own."""
    before = int(memcached_server.stats()["curr_connections"])
    gave_up = 0
    async with MemcachedCache(memcached_address, timeout=LONG) as cache:
        source = Source()
        load = cached(source, cache, cancel_abandoned=True, ttl=60.0)
        for number in range(rounds(500)):
            keys = [number % 50, number, number + 1]
            try:
                async with asyncio.timeout(0.0002 * (number % 12)):
                    assert await load.load_many(keys) == values(keys)
            except TimeoutError:
                gave_up += 1
            assert await load(number + 1) == f"value {number + 1}"
        await batchio.drain(LONG)
        assert gave_up >= rounds(500) // 12
        assert int(memcached_server.stats()["curr_connections"]) - before <= CONNECTIONS
    await until(lambda: int(memcached_server.stats()["curr_connections"]) <= before)
    record_property("rounds", rounds(500))
    record_property("gave up", gave_up)
    tell(f"fault 27, memcached: {rounds(500)} rounds, {gave_up} gave up, {len(source.calls)} calls of the source")


# --- down ---------------------------------------------------------------------------------------------------------


async def test_fault_48_a_server_that_is_down_is_misses_and_after_three_failures_it_is_left_alone(
    own: servers.Memcached, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every load is answered; of 200 that follow the third failure none knocks; once a pause is over and it is back, hits."""
    monkeypatch.setattr("batchio.memcached._breaker.FIRST_PAUSE", 3600.0)
    monkeypatch.setattr("batchio.memcached._breaker.LONGEST_PAUSE", 3600.0)
    async with behind(own) as (line, cache):
        source = Source()
        load = cached(source, cache)
        await hits(load, source, [1, 2])
        own.stop()
        with record() as recorded:
            for key in range(10, 210):
                assert await load(key) == f"value {key}"
        assert len(recorded.batches(f"memcached {line.address}")) == FAILURES
        knocked = line.connections
        own.start()
        assert await load.load_many([1, 2]) == values([1, 2])
        assert line.connections == knocked
        monkeypatch.undo()
        for breaker in cache._breakers.values():
            breaker._try_at = 0.0  # the pause is over
        await hits(load, source, [1, 2, 100])
        assert line.connections > knocked


def test_fault_48_a_hundred_processes_do_not_come_back_at_once() -> None:
    """Their breakers opened in the same moment; their first probes are spread over half of the pause, and one each."""
    now = 0.0
    breakers = [Breaker(lambda: now) for _ in range(100)]
    for breaker in breakers * FAILURES:
        breaker.failed()
    let_through: list[int] = []
    for step in range(21):
        now = FIRST_PAUSE * step / 20 + 1e-9
        let_through.append(sum(breaker.lets_through() for breaker in breakers))
    assert sum(let_through[:10]) == 0
    assert sum(let_through) == 100
    assert max(let_through) <= 30


# --- slow and silent ----------------------------------------------------------------------------------------------


async def test_fault_49_a_slow_answer_costs_its_time_and_reaches_nobody_else(own: servers.Memcached) -> None:
    """Each load is answered by the source; the late replies die with their connections, and later ones are right."""
    async with behind(own, timeout=0.05) as (line, cache):
        source = Source()
        load = cached(source, cache, cache_timeout=0.1)
        line.latency = 0.2
        for start in (0, 10, 20, 30):
            keys = [*range(start, start + 10)]
            assert await load.load_many(keys) == values(keys)
        with pytest.raises(BatchioError, match=r"did not answer within 0\.05 seconds"):
            await load.invalidate(1)
        line.latency = 0.0
        for start in range(40):
            assert await load.load_many([start, start + 1]) == values([start, start + 1])
        await hits(load, source, [*range(40)])
        assert line.open <= CONNECTIONS


class Held(Proxy):
    """A line that holds all answers back until it is opened."""

    opened: asyncio.Event

    async def _hold(self, piece: bytes) -> None:
        await self.opened.wait()


async def test_fault_49_a_late_answer_to_the_same_question_is_not_believed(own: servers.Memcached) -> None:
    """It was true when it was asked for, and is not any more: whoever asks again reads what the server says now."""
    line = Held(HOST, own.port)
    line.opened = asyncio.Event()
    line.opened.set()
    async with line, MemcachedCache(line.address, timeout=0.3) as cache, MemcachedCache(own.address) as direct:
        source = Source()
        load, names = cached(source, cache), direct.bind("users", str)
        await names.set_many({1: "old"}, None)
        assert await load(1) == "old"
        line.opened.clear()
        assert await load(1) == "value 1"  # the source's
        await names.set_many({1: "new"}, None)
        before = line.bytes_up
        again = load(1)
        await until(lambda: line.bytes_up > before)
        line.opened.set()
        assert await again == "new"


@pytest.mark.parametrize("how", ["paused", "black hole"])
async def test_fault_50_a_silent_server_is_misses_within_the_limit_and_the_others_go_on(
    how: str, own: servers.Memcached
) -> None:
    """While it is silent its keys come from the source, and those of the other server from there; then it is back."""
    with servers.memcached() as other:
        async with Proxy(HOST, own.port) as line, MemcachedCache(line.address, other.address, timeout=0.1) as cache:
            source, keys = Source(), [*range(40)]
            load = cached(source, cache)
            await hits(load, source, keys)
            theirs = int(other.stats()["curr_items"])
            assert 0 < theirs < 40
            source.calls.clear()
            own.pause() if how == "paused" else setattr(line, "black_hole", True)
            for _ in range(5):
                assert await load.load_many(keys) == values(keys)
            assert [len(call) for call in source.calls] == [40 - theirs] * 5
            with pytest.raises(NO_ANSWER):
                await load.invalidate(*keys)
            own.resume() if how == "paused" else setattr(line, "black_hole", False)
            await hits(load, source, keys)


# --- killed, closed, cut ------------------------------------------------------------------------------------------


async def test_fault_51_everybody_who_waits_for_a_server_that_is_killed_is_told_at_once(own: servers.Memcached) -> None:
    """A hundred readers and ten writers wait for a server that hangs; it is killed: their limits are an hour away."""
    async with MemcachedCache(own.address, timeout=3600.0) as cache:
        source = Source()
        load = cached(source, cache, cache_timeout=3600.0)
        await hits(load, source, [1])
        own.pause()
        readers = [load(key) for key in range(100)]
        writers = [asyncio.create_task(load.invalidate(key)) for key in range(10)]
        for _ in range(50):
            await asyncio.sleep(0)
        assert not any(one.done() for one in [*readers, *writers])
        own.kill()
        assert await answers(*readers) == values(range(100))
        assert all(isinstance(error, NO_ANSWER) for error in await answers(*writers))


@pytest.mark.parametrize("verb", ["get", "mg", "ms", "md"])
async def test_fault_51_a_server_that_closes_cleanly_at_a_command_holds_no_loop(verb: str) -> None:
    """The loop goes on with others: readers have their value, a writer an error, and nobody reads the end for ever."""
    async with leaving_at(verb.encode()) as cache:
        source = Source()
        load = cached(source, cache)
        with Passes() as passes:
            for key in range(5):
                before = passes.count
                assert await load(key) == f"value {key}"
                assert passes.count > before
                if verb == "md":
                    with pytest.raises(ConnectionError):
                        await load.invalidate(key)
            await batchio.drain(LONG)
            assert passes.count > 5


async def asked(server: Any, *, key: int) -> int:
    """The bytes that a connection has brought when it has answered a lookup of a hit."""
    async with Proxy(HOST, server.port) as line, MemcachedCache(line.address, timeout=LONG) as cache:
        assert len((await cache.bind("users", str).get_many([key])).hits) == 1
        return line.bytes_down


@pytest.mark.flavours("asyncio")
@pytest.mark.patience(300 if SOAK else 60)
async def test_fault_51_a_reply_that_is_cut_after_any_byte_is_a_miss_or_right(
    own: servers.Memcached, record_property: Any
) -> None:
    """From a connection's first byte to the last of a hit, and beyond: never another value, and the loop goes on.

    What a server says of itself, at first, is cut at every 16th byte; with SOAK=1 at each.
    """
    async with MemcachedCache(own.address, timeout=LONG) as cache:
        await cache.bind("users", str).set_many({1: "value 1"}, None)
    whole, source = await asked(own, key=1), Source()
    cuts = [*range(0, whole - 100, 1 if SOAK else 16), *range(whole - 100, whole + 60)]  # numbers among the stats grow
    async with Proxy(HOST, own.port) as line:
        with Passes() as passes:
            for cut in cuts:
                line.cut_after, before = cut, passes.count
                async with MemcachedCache(line.address, timeout=LONG) as cache:
                    assert await cached(source, cache)(1) == "value 1"
                assert passes.count > before
    assert 10 < len(cuts) - len(source.calls) < 110, "the last cuts are none, and the others are misses"
    record_property("cuts of a lookup", len(cuts))
    tell(f"fault 51: a lookup cut at {len(cuts)} places, {len(source.calls)} misses")


async def test_fault_51_a_lease_that_is_lost_with_its_connection_holds_nobody_up(own: servers.Memcached) -> None:
    """The server has granted it, and the line broke before it came: its reader does not wait for itself, nor do others."""
    async with Liar(HOST, own.port) as line, MemcachedCache(line.address, timeout=LONG) as cache:
        source = Source()
        load = cached(source, cache)
        await hits(load, source, [1])
        line.verb, line.lie = b"mg ", lambda said: setattr(line, "lie", None)  # once, and then it is honest
        with record() as recorded:
            assert await load(2) == "value 2"
        assert line.told == 1
        assert len(recorded.batches(f"memcached {line.address}")) <= 2, (
            "it asked again and again, and waited for itself"
        )
        await hits(load, source, [1, 2])


@pytest.mark.flavours("asyncio")
async def test_fault_51_a_lease_or_fill_that_is_cut_after_any_byte_holds_nobody_up(
    own: servers.Memcached, record_property: Any
) -> None:
    """The reader has its value, and does not wait for a lease of its own that was lost; the key is right or free."""
    async with MemcachedCache(own.address, timeout=LONG) as direct, Proxy(HOST, own.port) as line:
        names, failed, source = direct.bind("users", str), 0, Source()
        await names.set_many({1: "value 1"}, None)
        whole = await asked(own, key=1)
        cuts = range(whole - 40, whole + 60)
        for cut in cuts:
            await names.delete_many([1])
            line.cut_after, before = cut, line.connections
            async with MemcachedCache(line.address, timeout=LONG) as cache:
                assert await cached(source, cache)(1) == "value 1"
                await batchio.drain(LONG)
                assert line.connections - before <= 6, f"cut after {cut - whole}: it waits for itself"
            line.cut_after = None
            found = await names.get_many([1])
            assert found.hits in ({}, {1: "value 1"})
            failed += not found.hits
    assert 0 < failed < len(cuts)
    record_property("cuts of a fill", len(cuts))
    tell(f"fault 51: a lease or fill cut at {len(cuts)} places, {failed} not stored")


@pytest.mark.flavours("asyncio")
async def test_fault_51_a_deletion_that_is_cut_after_any_byte_is_done_or_an_error(
    own: servers.Memcached, record_property: Any
) -> None:
    """A writer who is told of no error finds the key gone."""
    async with MemcachedCache(own.address, timeout=LONG) as direct, Proxy(HOST, own.port) as line:
        names, failed = direct.bind("users", str), 0
        await names.set_many({1: "value 1"}, None)
        whole = await asked(own, key=1)
        cuts = range(whole - 60, whole + 20)
        for cut in cuts:
            await names.set_many({1: "value 1"}, None)
            line.cut_after = cut
            async with MemcachedCache(line.address, timeout=LONG) as cache:
                try:
                    await cached(Source(), cache).invalidate(1)
                except NO_ANSWER:
                    failed += 1
                else:
                    assert (await names.get_many([1])).hits == {}
    assert 0 < failed < len(cuts)
    record_property("cuts of a deletion", len(cuts))
    tell(f"fault 51: a deletion cut at {len(cuts)} places, {failed} were errors")
