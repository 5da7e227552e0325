"""A TCP proxy between a client under test and a real server: it counts what passes, and can be a bad line.

    counter = proxy.MemcachedCounter()
    async with proxy.Proxy("127.0.0.1", mc.port, on_up=counter) as line: line.address, counter.commands["get"]

Rules:
- Up is from the client to the server, down is back. A hook sees (number of the connection, chunk), before it travels on.
- A fault is an attribute and holds for what passes from then on; `down`, `up` and `reset` happen at once.
- It runs on the test's own loop, whatever its kind, on plain sockets; at the end of its `async with` no task is left.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Self

from tests.private import HOST, free_port

CHUNK = 65_536  # bytes
Hook = Callable[[int, bytes], None]


def ignore(connection: int, chunk: bytes) -> None:
    """The hook of who wants none."""


class Proxy:
    """Stands in for the server at `host:port`."""

    def __init__(self, host: str, port: int, *, on_up: Hook = ignore, on_down: Hook = ignore) -> None:
        self.target = host, port
        self.port = free_port()
        self.on_up, self.on_down = on_up, on_down
        self.connections = 0  # accepted so far
        self.bytes_up = self.bytes_down = 0
        self.latency = 0.0  # seconds that each chunk of an answer is held, one after another
        self.bandwidth = 0.0  # bytes a second of an answer; 0 for no limit
        self.slice = CHUNK  # bytes that an answer's pieces have at most
        self.black_hole = False  # connections stay open, and nothing arrives on either side
        self.cut_after: int | None = None  # bytes down, of each connection, after which it is cut
        self._listening: asyncio.Task[None] | None = None
        self._lines: dict[asyncio.Task[None], socket.socket] = {}

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def open(self) -> int:
        """The connections that are open now."""
        return len(self._lines)

    async def __aenter__(self) -> Self:
        self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    def up(self) -> None:
        """Accept connections, on the same port as ever."""
        assert not self._listening, "the proxy is up"
        listener = socket.create_server((HOST, self.port), backlog=128)
        listener.setblocking(False)
        self._listening = asyncio.create_task(self._listen(listener), name=f"proxy {self.port}")

    async def down(self) -> None:
        """Cut all connections, and refuse new ones."""
        listening, self._listening = self._listening, None
        await ended([listening] if listening else [])
        await ended([*self._lines])

    async def reset(self) -> None:
        """Reset all connections (RST): what was on its way is lost; new ones are accepted."""
        for client in self._lines.values():
            if client.fileno() >= 0:  # not closed already, by a line that is just ending
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await ended([*self._lines])

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                client, _ = await loop.sock_accept(listener)
                self.connections += 1
                line = asyncio.create_task(self._carry(client, self.connections), name=f"proxy line {self.connections}")
                self._lines[line] = client
                line.add_done_callback(self._gone)

    def _gone(self, line: asyncio.Task[None]) -> None:
        self._lines.pop(line).close()  # `_carry` does it too, but not if it was cancelled before it began

    async def _carry(self, client: socket.socket, number: int) -> None:
        with client, socket.socket() as server:
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.get_running_loop().sock_connect(server, self.target)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry_up(client, server, number))
                    both.create_task(self._carry_down(server, client, number))
            except* OSError:
                pass  # one side broke or was cut: both sockets close

    async def _carry_up(self, client: socket.socket, server: socket.socket, number: int) -> None:
        loop = asyncio.get_running_loop()
        while chunk := await loop.sock_recv(client, CHUNK):
            self.bytes_up += len(chunk)
            self.on_up(number, chunk)
            if not self.black_hole:
                await loop.sock_sendall(server, chunk)
        server.shutdown(socket.SHUT_WR)

    async def _carry_down(self, server: socket.socket, client: socket.socket, number: int) -> None:
        loop, sent = asyncio.get_running_loop(), 0
        while chunk := await loop.sock_recv(server, CHUNK):
            self.bytes_down += len(chunk)
            self.on_down(number, chunk)
            for piece in self._pieces(chunk, sent):
                await self._hold(piece)
                if not self.black_hole:
                    await loop.sock_sendall(client, piece)
                    sent += len(piece)
            if self.cut_after is not None and sent >= self.cut_after:
                raise ConnectionAbortedError("cut")
        client.shutdown(socket.SHUT_WR)

    def _pieces(self, chunk: bytes, sent: int) -> Iterator[bytes]:
        """What may still pass of a chunk, in slices."""
        if self.cut_after is not None:
            chunk = chunk[: max(0, self.cut_after - sent)]
        return (chunk[start : start + self.slice] for start in range(0, len(chunk), self.slice))

    async def _hold(self, piece: bytes) -> None:
        """Let the time pass that a piece takes; between slices at least a turn of the loop, for the client to read."""
        await asyncio.sleep(self.latency + (len(piece) / self.bandwidth if self.bandwidth else 0))


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    """End tasks, and wait until they are."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class MemcachedCounter:
    """A hook for `on_up` that counts the commands of memcached's text protocol by their verbs."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.lines: list[bytes] = []  # each command as it came, without its data block
        self._readers: dict[int, CommandReader] = {}

    def __call__(self, connection: int, chunk: bytes) -> None:
        reader = self._readers.setdefault(connection, CommandReader())
        for line in reader.feed(chunk):
            self.lines.append(line)
            self.commands[line.split(b" ")[0].decode("ascii", "replace")] += 1

    def clear(self) -> None:
        """Count from zero; a command that is under way counts once it is complete."""
        self.commands.clear()
        self.lines.clear()


# Where the length of its data block stands in a command's words.
LENGTH = dict.fromkeys([b"set", b"add", b"replace", b"append", b"prepend", b"cas"], 4) | {b"ms": 2}


class CommandReader:
    """Finds the command lines in what one client sends, however it is cut; data blocks are stepped over unread."""

    def __init__(self) -> None:
        self.waiting = bytearray()  # the beginning of a line
        self.skip = 0  # bytes of a data block still to come

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take what came next; the lines that it completes."""
        self.waiting += chunk
        while self._step_over() and (end := self.waiting.find(b"\n")) >= 0:
            line = bytes(self.waiting[:end]).rstrip(b"\r")
            del self.waiting[: end + 1]
            self.skip = data_after(line)
            yield line

    def _step_over(self) -> bool:
        """Drop what belongs to a data block; True if the next byte opens a line."""
        step = min(self.skip, len(self.waiting))
        del self.waiting[:step]
        self.skip -= step
        return not self.skip


def data_after(line: bytes) -> int:
    """The bytes of data that follow a command line, with their line break; 0 if there are none."""
    words = line.split()
    place = LENGTH.get(words[0]) if words else None
    if not place or len(words) <= place or not words[place].isdigit():
        return 0  # no data, or an error that memcached answers without reading on
    return int(words[place]) + 2
