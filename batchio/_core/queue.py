"""The keys of one loader that wait to leave, on one event loop, and what may leave now. No await and no asyncio here.

A queue holds its keys in groups: keys that differ in the loads' parameters, in their isolated scope, or in the batch
that asked for them from inside (a chain) never share a batch. Guarantees kept here:

- A key is in a batch once, in the order of first loads, and a batch has at most ``max_batch_size`` keys.
- A key whose waiters have all gone away before its batch leaves is not fetched.
- A batch takes a slot of ``max_in_flight``, but a load that a batch function makes never waits for a slot that only
  its own answer could free: see ``_comes_free``.
- Batches that timed out and do not end are borne up to ``max_in_flight`` of them beside as many that run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from batchio._core.batch import (
    Batch,
    Group,
    Many,
    Owners,
    Several,
    Waiter,
    Waiters,
    forgo,
    give_up,
    moved_owners,
    stands_in,
)
from batchio._core.errors import BatchAborted, BatchTimeout, QueueFull
from batchio._core.options import Definition, Params

CHEAP_PURGE = 16  # a full queue is swept for cancelled loads once per so many refusals; see Queue.sweep


def group_name(params: Params, scope: Any, parent: Batch | None) -> Any:
    """Under which a queue keeps a group; None for the plain one, which nearly all loads are in."""
    return (params, scope, parent) if params or scope is not None or parent is not None else None


def _stands(place: Group | Batch, key: Any, waiter: Waiter) -> bool:
    """Whether a waiter stands for a key in a place, alone or among several."""
    entry = place.waiters.get(key)
    return entry is waiter or (type(entry) is Several and (waiter in place.owners or stands_in(entry, waiter)))


def _each(waiters: Waiters) -> Iterable[Waiter]:
    """Each waiter, as good as once: a load_many stands there for each of its keys, and has nearly always no neighbours."""
    found = waiters.values()
    first = next(iter(found), None)
    return (first,) if type(first) is Many and list(found).count(first) == len(found) else found


class Queue:
    """The keys of one loader that wait to leave, on one event loop, and its batches under way."""

    __slots__ = ("definition", "elsewhere", "groups", "refusals", "running", "stuck", "sweeping", "taken", "waiting")

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.groups: dict[Any, Group] = {}  # by (params, scope, parent); None is the plain group
        self.running: dict[Batch, None] = {}  # in the order in which they left; a dict is an ordered set
        self.elsewhere = 0  # keys in groups that are not plain
        self.taken = 0  # slots in use
        self.stuck = 0  # batches that timed out and do not end
        self.refusals = 0
        self.waiting = False  # in the dispatcher's list
        self.sweeping = False  # a look for abandoned batches is scheduled

    def __repr__(self) -> str:
        return f"<Queue {self.definition.name}: {self.state}>"

    @property
    def state(self) -> str:
        """What is in it, in a line."""
        stuck = f", {self.stuck} timed out and not ended" if self.stuck else ""
        return f"{self.queued} keys queued, {len(self.running)} batches in flight{stuck}"

    @property
    def queued(self) -> int:
        """Keys that wait. Those of the plain group are not counted as they come: that is the hot path."""
        plain = self.groups.get(None)
        return self.elsewhere if plain is None else self.elsewhere + len(plain.waiters)

    def count(self, group: Group, keys: int) -> None:
        """A group has got so many keys more, or less."""
        if not group.plain:
            self.elsewhere += keys
            if (plain := self.groups.get(None)) is not None and plain.room:
                plain.room = self.definition.limits.max_queued - self.elsewhere

    @property
    def chained(self) -> bool:
        """Whether keys are left that a batch function waits for."""
        return any(group.parents for group in self.groups.values())

    def since(self, now: float) -> float:
        """When its oldest key came, on the loop's clock."""
        return min((group.since for group in self.groups.values()), default=now)

    def group(self, params: Params, scope: Any, parent: Batch | None, now: Callable[[], float]) -> Group:
        """The group in which such a load waits."""
        name = group_name(params, scope, parent)
        group = self.groups.get(name)
        if group is None:
            group = self.groups[name] = Group(params, parent, now(), plain=name is None)
        return group

    def holder(self, key: Any, waiter: Waiter, params: Params, scope: Any) -> Group | Batch | None:
        """Where a memo's waiter stands: in its group that has not left, or in a batch that has not answered it."""
        group = self.groups.get(group_name(params, scope, None))
        places: Iterable[Group | Batch] = self.running if group is None else (group, *self.running)
        return next((place for place in places if _stands(place, key, waiter)), None)

    def in_flight(self, key: Any, params: Params) -> Batch | None:
        """The youngest batch that is fetching a key for anybody, for loaders that say ``coalesce=True``."""
        for batch in reversed(self.running):
            if key in batch.waiters and key not in batch.loose and batch.group.params == params:
                return batch
        return None

    # -- room ------------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """The queue looks full: take out loads whose callers are gone, before anything is looked up in it.

        Not at each refusal: under overload there are many, and a sweep walks 100,000 keys.
        """
        if self.refusals % CHEAP_PURGE == 0:
            for group in self.groups.values():
                self._drop_deserted(group)
        self.refusals += 1

    def check_room(self, count: int) -> None:
        """Raise QueueFull unless so many keys more may wait."""
        most = self.definition.limits.max_queued
        if self.queued + count > most:
            raise QueueFull(
                f"{self.definition.name}: {self.queued} keys wait already and {count} more came; max_queued is {most}. "
                f"Answer 503, load less at once, or raise Limits(max_queued=...)"
            )
        self.refusals = 0

    def _drop_deserted(self, group: Group) -> None:
        """Take out keys whose waiters have all gone away; a cancelled load costs nothing until here."""
        gone = [key for key, waiter in group.waiters.items() if waiter.done()]
        for key in gone:
            forgo(group.owners, key, group.waiters.pop(key))
        self.count(group, -len(gone))

    # -- leaving ---------------------------------------------------------------------------------------------------

    def has_slot(self) -> bool:
        """A timed out batch gives its slot back, but those that do not end are bounded by as many again."""
        most = self.definition.limits.max_in_flight
        return self.taken < most and self.taken + self.stuck < 2 * most

    def cut(self, queues: Iterable[Queue], batches: list[Batch]) -> None:
        """Add to the list the batches that may leave now, as many as there are slots; the other keys stay and grow.

        Groups take turns, so that a hundred thousand keys of one locale do not hold up the other.
        """
        if self.stuck:
            self._fail_if_choked()
        if not self._cut_whole(batches):
            self._cut_in_turns(queues, batches)

    def _cut_whole(self, batches: list[Batch]) -> bool:
        """Nearly always all keys are plain, fit one batch and have a slot, and no batch function waits for them."""
        limits = self.definition.limits
        plain = self.groups.get(None)
        if (
            plain is None
            or len(self.groups) > 1
            or len(plain.waiters) > limits.max_batch_size
            or self.taken + self.stuck >= limits.max_in_flight
            or plain.parents
        ):
            return False
        if (batch := self._cut_one(None, plain)) is not None:
            batches.append(batch)
        return True

    def _cut_in_turns(self, queues: Iterable[Queue], batches: list[Batch]) -> None:
        """A batch of each group and another of each, until slots or keys are used up."""
        patient = False  # whether a slot is known to come free, so that loads of batch functions can wait for it
        names = list(self.groups)
        while names:
            again = []
            for name in names:
                group = self.groups[name]
                if group.parent is None and not self.has_slot():
                    if not group.parents:
                        continue
                    patient = patient or self._comes_free(queues)
                    if patient:
                        continue
                batch = self._cut_one(name, group)
                if batch is not None:
                    batches.append(batch)
                if name in self.groups:
                    again.append(name)
            names = again

    def _cut_one(self, name: Any, group: Group) -> Batch | None:
        """The next batch of a group, or None when nobody wants its keys any more."""
        if len(group.waiters) > self.definition.limits.max_batch_size:
            waiters, owners = self._take_some(name, group)
        else:
            if [waiter for waiter in _each(group.waiters) if waiter.done()]:
                self._drop_deserted(group)
            if not group.plain:
                self.count(group, -len(group.waiters))
            del self.groups[name]
            waiters, group.waiters = group.waiters, {}
            owners, group.owners = group.owners, {}
        batch = None
        if waiters:
            batch = Batch(self, self.definition, group, waiters, owners, slot=group.parent is None)
            self.running[batch] = None
            self.taken += batch.slot
        if not group.waiters:
            group.forget()
        return batch

    def _take_some(self, name: Any, group: Group) -> tuple[Waiters, Owners]:
        """The first keys of a group that somebody wants, a batch full, with the memos that asked for them.

        Only as many waiters are looked at as leave: a look at all of 100,000 for each batch would hold the loop.
        """
        most = self.definition.limits.max_batch_size
        taken: Waiters = {}
        passed: list[tuple[Any, Waiter]] = []
        gone: list[tuple[Any, Waiter]] = []
        items = iter(group.waiters.items())
        while len(taken) < most and (some := list(islice(items, most - len(taken)))):
            deserted = [item for item in some if item[1].done()]
            taken.update([item for item in some if not item[1].done()] if deserted else some)
            gone += deserted
            passed += some
        try:
            for key, _ in passed:
                del group.waiters[key]
        except Exception as error:  # a key's __eq__; who is out already stands nowhere any more
            give_up([waiter for _, waiter in passed], error)
            raise
        self.count(group, -len(passed))
        owners = moved_owners(taken.values(), group.owners)
        for key, waiter in gone:
            with suppress(Exception):  # a key's __eq__; those that are taken must not be lost for it
                forgo(group.owners, key, waiter)
        if not group.waiters:  # those that were left had gone away; the next key begins to wait by itself
            del self.groups[name]
        return taken, owners

    def _comes_free(self, queues: Iterable[Queue]) -> bool:
        """Whether a slot will come free although the batches that ask here wait.

        Two loaders that load from each other, with every slot of both in use, would wait for each other for ever. A
        batch can end when all that its function waits for can: batches that can end, or queues with a slot or with a
        batch that can end. What can end is found by going round until nothing new is found. When nobody who holds a
        slot can end, the load leaves without one. (The road not taken, no slots for any load made in a batch, would
        void max_in_flight for every loader that stands behind another.)
        """
        queues = list(queues)
        waits: defaultdict[Batch, list[Batch | Queue]] = defaultdict(list)
        for queue in queues:
            for group in queue.groups.values():
                if group.parent is None:
                    for parent in group.parents:
                        waits[parent].append(queue)
            for batch in queue.running:
                for parent in batch.parents:
                    waits[parent].append(batch)
        ends: set[Batch] = set()

        def moves(place: Batch | Queue) -> bool:
            return place in ends if isinstance(place, Batch) else place.has_slot() or not ends.isdisjoint(place.running)

        grown = True
        while grown:
            fresh = [b for q in queues for b in q.running if b not in ends and all(map(moves, waits[b]))]
            ends.update(fresh)
            grown = bool(fresh)
        return not ends.isdisjoint(self.running)

    def release(self, batch: Batch) -> bool:
        """A batch has answered all its waiters, or timed out: its slot is free. False when it was already."""
        if self.running.pop(batch, batch) is batch:
            return False
        self.taken -= batch.slot
        return True

    def _fail_if_choked(self) -> None:
        """With as many stuck batches as are borne, keys would wait for ever: they are told."""
        if self.stuck >= 2 * self.definition.limits.max_in_flight:
            self.fail_queued(
                BatchTimeout(
                    f"{self.definition.name}: {self.stuck} batches timed out and do not end although they were "
                    f"cancelled; nothing more is sent. Look for an await in the batch function that swallows "
                    f"CancelledError"
                )
            )

    def fail_queued(self, error: Exception) -> None:
        """Give every key that still waits to leave an error."""
        groups, self.groups, self.elsewhere = self.groups, {}, 0
        for group in groups.values():
            Batch(self, self.definition, group, group.waiters, group.owners, slot=False).fail(error)
            group.waiters, group.owners = {}, {}
            group.forget()


def drained(definition: Definition) -> BatchAborted:
    """What keys are told that were still queued when drain() ran out of time."""
    return BatchAborted(f"{definition.name}: drain() ended before this key could leave; the service is shutting down")
