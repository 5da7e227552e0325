"""Leases that nobody holds, invalidations that do nothing, addresses that are none: what an attack found."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Any

import pytest

import batchio
from batchio.memcached import MemcachedCache
from tests import proxy, servers

SOON = 1.0  # seconds; a reader who waits for a fill that never comes waits for 3


class Word(str):  # noqa: SLOT000
    """A text of a class of its own, as libraries make them: markup, headers, paths."""


class Colour(StrEnum):
    """A key that equals a text."""

    RED = "red"


async def seconds_of(reading: Any) -> float:
    """How long a read takes."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    await reading
    return loop.time() - started


async def test_a_lease_whose_answer_was_lost_keeps_nobody_waiting(
    memcached_server: Any, memcached_address: str
) -> None:
    """The connection is cut when the server has left the placeholder: asked again, it says that somebody is filling."""
    async with (
        proxy.Proxy(proxy.HOST, memcached_server.port) as line,
        MemcachedCache(line.address) as mc,
    ):

        @batchio.loader(name="n", cache=mc, ttl=60.0)
        async def n(keys: list[int]) -> dict[int, int]:
            return {key: key for key in keys}

        await n(1)
        await batchio.drain(5)  # connections are open now, and idle
        cut: list[bytes] = []

        def lose_the_lease(_: int, chunk: bytes) -> None:
            if b" W" in chunk and not cut:
                cut.append(chunk)
                line.cut_after = 0
                asyncio.get_running_loop().call_soon(setattr, line, "cut_after", None)

        line.on_down = lose_the_lease
        took = await seconds_of(n(2))
        await batchio.drain(5)
        assert cut
        assert took < SOON


@pytest.mark.flavours("asyncio")
async def test_a_pause_of_the_server_does_not_slow_readers_for_ten_seconds() -> None:
    """Paused between a lookup's two commands: the placeholder that it leaves afterwards is nobody's."""
    with servers.memcached() as server:
        async with proxy.Proxy(proxy.HOST, server.port) as line, MemcachedCache(line.address) as mc:

            @batchio.loader(name="n", cache=mc, ttl=60.0)
            async def n(keys: list[int]) -> dict[int, int]:
                return {key: key for key in keys}

            await n(1)
            await batchio.drain(5)
            paused = asyncio.Event()

            def pause(_: int, chunk: bytes) -> None:
                if chunk.startswith(b"mg ") and not paused.is_set():
                    server.pause()
                    paused.set()

            line.on_up = pause
            await n(2)
            await batchio.drain(5)
            assert paused.is_set()
            server.resume()
            while not (await mc.bind("probe", int).get_many([1])).leases:  # the server answers again
                await asyncio.sleep(0.01)
            took = await seconds_of(n(2))
            await batchio.drain(5)
            assert took < SOON


@pytest.mark.flavours("asyncio")
async def test_a_server_without_cas_is_refused_or_slows_nobody() -> None:
    """`memcached -C`: all its cas numbers are 0, so that no fill is ever stored and each reader waits for one."""
    with servers.memcached("-C") as server:
        async with MemcachedCache(server.address) as mc:

            @batchio.loader(name="n", cache=mc, ttl=60.0)
            async def n(keys: list[int]) -> dict[int, int]:
                return {key: key for key in keys}

            await n(1)
            await batchio.drain(5)
            assert await seconds_of(n(1)) < SOON
            await batchio.drain(5)


@pytest.mark.parametrize("key", [Word("red"), Colour.RED], ids=["subclass", "enum"])
async def test_what_an_equal_key_invalidates_is_invalidated_or_an_error(memcached_address: str, key: Any) -> None:
    """Loaders take equal keys for one key; so an invalidation that is acknowledged must hold for all of them."""
    words = {"red": "old"}
    async with MemcachedCache(memcached_address) as mc:

        @batchio.loader(name="words", cache=mc, ttl=60.0)
        async def meaning(keys: list[str]) -> dict[str, str]:
            return {word: words[word] for word in keys}

        await meaning("red")
        await batchio.drain(5)
        words["red"] = "new"
        try:
            await meaning.invalidate(key)
        except TypeError:
            return
        read = await meaning("red")
        await batchio.drain(5)
        assert read == "new"


@pytest.mark.parametrize("address", ["cache1:11211,cache2:11211", "cache1,cache2", "cache1:11211:11212", "cache 1:1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """And not asked for, for ever, while every read is a miss."""
    with pytest.raises(ValueError, match="cannot be read"):
        MemcachedCache(address)


def test_an_address_with_a_password_is_refused_without_showing_it() -> None:
    """There is no password in this protocol; who writes one must not find it in a log."""
    with pytest.raises(ValueError) as refused:
        MemcachedCache("memcached://me:hunter2@127.0.0.1:11211")
    assert "hunter2" not in str(refused.value)


def test_an_address_that_is_no_text_is_refused_in_words() -> None:
    """A list of addresses, say."""
    with pytest.raises((TypeError, ValueError), match="MemcachedCache"):
        MemcachedCache(["127.0.0.1:11211"])  # type: ignore[arg-type]
