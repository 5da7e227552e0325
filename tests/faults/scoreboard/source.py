"""What the programs share: a batch function that can be held, and a program's place in the world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.scoreboard.verdict import PAUSE, TURNS, Broken

Values = list[Any]


def value(key: Any) -> str:
    """What the sources of the programs have for a key."""
    return f"value {key}"


@dataclass
class Case:
    """A library, a kind of event loop, and the servers that a program asked for."""

    face: Any
    new_loop: Callable[[], asyncio.AbstractEventLoop]
    memcached: Any = None  # a tests.servers.Memcached of its own
    mysql: str = ""  # the URL of a database of its own, on a server that others use too

    def request(self, fetch: Any, **options: Any) -> Any:
        """Enter one request, with a loader of this batch function."""
        return self.face.service(fetch, **options)()


class Source:
    """A batch function that remembers its calls, and holds them until it is opened. Pass `source.fetch`: aiodataloader
    takes functions and methods, and no objects that can be called."""

    def __init__(self, *, opened: bool = True) -> None:
        self.calls: list[list[Any]] = []
        self.gate = asyncio.Event()
        if opened:
            self.gate.set()

    async def fetch(self, keys: Sequence[Any]) -> Values:
        self.calls.append(list(keys))
        await self.gate.wait()
        return [value(key) for key in keys]

    async def called(self) -> None:
        """Turn the loop until a call has begun."""
        await seen(lambda: self.calls)


async def seen(what: Callable[[], Any]) -> None:
    """Turn the loop until something is so; what is not so after hundreds of turns, will never be."""
    for _ in range(TURNS):
        if what():
            return
        await asyncio.sleep(PAUSE)
    raise Broken("hangs", "nothing went on")


async def ask(loader: Any, key: Any) -> Any:
    """A caller: what most code is."""
    return await loader.load(key)


async def turn(times: int = 20) -> None:
    """Let the loop go round."""
    for _ in range(times):
        await asyncio.sleep(0)
