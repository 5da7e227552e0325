"""What batchio promises about time, on virtual time: bounded waiting (2), bounded work (10), drain, slow caches, ttl.

Rules:
- Times are exact. A batch function takes the seconds that a test gives it, and nothing else takes any.
- A source remembers when it was called and with which keys, in the words ``(seconds, keys)``.
- A spinning loop lets its time pass itself, with ``advance``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest

import batchio
from batchio import BatchAborted, BatchTimeout, Limits, Loader, MemoryCache, QueueFull
from batchio._core.cache import Lookup
from batchio.testing import record

pytestmark = pytest.mark.virtual


class Source:
    """A batch function that takes some seconds for a call and remembers each."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.calls: list[tuple[float, list[Any]]] = []
        self.running = 0
        self.most = 0  # calls that ran at once
        self.cancelled: list[float] = []

    async def __call__(self, keys: list[Any]) -> dict[Any, Any]:
        self.calls.append((now(), keys))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled.append(now())
            raise
        finally:
            self.running -= 1
        return {key: f"value {key}" for key in keys}


class Stubborn:
    """A batch function that swallows every cancellation until its gate opens."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, list[Any]]] = []
        self.gate = asyncio.Event()

    async def __call__(self, keys: list[Any]) -> dict[Any, Any]:
        self.calls.append((now(), keys))
        while not self.gate.is_set():
            with suppress(asyncio.CancelledError):
                await self.gate.wait()
        return {key: f"value {key}" for key in keys}


def now() -> float:
    """Seconds of virtual time."""
    return asyncio.get_running_loop().time()


def users(source: Any, **options: Any) -> Loader[Any, Any]:
    """A loader on a source; what is no option is a limit."""
    limits = {name: options.pop(name) for name in list(options) if name in Limits.__dataclass_fields__}
    return Loader(source, name="users", limits=Limits(**limits), **options)


async def outcome(load: Awaitable[Any]) -> tuple[float, Any]:
    """When a load was answered, and with what: its value, or the type of its error."""
    try:
        value = await load
    except batchio.BatchioError as error:
        value = type(error)
    return now(), value


async def outcomes(*loads: Awaitable[Any]) -> list[tuple[float, Any]]:
    """The same for many."""
    return await asyncio.gather(*map(outcome, loads))


async def spin(seconds: float, step: float, then: Callable[[], object] = lambda: None) -> None:
    """Keep the loop busy: never idle, each pass takes `step` seconds and does something."""
    loop: Any = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while loop.time() < ends:
        then()
        loop.advance(step)
        await asyncio.sleep(0)


# -- 2. bounded waiting --------------------------------------------------------------------------------------------------


async def test_load_never_runs_the_batch_function() -> None:
    """A load only queues its key, even when a batch is full: the batch function runs after the caller has let go."""
    source = Source()
    loader = users(source, max_batch_size=2)
    loads = [loader.load(key) for key in range(5)]
    many = loader.load_many([5, 6, 7])
    assert source.calls == []
    await asyncio.gather(*loads, many)
    assert [keys for _, keys in source.calls] == [[0, 1], [2, 3], [4, 5], [6, 7]]


async def test_an_idle_loop_lets_a_queue_go_at_once() -> None:
    """On a loop with nothing else to run a key leaves without waiting, and its event says why."""
    loader = users(Source())
    with record() as recorded:
        await loader(1)
    assert [(event.reason, event.waited) for event in dispatched(recorded)] == [("idle", 0.0)]


async def test_a_spinning_task_does_not_hold_a_queue() -> None:
    """With tasks that spin, a key leaves after some passes that bring no new one, long before max_delay, and soon then."""
    loader = users(Source(), max_delay=1000.0)
    spinning = [asyncio.create_task(spin(1.0, 0.001)) for _ in range(3)]
    with record() as recorded:
        at, _ = await outcome(loader(1))
        again, _ = await outcome(loader(2))
    assert [event.reason for event in dispatched(recorded)] == ["quiet", "quiet"]
    assert at <= 0.067  # 22 passes of three tasks that take a millisecond each
    assert again - at <= 0.025  # 8 passes, now that the loop is known to be busy
    await asyncio.gather(*spinning)


async def test_a_stream_of_new_keys_waits_for_max_delay_at_most() -> None:
    """When each pass brings a new key, a batch leaves as soon as its oldest key has waited max_delay seconds."""
    loader = users(Source(), max_delay=0.010)
    loads: list[asyncio.Future[Any]] = []
    with record() as recorded:
        await spin(0.1, 0.001, lambda: loads.append(loader.load(len(loads))))
        await asyncio.gather(*loads)
    streamed = dispatched(recorded)[:-1]
    assert len(streamed) >= 8
    assert {event.reason for event in streamed} == {"max_delay"}
    assert all(0.010 <= event.waited <= 0.0111 for event in streamed), [event.waited for event in streamed]


async def test_each_loader_has_a_max_delay_of_its_own() -> None:
    """In a stream of keys, a loader in a hurry leaves before one that has time, and does not take that one along."""
    hurried, patient = Source(), Source()
    quick, slow = users(hurried, max_delay=0.005), users(patient, max_delay=0.050)
    loads = [slow.load("slow")]
    await spin(0.1, 0.001, lambda: loads.append(quick.load(len(loads))))
    await asyncio.gather(*loads)
    assert hurried.calls[0][0] == pytest.approx(0.005, abs=0.0011)
    assert patient.calls[0][0] == pytest.approx(0.050, abs=0.0011)


async def test_a_key_that_a_batch_function_joins_waits_for_no_other_loaders_delay() -> None:
    """A key is queued for the slot of the very batch whose function asks for it too: it leaves soon, on any loop."""
    asked = asyncio.Event()
    calls: list[tuple[float, list[int]]] = []
    fed: list[asyncio.Future[Any]] = []

    async def fetch(keys: list[int]) -> dict[int, int]:
        calls.append((now(), keys))
        if 1 in keys:
            await asked.wait()
            await loader(5)
        return {key: key for key in keys}

    loader, slow = users(fetch, max_in_flight=1, isolated=True), users(Source(), max_delay=1.0)
    with batchio.scope():
        first = loader(1)
        await asyncio.sleep(0.01)
        second = loader(5)
        await asyncio.sleep(0.01)
        asked.set()
        await spin(0.5, 0.001, lambda: fed.append(slow.load(now())))
        await asyncio.gather(first, second, *fed)
    assert calls == [(0.0, [1]), (pytest.approx(0.02, abs=0.01), [5])]


async def test_a_queue_that_is_due_leaves_when_a_slot_is_free() -> None:
    """A due key whose loader has no free slot leaves the moment a batch comes back, whatever its max_delay."""
    source = Source(seconds=7.0)
    loader = users(source, max_in_flight=1, max_delay=0.001)
    first = asyncio.create_task(outcome(loader(1)))
    await asyncio.sleep(1.0)
    assert await outcome(loader(2)) == (14.0, "value 2")
    assert source.calls == [(0.0, [1]), (7.0, [2])]
    await first


def dispatched(recorded: Any) -> list[Any]:
    """The events of batches that left."""
    return [event for event in recorded.events if type(event).__name__ == "BatchDispatched"]


# -- 10. bounded work: sizes ---------------------------------------------------------------------------------------------


async def test_more_keys_than_a_batch_holds_make_several_batches() -> None:
    """More than max_batch_size keys make several batches, in order, which leave together when there are slots."""
    source = Source(seconds=1.0)
    await users(source, max_batch_size=2).load_many(range(5))
    assert source.calls == [(0.0, [0, 1]), (0.0, [2, 3]), (0.0, [4])]


async def test_no_more_batches_run_at_once_than_max_in_flight() -> None:
    """Full batches beyond max_in_flight wait, and never do more run at once."""
    source = Source(seconds=1.0)
    await users(source, max_batch_size=1, max_in_flight=3).load_many(range(7))
    assert [at for at, _ in source.calls] == [0.0] * 3 + [1.0] * 3 + [2.0]
    assert source.most == 3


async def test_keys_collect_while_batches_are_in_flight() -> None:
    """With all slots in use keys keep collecting, and leave as one batch when the first one comes back."""
    source = Source(seconds=1.0)
    loader = users(source, max_in_flight=2)
    loads = []
    for key in range(8):
        loads.append(loader.load(key))
        await asyncio.sleep(0.125)
    await asyncio.gather(*loads)
    assert source.calls == [(0.0, [0]), (0.125, [1]), (1.0, [2, 3, 4, 5, 6, 7])]


async def test_slots_are_each_loaders_own() -> None:
    """A loader whose slots are used up holds up no other."""
    busy, free = users(Source(seconds=9.0), max_in_flight=1), users(Source(seconds=1.0), max_in_flight=1)
    held = asyncio.create_task(outcomes(busy(1), busy(2)))
    assert await outcome(free(1)) == (1.0, "value 1")
    await held


async def test_isolated_batches_share_the_loaders_slots() -> None:
    """Isolated scopes have batches of their own, and all of them together no more slots than max_in_flight."""
    source = Source(seconds=1.0)
    loader = users(source, max_in_flight=1, isolated=True)

    async def request(key: int) -> None:
        with batchio.scope():
            await loader(key)

    await asyncio.gather(*map(request, range(3)))
    assert source.calls == [(0.0, [0]), (1.0, [1]), (2.0, [2])]


async def test_one_key_too_many_is_refused_at_the_call() -> None:
    """The load beyond max_queued raises QueueFull at the call, and those before it are answered."""
    source = Source()
    loader = users(source, max_queued=3)
    loads = [loader.load(key) for key in range(3)]
    with pytest.raises(QueueFull, match="3 keys wait already"):
        loader.load(3)
    await asyncio.gather(*loads)
    assert await loader(3) == "value 3"
    assert [keys for _, keys in source.calls] == [[0, 1, 2], [3]]


async def test_a_key_that_waits_already_always_finds_room() -> None:
    """A load of a key that waits is no new key, and is not refused by a full queue."""
    loader = users(source := Source(), max_queued=2)
    await asyncio.gather(loader(1), loader(2), loader(1))
    assert [keys for _, keys in source.calls] == [[1, 2]]


async def test_a_load_many_of_keys_that_wait_already_finds_room() -> None:
    """A load_many that brings a full queue no new key is not refused; what counts is keys, not loads."""
    loader = users(source := Source(), max_queued=2)
    first = loader.load_many([1, 2])
    await asyncio.gather(first, loader.load_many([2, 1, 2]))
    assert [keys for _, keys in source.calls] == [[1, 2]]


async def test_a_load_many_is_queued_whole_or_not_at_all() -> None:
    """A load_many for which there is no room raises QueueFull and leaves no key behind; one that fits is queued."""
    source = Source()
    loader = users(source, max_queued=4)
    first = loader.load_many([1, 2])
    with pytest.raises(QueueFull):
        loader.load_many([3, 4, 5])
    second = loader.load_many([3, 4])
    await asyncio.gather(first, second)
    assert [keys for _, keys in source.calls] == [[1, 2, 3, 4]]


async def test_keys_in_flight_take_no_room_in_the_queue() -> None:
    """max_queued counts keys that wait to leave, not those that a batch is fetching."""
    loader = users(Source(seconds=1.0), max_queued=2, max_in_flight=1)
    loads = [loader.load_many([1, 2])]
    await asyncio.sleep(0.5)
    loads.append(loader.load_many([3, 4]))
    with pytest.raises(QueueFull):
        loader.load(5)
    await asyncio.gather(*loads)


async def test_loads_whose_callers_left_make_room() -> None:
    """A cancelled load holds no place of a full queue, and its key is not fetched."""
    loader = users(source := Source(), max_queued=2)
    gone = [loader.load(1), loader.load(2)]
    for load in gone:
        load.cancel()
    await asyncio.gather(loader(3), loader(4))
    assert [keys for _, keys in source.calls] == [[3, 4]]


# -- 10. bounded work: timeout -------------------------------------------------------------------------------------------


async def test_a_batch_that_takes_too_long_is_cancelled_and_its_waiters_told() -> None:
    """At its timeout every waiter of a batch gets BatchTimeout, and the batch function is cancelled."""
    source = Source(seconds=1000.0)
    loader = users(source, timeout=30.0)
    answers = await outcomes(loader(1), loader(1), loader(2), loader.load_many([3, 4]))
    assert answers == [(30.0, BatchTimeout)] * 4
    assert source.cancelled == [30.0]


async def test_each_waiter_of_a_timeout_gets_an_error_of_its_own() -> None:
    """No two waiters share one BatchTimeout object."""
    loader = users(Source(seconds=1000.0))
    first, second = await asyncio.gather(loader(1), loader(1), return_exceptions=True)
    assert isinstance(first, BatchTimeout)
    assert isinstance(second, BatchTimeout)
    assert first is not second


async def test_each_batch_has_a_deadline_of_its_own() -> None:
    """Batches that left at other times, or whose loaders have other timeouts, each end at their own moment."""
    patient = users(Source(seconds=1000.0), timeout=30.0)
    hasty = users(Source(seconds=1000.0), timeout=10.0)
    first = [asyncio.create_task(outcome(loader(1))) for loader in (patient, hasty, patient)]
    await asyncio.sleep(2.0)
    second = [asyncio.create_task(outcome(loader(2))) for loader in (hasty, patient)]
    ends = [at for at, _ in await asyncio.gather(*first, *second)]
    assert ends == [30.0, 10.0, 30.0, 12.0, 32.0]
    assert await outcome(hasty(3)) == (42.0, BatchTimeout)


async def test_an_answer_just_in_time_is_an_answer() -> None:
    """A batch that ends before its timeout is answered; timers of batches that are over disturb nobody."""
    loader = users(Source(seconds=29.0), timeout=30.0)
    assert await outcome(loader(1)) == (29.0, "value 1")
    await asyncio.sleep(5.0)
    assert await outcome(loader(2)) == (63.0, "value 2")


async def test_the_timeout_counts_from_dispatch() -> None:
    """The time that a key waits for a slot is not part of its batch's timeout."""
    loader = users(Source(seconds=3.0), timeout=4.0, max_in_flight=1, max_batch_size=1)
    assert await outcomes(loader(1), loader(2), loader(3)) == [(3.0, "value 1"), (6.0, "value 2"), (9.0, "value 3")]


