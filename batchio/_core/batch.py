"""Keys that go together, and which result belongs to which waiter. No await and no asyncio in this room.

A *group* is keys that may share a batch; a *batch* is what left together. A *waiter* is whoever wants a key: a future
(one load), ``Several`` (more loads of one key) or ``Many`` (one load_many, for all its keys).

Guarantees kept here, by synchronous code over plain dicts:

- Every waiter of a batch is answered once: value, error, or the error of the whole batch.
- Waiters are strangers: one that went away touches no other, and each error is an object of its own.
- A value whose caller went away is still remembered by the scope that asked; an error is remembered by nobody.
- A chain that asks for all that it is just fetching is a cycle: see ``find_cycle``.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from batchio._core import events
from batchio._core.errors import (
    BatchShapeError,
    KeyNotFound,
    LoadCycle,
    separate,
    show_key,
    show_keys,
)
from batchio._core.options import MISSING, Definition, Params

Waiter = Any  # a future, Several or Many
Waiters = dict[Any, Waiter]  # by key, in the order of first loads
Owners = dict[Any, Any]  # the memo of each single load that was the first of its scope to ask for its key

NEAR = 64  # how many steps up a chain are looked at one by one; see find_cycle

Batches = AbstractSet["Batch"]  # a set of its own, or the empty one that all share

NONE: AbstractSet[Any] = frozenset()

numbers = itertools.count(1)


def added(batches: Batches, batch: Batch) -> Batches:
    """A set of batches with one more: the same, unless it is the empty one, which most are for as long as they live."""
    if isinstance(batches, set):
        batches.add(batch)
        return batches
    return {batch}


class Several(list[Any]):
    """The waiters of a key that more than one load wants."""

    __slots__ = ()

    def done(self) -> bool:
        return all(waiter.done() for waiter in self)

    def set_result(self, value: Any) -> None:
        """Answer them, as if they were one; whoever is no open future raises, and is answered by itself then."""
        for waiter in self:
            waiter.set_result(value)


class Many:
    """One ``load_many`` as a waiter: one future for all its keys. ``values`` and ``errors`` fill up as batches answer."""

    __slots__ = ("edition", "errors", "future", "keys", "memo", "open", "return_exceptions", "values")

    def __init__(self, keys: Sequence[Any], memo: Any, *, return_exceptions: bool) -> None:
        self.future: Any = None  # until its keys are queued
        self.keys = keys
        self.values: dict[Any, Any] = {}
        self.open = 0  # keys without an answer
        self.memo = memo
        self.edition = None if memo is None else memo.edition
        self.return_exceptions = return_exceptions
        self.errors: dict[Any, Exception] = {}

    def done(self) -> bool:
        """Whether the caller is answered, or went away."""
        return bool(self.future.done())

    def cancelled(self) -> bool:
        """True: what stands in a memo for a key, and is no answer to a single load, is gone through like one that is
        cancelled: by looking where it stands.
        """
        return True

    def take(self, key: Any, value: Any) -> None:
        """One key has its value."""
        self.values[key] = value
        if self.memo is not None:
            self.memo.keep(key, self, value)
        self._less(1)

    def take_all(self, values: dict[Any, Any]) -> None:
        """All keys of a batch have their values at once."""
        if self.values or self.open > len(values):
            self.values.update(values)
        else:
            self.values = values
        memo = self.memo
        if memo is not None and memo.edition == self.edition:
            memo.keep_all(values)
        elif memo is not None:
            for key, value in values.items():
                memo.keep(key, self, value)
        self._less(len(values))

    def fail(self, key: Any, error: Exception) -> None:
        """One key has an error of its own."""
        self.errors[key] = error
        self.forgo(key)

    def forgo(self, key: Any) -> None:
        """One key brings no value: it failed, or was dropped since the caller went away."""
        if self.memo is not None:
            self.memo.drop(key, self)
        self._less(1)

    def _less(self, count: int) -> None:
        self.open -= count
        if self.open <= 0:  # below 0 when a key's __eq__ raised in here before
            self.settle()

    def settle(self) -> None:
        """Every key is answered: so is the caller. The error is the first by position, the same on every run."""
        if self.future.done():
            return
        if not self.errors:
            self.future.set_result(list(map(self.values.__getitem__, self.keys)))
        elif self.return_exceptions:
            self.future.set_result([self.errors[key] if key in self.errors else self.values[key] for key in self.keys])
        else:
            fail_future(self.future, next(self.errors[key] for key in self.keys if key in self.errors))


class Group:
    """Keys that may leave together, not yet left."""

    __slots__ = (
        "askers", "context", "outside", "owners", "params", "parent", "parents", "plain", "room", "since", "waiters",
    )  # fmt: skip

    def __init__(self, params: Params, parent: Batch | None, since: float, *, plain: bool) -> None:
        self.plain = plain  # of no parameters, no isolated scope, no chain
        self.room = 0  # how many keys may stand in it that come the quick way; none before and after its tick
        self.params = params
        self.parent = parent  # the batch whose own chain asks, when that chain already passes through this loader
        self.since = since  # when its oldest key came, on the loop's clock
        self.context: Any = None  # of an isolated loader's scope, as it was at the first load
        self.waiters: Waiters = {}
        self.owners: Owners = {}
        self.parents: Batches = NONE  # the batches whose functions wait for some of the keys
        self.askers: Batches = NONE  # those that brought keys
        self.outside = False  # whether somebody else brought keys

    def forget(self) -> None:
        """All keys have left. Memos may hold the group: it must not hold others' batches or contexts."""
        self.context = None
        self.parents = self.askers = NONE


