"""Lookups on their way to memcached: who travels together, how many at once, and what becomes of them when something breaks.

The server is a stranger that this file speaks for: it holds its answers until a test lets them go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import pytest

import batchio
from batchio._core.errors import BatchAborted, BatchTimeout
from batchio.events import BatchDispatched, BatchDone
from batchio.memcached._gets import Get
from batchio.memcached._server import Server
from batchio.testing import record
from tests.edges.test_memcached_strangers import STATS


class Stranger:
    """A server that holds the answer to each `get` until `let_go`; then it says that each key is its own value."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []
        self.held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self.answers_stats = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with suppress(OSError, asyncio.CancelledError):
            while line := await reader.readline():
                if line.startswith(b"get "):
                    keys = line.split()[1:]
                    self.asked.append(keys)
                    values = [b"VALUE %b 7 %d\r\n%b\r\n" % (key, len(key), key) for key in keys if key != b"gone"]
                    self.held.append((writer, b"".join(values) + b"END\r\n"))
                elif self.answers_stats:
                    writer.write(STATS)
                self.lines.put_nowait(line)
        writer.close()

    async def until_asked(self, count: int) -> None:
        """Wait for so many lookups to have come."""
        while len(self.asked) < count:
            await self.lines.get()

    def let_go(self) -> None:
        """Send the answers that are held."""
        for writer, answer in self.held:
            writer.write(answer)
        self.held.clear()


@asynccontextmanager
async def stranger(**options: Any) -> AsyncIterator[tuple[Stranger, Server]]:
    """Such a server, and what asks it."""
    there = Stranger()
    listening = await asyncio.start_server(there.serve, "127.0.0.1", 0, limit=1_000_000)
    host, port = listening.sockets[0].getsockname()
    asks = Server(host, port, **{"timeout": 30.0, "connections": 2, "conn_args": {}, **options})
    try:
        yield there, asks
    finally:
        await asks.close()
        listening.close()
        for writer in there.writers:
            writer.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def get(*keys: bytes, flags: bytes = b"7", owner: object = None) -> Get:
    """A request; of an owner of its own, unless told whose."""
    return Get(b" ".join(keys), flags, owner or object())


async def warm(there: Stranger, asks: Server) -> None:
    """Have a connection open."""
    first = asks.get(get(b"first"))
    await there.until_asked(1)
    there.let_go()
    assert await first == [b"first"]
    there.asked.clear()


@pytest.mark.parametrize("warmed", [False, True])
async def test_what_is_asked_in_one_pass_travels_together(warmed: bool) -> None:
    """One lookup for all, over a new connection or an open one; each gets its own values, or what is there of them."""
    async with stranger() as (there, asks):
        if warmed:
            await warm(there, asks)
        one, other, odd = get(b"a", b"b"), get(b"c"), get(b"d", flags=b"8")
        found = [asks.get(one), asks.get(other)]
        await there.until_asked(1)
        there.let_go()
        assert [await each for each in found] == [[b"a", b"b"], [b"c"]]
        assert there.asked == [[b"a", b"b", b"c"]]
        found = [asks.get(one), asks.get(odd), asks.get(get(b"gone"))]
        await there.until_asked(2)
        there.let_go()
        for each in found:
            assert await each == {key: (b"7", key) for key in (b"a", b"b", b"d")}


async def test_a_key_that_two_ask_for_is_asked_for_once() -> None:
    """Two requests of one owner may want the same key."""
    async with stranger() as (there, asks):
        found = [asks.get(get(*keys, owner="users")) for keys in ((b"a", b"b"), (b"b", b"c"))]
        await there.until_asked(1)
        there.let_go()
        assert [await each for each in found] == [{key: (b"7", key) for key in (b"a", b"b", b"c")}] * 2
        assert there.asked == [[b"a", b"b", b"c"]]


async def test_so_many_are_under_way_and_the_others_wait_and_leave_together() -> None:
    """With two connections the third and fourth leave as one when the first come back; who went away is not asked for."""
    async with stranger() as (there, asks):
        found = []
        for count, key in enumerate((b"a", b"b"), 1):
            found.append(asks.get(get(key)))
            await there.until_asked(count)
        late = [asks.get(get(key)) for key in (b"c", b"d", b"e")]
        late[1].cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert there.asked == [[b"a"], [b"b"]]
        there.let_go()
        assert [await each for each in found] == [[b"a"], [b"b"]]
        await there.until_asked(3)
        there.let_go()
        assert (await late[0], await late[2]) == ([b"c"], [b"e"])
        assert there.asked[2:] == [[b"c", b"e"]]
        assert len(there.writers) == 2


async def test_whoever_goes_away_takes_nothing_from_the_others() -> None:
    """The answer comes to those who stay, and the connection is good for the next."""
    async with stranger() as (there, asks):
        await warm(there, asks)
        gone, stays = asks.get(get(b"a")), asks.get(get(b"b"))
        await there.until_asked(1)
        gone.cancel()
        there.let_go()
        assert await stays == [b"b"]
        after = asks.get(get(b"c"))
        await there.until_asked(2)
        there.let_go()
        assert await after == [b"c"]
        assert len(there.writers) == 1