async def test_a_timeout_counts_from_the_batchs_own_beginning() -> None:
    """Of batches that leave together, the later ones are not charged for what the earlier ones did before their first await."""
    loop: Any = asyncio.get_running_loop()

    async def fetch(keys: list[int]) -> dict[int, int]:
        loop.advance(0.04)
        await asyncio.sleep(0.02)
        return {key: key for key in keys}

    with record() as recorded:
        loader = users(fetch, timeout=0.25, max_batch_size=1)
        assert await asyncio.gather(*map(loader, range(8))) == list(range(8))
    ended = [event for event in recorded.events if type(event).__name__ == "BatchDone"]
    assert ended[-1].seconds == pytest.approx(0.06), "nor does it say that it took so long"


async def test_without_a_timeout_a_batch_may_take_a_week() -> None:
    """timeout=None sets no limit."""
    loader = users(Source(seconds=604_800.0), timeout=None)
    assert await outcome(loader(1)) == (604_800.0, "value 1")


async def test_keys_answered_before_the_timeout_keep_their_values() -> None:
    """Of a batch function that yields pairs, keys that came in time have their values; the others BatchTimeout."""

    async def pairs(keys: list[int]) -> AsyncIterator[tuple[int, str]]:
        yield keys[0], "in time"
        await asyncio.sleep(1000.0)
        yield keys[1], "late"

    loader = users(pairs, timeout=2.0)
    assert await outcomes(loader(1), loader(2)) == [(0.0, "in time"), (2.0, BatchTimeout)]


