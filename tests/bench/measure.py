"""How a way is timed: many short samples, all ways in turn, in one process.

Rules:
- The clock is process CPU. Wall time on a machine that does other things measures the other things.
- A figure is the minimum of its samples: what disturbs a sample only ever adds to it. The median is kept beside it.
- The time that a comparison may take is process CPU, too: on a busy machine it takes longer, and has as many samples.
- Each way has its turn in each round, and the order moves on by one from round to round, so that no way is always the
  one after the same neighbour. The collector is off within a round, and runs between rounds.
- What is timed stands in `with clock:`; what a way needs before and after stands outside of it.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from statistics import median
from typing import Any

LEAST = 5  # rounds, however slow they are
COLLECT = 0.2  # seconds from one collection to the next


class Clock:
    """Process CPU spent in its blocks, in nanoseconds."""

    def __init__(self) -> None:
        self.ns = 0

    def __enter__(self) -> None:
        self._start = time.process_time_ns()

    def __exit__(self, *_: object) -> None:
        self.ns += time.process_time_ns() - self._start


Way = Callable[[Clock], Awaitable[None]]
Figure = dict[str, float]


async def interleaved(ways: Mapping[str, Way], seconds: float, per: int, least: int = LEAST) -> dict[str, Figure]:
    """Time some ways for so many seconds of CPU in all; microseconds per item, of which a sample has `per`."""
    names = list(ways)
    samples: dict[str, list[int]] = {name: [] for name in names}
    for name in names:  # caches, connections and the specialising interpreter
        await sample(ways[name])
    gc.collect()
    gc.disable()
    try:
        await _rounds(ways, names, samples, time.process_time() + seconds, least)
    finally:
        gc.enable()
    return {name: figure(samples[name], per) for name in names}


async def _rounds(
    ways: Mapping[str, Way], names: list[str], samples: dict[str, list[int]], until: float, least: int
) -> None:
    collected = time.process_time()
    while time.process_time() < until or len(samples[names[0]]) < least:
        for name in names:
            samples[name].append(await sample(ways[name]))
        names.append(names.pop(0))
        if time.process_time() > collected + COLLECT:
            gc.collect()
            collected = time.process_time()


async def sample(way: Way) -> int:
    """Run a way once; nanoseconds. What it left on the loop runs before the next one's turn."""
    clock = Clock()
    await way(clock)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return clock.ns


def figure(ns: list[int], per: int) -> Figure:
    """Samples as what is kept of them."""
    return {"min": min(ns) / per / 1000, "median": median(ns) / per / 1000, "samples": len(ns)}


def run(loop: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine function on a kind of loop: asyncio, eager, uvloop."""
    if loop == "uvloop":
        import uvloop

        return uvloop.run(main())
    with asyncio.Runner() as runner:
        if loop == "eager":
            if sys.version_info < (3, 12):
                raise ValueError("eager tasks need Python 3.12")
            runner.get_loop().set_task_factory(asyncio.eager_task_factory)
        return runner.run(main())
