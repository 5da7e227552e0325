"""One run of a scenario under chaos: who called, what each may come to, and what may be left.

Rules:
- A caller checks its own answers and fails with AssertionError. Beside that it returns, or raises what it declared.
- Who was cancelled, or has a part that was, may also be told so. When a batch's own task is the victim, anybody may be
  told `BatchAborted`.
- A minute of virtual time after the last caller nothing is left: no task, queue, batch or lease, and nothing has reached
  the loop's exception handler. A hang is a Deadlock of the loop, at once.
- Whatever a scenario chooses by chance it takes from `World.chance`, so that the seed decides it.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import batchio
from batchio._core.batch import Batch, Group, Many
from batchio._core.queue import Queue
from batchio._core.scope import Memo
from batchio.testing import Deadlock
from tests.chaos.loop import ChaosLoop, Victim

Scenario = Callable[["World"], Coroutine[Any, Any, None]]

REST = 60.0  # virtual seconds, more than any time limit, lease or wait of the core
PAUSES = (None, None, 0.0, 0.0, 0.001, 0.004)  # seconds; None is no await at all


class Caller(NamedTuple):
    """A task that loads, and the errors that it may come to."""

    task: asyncio.Task[Any]
    errors: tuple[type[BaseException], ...]


class World:
    """What a scenario is given."""

    def __init__(self, loop: ChaosLoop, address: str = "") -> None:
        self.loop = loop
        self.address = address  # of a memcached, for the scenarios that want one
        self.callers: list[Caller] = []
        self.caches: list[batchio.MemoryCache] = []
        self.cut_fills = 0  # fills that were cancelled: their leases stay until they end

    def chance(self, *what: Any) -> random.Random:
        """Numbers that depend on the seed and on what they are for, and on no order."""
        return random.Random(repr((self.loop.seed, what)))

    async def pause(self, *what: Any) -> None:
        """Wait for nothing, a pass, or some milliseconds."""
        seconds = self.chance(*what).choice(PAUSES)
        if seconds is not None:
            await asyncio.sleep(seconds)

    def caller(
        self, work: Coroutine[Any, Any, Any], *errors: type[BaseException], scope: bool = True
    ) -> asyncio.Task[Any]:
        """Start a caller, in a scope of its own or in none."""
        task = self.loop.create_task(in_scope(work) if scope else plain(work))
        task.add_done_callback(lambda _: work.close())  # cancelled before it began: asyncio would call that forgotten
        self.callers.append(Caller(task, errors))
        return task

    def cache(self) -> batchio.MemoryCache:
        made = batchio.MemoryCache(clock=self.loop.time)
        self.caches.append(made)
        return made

    # -- afterwards ------------------------------------------------------------------------------------------------

    def complaints(self) -> list[str]:
        """What is wrong when everything is over."""
        told = [self._complaint(caller) for caller in self.callers]
        return [*filter(None, told), *self._left(), *(f"reached the loop: {error}" for error in self.loop.errors)]

    def _complaint(self, caller: Caller) -> str:
        name = self.loop.names[self.loop.tasks[caller.task]]
        if not caller.task.done():
            return f"{name} never ended"
        error = asyncio.CancelledError() if caller.task.cancelled() else caller.task.exception()
        if error is None or isinstance(error, caller.errors + self._excuses(caller)):
            return ""
        return f"{name} came to {error!r}"

    def _excuses(self, caller: Caller) -> tuple[type[BaseException], ...]:
        victim = self.loop.victim
        if victim is None or not self.loop.struck:
            return ()
        if self.loop.within(caller.task, victim.task):
            return (asyncio.CancelledError,)
        own = any(name.startswith("batchio ") for name in self.loop.line_of(victim.task))
        return (batchio.BatchAborted,) if own else ()

    def _left(self) -> list[str]:
        dispatcher = getattr(self.loop, "_batchio_dispatcher", None)
        left = [] if dispatcher is None else [*dispatcher.queues.values(), *dispatcher.tasks]
        leases = [cache for cache in self.caches if cache._leases and not self.cut_fills]
        others = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        return [f"left: {one!r}" for one in (*left, *leases, *others)]


async def in_scope(work: Coroutine[Any, Any, Any]) -> Any:
    with batchio.scope():
        return await work


async def plain(work: Coroutine[Any, Any, Any]) -> Any:
    return await work


async def whole(scenario: Scenario, world: World) -> list[str]:
    """A scenario, all its callers, and a rest."""
    await scenario(world)
    while waiting := [caller.task for caller in world.callers if not caller.task.done()]:
        await asyncio.wait(waiting)
    await asyncio.sleep(REST)
    return world.complaints()


def run(scenario: Scenario, seed: int, victim: Victim | None = None, address: str = "") -> tuple[ChaosLoop, list[str]]:
    """Run a scenario once; the loop knows who lived and who was struck, and the complaints should be none."""
    loop = ChaosLoop(seed, victim)
    try:
        complaints = loop.run_until_complete(whole(scenario, World(loop, address)))
    except Deadlock as hang:
        complaints = [str(hang)]
    finally:
        for task in asyncio.all_tasks(loop):  # of a run that hung; nobody shall hear of them again
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
    return loop, complaints


def objects_left() -> list[object]:
    """What the core made and somebody still holds."""
    gc.collect()
    return [thing for thing in gc.get_objects() if type(thing) in (Batch, Group, Many, Memo, Queue)]
