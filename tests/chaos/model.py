"""What the state machine compares the core with: a loop turned by hand, a source with versions, a cache that can be held.

Rules:
- Time is counted in *steps*: one rule of the machine is one step, and the source changes between passes only. A value
  that a load made at step n is answered with must be one that the source had at step n or after.
- A *floor* is the step from which on a load may be answered. It is the load's own step, but for guarantee 4's exceptions:
  what the same scope asked before, a flight that a coalescing loader joins, and what a cache holds, which may be as old
  as the last invalidation that was confirmed.
- What is wrong inside a pass is noted in `broken` and raised by the machine: raised there, the core would take it for
  the batch function's own error.
- The core's tables are read (who stands where), and never written.
"""

from __future__ import annotations

import asyncio
import bisect
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

import batchio
from batchio._core.batch import Batch, Many, Several
from batchio.testing import VirtualLoop

PASSES = 500  # a settled loop takes a few; more is a spin

LIMITS = batchio.Limits(
    max_batch_size=2, max_in_flight=2, max_queued=4, max_delay=0.005, timeout=1.0, cache_timeout=0.25
)


class HandLoop(VirtualLoop):
    """A virtual loop that a test turns pass by pass."""

    batchio_hints = False

    def __init__(self) -> None:
        super().__init__()
        self.set_debug(False)  # hints would be given to a test that drops loads on purpose
        self.errors: list[Any] = []
        self.set_exception_handler(lambda _, told: self.errors.append(told))

    @property
    def ready(self) -> bool:
        """Whether a callback could run now."""
        return bool(self._ready)

    def turn(self) -> None:
        """One pass: what is ready now runs, and nothing of what that schedules."""
        self.stop()
        self.run_forever()

    def settle(self) -> None:
        """Turn until nothing is ready."""
        for _ in range(PASSES):
            if not self.ready:
                return
            self.turn()
        raise AssertionError(f"the loop still spins after {PASSES} passes")


# --- the source ---------------------------------------------------------------------------------------------------


class Answer:
    """A value, and where it comes from; `call` is None for what was primed."""

    __slots__ = ("__weakref__", "call", "key", "loader", "version")

    def __init__(self, loader: str, key: int, version: int, call: Call | None) -> None:
        self.loader, self.key, self.version, self.call = loader, key, version, call

    def __repr__(self) -> str:
        return f"<{self.loader} {self.key} version {self.version}, {self.call}>"


@dataclass(frozen=True)
class Fate:
    """What becomes of one call of the batch function."""

    held: bool = False  # until the machine releases it
    late: bool = False  # whether a held one reads the source when it is released, and not before
    end: str = "value"  # or raise, poison, missing, abort
    shape: str = "mapping"  # or sequence, stream


class SourceError(Exception):
    """The batch function's own error."""


@dataclass(eq=False)
class Call:
    """One call of the batch function."""

    number: int
    keys: list[int]
    began: int
    fate: Fate
    gate: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"call {self.number} of step {self.began}"


