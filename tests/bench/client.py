"""A client that asks for pages over many connections at once, and the rounds in which the servers are asked.

Rules:
- It is a process of its own, and does little: it writes a line, and reads as many bytes as the answer's head announces.
- A round is a number of requests and not of seconds: where 64 requests are answered together, the end of a second would
  cut off most of a second's work. Its rate is what was asked, by the time until the last answer.
- Servers take turns, round by round; a server that is not asked sleeps.
- One request in so many comes from a viewer who has never been there, and whose own keys nothing can know: that is how
  95 % of a page's keys are hits, at every moment and for every way.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from statistics import median
from typing import Any

CONNECTIONS = (1, 8, 64)
REQUESTS = {1: 12, 8: 24, 64: 128}  # in a round
VIEWERS = 24  # who have been there
STRANGERS = 10_000_000  # whoever has not: numbers from here on
HITS = 0.95
PATIENCE = 120.0  # seconds for a round; a server that hangs ends the run


class Connection:
    """One kept alive."""

    async def open(self, port: int) -> Connection:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        return self

    async def get(self, path: str) -> bytes:
        """The body of an answer."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"{path}: {head.decode()}")
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await self._reader.readexactly(int(length))

    async def close(self) -> None:
        """Disconnect."""
        self._writer.close()
        await self._writer.wait_closed()


class Target:
    """A server, and the connections to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: list[Connection] = []
        self._new: Iterator[int] = count(STRANGERS)
        self._asked = 0
        self._share = 0.0

    async def __aenter__(self) -> Target:
        self._connections = [await Connection().open(self._port) for _ in range(max(CONNECTIONS))]
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._connections:
            await connection.close()

    async def ask(self, path: str) -> Any:
        """A number or an object that the server knows."""
        return json.loads(await self._connections[0].get(path))

    async def warm(self) -> str:
        """Show the page to everybody who has been there; gives the hash of one."""
        shape = await self.ask("/shape")
        self._share = (1 - HITS) * shape["keys"] / shape["own"]
        for _ in range(2):
            for viewer in range(1, 1 + VIEWERS):
                body = await self._connections[0].get(f"/?viewer={viewer}")
        return hashlib.sha256(body).hexdigest()

    async def round(self, connections: int, requests: int) -> dict[str, float]:
        """Requests per second, and milliseconds of the server's CPU per request."""
        before, start = await self.ask("/cpu"), time.perf_counter()
        paths = iter([self._path() for _ in range(requests)])
        took: list[float] = []
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*[self._go(one, paths, took) for one in self._connections[:connections]])
        seconds = time.perf_counter() - start
        spent = await self.ask("/cpu") - before
        return {"rate": requests / seconds, "cpu": 1000 * spent / requests, "slowest": 1000 * max(took)}

    async def _go(self, connection: Connection, paths: Iterator[str], took: list[float]) -> None:
        for path in paths:
            start = time.perf_counter()
            await connection.get(path)
            took.append(time.perf_counter() - start)

    def _path(self) -> str:
        self._asked += 1
        stranger = int(self._asked * self._share) > int((self._asked - 1) * self._share)
        return f"/?viewer={next(self._new) if stranger else 1 + self._asked % VIEWERS}"


async def compare(ports: dict[str, int], rounds: int, share: float) -> dict[str, Any]:
    """Ask servers in turns; requests per second by connections and way. `share` of the usual number of requests."""
    async with AsyncExitStack() as stack:
        targets = {way: await stack.enter_async_context(Target(port)) for way, port in ports.items()}
        hashes = {way: await target.warm() for way, target in targets.items()}
        if len(set(hashes.values())) > 1:
            raise RuntimeError(f"the pages differ: {hashes}")
        got: dict[int, dict[str, list[dict[str, float]]]] = {n: {way: [] for way in ports} for n in CONNECTIONS}
        order = list(ports)
        for _ in range(rounds):
            for n in CONNECTIONS:
                for way in order:
                    got[n][way].append(await targets[way].round(n, max(n, int(share * REQUESTS[n]))))
            order.append(order.pop(0))
    return {f"feed.{n}": {way: summary(found) for way, found in ways.items()} for n, ways in got.items()}


def summary(found: list[dict[str, float]]) -> dict[str, float]:
    """A way's rounds."""
    rates = [one["rate"] for one in found]
    return {
        "rate": median(rates),
        "least": min(rates),
        "most": max(rates),
        "cpu": min(one["cpu"] for one in found),
        "slowest": median(one["slowest"] for one in found),
        "rounds": len(found),
    }
