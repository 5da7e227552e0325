"""A batch under way: the cache before it, the batch function, the answers after it.

Rules of this room:

- A batch runs in a task that batchio owns, so a caller's cancellation never reaches a driver; and in an empty context,
  so that no request's variables are read for another request. An isolated one runs in a copy of its scope's context.
- Whatever the batch function does, every waiter is answered: ``_run`` has one way out, and it passes ``_end``.
- Answers go out first, fills of the cache after them: nobody waits for a store to be written.
- A cache that fails or is slow is a miss without a fill. It is logged, and never an error to the reader.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from contextvars import Context, ContextVar
from types import CoroutineType
from typing import Any, TypeVar

from batchio._core import events
from batchio._core.batch import Batch, as_mapping, as_pair, find_cycle, forgo
from batchio._core.cache import Lookup
from batchio._core.errors import BatchAborted, BatchShapeError, BatchTimeout, described
from batchio._core.options import MISSING, Definition
from batchio._core.queue import Queue
from batchio._core.tick import EAGER, Dispatcher, begin, within

T = TypeVar("T")

log = logging.getLogger("batchio")

# The batch whose function runs in this context: loads that it makes are a chain.
inside: ContextVar[Batch | None] = ContextVar("batchio.batch", default=None)

# Seconds between looks at a key that somebody else is filling: soon at first, since most fills take one round trip.
HERD_WAITS = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.5, 0.5, 0.5, 0.5, 0.5)


def start(dispatcher: Dispatcher, batch: Batch, reason: str) -> None:
    """Send a batch that was cut off its queue on its way."""
    batch.left = dispatcher.loop.time()
    try:
        if events.on_dispatch:
            events.tell(events.on_dispatch, _dispatched(batch, reason))
    finally:  # Ctrl-C in an observer is passed on, and the batch leaves all the same
        cycle = None if batch.group.parent is None else find_cycle(batch)
        if cycle is None:
            _begin(dispatcher, batch)
        else:
            batch.fail(cycle)
            _over(dispatcher, batch)


def _begin(dispatcher: Dispatcher, batch: Batch) -> None:
    """Give a batch its task, in a context that is nobody's, or a copy of its scope's."""
    if batch.context is None:
        context = Context()
    else:
        context, batch.context = batch.context.copy(), None
    task = begin(_run(dispatcher, batch), loop=dispatcher.loop, context=context, name=batch.definition.task_name)
    batch.task = None if batch.ended else _watched(dispatcher, batch, task)


def _watched(dispatcher: Dispatcher, batch: Batch, task: asyncio.Task[None]) -> asyncio.Task[None]:
    """A batch that did not end in its task's first step: somebody may drain, and it may be cancelled."""
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # a loop that is closed takes its batches with it
    dispatcher.tasks.add(task)
    batch.task_over = functools.partial(_task_over, dispatcher, batch)
    task.add_done_callback(batch.task_over)
    return task


def _dispatched(batch: Batch, reason: str) -> events.BatchDispatched:
    definition, group = batch.definition, batch.group
    waiters = sum(len(waiter) if isinstance(waiter, list) else 1 for waiter in batch.waiters.values())
    return events.BatchDispatched(
        loader=definition.name,
        batch=batch.number,
        keys=tuple(batch.keys),
        waiters=waiters,
        reason=reason,
        waited=batch.left - group.since,
        params=definition.named(group.params),
    )


async def _run(dispatcher: Dispatcher, batch: Batch) -> None:
    """The life of a batch, in its own task."""
    inside.set(batch)
    definition = batch.definition
    # A task that does not begin at once (Python 3.11) begins after others of its tick, which may have taken their time.
    batch.left = batch.left if EAGER else dispatcher.loop.time()
    if definition.limits.timeout is not None:
        dispatcher.limit(batch, batch.left + definition.limits.timeout)
    cache = None if definition.stand_ins else definition.cache
    try:
        if cache is None:
            try:
                await _call(definition, batch, batch.keys)
            except Exception as error:
                await _recover(definition, batch, batch.keys, error)
        else:
            await _through_cache(dispatcher, definition, cache, batch)
    except BaseException as error:
        _abort(dispatcher, batch, error)
        if isinstance(error, (KeyboardInterrupt, SystemExit, asyncio.CancelledError)):  # for the loop and its owner
            asyncio.current_task().add_done_callback(_retrieve)  # type: ignore[union-attr]
            raise
    finally:
        _end(dispatcher, batch)