async def test_a_timeout_is_not_remembered() -> None:
    """A scope that was told BatchTimeout asks again at the next load."""
    source = Source(seconds=1000.0)
    loader = users(source, timeout=1.0)
    with batchio.scope():
        assert await outcome(loader(1)) == (1.0, BatchTimeout)
        source.seconds = 0.0
        assert await outcome(loader(1)) == (1.0, "value 1")


async def test_a_late_answer_is_nobodys() -> None:
    """What a batch function returns after its timeout, having swallowed its cancellation, is not remembered."""
    source = Stubborn()
    loader = users(source, timeout=1.0)
    with batchio.scope():
        assert await outcome(loader(1)) == (1.0, BatchTimeout)
        source.gate.set()
        await asyncio.sleep(1.0)
        assert await outcome(loader(1)) == (2.0, "value 1")
    assert source.calls == [(0.0, [1]), (2.0, [1])]


async def test_waiters_are_told_in_time_though_cancellation_is_swallowed() -> None:
    """A batch function that swallows its cancellation delays no waiter beyond the timeout."""
    source = Stubborn()
    loader = users(source, timeout=30.0)
    assert await outcomes(loader(1), loader.load_many([2, 3])) == [(30.0, BatchTimeout)] * 2
    source.gate.set()


async def test_a_timed_out_batch_gives_its_slot_back() -> None:
    """The slot of a batch that does not end is free at its timeout: the keys behind it leave then."""
    source = Stubborn()
    loader = users(source, timeout=30.0, max_in_flight=1)
    first = asyncio.create_task(outcome(loader(1)))
    await asyncio.sleep(1.0)
    second = asyncio.create_task(outcome(loader(2)))
    await asyncio.sleep(39.0)
    assert source.calls == [(0.0, [1]), (30.0, [2])]
    source.gate.set()
    assert await asyncio.gather(first, second) == [(30.0, BatchTimeout), (40.0, "value 2")]