class Source:
    """What one loader reads: each key has as many versions as it was written."""

    def __init__(self, model: Model, name: str) -> None:
        self.model, self.name = model, name
        self.writes: defaultdict[int, list[int]] = defaultdict(list)  # the steps at which a key was written
        self.fates: list[Fate] = []
        self.calls: list[Call] = []
        self.running: list[Call] = []
        self.ended: defaultdict[str, set[int]] = defaultdict(set)  # the keys of calls that did not end in values
        self.alive: weakref.WeakSet[Answer] = weakref.WeakSet()

    def version(self, key: int, step: int) -> int:
        """The version that a key had at the end of a step."""
        return bisect.bisect_right(self.writes[key], step)

    def answer(self, key: int, call: Call | None) -> Answer:
        made = Answer(self.name, key, self.version(key, self.model.step), call)
        self.alive.add(made)
        return made

    async def __call__(self, keys: list[int]) -> Any:
        fate = self.fates.pop(0) if self.fates else Fate()
        call = Call(len(self.calls), keys, self.model.step, fate)
        self.calls.append(call)
        self.running.append(call)
        self._check(call)
        try:
            return await self._answers(call)
        finally:
            self.running.remove(call)

    def _check(self, call: Call) -> None:
        if len(set(call.keys)) < len(call.keys):
            self.model.blame(f"{self.name}: a key twice in a batch: {call.keys}")
        if not 0 < len(call.keys) <= LIMITS.max_batch_size:
            self.model.blame(f"{self.name}: a batch of {len(call.keys)} keys")
        queue = self.model.queue(self.name)
        if len(self.running) > LIMITS.max_in_flight + (queue.stuck if queue else 0):
            self.model.blame(f"{self.name}: {len(self.running)} batches at once")

    async def _answers(self, call: Call) -> Any:
        fate = call.fate
        values = {key: self.answer(key, call) for key in call.keys}
        if fate.held:
            call.gate = asyncio.get_running_loop().create_future()
            await call.gate
        if fate.held and fate.late:
            values = {key: self.answer(key, call) for key in call.keys}
        return self._shaped(call, self._spoiled(call, values))

    def _spoiled(self, call: Call, values: dict[int, Any]) -> dict[int, Any]:
        end = call.fate.end
        if end == "value":
            return values
        self.ended[end].update(self._stricken(call) if end == "abort" else call.keys)
        if end == "raise":
            raise SourceError(call)
        if end == "abort":
            raise asyncio.CancelledError
        first = call.keys[0]
        return (
            {**values, first: SourceError(call)} if end == "poison" else {k: v for k, v in values.items() if k != first}
        )

    def _stricken(self, call: Call) -> set[int]:
        """The keys of the whole batch of which a call may be a half: an abort ends all of it."""
        running = self.model.queue(self.name).running
        return set().union(*(batch.keys for batch in running if set(call.keys) <= set(batch.keys)))

    def _shaped(self, call: Call, values: dict[int, Any]) -> Any:
        if call.fate.shape == "stream":
            return stream(values)
        if call.fate.shape == "sequence" and len(values) == len(call.keys):
            return list(values.values())
        return values


async def stream(values: dict[int, Any]) -> AsyncIterator[tuple[int, Any]]:
    for pair in values.items():
        await asyncio.sleep(0)
        yield pair


# --- the cache ----------------------------------------------------------------------------------------------------


class HeldCache:
    """A MemoryCache whose next verb of a kind can be held, before or after it has its effect, or fail."""

    def __init__(self, loop: HandLoop) -> None:
        self.memory = batchio.MemoryCache(clock=loop.time)
        self.fates: dict[str, str] = {}
        self.gates: list[asyncio.Future[None]] = []
        self.unreliable = False  # a fill was spoiled: its leases may stay until they end

    def bind(self, name: str, value_type: Any, version: int | str) -> Any:
        return HeldVerbs(self, self.memory.bind(name, value_type, version))

    async def hold(self) -> None:
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        try:
            await gate
        finally:
            self.gates.remove(gate)


class HeldVerbs:
    """One loader's verbs."""

    def __init__(self, cache: HeldCache, inner: Any) -> None:
        self.cache, self.inner = cache, inner

    async def _do(self, verb: str, *args: Any) -> Any:
        fate = self.cache.fates.pop(verb, None)
        if fate is not None and verb != "delete_many":
            self.cache.unreliable = True
        if fate == "fail":
            raise OSError(f"the cache is down for {verb}")
        if fate == "before":
            await self.cache.hold()
        result = await getattr(self.inner, verb)(*args)
        if fate == "after":
            await self.cache.hold()
        return result

    async def get_many(self, keys: Any) -> Any:
        return await self._do("get_many", keys)

    async def fill_many(self, values: Any, leases: Any, ttl: Any) -> Any:
        return await self._do("fill_many", values, leases, ttl)

    async def delete_many(self, keys: Any) -> Any:
        return await self._do("delete_many", keys)


# --- what is expected ---------------------------------------------------------------------------------------------


@dataclass
class Memory:
    """What one scope may know of one key."""

    known: Answer | None = None
    floor: int | None = None  # of the first load since it was forgotten
    forgotten: bool = False  # another one took its place