def _task_over(dispatcher: Dispatcher, batch: Batch, task: asyncio.Task[None]) -> None:
    """The task of a batch is over; before its first step, when it was cancelled at once (Python 3.11)."""
    dispatcher.tasks.discard(task)
    _abort(dispatcher, batch, asyncio.CancelledError())
    _end(dispatcher, batch)


def _retrieve(task: asyncio.Task[None]) -> None:
    """KeyboardInterrupt and SystemExit go through the loop to its owner; they need not be reported by it too."""
    if not task.cancelled():
        task.exception()


def _end(dispatcher: Dispatcher, batch: Batch) -> None:
    """The function of a batch has come to its end."""
    batch.ended = True
    batch.owners = {}
    # What it calls when it ends was for a task that ends in another way; and a callback costs a turn of the loop.
    batch.task = batch.task and dispatcher.disown(batch.task, batch.task_over)
    batch.task_over = None
    _over(dispatcher, batch)


def _abort(dispatcher: Dispatcher, batch: Batch, error: BaseException) -> None:
    """The batch function came to an end that is no answer and no Exception of its own."""
    if dispatcher.loop.is_closed():  # the loop went away under the batch, and all waiters with it
        batch.waiters = {}
        return
    name = batch.definition.name
    how = "was cancelled" if isinstance(error, asyncio.CancelledError) else f"raised {described(error)}"
    aborted = BatchAborted(f"{name}: the batch function {how}, so this batch has no answer")
    aborted.__cause__ = error
    batch.fail(aborted)


def _over(dispatcher: Dispatcher, batch: Batch) -> None:
    """All waiters are answered: the slot is free, the event is told. Called again, it does nothing more."""
    queue = batch.queue
    if batch.stuck and batch.ended:
        batch.stuck = False
        queue.stuck -= 1
    if queue.release(batch) and events.on_done:
        seconds = dispatcher.loop.time() - batch.left
        events.tell(events.on_done, events.BatchDone(queue.definition.name, batch.number, seconds, batch.error))
    batch.error = None  # its traceback refers to the frame that holds the batch
    if queue.groups and not dispatcher.loop.is_closed():
        dispatcher.expect(queue)
    dispatcher.settle(queue)


def expire(dispatcher: Dispatcher, batch: Batch) -> None:
    """The batch had its time: answer its waiters, give the slot back, and cancel it."""
    definition = batch.definition
    batch.fail(
        BatchTimeout(
            f"{definition.name}: no answer within {definition.limits.timeout} seconds of dispatch; the batch of "
            f"{len(batch.keys)} keys was cancelled. Raise Limits(timeout=...) or make the source faster"
        )
    )
    batch.stuck = True
    batch.queue.stuck += 1
    task = batch.task
    _over(dispatcher, batch)
    task.cancel()


def abandon(queue: Queue) -> None:
    """``cancel_abandoned``: cancel the batches whose last waiter went away."""
    queue.sweeping = False
    for batch in list(queue.running):
        if batch.task is not None and batch.waiters and all(waiter.done() for waiter in batch.waiters.values()):
            batch.task.cancel()
            for key, waiter in batch.waiters.items():
                forgo(batch.owners, key, waiter)
            batch.waiters = {}  # no later load joins it


# -- the batch function --------------------------------------------------------------------------------------------------


async def _fetch(definition: Definition, batch: Batch, keys: list[Any]) -> Mapping[Any, Any]:
    """Call the batch function for some keys of a batch and answer them; what may be cached comes back."""
    try:
        return await _call(definition, batch, keys)
    except Exception as error:
        return await _recover(definition, batch, keys, error)