async def test_stuck_batches_are_bounded_and_what_waits_behind_them_is_told() -> None:
    """With twice max_in_flight batches that do not end nothing more is sent: keys that wait get BatchTimeout."""
    source = Stubborn()
    loader = users(source, timeout=1.0, max_in_flight=2, max_batch_size=1)
    answers = await outcomes(*map(loader, range(7)))
    assert [len(keys) for _, keys in source.calls] == [1] * 4, "2 in flight at 0 s, 2 more at 1 s, then no more"
    assert answers[:4] == [(1.0, BatchTimeout)] * 2 + [(2.0, BatchTimeout)] * 2
    assert answers[4:] == [(2.0, BatchTimeout)] * 3
    assert await outcome(loader(8)) == (2.0, BatchTimeout)
    with pytest.raises(BatchTimeout, match="swallows CancelledError"):
        await loader(9)
    source.gate.set()


async def test_batches_that_get_stuck_one_by_one_are_bounded_too() -> None:
    """Stuck batches and those in flight are never more than twice max_in_flight together, whenever they left."""
    source = Stubborn()
    loader = users(source, timeout=1.0, max_in_flight=2, max_batch_size=1)
    waiting = [asyncio.create_task(outcome(loader(1)))]
    await asyncio.sleep(0.5)
    waiting += [asyncio.create_task(outcome(loader(key))) for key in range(2, 7)]
    answers = await asyncio.gather(*waiting)
    assert source.calls == [(0.0, [1]), (0.5, [2]), (1.0, [3]), (1.5, [4])]
    assert answers == [(at, BatchTimeout) for at in (1.0, 1.5, 2.0, 2.5, 2.5, 2.5)]
    source.gate.set()


