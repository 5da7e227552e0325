"""One process of a soak: a few tasks that read, write and invalidate through batchio until they are told to stop.

    python -m tests.soak.worker     a line of JSON on stdin says how; the line "stop" ends it, and so does the pipe's end

Rules:
- It uses batchio as a service would: `db.row` with a cache and a ttl, in scopes and without, `db.execute`, `invalidate`.
- It judges nothing. Every operation is noted with its times, and the checker thinks about it when all is over.
- What it says on stderr is a complaint: what batchio logs about servers that are down is not printed. Nor is, in
  Python's development mode, that a loop was held (it is, by the nemesis) and that a task loads one by one (it means to).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import batchio
from batchio.memcached import MemcachedCache
from batchio.mysql import Database
from tests.soak.history import (
    FAILED,
    ID,
    NAME,
    OK,
    UNKNOWN,
    Begun,
    Found,
    Invalidation,
    Journal,
    Missed,
    Read,
    Trouble,
    Write,
)

TTL = 2.0  # seconds
READ_TIMEOUT = 1.0
WRITE_TIMEOUT = 1.5
ENDING = 15.0  # seconds after which an operation counts as hung
COPIES = 40  # of the token in a row's body, so that an answer comes in pieces, and one that is not whole shows
HOT = 8  # keys that get half of the traffic
PAUSE = 0.03  # seconds between two operations of a task, at most

UPDATE = f"UPDATE items SET version = version + 1, token = %s, body = REPEAT(%s, {COPIES}) WHERE id = %s"
NOT_DONE = {1040, 1203, 1205, 1213, 2003}  # too many connections, a lock not got, no connection: nothing was done

Seen = dict[tuple[str, int], float]


class Item(NamedTuple):
    """A row."""

    id: int
    name: str
    version: int
    token: str
    body: str


class Watched:
    """A cache that notes what it finds."""

    def __init__(self, cache: Any, note: Callable[[Any], None], process: str) -> None:
        self._cache, self._note, self._process = cache, note, process

    def bind(self, name: str, value_type: Any, version: int | str) -> Any:
        """As of any cache."""
        bound = self._cache.bind(name, value_type, version)
        return WatchedKeys(bound, self._note, self._process)


class WatchedKeys:
    """One loader's keys in it."""

    def __init__(self, bound: Any, note: Callable[[Any], None], process: str) -> None:
        self._bound, self._note, self._process = bound, note, process
        self.fill_many, self.set_many, self.delete_many = bound.fill_many, bound.set_many, bound.delete_many

    async def get_many(self, keys: Sequence[Any]) -> Any:
        """As of any cache."""
        found = await self._bound.get_many(keys)
        self._note(Found(self._process, len(found.hits), len(found.leases), len(found.filling)))
        return found