async def _recover(definition: Definition, batch: Batch, keys: list[Any], error: Exception) -> Mapping[Any, Any]:
    """A call failed: so do the keys that it did not answer, or they are fetched again in halves."""
    _cut_off_earlier_raises(error)
    unanswered = [key for key in keys if key in batch.waiters]
    calls = _calls_to_split(definition, len(unanswered), error)
    if not calls:
        batch.fail(error, unanswered)
        return {}
    return await _fetch_halves(definition, batch, unanswered, [calls])


def _calls_to_split(definition: Definition, count: int, error: Exception) -> int:
    """How many calls ``split_on_error`` may make: enough to isolate four bad keys, however large the batch.

    When everything fails (a database that is down) halving to the end would make 2n - 1 calls. A wrong shape is the
    function's fault, not a key's.
    """
    poisoned = definition.split_on_error and count > 1 and not isinstance(error, BatchShapeError)
    return 8 * math.ceil(math.log2(count)) if poisoned else 0


async def _fetch_halves(definition: Definition, batch: Batch, keys: list[Any], calls: list[int]) -> Mapping[Any, Any]:
    """Fetch two halves of keys that failed together, each by itself, and halves of halves while calls are left."""
    calls[0] -= 2
    values: dict[Any, Any] = {}
    middle = (len(keys) + 1) // 2
    for half in (keys[:middle], keys[middle:]):
        try:
            values |= await _call(definition, batch, half)
            continue
        except Exception as error:
            _cut_off_earlier_raises(error)
            unanswered = [key for key in half if key in batch.waiters]
            if calls[0] < 2 or not _calls_to_split(definition, len(unanswered), error):
                batch.fail(error, unanswered)
                continue
        values |= await _fetch_halves(definition, batch, unanswered, calls)
    return values


def _cut_off_earlier_raises(error: BaseException) -> None:
    """A module's constant exception keeps the traceback of every raise, newest first: only the newest is this batch's.

    The others would grow without end, and hold the frames and so the keys of every batch that ever failed with it.
    """
    calls = 0
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        calls += step.tb_frame.f_code is _call.__code__
        if calls and step.tb_next.tb_frame.f_code in (_run.__code__, _fetch.__code__, _fetch_halves.__code__):
            step.tb_next = None
        step = step.tb_next


async def _call(definition: Definition, batch: Batch, keys: list[Any]) -> Mapping[Any, Any]:
    """One call of the batch function, its answers given."""
    fetch = definition.stand_ins[-1] if definition.stand_ins else definition.fetch
    params = batch.group.params
    result = fetch(list(keys), **definition.named(params)) if params else fetch(list(keys))
    if type(result) is CoroutineType or hasattr(result, "__await__"):
        result = await result
    elif not hasattr(result, "__aiter__") and not definition.stand_ins:
        raise BatchShapeError(
            f"{definition.name}: the batch function is no coroutine function, it returned a {type(result).__name__}; "
            f"write async def"
        )
    if type(result) is not dict and hasattr(result, "__aiter__"):
        return await _stream(definition, batch, keys, result)
    values = result if type(result) is dict else as_mapping(definition, keys, result)
    batch.answer(values, None if len(keys) == len(batch.keys) else keys)
    return values if definition.cache is None else _fillable(definition, keys, values)


async def _stream(definition: Definition, batch: Batch, keys: list[Any], pairs: Any) -> Mapping[Any, Any]:
    """Answer each key as its pair comes; those that never came are missing. Whatever comes, the stream is closed."""
    values: dict[Any, Any] = {}
    try:
        async for item in pairs:
            pair = dict([as_pair(definition, keys, item)])
            batch.answer(pair, list(pair))
            if definition.cache is not None:
                values.update(pair)
            del item, pair  # while the next one is waited for, nobody but its readers holds an answer
    finally:
        if hasattr(pairs, "aclose"):
            await pairs.aclose()
    batch.answer({}, keys)
    return values if definition.cache is None else _fillable(definition, keys, values)


