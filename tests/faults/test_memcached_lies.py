"""Fault 52: a memcached whose replies are garbage, cut short, or meant for somebody else.

Rules:
- It is a real one behind a liar, who changes its replies to one kind of command.
- Whatever it says, a reader has the right value and a writer an error, and no connection that it lied on is used again.
"""

from __future__ import annotations

from typing import Any

import pytest

import batchio
from batchio.memcached import MemcachedCache
from batchio.memcached._breaker import FAILURES
from tests import servers
from tests.faults.helpers import Source
from tests.faults.stores import LONG, NO_ANSWER, Liar, cached, hits, values
from tests.proxy import HOST

pytestmark = pytest.mark.usefixtures("quiet")


REPLY = b"VALUE users/1 %b 8\r\n\xa7value 1\r\n"
LIES: dict[str, Any] = {
    "rubbish": lambda said: b"\x00\xff\r\nRUBBISH\r\n\r\n",
    "an error": lambda said: b"SERVER_ERROR out of memory\r\n",
    "html": lambda said: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "cut short and closed": lambda said: None,
    "cut short and silent": lambda said: said[:-9],
    "another key": lambda said: said.replace(b"users/1 ", b"users/7 "),
    "another loader's key": lambda said: said.replace(b"users/1 ", b"posts/1 "),
    "a value too many": lambda said: b"VALUE users/9 0 3\r\nabc\r\n" + said,
    "the same value twice": lambda said: said.replace(b"END\r\n", b"") + said,
    "an end too many": lambda said: said + b"END\r\n",
    "bytes after the end": lambda said: said + b"VALUE",
    "a longer length": lambda said: said.replace(b" 8\r\n", b" 9\r\n"),
    "a shorter length": lambda said: said.replace(b" 8\r\n", b" 7\r\n"),
    "a length below zero": lambda said: said.replace(b" 8\r\n", b" -1\r\n"),
    "a length without end": lambda said: said.replace(b" 8\r\n", b" 99999999999999999999\r\n"),
    "no line breaks": lambda said: said.replace(b"\r\n", b"  "),
    "an endless line": lambda said: b"VALUE " + b"x" * 1_000_000,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_fault_52_whatever_a_server_says_readers_have_the_right_values(lie: Any, own: servers.Memcached) -> None:
    """While it lies the source answers; no connection that it lied on is used again; afterwards there are hits."""
    async with Liar(HOST, own.port) as line, MemcachedCache(line.address, timeout=0.2) as cache:
        source, keys = Source(), [1, 2, 3]
        load = cached(source, cache)
        await hits(load, source, keys)
        line.lie = lie
        for _ in range(FAILURES):
            assert await load.load_many(keys) == values(keys)
        assert line.told
        line.lie = None
        for key in range(3, 20):
            assert await load.load_many([key, key + 1]) == values([key, key + 1])
        await hits(load, source, keys)


async def test_fault_52_a_reply_for_an_earlier_request_is_no_answer(own: servers.Memcached) -> None:
    """A connection that is one reply behind gives each lookup the values of the one before: all are refused."""
    async with Liar(HOST, own.port) as line, MemcachedCache(line.address, timeout=0.2) as cache:
        source, late = Source(), [b"END\r\n"]
        load = cached(source, cache)
        await hits(load, source, [*range(20)])
        line.lie = lambda said: late.append(said) or late[-2]  # type: ignore[func-returns-value]
        for key in range(20):
            assert await load(key) == f"value {key}"
        assert line.told


@pytest.mark.parametrize("verb", [b"mg ", b"ms ", b"md "])
async def test_fault_52_lies_about_commands_never_make_a_wrong_value(verb: bytes, own: servers.Memcached) -> None:
    """Nor is a deletion taken for done that was answered by anything but a confirmation."""
    lies = [
        b"RUBBISH\r\n", b"VA 3 f0 kusers/1 c1 W\r\nabc\r\n", b"VA x\r\n", b"HD\r\nHD\r\n", b"SERVER_ERROR\r\n", b"EN\r\n",
    ]  # fmt: skip
    async with MemcachedCache(own.address, timeout=LONG) as direct, Liar(HOST, own.port) as line:
        line.verb = verb
        for lie in lies:
            await direct.bind("users", str).delete_many([1, 2])
            async with MemcachedCache(line.address, timeout=0.2) as cache:
                source = Source()
                load = cached(source, cache)
                line.lie = lambda said: lie  # noqa: B023
                assert await load(1) == "value 1"
                await batchio.drain(LONG)
                if verb == b"md ":
                    with pytest.raises(NO_ANSWER):
                        await load.invalidate(1)
                line.lie = None
                await direct.bind("users", str).delete_many([1])  # what a liar leaves behind, it would hold for a while
                await hits(load, source, [1, 2])
    assert line.told >= len(lies)
