"""What goes wrong during a soak, and when: a plan made from a seed, and the hands that carry it out.

Rules:
- Three lanes run beside each other: the cache's, the database's, and that of workers and lines. Within a lane one fault
  is healed before the next begins, and at the end all are.
- A plan is a pure function of its seed: a lane's kinds come up in rounds, in another order each time.
- A black hole swallows bytes, which no network does to a connection that lives on: its connections are reset before it
  lets anything through again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tests.proxy import CHUNK, Proxy
from tests.servers import MariaDB, Memcached
from tests.soak.checker import CRASH
from tests.soak.crew import Crew
from tests.soak.history import Fault

LONGEST = 0.8  # seconds of a pause; the database's are longer
DATABASE_PAUSE = 2.5  # times as long: longer than reads and writes wait


class Step(NamedTuple):
    """One fault of a plan."""

    wait: float  # seconds after the one before
    kind: str
    length: float  # seconds
    pick: float  # 0 to 1: which worker, which line


# Seconds between two faults at most, and their kinds. The cache hangs more often than it forgets: what was not
# invalidated must have the time to outlive its ttl, or nobody would see that it does.
LANES: dict[str, tuple[float, Sequence[str]]] = {
    "cache": (1.6, ("memcached pause",) * 6 + ("memcached kill", "memcached flush")),
    "database": (2.0, ("database kill connections", "database pause", "database restart", CRASH)),
    "workers": (
        1.0,
        (
            "worker kill", "worker pause", "line latency", "line slices", "line reset", "line cut", "line black hole",
            "line down",
        ),
    ),
}  # fmt: skip


def plan(seed: int, lane: str) -> Iterator[Step]:
    """The faults of a lane, without end."""
    chance = random.Random(f"{seed} {lane}")
    between, kinds = LANES[lane]
    while True:
        for kind in chance.sample(kinds, len(kinds)):
            wait, length = chance.uniform(between / 4, between), chance.uniform(0.05, LONGEST)
            yield Step(wait, kind, length, chance.random())


class Nemesis:
    """Carries plans out."""

    def __init__(self, cache: Memcached, database: MariaDB, crew: Crew, lines: Sequence[Proxy]) -> None:
        self.cache, self.database, self.crew, self.lines = cache, database, crew, lines
        self.faults: list[Fault] = []

    async def rage(self, seed: int, until: float) -> None:
        """Run all lanes until a moment of the monotonic clock; then everything is whole again."""
        async with asyncio.TaskGroup() as lanes:
            for lane in LANES:
                lanes.create_task(self._lane(plan(seed, lane), until))

    async def _lane(self, steps: Iterator[Step], until: float) -> None:
        for step in steps:
            if time.monotonic() + step.wait > until:
                return
            await asyncio.sleep(step.wait)
            if step.kind.startswith("line") and not self.lines:
                continue
            start = time.monotonic()
            await self._deed(step)(step)
            self.faults.append(Fault(step.kind, start, time.monotonic()))

    def _deed(self, step: Step) -> Callable[[Step], Awaitable[None]]:
        deed: Callable[[Step], Awaitable[None]] = getattr(self, step.kind.replace(" ", "_"))
        return deed

    # -- the cache and the database --------------------------------------------------------------------------------

    async def memcached_pause(self, step: Step) -> None:
        """It hangs for a while."""
        await _paused(self.cache, step.length)

    async def memcached_kill(self, step: Step) -> None:
        """It dies, is away for a while, and comes back empty."""
        await asyncio.to_thread(self.cache.kill)
        await asyncio.sleep(step.length)
        await asyncio.to_thread(self.cache.start)

    async def memcached_flush(self, _: Step) -> None:
        """It forgets everything."""
        await asyncio.to_thread(self.cache.flush)

    async def database_kill_connections(self, _: Step) -> None:
        """KILL of every connection, whatever it does."""
        await asyncio.to_thread(_kill_connections, self.database)

    async def database_pause(self, step: Step) -> None:
        """It hangs for a while."""
        await _paused(self.database, DATABASE_PAUSE * step.length)

    async def database_restart(self, _: Step) -> None:
        """It is ended as a service manager would, and started."""
        await asyncio.to_thread(self.database.stop)
        await asyncio.to_thread(self.database.start)

    async def database_crash(self, _: Step) -> None:
        """It dies in the middle of whatever it does, and recovers."""
        await asyncio.to_thread(self.database.kill)
        await asyncio.to_thread(self.database.start)

    # -- workers and lines -----------------------------------------------------------------------------------------

    async def worker_kill(self, step: Step) -> None:
        """A worker dies in the middle of whatever it does, and another takes its place."""
        place = int(step.pick * len(self.crew.lines))
        await asyncio.to_thread(self.crew.kill, place)
        self.crew.start(place)

    async def worker_pause(self, step: Step) -> None:
        """A worker hangs, with whatever leases it holds."""
        place = int(step.pick * len(self.crew.lines))
        await asyncio.to_thread(self.crew.pause, place, step.length)

    async def line_latency(self, step: Step) -> None:
        """Answers take their time."""
        async with self._set(step, latency=0.02):
            pass

    async def line_slices(self, step: Step) -> None:
        """Answers come in small pieces."""
        async with self._set(step, slice=97):
            pass

    async def line_cut(self, step: Step) -> None:
        """Each connection is cut after some bytes of its answers, in the middle of one."""
        async with self._set(step, cut_after=int(step.pick * 20_000)):
            pass

    async def line_black_hole(self, step: Step) -> None:
        """Connections stay open, and nothing arrives."""
        line = self._line(step)
        line.black_hole = True
        try:
            await asyncio.sleep(step.length)
            await line.reset()
        finally:
            line.black_hole = False

    async def line_reset(self, step: Step) -> None:
        """All connections are reset at once."""
        await self._line(step).reset()

    async def line_down(self, step: Step) -> None:
        """Connections are cut, and new ones refused."""
        line = self._line(step)
        await line.down()
        await asyncio.sleep(step.length)
        line.up()

    def _line(self, step: Step) -> Proxy:
        return self.lines[int(step.pick * len(self.lines))]

    @contextlib.asynccontextmanager
    async def _set(self, step: Step, **how: Any) -> AsyncIterator[None]:
        """Let a line be bad in some way for a while."""
        line, good = self._line(step), {"latency": 0.0, "slice": CHUNK, "cut_after": None}
        for name, value in how.items():
            setattr(line, name, value)
        try:
            yield
            await asyncio.sleep(step.length)
        finally:
            for name in how:
                setattr(line, name, good[name])


async def _paused(server: Memcached | MariaDB, seconds: float) -> None:
    await asyncio.to_thread(server.pause)
    try:
        await asyncio.sleep(seconds)
    finally:
        server.resume()


def _kill_connections(database: MariaDB) -> None:
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE user = %s AND id <> CONNECTION_ID()", (database.user,)
        )
        for (number,) in cursor.fetchall():
            with contextlib.suppress(Exception):  # it has gone meanwhile
                cursor.execute(f"KILL {number}")
