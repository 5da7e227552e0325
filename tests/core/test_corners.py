"""Promises that only rare programs lean on: two things at once, keys that misbehave, a task that never ran."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from contextlib import suppress
from contextvars import Context
from typing import Any

import pytest

import batchio
from batchio import Limits, QueueFull
from batchio._core import dispatch, tick
from batchio._core.events import BatchDispatched
from batchio.testing import record


class Held:
    """A loader whose batches wait until they are let go; the first one may fail."""

    def __init__(self, *, fails: bool = False, **options: Any) -> None:
        self.batches: list[list[Any]] = []
        self.go = asyncio.Event()
        self.fails = fails
        self.loader = batchio.Loader(self.fetch, name="held", **options)

    async def fetch(self, keys: list[Any]) -> dict[Any, int]:
        self.batches.append(keys)
        mine = len(self.batches)
        await self.go.wait()
        if self.fails and mine == 1:
            raise ValueError("the first one fails")
        return dict.fromkeys(keys, mine)

    async def left(self, count: int = 1) -> None:
        """Wait until so many batches have left."""
        while len(self.batches) < count:
            await asyncio.sleep(0)


# --- memos and flights --------------------------------------------------------------------------------------------


async def test_a_load_joins_what_a_cancelled_load_many_left_under_way() -> None:
    """The caller of a load_many went away after it left; a load of the same scope joins its flight."""
    held = Held()
    with batchio.scope():
        many = held.loader.load_many([1, 2])
        await held.left()
        many.cancel()
        one = held.loader(1)
        held.go.set()
        assert await one == await held.loader(2) == 1
    assert held.batches == [[1, 2]]


async def test_loads_of_one_key_that_all_went_away_are_not_fetched_and_not_remembered() -> None:
    """Two scopes' loads of a key are cancelled in the queue: nothing leaves, and each scope's next load asks anew."""
    held = Held()
    held.go.set()
    with batchio.scope():
        held.loader(1).cancel()
        with batchio.scope():
            held.loader(1).cancel()
            await batchio.drain()
            assert held.batches == []
            assert await held.loader(1) == 1
        assert await held.loader(1) == 2


async def test_a_scope_finds_its_flight_though_a_stranger_has_queued_the_key_again() -> None:
    """A stranger's load of the same key waits in the queue; the scope's own second load joins the scope's own flight."""
    held = Held()
    with batchio.scope():
        first = held.loader(1)
        await held.left()
        with batchio.scope():
            stranger = held.loader(1)
        second = held.loader(1)
        held.go.set()
        assert (await first, await second, await stranger) == (1, 1, 2)


@pytest.mark.parametrize("left", [False, True], ids=["queued", "in flight"])
async def test_a_third_load_joins_where_a_load_many_and_a_load_stand_already(left: bool) -> None:
    """However many of a scope's calls wait for a key, the next one joins them."""
    held = Held()
    with batchio.scope():
        loads = [held.loader.load_many([1]), held.loader.load_many([1])]
        if left:
            await held.left()
        loads += [held.loader.load_many([1]), held.loader.load_many([1, 2])]
        held.go.set()
        assert [(await load)[0] for load in loads] == [1] * 4
    assert held.batches == ([[1], [2]] if left else [[1, 2]])


async def test_an_old_flights_error_does_not_forget_the_load_that_came_after_clear() -> None:
    """clear cuts a key loose: when the old flight fails, the new one is still what the scope joins."""
    held = Held(fails=True)
    with batchio.scope():
        old = held.loader(1)
        await held.left()
        held.loader.clear(1)
        new = held.loader(1)
        await held.left(2)
        held.go.set()
        with pytest.raises(ValueError, match="the first one fails"):
            await old
        assert await held.loader(1) == await new == 2
    assert held.batches == [[1], [1]]


async def test_a_batch_function_may_load_new_keys_and_join_a_flight_at_once() -> None:
    """A load that joins and one that is queued, made in the same moment by one batch function, are both answered."""
    held = Held(coalesce=True)

    @batchio.loader
    async def front(keys: list[int]) -> dict[int, list[int]]:
        loads = [held.loader(2), held.loader(1)]
        held.go.set()
        return {key: [await load for load in loads] for key in keys}

    first = held.loader(1)
    await held.left()
    assert (await front(0), await first) == ([2, 1], 1)


# --- queues -------------------------------------------------------------------------------------------------------


async def test_keys_that_nobody_wants_any_more_take_no_room_in_a_batch() -> None:
    """A queue longer than a batch leaves without those of its keys whose callers went away, in order."""
    held = Held(limits=Limits(max_batch_size=2))
    held.go.set()
    loads = [held.loader(key) for key in range(6)]
    for load in loads[:3] + loads[4:]:
        load.cancel()
    assert await loads[3] == 1
    assert held.batches == [[3]]


