"""Leases that nobody can redeem: of lookups that were cancelled or answered too late. Others must not wait for them.

A placeholder stands for 10 seconds, and whoever reads its key meanwhile waits for a fill. So each test here asks for the
key from another process, until it is given a lease, and counts the seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import batchio
from batchio.memcached import MemcachedCache
from tests import proxy, servers

SOON = 3.0  # seconds, on a machine that is busy with something else


class Line:
    """A cache behind a proxy whose answers can be held back, and another process's beside it."""

    def __init__(self, address: str, line: proxy.Proxy, mc: MemcachedCache, other: MemcachedCache) -> None:
        self.address, self.line, self.mc, self.other = address, line, mc, other
        self.asked = asyncio.Event()

    def hold_leases(self, _: int, chunk: bytes) -> None:
        """From the first request for a lease on, answers take their time."""
        if chunk.startswith(b"mg "):
            self.line.latency = 0.3
            self.asked.set()

    async def lease(self, keys: Any, key: Any) -> float:
        """Ask until a lease is given; the seconds that it took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not (await keys.get_many([key])).leases:
            await asyncio.sleep(0.005)
        return loop.time() - started


@pytest.fixture
async def slow(memcached_server: Any, memcached_address: str) -> AsyncIterator[Line]:
    """Our process behind the line."""
    async with (
        proxy.Proxy(proxy.HOST, memcached_server.port) as line,
        MemcachedCache(line.address, timeout=0.1) as mc,
        MemcachedCache(memcached_address, timeout=2.0) as other,
    ):
        made = Line(memcached_address, line, mc, other)
        line.on_up = made.hold_leases
        yield made


@pytest.mark.parametrize("seconds", [0.0, 0.05])
async def test_a_cancelled_lookup_gives_its_leases_back(slow: Line, seconds: float) -> None:
    """Cancelled while the server's answer is on its way: whoever asks next gets the lease."""
    lookup = asyncio.create_task(slow.mc.bind("names", str).get_many([1, 2]))
    await slow.asked.wait()
    await asyncio.sleep(seconds)
    lookup.cancel()
    slow.line.latency = 0.0
    slow.line.on_up = proxy.ignore
    with pytest.raises(asyncio.CancelledError):
        await lookup
    assert await slow.lease(slow.other.bind("names", str), 1) < SOON


async def test_a_lease_whose_answer_comes_too_late_is_given_back(slow: Line) -> None:
    """The connection is thrown away with the answer; the key is free soon, and for everybody."""
    assert (await slow.mc.bind("names", str).get_many([1])).leases == {}
    slow.line.latency = 0.0
    slow.line.on_up = proxy.ignore
    assert await slow.lease(slow.other.bind("names", str), 1) < SOON


async def test_one_slow_server_does_not_keep_the_leases_of_the_others(slow: Line) -> None:
    """A lookup that is given up for one server's sake gives back what the other servers granted."""
    with servers.memcached() as second:
        async with (
            MemcachedCache(slow.line.address, second.address, timeout=2.0) as mc,
            MemcachedCache(slow.line.address, second.address, timeout=2.0) as other,
        ):
            keys = [*range(40)]
            lookup = asyncio.create_task(mc.bind("names", str).get_many(keys))
            await slow.asked.wait()
            while int(second.stats()["curr_items"]) == 0:
                await asyncio.sleep(0)
            lookup.cancel()
            slow.line.latency = 0.0
            slow.line.on_up = proxy.ignore
            await asyncio.gather(lookup, return_exceptions=True)
            bound = other.bind("names", str)
            assert max([await slow.lease(bound, key) for key in keys]) < SOON


async def test_a_lease_that_was_given_back_late_takes_no_newer_one_along(memcached_address: str) -> None:
    """Given back after the key was invalidated and leased again, it leaves the newer lease and its fill alone."""
    async with MemcachedCache(memcached_address, timeout=2.0) as mc, MemcachedCache(memcached_address) as other:
        here, there = mc.bind("names", str), other.bind("names", str)
        old = (await here.get_many([1])).leases
        await there.delete_many([1])
        new = (await there.get_many([1])).leases
        await here.fill_many({}, old, None)
        await there.fill_many({1: "new"}, new, None)
        assert (await here.get_many([1])).hits == {1: "new"}
        await here.fill_many({}, old, None)
        assert (await here.get_many([1])).hits == {1: "new"}


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_fill_that_nobody_confirmed_holds_nobody_up(slow: Line, arrives: bool) -> None:
    """Lost on its way, its lease is given back; with only the answer lost, what it stored stays."""
    keys, elsewhere = slow.mc.bind("names", str), slow.other.bind("names", str)
    slow.line.on_up = proxy.ignore
    leases = (await keys.get_many([1])).leases

    def lose(_: int, chunk: bytes) -> None:
        slow.line.latency, slow.line.black_hole = (
            0.3 * chunk.startswith(b"ms "),
            chunk.startswith(b"ms ") and not arrives,
        )

    slow.line.on_up = lose
    await keys.fill_many({1: "value"}, leases, None)
    slow.line.latency, slow.line.black_hole = 0.0, False
    counter = slow.line.on_up = proxy.MemcachedCounter()
    while not counter.commands["md"]:
        await asyncio.sleep(0)
    if arrives:
        assert (await elsewhere.get_many([1])).hits == {1: "value"}
    else:
        assert await slow.lease(elsewhere, 1) < SOON


async def test_after_a_slow_answer_readers_of_another_process_do_not_wait(slow: Line) -> None:
    """Through loaders: one process's lookup took too long, and the next reader elsewhere is served at once."""

    async def fetch(keys: list[int]) -> dict[int, str]:
        return dict.fromkeys(keys, "value")

    here = batchio.Loader(fetch, name="names", cache=slow.mc, value_type=str, limits=batchio.Limits(cache_timeout=0.05))
    there = batchio.Loader(fetch, name="names", cache=slow.other, value_type=str)
    assert await here.load_many([1, 2, 3]) == ["value"] * 3
    slow.line.latency = 0.0
    slow.line.on_up = proxy.ignore
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await there.load_many([1, 2, 3]) == ["value"] * 3
    assert loop.time() - started < SOON - 0.5  # they would wait 3 seconds, and then fetch
    await batchio.drain(5)


async def test_what_a_lookup_leaves_behind_is_taken_away_at_each_recovery(
    memcached_server: Any, memcached_address: str
) -> None:
    """Also what one leaves that was under way when an earlier recovery took away what there was then."""
    async with MemcachedCache(memcached_address, timeout=5.0) as mc:
        (server,) = mc._servers
        held = mc._orphans[server]  # as a lookup under way holds it
        names = mc.bind("names", str)
        for name in ("first", "second"):
            assert b" W" in memcached_server.ask(f"mg {name} c N60")
            held.add(name.encode())
            await names.get_many([1])
            await batchio.drain(5)
            assert memcached_server.ask(f"get {name}", b"END\r\n") == b"END\r\n"