async def test_stuck_batches_that_end_give_the_loader_back() -> None:
    """Once its stuck batches have ended a loader sends batches as before, max_in_flight at once."""
    stubborn, source = Stubborn(), Source(seconds=1.0)
    batch_functions: list[Any] = [stubborn, stubborn]

    async def fetch(keys: list[int]) -> Mapping[int, str]:
        return await (batch_functions.pop() if batch_functions else source)(keys)

    loader = users(fetch, timeout=10.0, max_in_flight=1, max_batch_size=1)
    assert await outcomes(loader(1), loader(2)) == [(10.0, BatchTimeout), (20.0, BatchTimeout)]
    stubborn.gate.set()
    await asyncio.sleep(0.5)
    assert await outcomes(loader(3), loader(4)) == [(21.5, "value 3"), (22.5, "value 4")]
    assert source.most == 1


async def test_keys_behind_a_stuck_batch_leave_when_it_ends() -> None:
    """A key that found neither a slot nor room for a stuck batch more leaves when one of those ends."""
    stubborn, source = Stubborn(), Source(seconds=3.0)
    batch_functions: list[Any] = [source, stubborn]

    async def fetch(keys: list[int]) -> Mapping[int, str]:
        return await (batch_functions.pop() if batch_functions else source)(keys)

    loader = users(fetch, timeout=10.0, max_in_flight=1, max_batch_size=1)
    answers = await outcomes(loader(1), loader(2), loader(3))
    assert answers == [(10.0, BatchTimeout), (13.0, "value 2"), (16.0, "value 3")]
    stubborn.gate.set()


async def test_a_loader_with_stuck_batches_says_so() -> None:
    """The repr of a loader counts its batches that timed out and do not end."""
    loader = users(source := Stubborn(), timeout=1.0)
    await outcome(loader(1))
    assert "1 timed out and not ended" in repr(loader)
    source.gate.set()
    await asyncio.sleep(1.0)
    assert "timed out" not in repr(loader)


# -- drain ---------------------------------------------------------------------------------------------------------------


async def test_drain_has_nothing_to_wait_for_on_a_quiet_loop() -> None:
    """Without loads, before the first and after the last, drain returns at once."""
    await batchio.drain(10.0)
    await users(Source())(1)
    await batchio.drain(10.0)
    assert now() == 0.0


async def test_drain_waits_for_the_batches_in_flight() -> None:
    """drain returns when the last batch in flight has come back, and its loads are answered then."""
    loads = [users(Source(seconds=seconds)).load(1) for seconds in (1.0, 3.0)]
    await asyncio.sleep(0.5)
    await batchio.drain(10.0)
    assert now() == 3.0
    assert [load.result() for load in loads] == ["value 1"] * 2


async def test_drain_without_a_timeout_waits_for_as_long_as_it_takes() -> None:
    """drain() sets no limit of its own."""
    load = users(Source(seconds=20.0)).load(1)
    await batchio.drain()
    assert (now(), load.result()) == (20.0, "value 1")


async def test_what_is_queued_still_leaves_while_drain_waits() -> None:
    """Keys that wait to leave, for a tick or for a slot, are sent and answered as long as there is time."""
    loader = users(source := Source(seconds=1.0), max_in_flight=1, max_batch_size=1)
    loads = [loader.load(key) for key in range(3)]
    await batchio.drain(10.0)
    assert (now(), [load.result() for load in loads]) == (3.0, ["value 0", "value 1", "value 2"])
    assert len(source.calls) == 3