async def test_a_key_that_waits_already_needs_no_room() -> None:
    """A full queue still takes loads of the keys that stand in it."""
    held = Held(limits=Limits(max_queued=2))
    held.go.set()
    first = held.loader.load_many([1, 2])
    again = held.loader.load_many([2, 1])
    for _ in range(3):
        with pytest.raises(batchio.QueueFull):
            held.loader(3)
    assert [await first, await again, await held.loader(3)] == [[1, 1], [1, 1], 2]


async def test_what_a_loop_has_to_do_can_be_said_in_lines() -> None:
    """A line for each loader with keys queued or batches in flight, for messages about a hang."""
    loop = asyncio.get_running_loop()
    assert tick.describe(loop) == []
    held = Held()
    load = held.loader(1)
    assert tick.describe(loop) == ["held: 1 keys queued, 0 batches in flight"]
    assert [repr(queue) for queue in getattr(loop, tick.ATTRIBUTE).queues.values()] == [
        "<Queue held: 1 keys queued, 0 batches in flight>"
    ]
    held.go.set()
    await load
    assert tick.describe(loop) == []


# --- keys that misbehave ------------------------------------------------------------------------------------------


class Touchy:
    """Keys that all have one hash, and that at times cannot be compared."""

    def __init__(self) -> None:
        self.calm = True

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        if not self.calm:
            raise TypeError("touch me not")
        return self is other


async def test_an_error_of_a_keys_own_comparison_is_raised_at_the_call() -> None:
    """A TypeError that is not about hashing reaches the caller as it is, and the loads before it are answered."""
    held = Held()
    held.go.set()
    first, second = Touchy(), Touchy()
    load = held.loader(first)
    first.calm = second.calm = False
    with pytest.raises(TypeError, match=r"^touch me not$"):
        held.loader(second)
    assert await load == 1


async def test_keys_that_cannot_be_compared_when_they_leave_are_told_and_hold_up_nobody() -> None:
    """An error of a key's own, when its batch is made up, is given to the waiters of that loader; others go on."""
    touchy, calm = Held(limits=Limits(max_batch_size=2)), Held()
    calm.go.set()
    keys = [Touchy() for _ in range(3)]
    loads = [touchy.loader(key) for key in keys]
    other = calm.loader(1)
    for key in keys:
        key.calm = False
    errors = await asyncio.gather(*loads, return_exceptions=True)
    assert [str(error) for error in errors] == ["touch me not"] * 3
    assert await other == 1


# --- batches that end early ---------------------------------------------------------------------------------------


def lazily(work: Any, *, loop: Any, context: Any, name: str) -> asyncio.Task[Any]:
    """Begin a task as Python 3.11 does: on the next pass of the loop."""
    return asyncio.Task(work, loop=loop, context=context, name=name)


async def test_a_batch_that_is_cancelled_before_its_first_step_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever cancels all tasks of a loop, as asyncio.run does at its end, leaves no load hanging."""
    monkeypatch.setattr(dispatch, "begin", lazily)
    held = Held()
    load = held.loader(1)

    def cancel_all(event: BatchDispatched) -> None:
        asyncio.get_running_loop().call_soon(cancel_batches)

    def cancel_batches() -> None:
        for task in asyncio.all_tasks():
            if "batchio" in task.get_name():
                task.cancel()

    class Cancelling(batchio.Observer):
        on_dispatch = staticmethod(cancel_all)  # type: ignore[assignment]

    with batchio.observe(Cancelling()), pytest.raises(batchio.BatchAborted, match="held: the batch function was canc"):
        await load
    assert held.batches == []
    assert repr(held.loader) == "<Loader held>"
    held.go.set()
    assert await held.loader(1) == 1


async def test_a_batch_that_times_out_while_its_cache_is_asked_is_cancelled() -> None:
    """The time of a batch counts from dispatch, also when the cache is what takes long; that is no miss."""

    class Slow:
        def bind(self, *args: Any) -> Any:
            return self

        async def get_many(self, keys: Any) -> Any:
            await asyncio.Event().wait()

    held = Held(cache=Slow(), limits=Limits(timeout=0.01, cache_timeout=30))
    with pytest.raises(batchio.BatchTimeout):
        await held.loader(1)
    await batchio.drain()
    assert held.batches == []


def test_batches_of_one_tick_all_start_though_the_program_is_told_to_exit() -> None:
    """SystemExit out of an observer ends the loop's run; on the next run the other batches of that tick are there."""
    loop = asyncio.new_event_loop()

    class Exiting(batchio.Observer):
        def on_dispatch(self, event: BatchDispatched) -> None:
            if event.loader == "exits":
                raise SystemExit(3)

    async def answer(keys: list[int]) -> list[int]:
        return keys

    exits, other = batchio.Loader(answer, name="exits"), batchio.Loader(answer, name="other")

    async def main() -> list[asyncio.Future[Any]]:
        kept.extend((exits(1), other(2)))
        await asyncio.gather(*kept)
        return kept

    kept: list[asyncio.Future[Any]] = []
    task = loop.create_task(main())
    with batchio.observe(Exiting()), pytest.raises(SystemExit):
        loop.run_until_complete(task)
    assert loop.run_until_complete(kept[1]) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