@dataclass(eq=False)
class Asked:
    """A load or a load_many: what was asked, and what it may be answered with."""

    loader: str
    keys: list[int]
    floors: dict[int, int]
    known: dict[int, Answer]
    memories: dict[int, Memory]
    future: asyncio.Future[Any]
    many: bool
    step: int
    cancelled: bool = False
    told: int = 0  # how often the future called back


@dataclass(eq=False)
class Flight:
    """A batch that has left: a coalescing loader's loads may join it."""

    floors: dict[int, int]
    loose: set[int] = field(default_factory=set)


class Place:
    """One of those who load: outside of scopes, or in a scope of its own that it enters and leaves."""

    def __init__(self) -> None:
        self.context = Context()
        self.scope: batchio.Scope | None = None
        self.memories: defaultdict[tuple[str, int], Memory] = defaultdict(Memory)

    def enter(self) -> None:
        self.context = Context()
        self.scope = batchio.scope()
        self.context.run(self.scope.__enter__)
        self.forget_all()

    def forget_all(self) -> None:
        for memory in self.memories.values():
            memory.forgotten = True
        self.memories.clear()

    def leave(self) -> batchio.Scope:
        """End the scope; what is started from here on still carries it, and must act as if there were none."""
        scope, self.scope = self.scope, None
        assert scope is not None
        left_behind = self.context.copy()
        self.context.run(scope.__exit__)
        self.context = left_behind
        self.forget_all()
        return scope


class Model:
    """Steps, floors and memories."""

    def __init__(self, loop: HandLoop) -> None:
        self.loop = loop
        self.step = 0
        self.broken: list[str] = []
        self.drained = False
        self.loaders: dict[str, batchio.Loader[int, Answer]] = {}
        self.sources = {name: Source(self, name) for name in ("plain", "cached")}
        self.confirmed: defaultdict[int, int] = defaultdict(int)  # by key: the step of the last confirmed invalidation
        self.flights: dict[Any, Flight] = {}

    def blame(self, text: str) -> None:
        self.broken.append(f"step {self.step}: {text}")

    @property
    def dispatcher(self) -> Any:
        return getattr(self.loop, "_batchio_dispatcher", None)

    def queue(self, name: str) -> Any:
        return None if self.dispatcher is None else self.dispatcher.queues.get(self.loaders[name]._definition)

    def base(self, name: str, key: int) -> int:
        """The floor of a load that nobody's earlier load helps."""
        return self.confirmed[key] if name == "cached" else self.step

    def see_flights(self) -> None:
        """Note which batches have left, and forget those that are over."""
        running = {batch: name for name in self.loaders if (queue := self.queue(name)) for batch in queue.running}
        self.flights = {
            batch: self.flights.get(batch) or Flight({key: self.base(name, key) for key in batch.keys})
            for batch, name in running.items()
        }

    def flights_of(self, name: str) -> list[tuple[Batch, Flight]]:
        definition = self.loaders[name]._definition
        return [(batch, flight) for batch, flight in self.flights.items() if batch.definition is definition]

    def floor(self, name: str, key: int, memory: Memory | None) -> int:
        """From which step on a load of a key, made now, may be answered."""
        floors = [self.base(name, key)]
        if self.loaders[name]._definition.coalesce:
            floors += [f.floors[key] for b, f in self.flights_of(name) if key in b.waiters and key not in f.loose]
        if memory is not None and memory.floor is not None:
            floors.append(memory.floor)
        return min(floors)

    def forget(self, place: Place, name: str, keys: Iterable[int]) -> None:
        """A key was cleared: the scope knows nothing of it, and nobody joins its flight any more."""
        for key in keys:
            place.memories.pop((name, key), Memory()).forgotten = True
            for _, flight in self.flights_of(name):
                flight.loose.add(key)


def standing(queue: Any) -> set[int]:
    """The ids of all futures that stand for a key, in a group or in a batch that has left."""
    places = [] if queue is None else [*queue.groups.values(), *queue.running]
    entries = [entry for place in places for entry in place.waiters.values()]
    waiters = [one for entry in entries for one in (entry if type(entry) is Several else [entry])]
    return {id(one.future if type(one) is Many else one) for one in waiters}
