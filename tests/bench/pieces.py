"""What a load, a batch and a tick are made of: the pieces that no loader can leave out if it keeps batchio's promises.

Rules:
- A piece is one call of the standard library, or an empty call of Python; nothing of batchio is in it.
- They are the profile of the rows that are floors: what the pieces cost together, a target cannot go below.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context, ContextVar
from functools import partial
from typing import Any

from tests.bench.measure import Clock, Figure, Way, interleaved

TIMES = 500

_variable: ContextVar[Any] = ContextVar("piece", default=None)
_eager: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class Called:
    """What is called like a loader."""

    def __call__(self, key: int, /, **params: Any) -> int:
        return key


async def nothing() -> None:
    """A coroutine that ends at once."""


def calls() -> dict[str, Callable[[], object]]:
    """The pieces that are calls, by what the page calls them."""
    loop, called, table, context = asyncio.get_running_loop(), Called(), dict.fromkeys(range(TIMES)), Context()
    return {
        "an empty call": lambda: None,
        "calling an object with keywords": lambda: called(1),
        "the running loop": asyncio._get_running_loop,
        "a context variable": _variable.get,
        "looking a key up": partial(table.get, 1),
        "a future": partial(asyncio.Future, loop=loop),
        "an empty context": Context,
        "setting a variable in it": lambda: context.run(_variable.set, 1),
        "a task": lambda: asyncio.Task(nothing(), loop=loop, context=context, name="piece", **_eager),
        "call_soon": partial(loop.call_soon, int),
    }


def repeated(call: Callable[[], object]) -> Way:
    """Many times in a row."""

    async def way(clock: Clock) -> None:
        with clock:
            for _ in range(TIMES):
                call()

    return way


async def awaited(clock: Clock) -> None:
    """A future that is answered already, awaited."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    with clock:
        for _ in range(TIMES):
            await future


async def turns(clock: Clock) -> None:
    """Turns of the loop with one task to wake."""
    with clock:
        for _ in range(TIMES):
            await asyncio.sleep(0)


async def measured(scale: float) -> dict[str, Figure]:
    """All of them, in microseconds each."""
    ways = {name: repeated(call) for name, call in calls().items()}
    ways |= {"awaiting an answered future": awaited, "a turn of the loop": turns}
    return await interleaved(ways, 3 * scale, TIMES)
