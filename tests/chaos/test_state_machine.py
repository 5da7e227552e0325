"""Queue, memo, cache and flight against a model, step by step: Hypothesis looks for the steps that break a promise.

Rules:
- Everything is synchronous: the machine turns the loop by hand, pass by pass, and moves its clock. No step depends on
  the machine it runs on, so what fails once fails always.
- Two loaders of one set of keys, one of them with a cache; their options are drawn. Three places load from both: one
  outside of scopes, two that enter and leave scopes of their own.
- After each step: whoever waits stands somewhere, once; whoever was answered was answered rightly, and not again.
- At the end everything that was held is let go, and nothing may be left.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import batchio
from tests.chaos.model import LIMITS, Answer, Asked, Fate, HandLoop, HeldCache, Model, Place, SourceError, standing

EXAMPLES = os.environ.get("CHAOS_EXAMPLES")  # how many, and others each time; without it the same 200 each time

NAMES = st.sampled_from(["plain", "cached"])
PLACES = st.integers(0, 2)
SCOPES = st.integers(1, 2)
KEYS = st.integers(0, 4)
ANY = st.integers(0, 99)  # the first, second ... of what there is, and round again
ENDS = st.sampled_from(["value", "value", "value", "raise", "poison", "missing", "abort"])
FEW = st.lists(KEYS, min_size=1, max_size=2)
BEHIND = st.sampled_from(["nothing", "clear", "invalidate"])
LATE = st.sampled_from([False, False, True])  # what was read early is what must not be given to later loads
THEN = st.sampled_from(["tick", "tick", "turn", "wait"])  # after a load: most must leave for anything to happen
SHAPES = st.sampled_from(["mapping", "mapping", "sequence", "stream"])

ERRORS = {
    "raise": SourceError,
    "poison": SourceError,
    "missing": batchio.KeyNotFound,
    "abort": batchio.BatchAborted,
}


done: Counter[str] = Counter()  # by all machines


class Machine(RuleBasedStateMachine):
    """What may happen to two loaders on one loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = HandLoop()
        self.model = Model(self.loop)
        self.cache = HeldCache(self.loop)
        self.places = [Place(), Place(), Place()]
        self.pending: list[Asked] = []
        self.history: list[tuple[int, str, list[int], bool]] = []
        self.drains = False
        self.answered: list[tuple[Asked, Any]] = []
        self.scopes: list[batchio.Scope] = []
        self.writers: list[asyncio.Task[None]] = []
        self.told: dict[tuple[int, int], int] = {}
        self.swept: set[str] = set()  # loaders whose queue a load has found full
        self.subscription: Any = None

    @initialize(
        coalesce=st.tuples(st.booleans(), st.booleans()),
        abandons=st.tuples(st.booleans(), st.booleans()),
        isolated=st.booleans(),
        halves=st.booleans(),
        observed=st.booleans(),
        drains=st.booleans(),
    )
    def declare(
        self, coalesce: tuple[bool, bool], abandons: tuple[bool, bool], isolated: bool, halves: bool, observed: bool,
        drains: bool,
    ) -> None:  # fmt: skip
        self.drains = drains
        options: list[dict[str, Any]] = [{"isolated": isolated and not coalesce[0]}, {"cache": self.cache}]
        for name, coalesces, leaves, more in zip(self.model.sources, coalesce, abandons, options, strict=True):
            self.model.loaders[name] = batchio.Loader(
                self.model.sources[name], name=name, limits=LIMITS, coalesce=coalesces, cancel_abandoned=leaves,
                split_on_error=halves, **more,
            )  # fmt: skip
        self.places[1].enter()
        self.places[2].enter()
        if observed:  # a load_many that has a batch to itself is answered another way then
            self.subscription = batchio.observe(self)

    def on_answer(self, event: Any) -> None:
        self.told[event.batch, event.key] = self.told.get((event.batch, event.key), 0) + 1

    # -- loads -----------------------------------------------------------------------------------------------------

    @rule(where=PLACES, name=NAMES, key=KEYS, then=THEN)
    def load(self, where: int, name: str, key: int, then: str) -> None:
        self._ask(where, name, [key], many=False)
        self._go_on(then)

    @rule(where=PLACES, name=NAMES, keys=st.lists(KEYS, max_size=6), gives=st.booleans(), then=THEN)
    def load_many(self, where: int, name: str, keys: list[int], gives: bool, then: str) -> None:
        self._ask(where, name, keys, many=True, return_exceptions=gives)
        self._go_on(then)

    @rule(where=PLACES, name=NAMES, keys=FEW, late=LATE, many=st.booleans(), behind=BEHIND)
    def load_slowly(self, where: int, name: str, keys: list[int], late: bool, many: bool, behind: str) -> None:
        """A load whose batch is held, and perhaps a write behind its back."""
        self.model.sources[name].fates[:] = [Fate(held=True, late=late)]
        self._ask(where, name, keys if many else keys[:1], many=many)
        self.loop.settle()
        if behind != "nothing":
            self.look()  # a step of its own
            self._write_and(behind, where, name, keys[0])

    def _write_and(self, how: str, where: int, name: str, key: int) -> None:
        self.write(name, key)
        if how == "clear":
            self.clear(where, name, [key])
        else:
            self._invalidate(where, name, [key])
            self.loop.settle()

    @precondition(lambda self: self.history)
    @rule(which=ANY, then=THEN)
    def ask_again(self, which: int, then: str) -> None:
        where, name, keys, many = self.history[-1 - which % min(3, len(self.history))]
        self._ask(where, name, keys, many=many)
        self._go_on(then)

    def _go_on(self, then: str) -> None:
        if then == "tick":
            self.loop.settle()
        elif then == "turn":
            self.loop.turn()

    def _ask(self, where: int, name: str, keys: list[int], *, many: bool, **options: bool) -> None:
        """Note what the answer may be, and ask."""
        place = self.places[where]
        self.history.append((where, name, keys, many))
        loader, distinct = self.model.loaders[name], dict.fromkeys(keys)
        memories = {} if place.scope is None else {key: self._memory(place, name, key) for key in distinct}
        floors = {key: self.model.floor(name, key, memories.get(key)) for key in distinct}
        known = {key: memory.known for key, memory in memories.items() if memory.known is not None}
        self._note_sweep(name, len(distinct))
        future = self._made(place, loader.load_many if many else loader.load, keys if many else keys[0], options)
        if future is None:
            self._check_full(name, [key for key in distinct if key not in known])
            return
        for key, memory in memories.items():
            memory.floor = floors[key] if memory.floor is None else memory.floor
        asked = Asked(name, keys, floors, known, memories, future, many, self.model.step)
        self.pending.append(asked)
        if len(known) == len(distinct):
            assert future.done(), f"{name}: a scope asked again for what it knows, and has to wait"
        else:
            future.add_done_callback(lambda _: setattr(asked, "told", asked.told + 1))
            asked.told -= 1

    def _memory(self, place: Place, name: str, key: int) -> Any:
        """What the scope may know; when it has lost an error, or a load that was cancelled in time, the core says so."""
        memory = place.memories[name, key]
        memo = place.scope._memos.get(self.model.loaders[name]._definition) if place.scope else None
        if memory.known is None and (memo is None or not (key in memo.asked or key in memo.values)):
            memory.floor = None
        return memory

    def _made(self, place: Place, ask: Any, keys: Any, options: dict[str, bool]) -> Any:
        """The future of a load made at a place; None when the queue was full."""

        async def inside() -> Any:
            try:
                return ask(keys, **options)
            except batchio.QueueFull:
                return None

        return self._inside(place, inside)

    def _inside(self, place: Place, work: Any) -> Any:
        """Run what never waits as the loop would, in the place's context, without a pass of the loop."""
        coroutine = work()
        asyncio._set_running_loop(self.loop)
        try:
            place.context.run(coroutine.send, None)
        except StopIteration as end:
            return end.value
        finally:
            asyncio._set_running_loop(None)
        raise AssertionError("this must not wait")

    def _note_sweep(self, name: str, count: int) -> None:
        """Note whether this load finds its queue full, and from when on there is nothing left of an earlier sweep."""
        queue = self.model.queue(name)
        if queue is None or all(group.waiters for group in queue.groups.values()):
            self.swept.discard(name)
        if queue is not None and queue.queued + count > LIMITS.max_queued:
            self.swept.add(name)

    def _check_full(self, name: str, fresh: list[int]) -> None:
        queue = self.model.queue(name)
        queued = 0 if queue is None else queue.queued
        assert queued + len(fresh) > LIMITS.max_queued, f"{name}: QueueFull with {queued} keys and {fresh} more"

    @precondition(lambda self: self.pending)
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        asked = self.pending[which % len(self.pending)]
        asked.cancelled = asked.future.cancel()

    # -- what is remembered ----------------------------------------------------------------------------------------

    @rule(where=SCOPES)
    def enter_or_leave(self, where: int) -> None:
        place = self.places[where]
        if place.scope is None:
            place.enter()
        else:
            self.scopes.append(place.leave())

    @rule(where=SCOPES, name=NAMES, key=KEYS)
    def prime(self, where: int, name: str, key: int) -> None:
        place = self.places[where]
        if place.scope is None:
            return
        memory = self._memory(place, name, key)
        value = self.model.sources[name].answer(key, None)

        async def inside() -> None:
            self.model.loaders[name].prime(key, value)

        self._inside(place, inside)
        if memory.floor is None:
            memory.known, memory.floor = value, self.model.step

    @rule(where=PLACES, name=NAMES, keys=st.lists(KEYS, min_size=1, max_size=2) | st.none())
    def clear(self, where: int, name: str, keys: list[int] | None) -> None:
        place, loader = self.places[where], self.model.loaders[name]

        async def inside() -> None:
            if keys is None:
                loader.clear_all()
            else:
                loader.clear_many(keys)

        self._inside(place, inside)
        self.model.forget(place, name, range(5) if keys is None else keys)

    # -- the source and its writers --------------------------------------------------------------------------------

    @rule(name=NAMES, key=KEYS)
    def write(self, name: str, key: int) -> None:
        self.model.sources[name].writes[key].append(self.model.step)

    @precondition(lambda self: any(source.running for source in self.model.sources.values()))
    @rule(which=ANY, how=st.sampled_from(["clear", "invalidate"]), where=st.none() | PLACES, again=st.booleans())
    def write_what_is_in_flight(self, which: int, how: str, where: int | None, again: bool) -> None:
        calls = [(name, key) for name, s in self.model.sources.items() for call in s.running for key in call.keys]
        name, key = calls[which % len(calls)]
        if where is None:  # one of those who asked for it
            where = next(
                (place for place, other, keys, _ in reversed(self.history) if name == other and key in keys), 0
            )
        self._write_and(how, where, name, key)
        if again:
            self._ask(where, name, [key], many=False)

    @rule(where=PLACES, name=NAMES, key=KEYS)
    def write_and_invalidate(self, where: int, name: str, key: int) -> None:
        self.model.sources[name].writes[key].append(self.model.step)
        self._invalidate(where, name, [key])

    @rule(where=PLACES, name=NAMES, keys=st.lists(KEYS, max_size=3))
    def invalidate(self, where: int, name: str, keys: list[int]) -> None:
        self._invalidate(where, name, keys)

    def _invalidate(self, where: int, name: str, keys: list[int]) -> None:
        place = self.places[where]
        work = self._invalidation(place, name, keys)
        self.writers.append(self.loop.create_task(work, context=place.context.copy()))

    async def _invalidation(self, place: Place, name: str, keys: list[int]) -> None:
        """Forget at its beginning and at its end, as `invalidate` does; confirmed is what ended without an error."""
        began, scope = self.model.step, place.scope
        self.model.forget(place, name, keys)
        try:
            await self.model.loaders[name].invalidate(*keys)
        except (OSError, batchio.BatchTimeout, batchio.BatchAborted):
            return
        if place.scope is scope:
            self.model.forget(place, name, keys)
        if name == "cached":
            self.model.confirmed.update({key: max(began, self.model.confirmed[key]) for key in keys})

    # -- time, and what goes wrong ---------------------------------------------------------------------------------

    @rule()
    def turn(self) -> None:
        self.loop.turn()

    @rule()
    def tick(self) -> None:
        self.loop.settle()

    @rule(seconds=st.sampled_from([0.003, 0.01, 0.1, 0.3, 1.5]))
    def pass_time(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self.loop.turn()

    @precondition(lambda self: self.drains)
    @rule(seconds=st.sampled_from([0.0, 0.1]))
    def drain(self, seconds: float) -> None:
        """A shutdown that comes too soon: what is queued or held then is told so, and the loop goes on."""
        self.model.drained = self.cache.unreliable = True
        self.writers.append(self.loop.create_task(batchio.drain(seconds)))

    @rule(name=NAMES, end=ENDS, shape=SHAPES)
    def fail_next(self, name: str, end: str, shape: str) -> None:
        self.model.sources[name].fates[:] = [Fate(end=end, shape=shape)]

    @rule(name=NAMES, end=ENDS, shape=SHAPES, late=LATE)
    def slow_next(self, name: str, end: str, shape: str, late: bool) -> None:
        self.model.sources[name].fates[:] = [Fate(held=True, late=late, end=end, shape=shape)]

    @rule(
        verb=st.sampled_from(["get_many", "fill_many", "delete_many"]),
        fate=st.sampled_from(["fail", "before", "after"]),
    )
    def spoil_cache(self, verb: str, fate: str) -> None:
        self.cache.fates[verb] = fate

    @precondition(lambda self: self._gates())
    @rule(which=ANY, then=THEN)
    def release(self, which: int, then: str) -> None:
        gates = self._gates()
        gates[which % len(gates)].set_result(None)
        self._go_on(then)

    def _gates(self) -> list[asyncio.Future[None]]:
        calls = [call.gate for source in self.model.sources.values() for call in source.running if call.gate]
        return [gate for gate in (*calls, *self.cache.gates) if not gate.done()]

    # -- after each step -------------------------------------------------------------------------------------------

    @invariant()
    def look(self) -> None:
        if not self.model.loaders:
            return
        self._judge_all()
        self.model.see_flights()
        assert not self.model.broken, self.model.broken
        assert not self.loop.errors, self.loop.errors
        self._check_waiters()
        self._check_queues()
        if not self.loop.ready:
            self._check_rest()
        self.model.step += 1

    def _judge_all(self) -> None:
        """Each answer that is new is right, and those that were given stay as they were."""
        for asked in [asked for asked in self.pending if asked.future.done()]:
            self.pending.remove(asked)
            if asked.cancelled:
                assert asked.future.cancelled()
                continue
            assert not asked.future.cancelled(), f"{asked.loader}: nobody cancelled the load of {asked.keys}"
            error = asked.future.exception()
            self.answered.append((asked, asked.future.result() if error is None else error))
            self._judge(asked, self.answered[-1][1])
        for asked, answer in self.answered:
            assert asked.told <= 1, f"{asked.loader}: told {asked.told + 1} times"
            assert (asked.future.exception() or asked.future.result()) is answer
        assert all(count == 1 for count in self.told.values()), "a key of a batch was answered twice"

    def _judge(self, asked: Asked, answer: Any) -> None:
        if isinstance(answer, BaseException):
            assert any(self._may_fail(asked, key, answer) for key in asked.keys), f"{asked.loader}: {answer!r}"
            return
        answers: Iterable[Any] = zip(asked.keys, answer, strict=True) if asked.many else [(asked.keys[0], answer)]
        for key, one in answers:
            if isinstance(one, BaseException):
                assert self._may_fail(asked, key, one), f"{asked.loader}: {one!r} for {key}"
            else:
                self._judge_value(asked, key, one)

    def _judge_value(self, asked: Asked, key: int, answer: Answer) -> None:
        """Guarantee 4: a value that the source had when the load was made, or after."""
        source = self.model.sources[asked.loader]
        least = source.version(key, asked.floors[key])
        assert (answer.loader, answer.key) == (asked.loader, key), f"{answer} came for {asked.loader} {key}"
        assert answer.version >= least, (
            f"{answer} is older than the load of step {asked.step}: {least} or newer was due"
        )
        if key in asked.known:
            assert answer is asked.known[key], f"{answer}, and the scope knew {asked.known[key]}"
        memory = asked.memories.get(key)
        if memory is not None and not memory.forgotten:
            memory.known = answer

    def _may_fail(self, asked: Asked, key: int, error: BaseException) -> bool:
        """Whether a key may have come to this error: a call that had it ended so, after the load was made."""
        if key in asked.known:
            return False
        if isinstance(error, batchio.BatchTimeout):
            return self.loop.time() >= LIMITS.timeout
        if isinstance(error, batchio.BatchAborted) and self.model.drained:
            return True
        if isinstance(error, SourceError):
            (call,) = error.args
            late_enough = asked.loader == "cached" or call.began >= asked.floors[key]
            return key in call.keys and late_enough and call.fate.end in ("raise", "poison")
        ended = self.model.sources[asked.loader].ended
        return any(type(error) is kind and key in ended[end] for end, kind in ERRORS.items())

    def _check_waiters(self) -> None:
        """Nobody is forgotten: who waits stands in a group or in a batch under way."""
        for name in self.model.loaders:
            stands = standing(self.model.queue(name))
            for asked in self.pending:
                assert asked.loader != name or id(asked.future) in stands, f"{name}: {asked} was forgotten"
        for place in self.places:
            for definition, memo in (place.scope._memos if place.scope else {}).items():
                stands = standing(self.model.queue(definition.name))
                for key, waiter in memo.asked.items():
                    future = getattr(waiter, "future", waiter)
                    answered = future is waiter and future.done() and not future.cancelled()
                    assert answered or id(future) in stands, f"{definition.name}: the memo waits for {key} in vain"

    def _check_queues(self) -> None:
        """The counts are what they count, and within limits."""
        dispatcher = self.model.dispatcher
        for queue in [] if dispatcher is None else dispatcher.queues.values():
            counts = [len(group.waiters) for group in queue.groups.values()]
            assert queue.queued == sum(counts), queue
            # A full queue is swept of loads that were cancelled; what that leaves empty goes when keys may leave.
            assert all(counts) or queue.definition.name in self.swept, f"{queue} keeps a group without keys"
            assert queue.queued <= LIMITS.max_queued, queue
            assert queue.taken == sum(batch.slot for batch in queue.running) <= LIMITS.max_in_flight, queue

    def _check_rest(self) -> None:
        """Nothing can run now: what is left waits for what the machine holds, or for a timer."""
        dispatcher = self.model.dispatcher
        for queue in [] if dispatcher is None else dispatcher.queues.values():
            assert queue.groups or queue.running or queue.stuck, f"{queue} is kept for nobody"
            assert not queue.groups or not queue.has_slot(), f"{queue} could send its keys, and does not"
            assert not queue.stuck or self.cache.gates, queue  # one that was cancelled still gives its leases back
            for batch in queue.running:
                left = all(waiter.done() for waiter in batch.waiters.values()) and not batch.task.cancelling()
                assert not (left and queue.definition.cancel_abandoned), f"{queue} works for nobody"
        assert dispatcher is None or not any(task.done() for task in dispatcher.tasks)

    # -- the end ---------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if self.model.loaders:
                self._end()
                done.update(examples=1, steps=self.model.step)
        finally:
            if self.subscription is not None:
                self.subscription.close()
            self.loop.close()

    def _end(self) -> None:
        """Let everything go; then nobody waits, nothing is left, and no value is held by the core."""
        self.model.sources["plain"].fates.clear()
        self.model.sources["cached"].fates.clear()
        self.cache.fates.clear()
        while self.loop.ready or self._gates():
            for gate in self._gates():
                gate.set_result(None)
            self.loop.settle()
            self.look()
        self._call_the_roll()
        for _ in range(20):  # waits for other fillers and leases end
            self.loop.advance(1.0)
            self.loop.turn()
            self.loop.settle()
        self.look()
        self.scopes += [place.leave() for place in self.places if place.scope]
        self._check_empty()

    def _call_the_roll(self) -> None:
        """Everybody asks for every key once more: what was wrongly remembered on the way shows now."""
        for where in range(3):
            for name in self.model.loaders:
                for key in range(5):
                    self._ask(where, name, [key], many=False)
                    self.loop.settle()
                self.look()

    def _check_empty(self) -> None:
        assert not self.pending, f"these wait for ever: {self.pending}"
        assert all(writer.done() for writer in self.writers)
        for writer in self.writers:
            writer.result()
        dispatcher = self.model.dispatcher
        assert dispatcher is None or not (dispatcher.queues or dispatcher.tasks), dispatcher.__dict__
        assert not asyncio.all_tasks(self.loop)
        assert not self.cache.memory._leases or self.cache.unreliable, self.cache.memory
        assert not any(scope._memos for scope in self.scopes)
        alive = self.model.sources["plain"].alive
        done.update(answers=len(self.answered))
        self.answered.clear()
        self.model.flights.clear()
        self.places.clear()
        gc.collect()
        assert not list(alive), f"still held: {list(alive)}"


@pytest.mark.patience(600)
def test_queue_memo_cache_and_flight_keep_their_promises_whatever_the_steps(record_property: Any) -> None:
    """No steps break a promise: everyone is answered once, by nothing too old, within limits, and nothing is left."""
    quiet = settings(
        max_examples=int(EXAMPLES or 200), stateful_step_count=50, deadline=None, print_blob=True,
        derandomize=not EXAMPLES, database=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(Machine, settings=quiet)
    for name, count in done.items():
        record_property(f"machine {name}", count)