@pytest.mark.parametrize("warmed", [False, True])
async def test_each_who_waits_has_an_error_of_its_own(warmed: bool) -> None:
    """A time that is over is told to all, by different objects; the connection is not used again."""
    async with stranger(timeout=0.05) as (there, asks):
        if warmed:
            await warm(there, asks)
        found = [asks.get(get(key)) for key in (b"a", b"b")]
        errors = await asyncio.gather(*found, return_exceptions=True)
        assert [type(error) for error in errors] == [BatchTimeout] * 2
        assert errors[0] is not errors[1]
        there.held.clear()
        before = len(there.asked)
        after = asks.get(get(b"c"))
        await there.until_asked(before + 1)
        there.let_go()
        assert await after == [b"c"]
        assert len(there.writers) == 2


async def test_a_server_that_never_says_who_it_is_has_its_time_too() -> None:
    """The limit holds for a connection that is being opened."""
    async with stranger(timeout=0.05) as (there, asks):
        there.answers_stats = False
        with pytest.raises(BatchTimeout, match=r"no answer within 0\.05 seconds"):
            await asks.get(get(b"a"))


async def test_an_answer_that_came_while_the_loop_was_held_is_read() -> None:
    """A loop that is held past the limit looks at its connections before it says that there was no answer."""
    async with stranger(timeout=0.05) as (there, asks):
        await warm(there, asks)
        found = asks.get(get(b"a"))
        await there.until_asked(1)
        there.let_go()
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.1
        while loop.time() < until:
            pass
        asks._pools.get().gets._ring()  # as a loop does that looks at its timers first
        assert await found == [b"a"]


async def test_a_dead_connection_is_replaced() -> None:
    """The server has closed it under the lookup: another one is opened, and the reader notices nothing."""
    async with stranger() as (there, asks):
        await warm(there, asks)
        found = asks.get(get(b"a"))
        await there.until_asked(1)
        there.held.clear()
        there.writers[0].transport.abort()
        await there.until_asked(2)
        there.let_go()
        assert await found == [b"a"]
        assert there.asked == [[b"a"], [b"a"]]


async def test_an_answer_that_makes_no_sense_is_an_error_and_no_second_question() -> None:
    """Whose bytes they are nobody knows: the connection is closed, and the next one asks over another."""
    async with stranger() as (there, asks):
        await warm(there, asks)
        found = asks.get(get(b"a"))
        await there.until_asked(1)
        there.held = [(writer, b"VALUE other 7 1\r\nx\r\nEND\r\n") for writer, _ in there.held]
        there.let_go()
        with pytest.raises(ConnectionError, match="nobody asked for"):
            await found
        after = asks.get(get(b"b"))
        await there.until_asked(2)
        there.let_go()
        assert await after == [b"b"]
        assert there.asked == [[b"a"], [b"b"]]
        assert len(there.writers) == 2


async def test_a_drain_that_runs_out_of_time_ends_who_waits_for_a_connection() -> None:
    """They are told, and nothing of it is left."""
    async with stranger() as (there, asks):
        there.answers_stats = False
        found = asks.get(get(b"a"))
        await there.lines.get()
        await batchio.drain(0.01)
        with pytest.raises(BatchAborted):
            await found


async def test_a_line_that_is_longer_than_one_write_is_asked_all_the_same() -> None:
    """Keys of more bytes than are written at once."""
    async with stranger() as (there, asks):
        await warm(there, asks)
        keys = [b"%0240d" % number for number in range(1200)]
        found = asks.get(get(*keys))
        await there.until_asked(1)
        there.let_go()
        assert await found == keys
        assert len(there.writers) == 1


async def test_observers_are_told_of_lookups_in_nobodys_context() -> None:
    """One event as it leaves and one when it is over, by the server's name; no request's variable is seen there."""
    request: ContextVar[str] = ContextVar("request", default="nobody's")
    seen: list[Any] = []

    class Watches(batchio.Observer):
        def on_dispatch(self, event: BatchDispatched) -> None:
            seen.append((event.loader, len(event.keys), request.get()))

        def on_done(self, event: BatchDone) -> None:
            seen.append((event.loader, event.error, request.get()))

    async with stranger() as (there, asks):
        await warm(there, asks)
        request.set("mine")
        with batchio.observe(Watches()), record() as recorded:
            found = [asks.get(get(key)) for key in (b"a", b"b")]
            await there.until_asked(1)
            there.let_go()
            assert await asyncio.gather(*found) == [[b"a"], [b"b"]]
        assert seen == [(asks.name, 2, "nobody's"), (asks.name, None, "nobody's")]
        assert len(recorded.batches(asks.name)) == 1