class Worker:
    """The operations; `seen` is when a scope first asked for what its memo may answer."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.name: str = settings["name"]
        self.keys = range(1, settings["keys"] + 1)
        self.tasks: int = settings["tasks"]
        self.chance = random.Random(f"{settings['seed']} {self.name}")
        self.note = Journal(Path(settings["journal"])).note
        self.numbers = itertools.count(1)
        self.stopping = False
        self.db = Database(settings["mysql"], pool_size=4, connect_timeout=1.0, timeout=WRITE_TIMEOUT)
        self.mc = MemcachedCache(settings["memcached"])
        options: dict[str, Any] = {
            "into": Item,
            "cache": Watched(self.mc, self.note, self.name),
            "ttl": TTL,
            "limits": batchio.Limits(timeout=READ_TIMEOUT),
        }
        self.loaders = {by: self.db.row("items", key=by, name=f"items by {by}", **options) for by in (ID, NAME)}

    async def read(self, by: str, key: int, seen: Seen | None = None) -> None:
        """Load one key."""

        async def load() -> list[Item]:
            return [await self.loaders[by].load(named(by, key))]

        await self.answered([(by, key)], seen, load)

    async def read_many(self, by: str, keys: Sequence[int]) -> None:
        """Load some keys by one call."""
        names = [named(by, key) for key in keys]
        await self.answered([(by, key) for key in keys], None, lambda: self.loaders[by].load_many(names))

    async def answered(self, asked: list[tuple[str, int]], seen: Seen | None, load: Callable[[], Any]) -> None:
        """Wait for a load and note it. A failed one is not remembered; one that was cancelled may be."""
        start = monotonic()
        since = {one: start if seen is None else seen.setdefault(one, start) for one in asked}
        try:
            items = await load()
        except (Exception, asyncio.CancelledError) as error:
            end = monotonic()
            for by, key in asked:
                self.note(Missed(self.name, by, key, start, end, type(error).__name__))
                if seen is not None and isinstance(error, Exception) and seen.get((by, key)) == since[by, key]:
                    del seen[by, key]
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        end = monotonic()
        for (by, key), item in zip(asked, items, strict=True):
            place = item.id if item.body == item.token * COPIES and item.name == named(NAME, item.id) else -1
            self.note(Read(self.name, by, key, start, since[by, key], end, place, item.version, item.token))

    async def write(self, key: int) -> None:
        """Make the next version of a row."""
        token = f"{self.name}.{next(self.numbers)}"
        start = monotonic()
        self.note(Begun(self.name, key, start, token))
        outcome, said = OK, ""
        try:
            rows = await self.db.execute(UPDATE, (token, token, key))
            if rows != 1:
                self.note(Trouble(self.name, f"the write {token} changed {rows} rows"))
        except Exception as error:
            outcome, said = (FAILED if error.args[:1] and error.args[0] in NOT_DONE else UNKNOWN), told(error)
        self.note(Write(self.name, key, start, monotonic(), token, outcome, said))

    async def invalidate(self, by: str, key: int, seen: Seen) -> None:
        """Tell everybody. The memo forgets a key at the beginning, and again once it was confirmed."""
        start = monotonic()
        seen.pop((by, key), None)
        outcome, said = OK, ""
        try:
            await self.loaders[by].invalidate(named(by, key))
            seen.pop((by, key), None)
        except Exception as error:
            outcome, said = FAILED, told(error)
        self.note(Invalidation(self.name, by, key, start, monotonic(), outcome, said))

    async def change(self, key: int, seen: Seen | None = None) -> None:
        """Write and invalidate, whatever became of the write, then read it; one in twenty forgets to invalidate.

        In a scope it reads beside the invalidation, too: what the memo gets then, it must not keep.
        """
        await self.write(key)
        if self.chance.random() < 0.05:
            return
        telling = [self.invalidate(by, key, {} if seen is None else seen) for by in self.loaders]
        beside = [] if seen is None else [self.read(by, key, seen) for by in self.loaders]
        await batchio.gather(*telling, *beside)
        await batchio.gather(*(self.read(by, key, seen) for by in self.loaders))

    async def late_read(self, key: int, seen: Seen) -> None:
        """A load of what is being written, at some moment of it."""
        await asyncio.sleep(self.chance.uniform(0, 0.01))
        await self.read(self.by(), key, seen)

    # -- what a task does ------------------------------------------------------------------------------------------

    async def one_read(self) -> None:
        """A load without a scope."""
        await self.read(self.by(), self.key())

    async def many_reads(self) -> None:
        """A load of many without a scope."""
        await self.read_many(self.by(), sorted({self.key() for _ in range(8)}))

    async def impatient_read(self) -> None:
        """A load that is cancelled soon, in the middle of whatever it has come to."""
        try:
            async with asyncio.timeout(self.chance.uniform(0, 0.004)):
                await self.one_read()
        except TimeoutError:
            pass

    async def one_change(self) -> None:
        """A write without a scope: nothing is remembered."""
        await self.change(self.key())

    async def page(self) -> None:
        """A scope: reads at once, a write under way beside other reads of its key, and the same reads again."""
        seen: Seen = {}
        wanted = [(self.by(), self.key()) for _ in range(6)]
        with batchio.scope():
            await batchio.gather(*(self.read(by, key, seen) for by, key in wanted))
            if self.chance.random() < 0.2:
                key = wanted[0][1]
                await batchio.gather(self.change(key, seen), *(self.late_read(key, seen) for _ in range(4)))
            await batchio.gather(*(self.read(by, key, seen) for by, key in wanted))

    def by(self) -> str:
        """A loader."""
        return self.chance.choice((ID, NAME))

    def key(self) -> int:
        """A key; half of the time a hot one."""
        return self.chance.choice(self.keys[:HOT] if self.chance.random() < 0.5 else self.keys)

    async def task(self) -> None:
        """One thing after another."""
        things = (self.one_read, self.many_reads, self.impatient_read, self.one_change, self.page)
        while not self.stopping:
            (thing,) = self.chance.choices(things, (45, 10, 10, 15, 20))
            await thing()
            await asyncio.sleep(self.chance.uniform(0, PAUSE))

    # -- its life --------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """Work until told to stop, then close; whatever does not end is trouble."""
        self.watch(asyncio.get_running_loop())
        await self.finished("task", [asyncio.create_task(self.task()) for _ in range(self.tasks)], ends=False)
        closing = [batchio.drain(ENDING / 2), self.db.close(), self.mc.close()]
        for one in closing:
            await self.finished("closing", [asyncio.create_task(one)])
        await asyncio.sleep(0)
        for left in asyncio.all_tasks() - {asyncio.current_task()}:
            self.note(Trouble(self.name, f"a task is left: {left!r}"))

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the word in a thread: it comes while the loop is held, too."""

        def stop() -> None:
            self.stopping = True

        def wait() -> None:
            if sys.stdin.readline() != "stop\n":
                os._exit(3)  # who started us is gone
            loop.call_soon_threadsafe(stop)

        threading.Thread(target=wait, daemon=True).start()

    async def finished(self, what: str, tasks: list[asyncio.Task[None]], *, ends: bool = True) -> None:
        """Wait for tasks; from when we are told to stop, for ENDING seconds."""
        waiting = 0.0
        pending: Iterable[asyncio.Task[None]] = tasks
        while pending and waiting < ENDING:
            done, pending = await asyncio.wait(pending, timeout=0.2)
            waiting += 0.2 if ends or self.stopping else 0.0
            for task in done:
                if error := task.exception():
                    self.note(Trouble(self.name, f"{what}: {told(error)}"))
        for task in pending:
            self.note(Trouble(self.name, f"{what} hangs: {task.get_stack()!r}"))


def named(by: str, key: int) -> Any:
    """A key as its loader wants it."""
    return key if by == ID else f"n{key}"


def told(error: BaseException) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {error}"[:200]


def loop_of(kind: str) -> asyncio.AbstractEventLoop:
    """A loop by its name; eager is asyncio's where Python has no eager tasks."""
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    loop = asyncio.new_event_loop()
    if kind == "eager" and hasattr(asyncio, "eager_task_factory"):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def main() -> None:
    """Live."""
    logging.getLogger("batchio").addHandler(logging.NullHandler())
    logging.getLogger("batchio").propagate = False
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*awaited one by one", RuntimeWarning)
    settings = json.loads(sys.stdin.readline())
    with asyncio.Runner(loop_factory=lambda: loop_of(settings["loop"])) as runner:
        runner.run(Worker(settings).live())


if __name__ == "__main__":
    main()
