"""What drop-in loaders have in common: each request makes its own, and its cache is a mapping of futures.

Rules of this room:

- The machine is the core's: queue, tick, batch, answers. Here is only what other libraries' loaders do otherwise.
- A loader has one private attribute, its ``Machine``: users derive classes, and whatever they call their own is free.
- To make one costs next to nothing: its definition waits for the first load. And nothing but its user and its pending
  loads refers to it, so that it goes with its request, without the garbage collector. Hence neither a definition nor a
  machine refers to its loader (a bound method would be a circle); a batch finds it in its context.
- A batch runs in a copy of the context of its first load, as it did there: a request's loader may read the request's
  variables. (A plain batch has an empty context; but that is for loaders which requests share.)
- The cache keeps the first load's future, as it did there. Who asks while that is pending gets a future of their own.
- Errors of single keys stay in the cache, as they did there; an error of a whole batch does not.
- No limits but ``max_batch_size``: there were none, and an error that is new would be a change.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from batchio._core import events
from batchio._core.batch import Batch, Group, Several, fail_future
from batchio._core.dispatch import inside
from batchio._core.enqueue import answered, ask, ask_quickly, tell_loads
from batchio._core.errors import BatchShapeError, separate, show_keys
from batchio._core.options import MISSING, Definition, Limits
from batchio._core.scope import Memo, batch_context
from batchio._core.tick import ATTRIBUTE

Future = asyncio.Future[Any]
Futures = MutableMapping[Any, Future]

_owner: ContextVar[tuple[Machine, Any]] = ContextVar("batchio.compat")  # whose batch runs in this context
_running_loop = asyncio._get_running_loop


class Keyed(tuple[Any]):  # noqa: SLOT001 - a tuple cannot have slots beside its items
    """A key that is compared by something else; ``key`` is what the batch function gets.

    A tuple of one, so that hashing and comparing stay in C.
    """

    key: Any

    def __repr__(self) -> str:
        return repr(self.key)


def keyed(compared: Any, key: Any) -> Keyed:
    """A key, and what it is compared by."""
    made = Keyed((compared,))
    made.key = key
    return made


def uncached(key: Any) -> Any:
    """A key that no cache compares: one that cannot be hashed is like no other."""
    try:
        hash(key)
    except TypeError:
        return keyed(object(), key)
    return key


class FutureMemo(Memo):
    """A memo that is a loader's own cache: ``asked`` is that mapping, and ``values`` stays empty."""

    __slots__ = ()

    def __init__(self, futures: Futures) -> None:
        super().__init__()
        self.asked: Any = futures

    def keep(self, key: Any, waiter: Any, value: Any) -> None:
        """A load was cancelled, and its answer came: the next one has it."""
        if self.asked.get(key) is waiter:
            self.asked[key] = answered(waiter.get_loop(), value)

    def drop(self, key: Any, waiter: Any) -> None:
        """A load gets no answer. One that its caller has answered stays."""
        if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
            super().drop(key, waiter)