def _fillable(definition: Definition, keys: list[Any], values: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """What the cache may keep of an answer: no errors and no absences, but a default, which is a value."""
    answers = ((key, values.get(key, definition.default)) for key in keys)
    return {key: value for key, value in answers if value is not MISSING and not isinstance(value, BaseException)}


# -- the cache before it -------------------------------------------------------------------------------------------------


async def _through_cache(dispatcher: Dispatcher, definition: Definition, cache: Any, batch: Batch) -> None:
    """Hits are answered, misses fetched and filled, and keys that somebody else is filling waited for."""
    asked = batch.keys
    for seconds in HERD_WAITS:
        found = await _look_up(definition, cache, batch, asked)
        batch.answer_found(found.hits)
        filling = (set(found.filling) & batch.waiters.keys()) - _own_chain(batch, found.filling)
        misses = [key for key in batch.waiters if key not in filling]
        if misses:
            await _fetch_and_fill(dispatcher, definition, cache, batch, misses, found)
        if not filling:
            return
        await asyncio.sleep(seconds)
        if not batch.waiters:  # its time was over; a look-up would take leases that nobody redeems
            return
        asked = [key for key in asked if key in filling]
    await _fetch(definition, batch, list(batch.waiters))  # whoever was filling is gone, or slower than we can wait


def _own_chain(batch: Batch, filling: list[Any]) -> set[Any]:
    """Keys that a batch is filling which waits for this one: nobody will fill them before this one is answered."""
    if not filling or not batch.parents:
        return set()
    above = batch.ancestors() - {batch}
    same = [b for b in above if b.definition is batch.definition and b.group.params == batch.group.params]
    return set().union(*(b.keys for b in same))


async def _fetch_and_fill(
    dispatcher: Dispatcher, definition: Definition, cache: Any, batch: Batch, keys: list[Any], found: Lookup[Any, Any]
) -> None:
    """Fetch the misses, answer them, and only then write to the cache what we hold a lease for.

    A lease whose key got no value goes back, also when the batch is cancelled: others would wait for it in vain.
    """
    values: Mapping[Any, Any] = {}
    try:
        values = await _fetch(definition, batch, keys)
        if not batch.waiters:
            _over(dispatcher, batch)
    finally:
        if found.leases and not dispatcher.loop.is_closed():
            fill = {key: values[key] for key in found.leases if key in values}
            tables = _outward(batch, fill, found.leases)
            await _guarded(definition, "fill", cache.fill_many, *tables, definition.ttl)


async def _look_up(definition: Definition, cache: Any, batch: Batch, keys: list[Any]) -> Lookup[Any, Any]:
    """Ask the cache; a failure is a miss without a lease."""
    full = {_with_params(batch, key): key for key in keys} if batch.group.params else dict(zip(keys, keys, strict=True))
    found = await _guarded(definition, "lookup", cache.get_many, list(full))
    if not isinstance(found, Lookup):
        return Lookup()
    return Lookup(
        hits={full[key]: value for key, value in found.hits.items() if key in full},
        leases={full[key]: lease for key, lease in found.leases.items() if key in full},
        filling=[full[key] for key in found.filling if key in full],
    )


def _outward(batch: Batch, *tables: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], ...]:
    """Tables by key as tables by cache key: a load's parameters are part of it."""
    if not batch.group.params:
        return tables
    return tuple({_with_params(batch, key): item for key, item in table.items()} for table in tables)


def _with_params(batch: Batch, key: Any) -> tuple[Any, ...]:
    return (key, *(value for _, value in batch.group.params))


async def _guarded(
    definition: Definition, name: str, verb: Callable[..., Coroutine[Any, Any, T]], *args: Any
) -> T | None:
    """A verb of the cache within its time; None and a line in the log when it fails, or cancels itself."""
    task = asyncio.current_task()
    try:
        return await within(definition.limits.cache_timeout, verb(*args))
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
            raise  # the batch is cancelled, not the cache
        log.warning("%s: cache %s failed, taken for a miss: %s: %s", definition.name, name, type(error).__name__, error)
        return None