async def test_what_batch_functions_load_still_leaves_while_drain_waits() -> None:
    """A batch in flight that loads from another loader is served to its end."""
    inner = users(Source(seconds=1.0))

    async def fetch(keys: list[int]) -> list[Any]:
        await asyncio.sleep(1.0)
        return await inner.load_many(keys)

    load = users(fetch).load(1)
    await batchio.drain(10.0)
    assert (now(), load.result()) == (2.0, "value 1")


async def test_a_drain_that_runs_out_of_time_cancels_what_is_in_flight() -> None:
    """At the end of its time drain cancels the batches in flight, and their waiters get BatchAborted then."""
    loader = users(source := Source(seconds=1000.0), timeout=None)
    waiting = asyncio.create_task(outcomes(loader(1), loader.load_many([2, 3])))
    await batchio.drain(5.0)
    assert now() == 5.0
    assert await waiting == [(5.0, BatchAborted)] * 2
    assert source.cancelled == [5.0]


async def test_a_drain_that_runs_out_of_time_fails_what_is_queued() -> None:
    """At the end of its time drain fails the keys that still wait for a slot with BatchAborted; they are never sent."""
    loader = users(source := Source(seconds=1000.0), max_in_flight=1, max_batch_size=1, timeout=None)
    waiting = asyncio.create_task(outcomes(loader(1), loader(2), loader.load_many([3, 4])))
    await batchio.drain(5.0)
    assert await waiting == [(5.0, BatchAborted)] * 3
    assert source.calls == [(0.0, [1])]


async def test_drain_with_no_time_still_answers_everyone() -> None:
    """drain(0) fails at once what was not answered yet, queued or in flight."""
    loader = users(Source(seconds=1000.0), max_in_flight=1, max_batch_size=1, timeout=None)
    waiting = asyncio.create_task(outcomes(loader(1), loader(2)))
    await asyncio.sleep(1.0)
    await batchio.drain(0)
    assert await waiting == [(1.0, BatchAborted)] * 2


async def test_drain_returns_in_time_from_a_batch_that_swallows_its_cancellation() -> None:
    """A batch function that swallows its cancellation does not hold drain; its waiters are told no later than ever."""
    loader = users(source := Stubborn(), timeout=30.0)
    waiting = asyncio.create_task(outcome(loader(1)))
    await batchio.drain(5.0)
    assert now() == 5.0
    at, answer = await waiting
    assert issubclass(answer, batchio.BatchioError)
    assert at <= 30.0
    source.gate.set()


async def test_loads_made_while_drain_runs_out_of_time_are_answered() -> None:
    """A batch function that, cancelled by drain, loads once more does not leave that load hanging."""
    inner = users(Source(seconds=1.0))

    async def fetch(keys: list[int]) -> list[Any]:
        try:
            await asyncio.sleep(1000.0)
        finally:
            assert await outcome(inner(1)) in [(6.0, "value 1"), (5.0, BatchAborted)]
        return keys

    waiting = asyncio.create_task(outcome(users(fetch, timeout=None)(1)))
    await batchio.drain(5.0)
    at, answer = await waiting
    assert (at <= 6.0, answer) == (True, BatchAborted)


async def test_drain_waits_for_what_the_cache_is_told() -> None:
    """drain returns when fills and invalidations under way are with the cache, so that it can be closed then."""
    cache = SlowCache(fill=2.0, delete=3.0)
    loader = users(Source(), cache=cache, cache_timeout=10.0)
    await loader(1)
    waiting = asyncio.create_task(outcome(loader.invalidate(2)))
    await asyncio.sleep(0)
    await batchio.drain(10.0)
    assert now() == 3.0
    assert cache.ended[1:] == [("fill", 2.0), ("delete", 3.0)]
    assert await waiting == (3.0, None)


async def test_a_writer_whose_invalidation_drain_cut_short_is_told_so() -> None:
    """An invalidation under way when drain runs out of time is BatchAborted to the writer, who is not cancelled."""
    loader = users(Source(), cache=SlowCache(delete=1000.0), cache_timeout=10_000.0)
    waiting = asyncio.create_task(outcome(loader.invalidate(1)))
    await asyncio.sleep(0)
    await batchio.drain(5.0)
    assert await waiting == (5.0, BatchAborted)


async def test_after_drain_the_loop_is_as_before() -> None:
    """Loads after a drain, even after one that ran out of time, are batched and answered as ever."""
    loader = users(source := Source(seconds=1000.0), timeout=None)
    waiting = asyncio.create_task(outcome(loader(1)))
    await batchio.drain(5.0)
    await waiting
    source.seconds = 1.0
    assert await outcomes(loader(1), loader(2)) == [(6.0, "value 1"), (6.0, "value 2")]
    assert source.calls[1:] == [(5.0, [1, 2])]


