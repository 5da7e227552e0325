"""The proxy that stands between a client under test and its server: what it counts, and the bad lines it can be."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import proxy

LIAR = b"get a\r\nset b 0 0 9\r\nmg c v\r\n"  # a value that looks like commands


@pytest.fixture
async def line(memcached_server, memcached_address) -> AsyncIterator[proxy.Proxy]:
    """A proxy in front of the run's memcached, which holds the value LIAR at the key k."""
    assert memcached_server.ask(f"set k 0 0 {len(LIAR)}\r\n{LIAR.decode()}") == b"STORED\r\n"
    async with proxy.Proxy("127.0.0.1", memcached_server.port) as started:
        yield started


@asynccontextmanager
async def dialled(line: proxy.Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client's connection to the proxy."""
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ask(line: proxy.Proxy, command: bytes = b"get k\r\n") -> bytes:
    """Everything that comes back when a client sends `command`, then `quit`."""
    async with dialled(line) as (reader, writer):
        writer.write(command + b"quit\r\n")
        return await reader.read()


ANSWER = b"VALUE k 0 %d\r\n%s\r\nEND\r\n" % (len(LIAR), LIAR)

# --- counting -----------------------------------------------------------------------------------------------------


async def test_what_passes_is_counted(line: proxy.Proxy) -> None:
    """Bytes reach the other side as they were, and connections and bytes are counted each way."""
    assert await ask(line) == ANSWER
    assert await ask(line) == ANSWER
    assert (line.connections, line.bytes_up, line.bytes_down) == (2, 2 * len(b"get k\r\nquit\r\n"), 2 * len(ANSWER))


async def test_hooks_see_every_chunk_with_its_connection(line: proxy.Proxy) -> None:
    """What hooks saw, joined by connection, is what was said."""
    seen: dict[tuple[str, int], bytes] = {}

    def note(way: str) -> proxy.Hook:
        return lambda number, chunk: seen.update({(way, number): seen.get((way, number), b"") + chunk})

    line.on_up, line.on_down = note("up"), note("down")
    await asyncio.gather(ask(line, b"get k\r\n"), ask(line, b"get k\r\n"))
    assert seen == {
        ("up", 1): b"get k\r\nquit\r\n",
        ("up", 2): b"get k\r\nquit\r\n",
        ("down", 1): ANSWER,
        ("down", 2): ANSWER,
    }


async def test_commands_are_counted_and_data_is_not(line: proxy.Proxy) -> None:
    """Commands of memcached's text protocol are counted by verb, whatever the data blocks between them say."""
    line.on_up = counter = proxy.MemcachedCounter()
    size = len(LIAR)
    said = b"set x 0 0 %d\r\n%s\r\nms y %d T60\r\n%s\r\nget k x\r\ngets k\r\nmg y v\r\nmd y\r\nmn\r\n" % (
        size,
        LIAR,
        size,
        LIAR,
    )
    assert (await ask(line, said)).startswith(b"STORED\r\nHD\r\nVALUE k")
    assert counter.commands == {"set": 1, "ms": 1, "get": 1, "gets": 1, "mg": 1, "md": 1, "mn": 1, "quit": 1}
    assert counter.lines[:3] == [b"set x 0 0 %d" % size, b"ms y %d T60" % size, b"get k x"]


COMMANDS = [
    (b"get a b", None),
    (b"mg a v t", None),
    (b"delete a noreply", None),
    (b"set a 0 0 %d", LIAR),
    (b"set a 0 0 %d", b""),
    (b"add a 0 0 %d noreply", b"\r\n"),
    (b"cas a 0 0 %d 17", LIAR),
    (b"ms a %d T30", LIAR),
    (b"set a 0 0 x", None),
    (b"", None),
]


@given(said=st.lists(st.sampled_from(COMMANDS)), cuts=st.lists(st.integers(0, 500)))
def test_commands_are_found_however_the_stream_is_cut(said: list[tuple[bytes, bytes | None]], cuts: list[int]) -> None:
    """The same commands are found wherever the network cuts what a client sent."""
    lines = [line if data is None else line % len(data) for line, data in said]
    stream = b"".join(
        line + b"\r\n" + (b"" if data is None else data + b"\r\n") for line, (_, data) in zip(lines, said, strict=True)
    )
    reader, ends = proxy.CommandReader(), [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found = [line for start, end in itertools.pairwise(ends) for line in reader.feed(stream[start:end])]
    assert found == lines


# --- bad lines ----------------------------------------------------------------------------------------------------


async def test_down_refuses_and_up_listens_on_the_same_port(line: proxy.Proxy) -> None:
    """A proxy that is down has cut its connections and refuses new ones; up again, it is where it was."""
    async with dialled(line) as (reader, writer):
        writer.write(b"version\r\n")
        await reader.readline()
        await line.down()
        assert not await reader.read()
    assert line.open == 0
    with pytest.raises(ConnectionRefusedError):
        await ask(line)
    line.up()
    assert await ask(line) == ANSWER


async def test_reset_resets(line: proxy.Proxy) -> None:
    """A reset reaches the client as such, and the next connection is served."""
    async with dialled(line) as (reader, writer):
        writer.write(b"version\r\n")
        await reader.readline()
        await line.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert await ask(line) == ANSWER


async def test_a_black_hole_swallows(line: proxy.Proxy) -> None:
    """In a black hole a connection stays open and nobody answers; what the client said was seen."""
    line.black_hole = True
    arrived = asyncio.Event()
    line.on_up = lambda number, chunk: arrived.set()
    async with dialled(line) as (reader, writer):
        writer.write(b"get k\r\n")
        await arrived.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.02)
        assert line.open == 1
    line.black_hole = False
    assert await ask(line) == ANSWER


@pytest.mark.parametrize("size", [0, 1, 20, len(ANSWER) - 1])
async def test_a_line_is_cut_after_so_many_bytes(line: proxy.Proxy, size: int) -> None:
    """The client reads so many bytes of the answer, and then the end, although it did not ask for it."""
    line.cut_after = size
    async with dialled(line) as (reader, writer):
        writer.write(b"get k\r\n")
        assert await reader.read() == ANSWER[:size]


async def test_slices_arrive_in_pieces(line: proxy.Proxy) -> None:
    """An answer in slices is the same answer, in more reads than one."""
    line.slice = 1
    async with dialled(line) as (reader, writer):
        writer.write(b"get k\r\n")
        reads = [await reader.read(100)]
        while not b"".join(reads).endswith(b"END\r\n"):
            reads.append(await reader.read(100))
    assert b"".join(reads) == ANSWER
    assert len(reads) > 1


@pytest.mark.parametrize(("latency", "bandwidth"), [(0.03, 0), (0, len(ANSWER) / 0.03)])
async def test_an_answer_takes_its_time(line: proxy.Proxy, latency: float, bandwidth: float) -> None:
    """Latency and bandwidth hold an answer up, and change nothing else."""
    line.latency, line.bandwidth = latency, bandwidth
    began = time.monotonic()
    assert await ask(line) == ANSWER
    assert time.monotonic() - began >= 0.029


async def test_a_server_that_is_gone_ends_the_connection() -> None:
    """Where no server listens behind the proxy, a client's connection is accepted, and then ends."""
    async with proxy.Proxy("127.0.0.1", proxy.free_port()) as line, dialled(line) as (reader, _):
        assert not await reader.read()
        assert line.connections == 1