class Batch:
    """Keys that left together, until the last of their waiters is answered."""

    __slots__ = (
        "above",
        "context",
        "deadline",
        "definition",
        "depth",
        "ended",
        "error",
        "group",
        "keys",
        "left",
        "loaders",
        "loose",
        "milestone",
        "number",
        "owners",
        "parents",
        "queue",
        "slot",
        "spared",
        "stuck",
        "task",
        "task_over",
        "waiters",
    )

    def __init__(
        self, queue: Any, definition: Definition, group: Group, waiters: Waiters, owners: Owners, *, slot: bool
    ) -> None:
        self.queue: Any = queue  # a Queue, which stands a floor above
        self.definition = definition
        self.group = group
        self.waiters = waiters  # those not yet answered
        self.owners = owners
        self.context = group.context  # until it is started; nothing may hold a request's context after its end
        self.keys: list[Any] = [*waiters]
        self.number = next(numbers)
        self.slot = slot
        # The batches that wait for this one; joins add to it.
        self.parents = set(group.parents) if group.parents else NONE
        self.above: Batch | None = None  # the batch that asked for all its keys, when it was one and nobody else
        self.loaders = definition.alone  # the loaders that its chain passes through
        self.depth = 0
        self.milestone: Any = None  # the ancestor at the largest power of two: see find_cycle
        if self.parents:
            self._continue_chain()
        self.loose: Any = NONE  # keys that were cleared meanwhile: no later load joins them
        self.left = 0.0
        self.error: BaseException | None = None
        self.stuck = self.ended = False  # timed out, and its task has not ended; its task is over
        self.task: Any = None  # and what it calls when it ends, until the batch has ended
        self.task_over: Any = None
        self.deadline: float | None = None  # on the loop's clock
        self.spared = False  # its deadline was put off once

    def _continue_chain(self) -> None:
        """Batch functions asked for this one's keys: it passes through their loaders too."""
        self.loaders = self.loaders.union(*[parent.loaders for parent in self.parents])
        group = self.group
        if len(group.askers) == 1 and not group.outside:
            (above,) = group.askers
            self.above = above
            self.depth = above.depth + 1
            self.milestone = above.milestone if above.depth & (above.depth - 1) else above

    def loosen(self, keys: Iterable[Any]) -> None:
        """Keys were cleared: no later load joins them."""
        if not self.loose:
            self.loose = set()
        self.loose.update(keys)

    def ancestors(self) -> set[Batch]:
        """This batch and all that wait for it, straight or through others."""
        found, fresh = {self}, [self]
        while fresh:
            for parent in fresh.pop().parents - found:
                found.add(parent)
                fresh.append(parent)
        return found

    # -- answers ---------------------------------------------------------------------------------------------------

    def answer(self, values: Mapping[Any, Any], keys: Iterable[Any] | None = None) -> None:
        """Give each key (of those named, or of all that wait) its value; an exception as a value fails that key."""
        if keys is None and type(values) is dict and not events.on_answer:
            self._answer_at_once(values, self.waiters, {})
            return
        wanted = list(self.waiters) if keys is None else [key for key in keys if key in self.waiters]
        # All at first: a mapping of somebody else's may raise.
        found = {key: values.get(key, MISSING) for key in wanted}
        for key, value in found.items():
            self._answer_one(key, value)

    def answer_found(self, values: dict[Any, Any]) -> None:
        """Give those keys their values for which there is one; the others go on waiting."""
        if events.on_answer:
            self.answer(values, list(values))
            return
        rest = {key: waiter for key, waiter in self.waiters.items() if key not in values}
        found = {key: waiter for key, waiter in self.waiters.items() if key in values} if rest else self.waiters
        self._answer_at_once(values, found, rest)

    def _answer_one(self, key: Any, came: Any) -> None:
        """Give a key what came for it."""
        value = self._missing(key) if came is MISSING else came
        if isinstance(value, BaseException):
            self._fail(key, value)
        else:
            self._give(key, value)

    def _answer_at_once(self, values: dict[Any, Any], waiters: Waiters, rest: Waiters) -> None:
        """The way of nearly all answers, written for speed: single loads that wait for values, or one load_many.

        Some waiters of the batch are answered here, and the rest goes on waiting.
        """
        if type(next(iter(waiters.values()), None)) is Many and _take_in_one(values, waiters):
            self.waiters = rest
            return
        unusual = []
        usual = None  # the type of the last value that was looked at: most are of one
        for key, waiter in waiters.items():
            value = values.get(key, MISSING)
            if type(value) is not usual:
                if value is MISSING or isinstance(value, BaseException):
                    unusual.append((key, value))
                    continue
                usual = type(value)
            try:
                waiter.set_result(value)
            except Exception:  # it was cancelled; or it is no future, but Several or Many
                unusual.append((key, value))
        if unusual:  # what raises here, a key's __eq__, leaves all waiters to be failed
            self.waiters = rest | {key: waiters[key] for key, _ in unusual}
            for key, value in unusual:
                self._answer_one(key, value)
        else:
            self.waiters = rest

    def _give(self, key: Any, value: Any) -> None:
        """Answer the waiters of a key."""
        waiter = self.waiters[key]
        if type(waiter) is Several:
            for one in waiter:
                self._hand(key, one, value)
        else:
            self._hand(key, waiter, value)
        del self.waiters[key]  # last: what raises before leaves the key to be failed
        if events.on_answer:
            events.tell(events.on_answer, events.KeyAnswered(self.definition.name, self.number, key, None))

    def _hand(self, key: Any, waiter: Waiter, value: Any) -> None:
        if type(waiter) is Many:
            waiter.take(key, value)
            return
        memo = self.owners.pop(waiter, None)
        if not waiter.done():
            waiter.set_result(value)
        elif memo is not None and waiter.cancelled():  # its caller went away; the scope's memo keeps the answer
            memo.keep(key, waiter, value)

    def _fail(self, key: Any, error: BaseException) -> None:
        """Fail the waiters of a key, each with an error of its own."""
        waiter = self.waiters[key]
        for one in waiter if type(waiter) is Several else (waiter,):
            if type(one) is Many:
                one.fail(key, separate(error))
            else:
                forgo(self.owners, key, one)
                if not one.done():
                    fail_future(one, separate(error))
        del self.waiters[key]
        if events.on_answer:
            events.tell(events.on_answer, events.KeyAnswered(self.definition.name, self.number, key, error))

    def fail(self, error: BaseException, keys: Iterable[Any] | None = None) -> None:
        """Give the keys named, or all that still wait, an error."""
        try:
            for key in list(self.waiters if keys is None else keys):
                self.error = error if self.error is None else self.error
                self._fail(key, error)
        except Exception:  # a key's __eq__ or the like: then all of them, without looking any of them up
            waiters, self.waiters, self.owners = self.waiters, {}, {}
            give_up(waiters.values(), error)

    def _missing(self, key: Any) -> Any:
        definition = self.definition
        if definition.default is not MISSING:
            return definition.default
        return KeyNotFound(
            f"{definition.name}: nothing found for key {show_key(key, shown=definition.show_keys)}; "
            f"give the loader default=... if a missing key is no error"
        )