async def test_a_batch_function_may_drain() -> None:
    """A drain that a batch function calls waits for all other batches and not for its own."""
    other = users(Source(seconds=3.0))

    async def fetch(keys: list[int]) -> list[float]:
        await batchio.drain(10.0)
        return [now() for _ in keys]

    assert await outcomes(other(1), users(fetch)(1)) == [(3.0, "value 1"), (3.0, 3.0)]


async def test_two_drains_do_not_wait_for_each_other() -> None:
    """Drains at the same time all return when the batches are back."""
    load = users(Source(seconds=2.0)).load(1)
    await asyncio.gather(batchio.drain(10.0), batchio.drain(20.0))
    assert (now(), load.result()) == (2.0, "value 1")


async def test_a_cancelled_drain_touches_no_batch() -> None:
    """Who gives up draining cancels nothing: the batches go on, and queued keys still leave."""
    loader = users(Source(seconds=2.0), max_in_flight=1, max_batch_size=1)
    loads = [loader.load(1), loader.load(2)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(batchio.drain(), 1.0)
    assert await outcomes(*loads) == [(2.0, "value 1"), (4.0, "value 2")]


async def test_drain_does_not_wait_for_batches_that_are_stuck() -> None:
    """A batch that timed out and does not end has answered its waiters; drain(timeout) is back in time all the same."""
    loader = users(source := Stubborn(), timeout=1.0)
    await outcome(loader(1))
    await batchio.drain(5.0)
    assert now() <= 6.0
    source.gate.set()


# -- a slow cache --------------------------------------------------------------------------------------------------------


class SlowCache:
    """A MemoryCache whose verbs take some seconds each."""

    def __init__(self, get: float = 0.0, fill: float = 0.0, delete: float = 0.0) -> None:
        self.get, self.fill, self.delete = get, fill, delete
        self.store = MemoryCache(clock=asyncio.get_running_loop().time)
        self.ended: list[tuple[str, float]] = []
        self.before_get: Awaitable[Any] | None = None

    def bind(self, name: str, value_type: Any, version: int | str) -> SlowNames:
        return SlowNames(self, self.store.bind(name, value_type, version))


class SlowNames:
    def __init__(self, cache: SlowCache, inner: Any) -> None:
        self.cache, self.inner = cache, inner

    async def _take(self, verb: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        finally:
            self.cache.ended.append((verb, now()))

    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        if self.cache.before_get is not None:
            await self.cache.before_get
        await self._take("get", self.cache.get)
        return await self.inner.get_many(keys)

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await self._take("fill", self.cache.fill)
        await self.inner.fill_many(values, leases, ttl)

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        await self.inner.set_many(values, ttl)

    async def delete_many(self, keys: Sequence[Any]) -> None:
        await self._take("delete", self.cache.delete)
        await self.inner.delete_many(keys)


async def test_a_slow_lookup_is_a_miss_without_a_fill() -> None:
    """A lookup that takes longer than cache_timeout is given up: the source is asked, and nothing is filled."""
    cache = SlowCache(get=10.0)
    loader = users(source := Source(), cache=cache, cache_timeout=0.25)
    assert await outcome(loader(1)) == (0.25, "value 1")
    await asyncio.sleep(1.0)
    assert cache.ended == [("get", 0.25)]
    assert len(cache.store) == 0
    assert source.calls == [(0.25, [1])]


async def test_a_lookup_in_time_is_waited_for() -> None:
    """A cache that answers within cache_timeout is not given up, and its hit spares the source."""
    cache = SlowCache(get=0.2)
    loader = users(source := Source(), cache=cache, cache_timeout=0.25)
    assert await outcome(loader(1)) == (0.2, "value 1")
    await asyncio.sleep(0.8)
    assert await outcome(loader(1)) == (1.2, "value 1")
    assert len(source.calls) == 1


async def test_a_cache_that_cancels_itself_is_a_miss() -> None:
    """A cache whose client cancels its own call (a pool that closes, say) fails as any other: a miss, and no error."""
    cache = SlowCache()
    loader = users(Source(), cache=cache)
    lost = asyncio.get_running_loop().create_future()
    lost.cancel()
    cache.before_get = lost
    assert await outcome(loader(1)) == (0.0, "value 1")


async def test_nobody_waits_for_a_fill() -> None:
    """Answers go out before the cache is written, and a fill that takes longer than cache_timeout is given up."""
    cache = SlowCache(fill=10.0)
    loader = users(Source(seconds=1.0), cache=cache, cache_timeout=0.25)
    assert await outcome(loader(1)) == (1.0, "value 1")
    await asyncio.sleep(1.0)
    assert cache.ended == [("get", 0.0), ("fill", 1.25)]


async def test_a_slow_fill_takes_no_slot() -> None:
    """A batch whose answers are out has given its slot back, though it still writes to the cache."""
    loader = users(source := Source(seconds=1.0), cache=SlowCache(fill=0.2), max_in_flight=1, max_batch_size=1)
    await outcomes(loader(1), loader(2))
    assert source.calls == [(0.0, [1]), (1.0, [2])]
    await batchio.drain()


async def test_a_slow_invalidation_is_an_error_to_the_writer() -> None:
    """An invalidation that the cache does not confirm within cache_timeout raises BatchTimeout at that moment."""
    loader = users(Source(), cache=SlowCache(delete=10.0), cache_timeout=0.25)
    assert await outcome(loader.invalidate(1)) == (0.25, BatchTimeout)


async def test_a_slow_cache_counts_against_the_batchs_timeout() -> None:
    """The timeout of a batch is the time from dispatch, lookup included."""
    loader = users(Source(seconds=0.9), cache=SlowCache(get=10.0), cache_timeout=0.25, timeout=1.0)
    assert await outcome(loader(1)) == (1.0, BatchTimeout)


async def test_a_key_that_somebody_else_is_filling_is_waited_for() -> None:
    """A key that another process is filling is not fetched: its value is taken from the cache once it is there."""
    cache = SlowCache()
    loader = users(source := Source(), cache=cache)
    somebody = cache.store._bound["users"]
    leases = (await somebody.get_many([1])).leases
    waiting = asyncio.create_task(outcome(loader(1)))
    await asyncio.sleep(0.1)
    await somebody.fill_many({1: "theirs"}, leases, None)
    at, answer = await waiting
    assert (answer, source.calls) == ("theirs", [])
    assert at <= 0.3


async def test_a_key_that_nobody_fills_after_all_is_fetched() -> None:
    """A key whose filler died is fetched in the end, in bounded time."""
    cache = SlowCache()
    loader = users(Source(), cache=cache)
    await cache.store._bound["users"].get_many([1])  # takes the lease, and dies
    at, answer = await outcome(loader(1))
    assert answer == "value 1"
    assert 0.5 <= at <= 10.0


async def test_keys_that_nobody_fills_hold_up_no_other_key_of_their_batch() -> None:
    """A batch's hits and misses are answered at once, though one of its keys is being filled by somebody else."""
    cache = SlowCache()
    loader = users(Source(seconds=1.0), cache=cache)
    await cache.store._bound["users"].get_many([1])
    assert await asyncio.create_task(outcome(loader(2))) == (1.0, "value 2")
    slow, quick, hit = await outcomes(loader(1), loader(3), loader(2))
    assert (quick, hit) == ((2.0, "value 3"), (1.0, "value 2"))
    assert slow[1] == "value 1"


# -- ttl -----------------------------------------------------------------------------------------------------------------


async def test_a_cached_value_lives_for_its_ttl() -> None:
    """A value is read from the cache until its ttl ends, counted from its fill, and fetched again after that."""
    cache = MemoryCache(clock=asyncio.get_running_loop().time)
    loader = users(source := Source(seconds=1.0), cache=cache, ttl=60.0)
    await loader(1)
    await asyncio.sleep(59.5)
    assert await outcome(loader(1)) == (60.5, "value 1")
    await asyncio.sleep(0.5)
    assert await outcome(loader(1)) == (62.0, "value 1")
    assert source.calls == [(0.0, [1]), (61.0, [1])]


async def test_without_a_ttl_a_cached_value_stays() -> None:
    """A loader with a cache and no ttl keeps its values for as long as the cache does."""
    loader = users(source := Source(), cache=MemoryCache(clock=asyncio.get_running_loop().time))
    await loader(1)
    await asyncio.sleep(1e7)
    await loader(1)
    assert source.calls == [(0.0, [1])]


async def test_reading_does_not_prolong_a_value() -> None:
    """Hits do not move the end of a value's life."""
    loader = users(source := Source(), cache=MemoryCache(clock=asyncio.get_running_loop().time), ttl=10.0)
    await asyncio.gather(*(asyncio.create_task(later(loader, at)) for at in (0.0, 4.0, 8.0, 12.0)))
    assert source.calls == [(0.0, [1]), (12.0, [1])]


async def later(loader: Loader[Any, Any], seconds: float) -> None:
    """Load a key after some seconds."""
    await asyncio.sleep(seconds)
    await loader(1)