async def test_a_full_queue_is_full_for_a_scope_too() -> None:
    """Loads of one scope, of several, and of none fill the same queue, whichever was there first."""

    @batchio.loader(limits=Limits(max_queued=4))
    async def loader(keys: list[int]) -> dict[int, str]:
        return {key: f"value {key}" for key in keys}

    with batchio.scope():
        loads = [loader.load(1), loader.load(2)]
        with batchio.scope():
            loads += [loader.load(3)]
        loads += [loader.load(4), loader.load(1)]
        with pytest.raises(QueueFull, match="4 keys wait already"):
            loader.load(5)
    with pytest.raises(QueueFull, match="4 keys wait already"):
        loader.load(5)
    assert await batchio.gather(*loads) == tuple(f"value {key}" for key in (1, 2, 3, 4, 1))


async def test_a_full_queue_counts_keys_of_every_parameter() -> None:
    """Keys of other parameters take room too, also those that came after the first plain ones."""

    @batchio.loader(limits=Limits(max_queued=3))
    async def titles(keys: list[int], *, locale: str = "en") -> dict[int, str]:
        return {key: f"{locale} {key}" for key in keys}

    @batchio.loader(limits=Limits(max_queued=3))
    async def chained(keys: list[int]) -> dict[int, str]:
        if min(keys) > 0:
            return {key: f"chained {key}" for key in keys}
        outer = [contextless.run(chained.load, 20)]
        inner = [chained.load(key + 10) for key in keys]  # a group of their own
        outer.append(contextless.run(chained.load, 21))
        with pytest.raises(QueueFull, match="3 keys wait already"):
            contextless.run(chained.load, 22)
        return dict(zip(keys, await batchio.gather(*inner), strict=True)) | {0: str(await batchio.gather(*outer))}

    contextless = Context()
    loads = [titles(1), titles(2, locale="fr"), titles(3)]
    with pytest.raises(QueueFull, match="3 keys wait already"):
        titles(4)
    assert await batchio.gather(*loads) == ("en 1", "fr 2", "en 3")
    assert await chained(0) == "('chained 20', 'chained 21')"


async def test_a_scope_joins_its_own_flight_also_while_other_keys_wait() -> None:
    """A key that this scope's batch is fetching is not queued again, though a group of the loader stands open."""
    held = Held()
    with batchio.scope():
        first = held.loader(1)
        await held.left()
        others = [held.loader(2), held.loader(1)]
        held.go.set()
        await batchio.gather(first, *others)
    assert held.batches == [[1], [2]]


class Moody:
    """A key that is equal to itself alone, and raises at the n-th comparison."""

    left = -1

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        Moody.left -= 1
        if Moody.left == 0:
            raise ValueError("moody")
        return self is other