def _take_in_one(values: dict[Any, Any], waiters: Waiters) -> bool:
    """The way for one load_many that has all these keys to itself: dict operations in C instead of a loop."""
    many = next(iter(waiters.values()))
    if values.keys() != waiters.keys() or list(waiters.values()).count(many) != len(values):
        return False
    kinds = set(map(type, values.values()))
    if type(MISSING) in kinds or any(issubclass(kind, BaseException) for kind in kinds):
        return False
    many.take_all(values)
    return True


def find_cycle(batch: Batch) -> LoadCycle | None:
    """The error of a batch of a chain that asks for all that an earlier batch of the chain is fetching, or None.

    Only steps at which nobody else shared the batch are followed: keys that strangers brought along say nothing about
    this chain's data. Along such steps each batch asks for no more than the earlier ones need. So if it holds all
    keys of an earlier one, the data has a cycle; and data without a cycle never gets here.
    """
    for earlier in _earlier(batch):
        if earlier.queue is batch.queue and earlier.group.params == batch.group.params and _holds(batch, earlier):
            definition = batch.definition
            return LoadCycle(
                f"{definition.name}: a batch asked, while fetching {show_keys(earlier.keys, shown=definition.show_keys)}"
                f", for the same keys again; the data has a cycle"
            )
    return None


