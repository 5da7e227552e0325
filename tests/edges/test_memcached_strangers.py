"""Servers that are no memcached as we need it: rubbish, silence, old versions, answers that lie.

A fake says what it is given to say; whatever that is, a reader gets the source's value within its time, a writer an
error, and no connection is used twice that was out of step once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

import batchio
from batchio._core.errors import BatchioError
from batchio.memcached import MemcachedCache

STATS = b"STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 1000\r\nSTAT version 1.6.18\r\nEND\r\n"
Answer = Callable[[bytes], bytes | None]  # a line of what was sent -> what is answered; None closes the connection


class Fake:
    """A server that answers each line; it counts connections and remembers lines."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.address = ""
        self.connections = 0
        self.lines: list[bytes] = []
        self.lives: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.lives.add(asyncio.current_task())  # type: ignore[arg-type]
        with suppress(OSError, asyncio.CancelledError):  # a cancelled one, asyncio would report on Python 3.11
            while line := await reader.readline():
                self.lines.append(line)
                said = self.answer(line)
                if said is None:
                    break
                writer.write(said)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def fake(answer: Answer) -> AsyncIterator[Fake]:
    """Start one; at its end nothing of it is left."""
    served = Fake(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    served.address = f"{host}:{port}"
    try:
        yield served
    finally:
        server.close()
        for life in served.lives:
            life.cancel()
        await asyncio.gather(*served.lives, return_exceptions=True)
        await asyncio.sleep(0)


def says(**answers: bytes | None) -> Answer:
    """Answer by the line's first word; stats as a memcached would, unless told otherwise."""
    table: dict[str, bytes | None] = {"stats": STATS, **answers}
    return lambda line: table.get(line.split()[0].decode("latin-1") if line.split() else "", b"ERROR\r\n")


async def fetch(keys: list[Any]) -> dict[Any, str]:
    return {key: f"value {key}" for key in keys}


def loader(cache: MemcachedCache) -> Any:
    limits = batchio.Limits(cache_timeout=0.3)
    return batchio.Loader(fetch, name="names", cache=cache, value_type=str, limits=limits)


STRANGERS: dict[str, Answer] = {
    "rubbish": lambda _: b"\x15\x03\x01\x00\x02\x02\x46",
    "another protocol": lambda _: b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "silence": lambda _: b"",
    "closes at once": lambda _: None,
    "closes after stats": says(get=None),
    "endless stats": says(stats=b"STAT x y\r\n" * 1000),
    "stats without a number": says(stats=b"STAT time x\r\nSTAT version 1.6\r\nEND\r\n", get=b"END\r\n"),
    "no stats": says(stats=b"END\r\n", get=b"END\r\n"),
    "one number for a version": says(stats=b"STAT version 1\r\nEND\r\n", get=b"END\r\n"),
    "errors": says(),
    "server error": says(get=b"SERVER_ERROR out of memory\r\n"),
    "another key": says(get=b"VALUE names/2 0 1\r\nx\r\nEND\r\n"),
    "too short": says(get=b"VALUE names/1 0 5\r\nx\r\nEND\r\n"),
    "too long": says(get=b"VALUE names/1 0 1\r\nxyz\r\nEND\r\n"),
    "other flags": says(get=b"VALUE names/1 77 1\r\nx\r\nEND\r\n", mg=b"SERVER_ERROR busy\r\n"),
    "half an answer": says(get=b"VALUE names/1 0 1\r\n"),
    "no meta commands": says(get=b"END\r\n"),
    "out of memory": says(get=b"END\r\n", mg=b"SERVER_ERROR out of memory\r\n"),
    "a lease for another key": says(get=b"END\r\n", mg=b"VA 0 c1 f0 knames/999 W\r\n\r\n"),
    "a lease without a number": says(get=b"END\r\n", mg=b"VA 0 f0 knames/1 W\r\n\r\n"),
    "fills are refused": says(get=b"END\r\n", mg=b"VA 0 c1 f0 knames/1 W\r\n\r\n", ms=b"SERVER_ERROR no\r\n"),
    "two answers for one": says(get=b"END\r\n", mg=b"EN\r\nEN\r\n"),
}


@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS.keys())
async def test_whatever_a_server_says_readers_get_the_sources_value(answer: Answer) -> None:
    """No answer of any server makes a wrong value, an error or a wait longer than the limits."""
    loop = asyncio.get_running_loop()
    async with fake(answer) as stranger, MemcachedCache(stranger.address, timeout=0.1) as mc:
        load = loader(mc)
        started = loop.time()
        for _ in range(3):
            assert await load(1) == "value 1"
        await batchio.drain(5)
        assert loop.time() - started < 3.0