class Machine:
    """What a drop-in loader, its owner, has of the core. Each library's fills the places below."""

    takes_none = False
    __slots__ = ("_definition", "_given_loop", "_group", "_memo", "_plain", "cache_map")

    def __init__(self, cache_map: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.cache_map = cache_map  # the user's, in the library's form; None for a dict of ours
        self._given_loop = loop
        self._definition: Definition | None = None
        self._memo: FutureMemo
        self._plain = True  # keys are compared as they are
        self._group: Group | None = None  # the last one that got a context

    # -- what each library's loader says for itself ------------------------------------------------------------------

    def function(self, owner: Any) -> Callable[[list[Any]], Awaitable[Any]]:
        """The batch function."""
        raise NotImplementedError

    def most(self, owner: Any) -> int | None:
        """How many keys a batch may have."""
        raise NotImplementedError

    def plain(self, owner: Any) -> bool:
        """Whether the cache compares keys as they are."""
        raise NotImplementedError

    def compared(self, owner: Any, key: Any) -> Keyed:
        """A key that is compared by something else."""
        raise NotImplementedError

    def futures(self, owner: Any) -> Futures:
        """The cache, by plain keys or by what ``compared`` gives."""
        raise NotImplementedError

    def wrong_number(self, error: BatchShapeError, expected: int, received: int) -> Exception:
        """The error of a wrong number of values; ours, unless the library has its own."""
        return error

    # -- loads -------------------------------------------------------------------------------------------------------

    def load(self, owner: Any, key: Any) -> Future:
        """A load: answered by the cache, or queued."""
        loop = _running_loop() or self.loop(owner)
        definition = self._definition or self._define(owner)
        memo = None
        if owner.cache:
            memo = self._memo
            key = key if self._plain else self.compared(owner, key)
            found = memo.asked.get(key)
            if found is not None and found.done() and (hit := _shared(found, loop)) is not None:
                if events.on_load:
                    tell_loads(definition, (key,), (), memo_hit=True)
                return hit
        else:
            key = uncached(key)
        future: Future | None = ask_quickly(definition, loop, memo, key)
        if future is None:
            future = ask(definition, loop, None, memo, (), key)
            self._give_context(owner, loop)
        elif memo is None or memo.group is not self._group:
            self._give_context(owner, loop)
        return future

    def loop(self, owner: Any) -> asyncio.AbstractEventLoop:
        """The running event loop, else the one that was given.

        Raises:
            RuntimeError: there is neither.
        """
        loop = _running_loop() or self._given_loop
        if loop is None:
            raise RuntimeError(
                f"{self._name(owner)}: there is no running event loop; call it inside a coroutine, or give the loader "
                f"loop=..."
            )
        return loop

    def _give_context(self, owner: Any, loop: Any) -> None:
        """Keys have begun to wait: their batch runs in the context of this load, and finds its loader there."""
        for group in getattr(loop, ATTRIBUTE).queues[self._definition].groups.values():
            if group.context is None:
                group.context = batch_context()
                group.context.run(_owner.set, (self, owner))
                self._group = group

    def _define(self, owner: Any) -> Definition:
        """Make the loader known to the core; what its owner says about it counts from here on."""
        self._plain = self.plain(owner)
        self._memo = FutureMemo(self.futures(owner))
        self._definition = Definition(
            name=self._name(owner), fetch=_fetch, limits=_limits(self.most(owner)), key=None, default=MISSING,
            cache=None, ttl=None, memo=True, isolated=False, coalesce=False, cancel_abandoned=False, show_keys=True,
            split_on_error=False, parameters=(),
        )  # fmt: skip
        return self._definition

    def _name(self, owner: Any) -> str:
        """``module:qualname`` of a user's class, or of the function."""
        named = type(owner) if not type(owner).__module__.startswith(__package__) else self.function(owner)
        return f"{getattr(named, '__module__', '?')}:{getattr(named, '__qualname__', type(named).__qualname__)}"

    # -- the cache -----------------------------------------------------------------------------------------------------

    def known(self, owner: Any) -> Futures:
        """The cache."""
        if self._definition is None:
            self._define(owner)
        return self._memo.asked  # type: ignore[no-any-return]

    def place(self, owner: Any, key: Any) -> Any:
        """Where a key stands in the cache."""
        if self._definition is None:
            self._define(owner)
        return key if self._plain else self.compared(owner, key)

    def prime(self, owner: Any, key: Any, answer: Future, *, force: bool = False) -> None:
        """Put an answer into the cache, unless there is one."""
        place, known = self.place(owner, key), self.known(owner)
        found = known.get(place)
        if force or found is None or found.cancelled():
            known[place] = answer

    def tell_queued(self, owner: Any, key: Any, value: Any) -> None:
        """Answer the loads of a key that wait to leave; so it does not."""
        place = self.place(owner, key) if owner.cache else uncached(key)
        dispatcher = getattr(self.loop(owner), ATTRIBUTE, None)
        queue = None if dispatcher is None else dispatcher.queues.get(self._definition)
        for group in () if queue is None else queue.groups.values():
            waiter = group.waiters.get(place)
            for one in waiter if type(waiter) is Several else (waiter,):
                if one is not None and not one.done():
                    one.set_result(value)

    # -- a batch -----------------------------------------------------------------------------------------------------

    def call(self, owner: Any, keys: list[Any]) -> Awaitable[Any]:
        """Call the batch function; what it gives can be awaited."""
        result = self.function(owner)(keys)
        if not hasattr(result, "__await__"):
            raise BatchShapeError(
                f"{self._name(owner)}: the batch function is no coroutine function, it returned a "
                f"{type(result).__name__}; write async def"
            )
        return result

    def answers(self, batch: Batch, keys: list[Any], given: list[Any], values: Any) -> Any:
        """What came, by key. A mapping is read by key: the originals take its keys for the values, which nobody wants."""
        if type(values) is not list:  # a list nearly always, and these looks take longer
            if isinstance(values, Mapping):
                return self._remembered(
                    batch, {key: values[k] for key, k in zip(keys, given, strict=True) if k in values}
                )
            if not isinstance(values, Iterable) or isinstance(values, (str, bytes)):
                raise self._misshapen(keys, "None" if values is None else f"a {type(values).__name__}")
            values = list(values)
        if len(values) != len(keys):
            raise self.wrong_number(self._misshapen(keys, f"{len(values)} items"), len(keys), len(values))
        return self._remembered(batch, dict(zip(keys, values, strict=True)))

    def _misshapen(self, keys: list[Any], what: str) -> BatchShapeError:
        name = self._definition.name  # type: ignore[union-attr]  # it has a batch
        return BatchShapeError(
            f"{name}: asked for {len(keys)} keys {show_keys(keys)}, and the batch function returned {what}; it must "
            f"return a list with one item per key, in the order of the keys, and None where there is none"
        )

    def _remembered(self, batch: Batch, answers: dict[Any, Any]) -> dict[Any, Any]:
        """Leave a failed future in the cache for each key that failed alone, if the batch's load stands there."""
        for key in [key for key, value in answers.items() if isinstance(value, Exception)]:
            waiter = self._memo.asked.get(key)
            if waiter is not None and batch.queue.holder(key, waiter, (), None) is batch:
                self._memo.asked[key] = rejected(waiter.get_loop(), answers[key])
        return answers


async def _fetch(keys: list[Any]) -> Any:
    """The batch function of all drop-in loaders: finds whose batch this is, and calls theirs."""
    machine, owner = _owner.get()
    batch: Any = inside.get()
    given = [key.key if type(key) is Keyed else key for key in keys]
    try:
        values = await machine.call(owner, list(given))
        return machine.answers(batch, keys, given, values)
    except Exception as error:
        _hand_over(batch, error)
        raise


def _hand_over(batch: Batch, error: Exception) -> None:
    """Give a load that waits all alone the very object that was raised: tests compare it with theirs.

    Where more wait, the core gives each a copy, so that nobody's traceback shows in another's.
    """
    if len(batch.waiters) == 1 and not isinstance(error, StopIteration):  # which no future takes
        (waiter,) = batch.waiters.values()
        if type(waiter) is not Several and not waiter.done():
            fail_future(waiter, error)


def _shared(found: Future, loop: Any) -> Future | None:
    """What the cache answers a load with: the future there, a copy of its error, or None if it was cancelled."""
    if found.cancelled():
        return None
    if (error := found.exception()) is not None:
        return rejected(loop, separate(error))
    return found if found.get_loop() is loop else answered(loop, found.result())


def rejected(loop: Any, error: Exception) -> Future:
    """A future that has failed already."""
    future: Future = asyncio.Future(loop=loop)
    fail_future(future, error)
    return future


@lru_cache(maxsize=64)
def _limits(most: int | None) -> Limits:
    """No limits but the size of a batch, where there is one."""
    return Limits(
        max_batch_size=max(1, most) if most else sys.maxsize,
        max_in_flight=sys.maxsize,
        max_queued=sys.maxsize,
        timeout=None,
    )