def _earlier(batch: Batch) -> Iterator[Batch]:
    """The chain above a batch: the nearest ones, then one milestone.

    A walk of the whole chain at each level makes a tree of 10,000 levels cost 50 million steps. Beyond the nearest 64
    it is enough to look at the ancestor at the largest power of two (Brent's way to find a cycle, 1980): a cycle is
    found later, at most after as many levels again.
    """
    above = batch.above
    for _ in range(NEAR):
        if above is None:
            return
        yield above
        above = above.above
    yield batch.milestone


def _holds(batch: Batch, earlier: Batch) -> bool:
    return len(earlier.keys) <= len(batch.keys) and set(batch.keys).issuperset(earlier.keys)


def forgo(owners: Owners, key: Any, waiter: Waiter) -> None:
    """A waiter of a key gets no value: its memo forgets that it asked, so that the next load asks anew."""
    if type(waiter) is Several:
        for one in waiter:
            forgo(owners, key, one)
    elif type(waiter) is Many:
        waiter.forgo(key)
    elif (memo := owners.pop(waiter, None)) is not None:
        memo.drop(key, waiter)


def give_up(waiters: Iterable[Waiter], error: BaseException) -> None:
    """The last resort when keys cannot be looked up: answer the callers, and leave the memos as they are."""
    for waiter in waiters:
        for one in waiter if type(waiter) is Several else (waiter,):
            future = one.future if type(one) is Many else one
            if not future.done():
                fail_future(future, separate(error))


def moved_owners(waiters: Collection[Waiter], old: Owners) -> Owners:
    """Waiters leave with a part of their group, and what is known of their memos with them."""
    if Several in set(map(type, waiters)):
        waiters = [one for waiter in waiters for one in (waiter if type(waiter) is Several else (waiter,))]
    return {waiter: old.pop(waiter) for waiter in waiters if waiter in old}


def stands_in(entry: Several, waiter: Waiter) -> bool:
    """Whether a waiter is among several, by identity."""
    return any(one is waiter for one in entry)


def join(waiters: Waiters, key: Any, waiter: Waiter) -> None:
    """One waiter more for a key that is there."""
    entry = waiters[key]
    if type(entry) is Several:
        entry.append(waiter)
    else:
        waiters[key] = Several((entry, waiter))


def fail_future(future: Any, error: Exception) -> None:
    """Fail a future without "exception was never retrieved": a load that nobody awaits is no error of the program."""
    future.set_exception(error)
    future._log_traceback = False


def as_mapping(definition: Definition, keys: Sequence[Any], result: Any) -> Mapping[Any, Any]:
    """What the batch function returned, by key."""
    if type(result) is dict or isinstance(result, Mapping):  # a dict nearly always, and the other look takes longer
        return result
    if not isinstance(result, Sequence) or isinstance(result, (str, bytes, bytearray, memoryview)):
        raise BatchShapeError(f"{_asked(definition, keys)}, and the batch function returned {_what_came(result)}")
    if len(result) != len(keys):
        raise BatchShapeError(
            f"{_asked(definition, keys)}, and the batch function returned {len(result)} items; a sequence needs one "
            f"item per key, in the order of the keys. Return a mapping if some may be missing"
        )
    return dict(zip(keys, result, strict=True))


def _asked(definition: Definition, keys: Sequence[Any]) -> str:
    shown = show_keys(keys, shown=definition.show_keys)
    return f"{definition.name}: asked for {len(keys)} keys" + (f" {shown}" if definition.show_keys else "")


def _what_came(result: Any) -> str:
    """Names the type that came, and what is likely to be missing."""
    if result is None:
        return "None; is a return missing? Return a mapping of key to value"
    if hasattr(result, "__await__"):
        return f"a {type(result).__name__}; is an await missing in it?"
    return (
        f"a {type(result).__name__}; return a mapping, a sequence in the order of the keys, or an async iterator of "
        f"(key, value)"
    )


def as_pair(definition: Definition, keys: Sequence[Any], item: Any) -> tuple[Any, Any]:
    """What an async iterator yielded, as (key, value)."""
    if isinstance(item, tuple) and len(item) == 2:
        return item
    raise BatchShapeError(
        f"{_asked(definition, keys)}, and the async iterator yielded a {type(item).__name__}; it must yield "
        f"(key, value) tuples"
    )