@pytest.mark.parametrize("name", ["rubbish", "silence", "closes at once", "errors", "another protocol"])
async def test_a_deletion_that_nobody_confirmed_is_an_error(name: str) -> None:
    """A writer is told, and within its time."""
    async with fake(STRANGERS[name]) as stranger, MemcachedCache(stranger.address, timeout=0.1) as mc:
        with pytest.raises((OSError, BatchioError)):
            await loader(mc).invalidate(1)


@pytest.mark.parametrize("reply", [b"SERVER_ERROR no\r\n", b"CLIENT_ERROR bad\r\n", b"ERROR\r\n", b"EX\r\n", b"NS\r\n"])
async def test_a_refused_deletion_is_an_error(reply: bytes) -> None:
    """Only HD and NF say that the key is gone; the error says which server and what it said."""
    async with fake(says(md=reply)) as stranger, MemcachedCache(stranger.address, timeout=1.0) as mc:
        keys = mc.bind("names", str)
        with pytest.raises(ConnectionError, match=f"{stranger.address} .*{reply.split()[0].decode()}"):
            await keys.delete_many([1])


async def test_a_connection_that_is_out_of_step_is_not_used_again() -> None:
    """After an answer that makes no sense the next request goes over a new connection."""
    answers = iter([b"END\r\nEND\r\n", b"VALUE names/2 0 1\r\nx\r\nEND\r\n", b"END\r\n", b"END\r\n"])
    answer = says(mg=b"SERVER_ERROR busy\r\n")
    async with (
        fake(lambda line: next(answers) if line.startswith(b"get") else answer(line)) as stranger,
        MemcachedCache(stranger.address, timeout=0.2) as mc,
    ):
        keys = mc.bind("names", str)
        for opened in (1, 2, 3, 3):
            assert (await keys.get_many([1])).hits == {}
            assert stranger.connections == opened


async def test_bytes_that_nobody_asked_for_end_an_idle_connection() -> None:
    """What arrives while a connection waits is never read as the next answer."""

    def answer(line: bytes) -> bytes:
        if line.startswith(b"get"):
            return b"END\r\n"
        if line.startswith(b"mg"):
            return b"SERVER_ERROR busy\r\n"
        return STATS

    async with fake(answer) as stranger, MemcachedCache(stranger.address, timeout=1.0) as mc:
        keys = mc.bind("names", str)
        await keys.get_many([1])
        before = stranger.connections
        (server,) = mc._servers
        pool = server._pools.get()
        for link in pool._free:
            link.data_received(b"END\r\n")
        assert (await keys.get_many([1])).hits == {}
        assert stranger.connections > before


@pytest.mark.parametrize("version", ["1.5.22", "1.4.39", "1.2.8"])
async def test_an_old_memcached_is_named_once(version: str, caplog: pytest.LogCaptureFixture) -> None:
    """Readers are served from the source; the log says once which version it is and which one leases need."""
    old = STATS.replace(b"1.6.18", version.encode())
    async with fake(says(stats=old, get=b"END\r\n")) as stranger, MemcachedCache(stranger.address, timeout=1.0) as mc:
        load = loader(mc)
        for _ in range(3):
            assert await load(1) == "value 1"
        with pytest.raises((OSError, BatchioError), match=rf"{version}; leases need 1\.6"):
            await load.invalidate(1)
    assert len([line for line in caplog.messages if f"memcached {version}; leases need 1.6 or newer" in line]) == 1
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("version", ["1.6.0", "1.6.40", "1.10.0", "2.0.1", "1.6.18-patched"])
async def test_a_newer_memcached_is_taken(version: str) -> None:
    """1.6 and whatever comes after it."""
    new = STATS.replace(b"1.6.18", version.encode())
    async with fake(says(stats=new, md=b"HD\r\n")) as stranger, MemcachedCache(stranger.address, timeout=1.0) as mc:
        await loader(mc).invalidate(1)


async def test_a_server_that_streams_rubbish_does_not_fill_the_memory() -> None:
    """Megabytes without an end are given up at their first line."""
    sent = 0

    def answer(line: bytes) -> bytes:
        nonlocal sent
        if line.startswith(b"stats"):
            return STATS
        sent += 1
        return b"VALUE " + b"y" * 8_000_000

    async with fake(answer) as stranger, MemcachedCache(stranger.address, timeout=5.0) as mc:
        started = asyncio.get_running_loop().time()
        assert (await mc.bind("names", str).get_many([1])).hits == {}
        assert asyncio.get_running_loop().time() - started < 2.0
    assert sent == 1