@pytest.mark.parametrize("comparison", range(1, 7))
async def test_keys_that_cannot_be_compared_hang_nobody_when_a_queue_is_cut(comparison: int) -> None:
    """Whichever comparison raises while more keys than a batch holds are cut, and some callers are gone: all are answered."""

    @batchio.loader(limits=Limits(max_batch_size=3))
    async def loader(keys: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(keys, 1)

    Moody.left = -1
    loads = [loader(Moody()) for _ in range(8)]
    loads[0].cancel()
    Moody.left = comparison
    try:
        for _ in range(50):
            await asyncio.sleep(0)
    finally:
        Moody.left = -1
    assert all(load.done() for load in loads)


@pytest.mark.parametrize("options", [{}, {"coalesce": True}, {"isolated": True}, {"cancel_abandoned": True}], ids=str)
@pytest.mark.parametrize("comparison", range(1, 12))
async def test_keys_that_cannot_be_compared_hang_nobody_when_they_are_asked_for(
    comparison: int, options: dict[str, Any]
) -> None:
    """Whichever comparison raises in a load or a load_many, whatever stands in the queue leaves it."""

    @batchio.loader(**options)
    async def loader(keys: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(keys, 1)

    for ask in (lambda: loader(Moody()), lambda: loader.load_many([Moody(), Moody()])):
        with batchio.scope():
            await loader.load_many([Moody(), Moody()])
            await loader(Moody())
            Moody.left = comparison
            with suppress(ValueError):
                ask()
            Moody.left = -1
            async with asyncio.timeout(5):
                await batchio.drain()
            assert (
                re.search("queued|in flight", repr(loader).replace(" 0 keys queued, 0 batches in flight", "")) is None
            )


async def test_a_scope_keeps_nothing_of_batches_that_others_made() -> None:
    """Keys of a batch function's loads may stand in a scope's group; they and their loader go when they are answered."""

    class Key:
        pass

    begun, go = asyncio.Event(), asyncio.Event()

    @batchio.loader
    async def inner(keys: list[int]) -> dict[int, int]:
        return dict.fromkeys(keys, 2)

    async def fetch(keys: list[Key]) -> dict[Key, int]:
        begun.set()
        await go.wait()
        return dict.fromkeys(keys, await inner(1))

    outer, key = batchio.Loader(fetch, name="outer"), Key()
    alive = weakref.ref(key)
    load = outer(key)
    await begun.wait()
    with batchio.scope():
        assert await inner(9) == 2
        go.set()
        assert await inner(2) == 2
        assert await load == 2
        del load, key, outer
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
        assert alive() is None


async def test_a_queue_that_is_never_empty_keeps_nothing_of_scopes_that_ended() -> None:
    """There are always more keys waiting than one batch takes; the memos of those who were answered are free."""
    held = Held(limits=Limits(max_batch_size=2, max_in_flight=1))
    held.go.set()
    answered: list[weakref.ref[Any]] = []

    async def request(number: int) -> None:
        with batchio.scope() as scope:
            await held.loader(number)
            answered.append(weakref.ref(scope))

    async with asyncio.TaskGroup() as waiting:
        for number in range(60):
            waiting.create_task(request(number))
            if number > 10:
                await asyncio.sleep(0)
        await held.left(10)
        queue = asyncio.get_running_loop()._batchio_dispatcher.queues[held.loader._definition]  # type: ignore[attr-defined]
        (group,) = queue.groups.values()
        assert len(group.owners) == len(group.waiters) > 2
    gc.collect()
    assert len(answered) == 60
    assert not any(scope() for scope in answered)


class Awkward:
    """A key whose comparison raises once, at a turn that a test chooses. All have one hash, so that all are compared."""

    comparisons_left = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        if Awkward.comparisons_left:
            Awkward.comparisons_left -= 1
            if not Awkward.comparisons_left:
                raise RuntimeError("these keys cannot be compared")
        return isinstance(other, Awkward) and self.number == other.number


async def check_all_leave(loads: list[asyncio.Future[Any]], comparison: int) -> None:
    """One comparison from now on raises: every load is answered or told all the same."""
    Awkward.comparisons_left = comparison
    try:
        async with asyncio.timeout(5):
            await batchio.drain()  # without a limit, at which it would tell whoever hangs
    finally:
        Awkward.comparisons_left = 0
    assert all(load.done() for load in loads), f"hung by comparison {comparison}"
    await asyncio.gather(*loads, return_exceptions=True)


@pytest.mark.parametrize("max_batch_size", [1, 2, 100])
@pytest.mark.parametrize("missing", [False, True])
async def test_keys_that_cannot_be_compared_hang_nobody(max_batch_size: int, missing: bool) -> None:
    """Whichever comparison raises on the way from the queue to the answer, every load is answered or told."""

    async def fetch(keys: list[Awkward]) -> dict[Awkward, int]:
        return {key: key.number for key in keys if not missing or key.number % 2}

    loader = batchio.Loader(fetch, name="keys", limits=Limits(max_batch_size=max_batch_size))
    for comparison in range(1, 60):
        with batchio.scope():
            loads: list[asyncio.Future[Any]] = [loader(Awkward(number)) for number in range(4)]
            loads += [loader.load_many([Awkward(3), Awkward(4), Awkward(5)]), loader(Awkward(6))]
            loads[1].cancel()
            await check_all_leave(loads, comparison)


async def test_keys_that_cannot_be_compared_hang_nobody_in_a_queue_that_was_swept() -> None:
    """A key came to stand where a cancelled one stood, before others; whichever comparison raises, all are told."""

    async def fetch(keys: list[Awkward]) -> dict[Awkward, int]:
        return {key: key.number for key in keys}

    loader = batchio.Loader(fetch, name="keys", limits=Limits(max_batch_size=1, max_queued=3))
    for comparison in range(1, 20):
        loads = [loader(Awkward(number)) for number in range(3)]
        loads[0].cancel()
        loads.append(loader(Awkward(3)))
        await check_all_leave(loads, comparison)


async def test_a_key_that_cannot_be_hashed_is_refused_by_a_scope_that_has_loaded_before() -> None:
    """The short way of a load explains as well as the long one."""
    held = Held()
    held.go.set()
    with batchio.scope():
        await held.loader(1)
        with pytest.raises(TypeError, match="held: a key of type list cannot be hashed"):
            held.loader([1])


async def test_an_observer_is_told_of_a_caches_answers() -> None:
    """Of each key, as of a batch function's."""
    told: list[Any] = []

    class Observer(batchio.Observer):
        def on_answer(self, event: Any) -> None:
            told.append((event.key, event.error))

    held = Held(cache=batchio.MemoryCache())
    held.go.set()
    await held.loader.load_many([1, 2])
    await batchio.drain()
    with batchio.observe(Observer()):
        assert await held.loader.load_many([1, 2]) == [1, 1]
    assert told == [(1, None), (2, None)]


async def test_a_task_that_waits_in_a_gather_says_so() -> None:
    """The repr of a task names the gather, how many it waits for, and which one it is at; of loads alone, the load."""
    held = Held()

    async def one(key: int) -> int:
        return await held.loader(key)

    task = asyncio.create_task(batchio.gather(one(1), one(2)))
    loads = asyncio.create_task(batchio.gather(held.loader(1), held.loader(2)))
    await held.left()
    assert "wait_for=<gather of 2, waiting for <Task pending" in repr(task)
    assert re.search("coro=<gather.* wait_for=<Future pending", repr(loads))
    held.go.set()
    assert await task == await loads == (1, 1)


async def test_a_gather_that_is_closed_leaves_its_futures_alone() -> None:
    """A coroutine that is thrown away while it waits takes no future with it."""
    future = asyncio.get_running_loop().create_future()
    waiting = batchio.gather(future)
    waiting.send(None)
    waiting.close()
    assert not future.done()


async def test_an_error_that_is_thrown_into_a_gather_cancels_what_it_waits_for() -> None:
    """Whoever steps a gather by hand and throws into it ends its children as a cancellation does."""
    future = asyncio.get_running_loop().create_future()
    waiting = batchio.gather(future)
    waiting.send(None)
    with pytest.raises(asyncio.CancelledError):
        waiting.throw(ValueError("from outside"))
    assert future.cancelled()


async def test_an_empty_load_many_is_answered_at_once() -> None:
    """No keys, no batch."""
    with record() as recorded:
        assert Held().loader.load_many([]).result() == []
    assert recorded.events == []


async def test_a_load_after_a_drain_that_failed_its_queue_is_answered() -> None:
    """A caller whose queued load was failed by drain() may ask again at once: that load leaves with the next tick."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    async def client() -> int:
        try:
            return await fetch(1)
        except batchio.BatchAborted:
            return await fetch(2)

    async def spin() -> None:  # the loop is never idle, so that keys are still queued when drain gives up
        while True:
            await asyncio.sleep(0)

    busy = asyncio.create_task(spin())
    answers = set()
    for _ in range(3):
        asked = asyncio.create_task(client())
        await asyncio.sleep(0)
        await batchio.drain(0.0)
        answers.add(await asked)
    busy.cancel()
    assert 2 in answers


@pytest.mark.virtual
async def test_a_key_does_not_inherit_how_long_others_waited() -> None:
    """Where all that waited have gone away, the next key begins to wait by itself, though no slot was free meanwhile."""
    gate = asyncio.Event()

    @batchio.loader(limits=batchio.Limits(max_batch_size=3, max_in_flight=2))
    async def fetch(keys: list[int]) -> dict[int, int]:
        await gate.wait()
        return {key: key for key in keys}

    waited: dict[tuple[int, ...], float] = {}

    class Watch(batchio.Observer):
        def on_dispatch(self, event: Any) -> None:
            waited[event.keys] = event.waited

    with batchio.observe(Watch()):
        first = fetch(0)
        await asyncio.sleep(0.001)
        gone, second = fetch.load_many([10, 11, 12]), fetch(3)
        gone.cancel()
        await asyncio.sleep(5)
        late = fetch(4)
        gate.set()
        assert await batchio.gather(first, second, late) == (0, 3, 4)
    assert waited[(4,)] < 1.0
