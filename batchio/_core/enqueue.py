"""The way of a load into the queue: join what is under way for its scope already, or stand in a group.

What comes after is in ``tick`` and ``dispatch``. Rules of this room:

- Only tables are read and written here. Nothing is awaited, and no batch function runs.
- A load in flight is one future and nothing else: no task, no callback. A cancelled one is noticed when its batch is
  cut. (A callback per load would cost more than the load.)
- A load joins a batch that has left only if its own scope asked for the key before, or the loader says ``coalesce``;
  and never one that waits for the batch function that makes the load.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection, Iterable
from typing import Any

from batchio._core import events
from batchio._core.batch import Batch, Group, Many, added, join
from batchio._core.dispatch import abandon, expire, inside, start
from batchio._core.errors import QueueFull
from batchio._core.hints import Watch
from batchio._core.options import MISSING, Definition, Params
from batchio._core.queue import Queue, group_name
from batchio._core.scope import Memo, Scope, kept_context
from batchio._core.tick import ATTRIBUTE, Dispatcher, dispatcher_of


def ask(
    definition: Definition, loop: Any, scope: Scope | None, memo: Memo | None, bound: Params, key: Any
) -> asyncio.Future[Any]:
    """A load that the memo cannot answer: join what the scope waits for already, or queue the key."""
    dispatcher = getattr(loop, ATTRIBUTE, None) or dispatcher_on(loop)
    hash(key)  # raises here, before anything is made
    queue = dispatcher.queue_of(definition)
    if queue.queued >= definition.limits.max_queued:
        queue.sweep()
    asking = None if inside.get() is None else _asking(dispatcher)
    place: Any = None
    if definition.coalesce or (memo is not None and key in memo.asked):
        place = _pending(queue, scope, memo, bound, key, asking)
    parent = None if place is not None else _parent(definition, asking)
    group = None if place is not None else _group(dispatcher, queue, scope, bound, parent, (key,))
    future = asyncio.Future(loop=loop) if dispatcher.watch is None else dispatcher.watch.load(definition.name, loop)
    if group is None:
        remember = memo if definition.coalesce else None
        join(place.waiters, key, future)
    else:
        remember = memo if parent is None else None
        place = group
        _stand(queue, group, key, future, asking)
    if remember is not None:
        remember.asked[key] = future
        place.owners[future] = remember
    _announce(dispatcher, queue, place, asking)
    if definition.cancel_abandoned:
        future.add_done_callback(functools.partial(_went_away, loop, queue))
    if events.on_load:  # last: an observer may load too
        tell_loads(definition, (key,), bound, memo_hit=group is None)
    return future


def ask_quickly(definition: Definition, loop: Any, memo: Memo | None, key: Any) -> Any:
    """The way of nearly all loads, written for speed: a key joins the plain keys that wait for this tick.

    What a scope asked for before is joined here only while it stands among these, as the first of its scope.

    Returns:
        A future; None when the load has to go the long way.
    """
    dispatcher = getattr(loop, ATTRIBUTE, None)
    if dispatcher is None or events.on_load or inside.get() is not None:
        return None
    first = None if memo is None else memo.asked.get(key)
    group = dispatcher.open.get(definition)
    if group is None:
        if first is not None or not definition.plain or dispatcher.watch is not None:
            return None
        hash(key)  # raises here, before anything is made
        group = _open(definition, dispatcher)
    waiters = group.waiters
    if len(waiters) >= group.room or (first is not None and first not in group.owners):
        return None
    future: asyncio.Future[Any] = asyncio.Future(loop=loop)
    if waiters.setdefault(key, future) is not future:
        join(waiters, key, future)
    if memo is not None and first is None:
        memo.asked[key] = future
        memo.group = group
        group.owners[future] = memo
    return future


def _open(definition: Definition, dispatcher: Dispatcher) -> Group:
    """The plain group of a queue, which the next tick looks at."""
    queue = dispatcher.queue_of(definition)
    dispatcher.expect(queue)
    group = queue.groups.get(None)
    if group is None:
        group = queue.groups[None] = Group((), None, dispatcher.loop.time(), plain=True)
    dispatcher.open[definition] = group
    group.room = definition.limits.max_queued - queue.elsewhere
    group.outside = True
    return group


def ask_many(
    definition: Definition,
    loop: Any,
    scope: Scope | None,
    memo: Memo | None,
    bound: Params,
    keys: list[Any],
    *,
    return_exceptions: bool,
) -> asyncio.Future[list[Any]]:
    """The same for many keys at once: everything is looked up first and queued then, whole or not at all."""
    if (known := _all_known(memo, keys)) is not None:
        if events.on_load:
            tell_loads(definition, keys, bound, memo_hit=True)
        return answered(loop, known)
    dispatcher = getattr(loop, ATTRIBUTE, None) or dispatcher_on(loop)
    asking = _asking(dispatcher)
    parent = _parent(definition, asking)
    remember = memo if parent is None else None
    many = Many(keys, remember, return_exceptions=return_exceptions)
    fresh: dict[Any, Many] = dict.fromkeys(keys, many)
    queue = dispatcher.queue_of(definition)
    if queue.queued + len(fresh) > definition.limits.max_queued:
        queue.sweep()
    many.values, places = _sort_out(queue, scope, memo, bound, fresh, asking)
    many.open = len(fresh) + len(places)
    group = None if not fresh else _group(dispatcher, queue, scope, bound, parent, fresh)
    future = asyncio.Future(loop=loop) if dispatcher.watch is None else dispatcher.watch.many(definition.name, loop)
    many.future = future
    for key, place in places:
        if remember is not None:
            remember.asked.setdefault(key, many)  # a flight of another scope, with which it coalesces
        join(place.waiters, key, many)
        _announce(dispatcher, queue, place, asking)
    if group is not None:
        _stand_all(queue, group, fresh, remember, asking)
        _announce(dispatcher, queue, group, asking)
    if not many.open:
        many.settle()
    if definition.cancel_abandoned:
        future.add_done_callback(functools.partial(_went_away, loop, queue))
    dispatcher.settle(queue)
    if events.on_load:
        tell_loads(definition, [key for key in dict.fromkeys(keys) if key not in fresh], bound, memo_hit=True)
        tell_loads(definition, fresh, bound, memo_hit=False)
    return future


def _asking(dispatcher: Dispatcher) -> Batch | None:
    """The batch whose function makes this load.

    None when that has ended and left a task behind, and on another loop, where a thread with a copied context may be.
    """
    batch = inside.get()
    if batch is None or batch.ended or dispatcher.queues.get(batch.definition) is not batch.queue:
        return None
    return batch


def _all_known(memo: Memo | None, keys: list[Any]) -> list[Any] | None:
    """The values of a load_many that the memo answers whole, by one pass in C."""
    if not keys:
        return []
    if memo is None or not memo.values:
        return None
    try:
        return list(map(memo.values.__getitem__, keys))
    except KeyError:
        return None


def _sort_out(
    queue: Queue, scope: Scope | None, memo: Memo | None, bound: Params, fresh: dict[Any, Any], asking: Batch | None
) -> tuple[dict[Any, Any], list[tuple[Any, Group | Batch]]]:
    """Take out of the fresh keys those whose values the memo has, and those that are under way and can be joined."""
    values: dict[Any, Any] = {}
    places: list[tuple[Any, Group | Batch]] = []
    if not queue.definition.coalesce and (memo is None or not (memo.asked or memo.values)):
        return values, places
    for key in list(fresh):
        if memo is not None and (hit := memo.known(key, MISSING)) is not MISSING:
            values[key] = hit
            del fresh[key]
        elif (place := _pending(queue, scope, memo, bound, key, asking)) is not None:
            places.append((key, place))
            del fresh[key]
    return values, places


def _pending(
    queue: Queue, scope: Scope | None, memo: Memo | None, bound: Params, key: Any, asking: Batch | None
) -> Group | Batch | None:
    """Where a key is under way that this load may join: its own scope asked for it, or the loader coalesces."""
    place: Group | Batch | None = None
    if memo is not None and (waiter := memo.asked.get(key)) is not None:
        place = queue.holder(key, waiter, bound, scope if queue.definition.isolated else None)
    if place is None and queue.definition.coalesce:
        place = queue.in_flight(key, bound)
    if isinstance(place, Batch) and asking is not None and place in asking.ancestors():
        return None  # that batch waits for the one that asks: to join it would be to wait for oneself
    return place


def _parent(definition: Definition, asking: Batch | None) -> Batch | None:
    """The batch that asks, if its chain passes through this loader already: then its loads leave in batches of their own."""
    return asking if asking is not None and definition.number in asking.loaders else None


def _group(
    dispatcher: Dispatcher,
    queue: Queue,
    scope: Scope | None,
    bound: Params,
    parent: Batch | None,
    keys: Collection[Any],
) -> Group:
    """The group in which loads wait, once there is room for so many keys more; its queue will be looked at.

    That comes first: a key whose ``__eq__`` raises on the way may leave others standing, and they must not wait for ever.
    """
    definition = queue.definition
    alone = scope if definition.isolated else None
    if queue.queued + len(keys) > definition.limits.max_queued:
        group = queue.groups.get(group_name(bound, alone, parent))
        try:
            queue.check_room(len(keys) if group is None else sum(key not in group.waiters for key in keys))
        except QueueFull:
            dispatcher.settle(queue)
            raise
    group = queue.group(bound, alone, parent, dispatcher.loop.time)
    if alone is not None:
        group.context = kept_context(alone)
    dispatcher.expect(queue)
    return group


def _stand(queue: Queue, group: Group, key: Any, waiter: Any, asking: Batch | None) -> None:
    """Put a waiter in a group, alone or next to strangers who want the same key."""
    if key in group.waiters:
        join(group.waiters, key, waiter)
    else:
        group.waiters[key] = waiter
        _count(queue, group, 1, asking)


def _stand_all(queue: Queue, group: Group, waiters: dict[Any, Many], memo: Memo | None, asking: Batch | None) -> None:
    """Put a load_many in all its places, at once when nobody stands there yet, and into its memo."""
    if memo is not None:
        memo.asked.update(waiters)
    if not group.waiters or group.waiters.keys().isdisjoint(waiters):
        group.waiters.update(waiters)
        _count(queue, group, len(waiters), asking)
        return
    for key, many in waiters.items():
        _stand(queue, group, key, many, asking)


def _count(queue: Queue, group: Group, keys: int, asking: Batch | None) -> None:
    """A group has got new keys: note how many, and whose."""
    queue.count(group, keys)
    if asking is None:
        group.outside = True
    else:
        group.askers = added(group.askers, asking)


def _announce(dispatcher: Dispatcher, queue: Queue, place: Group | Batch, asking: Batch | None) -> None:
    """Note which batch waits: that changes who may leave."""
    if asking is not None:
        place.parents = added(place.parents, asking)
        if isinstance(place, Group):
            dispatcher.expect(queue)
        else:
            dispatcher.look()


def _went_away(loop: Any, queue: Queue, future: asyncio.Future[Any]) -> None:
    """``cancel_abandoned``: a load is over; if it was cancelled, look for batches that nobody waits for, once a pass."""
    if future.cancelled() and not queue.sweeping:
        queue.sweeping = True
        loop.call_soon(abandon, queue)


def running(definition: Definition, loop: Any, bound: Params) -> list[Batch]:
    """The batches of a loader under way on a loop, with these parameters."""
    dispatcher = getattr(loop, ATTRIBUTE, None)
    queue = None if dispatcher is None else dispatcher.queues.get(definition)
    return [] if queue is None else [batch for batch in queue.running if batch.group.params == bound]


def dispatcher_on(loop: Any) -> Dispatcher:
    """The dispatcher of a loop, made at its first load; with hints when the loop is in debug mode."""
    dispatcher = dispatcher_of(loop, start, expire)
    if dispatcher.hints and dispatcher.watch is None:
        dispatcher.watch = Watch()
    return dispatcher


def answered(loop: Any, value: Any) -> asyncio.Future[Any]:
    """A future that is answered already."""
    future: asyncio.Future[Any] = asyncio.Future(loop=loop)
    future.set_result(value)
    return future


def tell_loads(definition: Definition, keys: Iterable[Any], bound: Params, *, memo_hit: bool) -> None:
    for key in keys:
        events.tell(events.on_load, events.Load(definition.name, key, memo_hit, definition.named(bound)))
