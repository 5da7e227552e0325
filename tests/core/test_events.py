"""What an observer is told, when, and what it costs."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import logging
import weakref
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest

import batchio
from batchio import Limits
from batchio._core import events
from batchio._core.events import BatchDispatched, BatchDone, KeyAnswered, Load


class Everything(batchio.Observer):
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_load(self, event: Load) -> None:
        self.events.append(event)

    def on_dispatch(self, event: BatchDispatched) -> None:
        self.events.append(event)

    def on_done(self, event: BatchDone) -> None:
        self.events.append(event)

    def on_answer(self, event: KeyAnswered) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


@batchio.loader(name="halves")
async def halves(keys: list[int], *, rest: bool = False) -> dict[int, float]:
    if 13 in keys:
        raise ValueError(13)
    return {key: key % 2 if rest else key / 2 for key in keys if key >= 0}


async def test_an_observer_is_told_of_each_load() -> None:
    """A load is told at the call, with its key, its parameters, and whether the scope had asked for it before."""
    observer = Everything()
    with batchio.observe(observer), batchio.scope():
        first = halves(1)
        assert observer.of(Load) == [Load("halves", 1, memo_hit=False, params={"rest": False})]
        halves(1)
        await first
        halves(1)
        await halves(1, rest=True)
    hits = [(event.memo_hit, event.params["rest"]) for event in observer.of(Load)]
    assert hits == [(False, False), (True, False), (True, False), (False, True)]


async def test_an_observer_is_told_of_each_key_of_a_load_many() -> None:
    """load_many is told as a load for each of its keys, whatever the memo has of them."""
    observer = Everything()
    with batchio.scope():
        halves.prime(1, 0.5)
        with batchio.observe(observer):
            await halves.load_many([1, 2])
            await halves.load_many([1, 2])
            halves.load_many([])
    told = [(event.key, event.memo_hit) for event in observer.of(Load)]
    assert told == [(1, True), (2, False), (1, True), (2, True)]


async def test_an_observer_is_told_of_each_batch() -> None:
    """A batch is told with its keys in order, all of its waiters, its parameters, and a number of its own."""
    observer = Everything()
    with batchio.observe(observer):
        await asyncio.gather(halves(2), halves(1), halves(2), halves.load_many([3, 1]), halves(1, rest=True))
    plain, rest = observer.of(BatchDispatched)
    assert (plain.loader, plain.keys, plain.waiters, plain.params) == ("halves", (2, 1, 3), 5, {"rest": False})
    assert (rest.keys, rest.waiters, rest.params) == ((1,), 1, {"rest": True})
    assert rest.batch == plain.batch + 1
    assert 0 <= plain.waited < 10


@pytest.mark.virtual
async def test_an_observer_is_told_how_long_things_took() -> None:
    """waited is the time of the oldest key in the queue and seconds the time from dispatch to the last answer."""

    @batchio.loader(limits=Limits(max_in_flight=1))
    async def slow(keys: list[int]) -> dict[int, int]:
        await asyncio.sleep(3)
        return {key: key for key in keys}

    observer = Everything()
    with batchio.observe(observer):
        first = slow(1)
        await asyncio.sleep(1)
        await asyncio.gather(first, slow(2))
    assert [event.waited for event in observer.of(BatchDispatched)] == pytest.approx([0, 2])
    assert [event.seconds for event in observer.of(BatchDone)] == pytest.approx([3, 3])


async def test_a_batch_says_that_it_left_because_the_loop_was_idle() -> None:
    """On a loop that shows its idleness the reason is "idle", and on one that does not it is "quiet"."""
    observer = Everything()
    with batchio.observe(observer):
        await halves(1)
    shows_idleness = hasattr(asyncio.get_running_loop(), "_ready")
    assert [event.reason for event in observer.of(BatchDispatched)] == ["idle" if shows_idleness else "quiet"]


async def test_a_batch_says_that_it_left_because_nothing_new_came() -> None:
    """Among tasks that spin, a few passes without a new key are the reason: "quiet"."""
    observer = Everything()

    @batchio.loader(limits=Limits(max_delay=1000.0))
    async def patient(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    with batchio.observe(observer):
        load = patient(1)
        while not load.done():
            await asyncio.sleep(0)
    assert [event.reason for event in observer.of(BatchDispatched)] == ["quiet"]


async def test_a_batch_says_that_it_left_because_its_oldest_key_had_waited_long() -> None:
    """When new keys keep coming, max_delay is the reason."""
    observer = Everything()

    @batchio.loader(limits=Limits(max_delay=0.0))
    async def hasty(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    with batchio.observe(observer):
        load = hasty(0)
        for key in range(1, 1000):
            hasty(key)
            await asyncio.sleep(0)
            if load.done():
                break
    assert observer.of(BatchDispatched)[0].reason == "max_delay"
    await batchio.drain()


async def test_an_observer_is_told_of_each_answer_and_of_the_end() -> None:
    """Each key is told with its error or None, then the batch with its error, and the numbers belong together."""
    observer = Everything()
    with batchio.observe(observer):
        await asyncio.gather(halves(1), halves(1), halves(-1), return_exceptions=True)
    batch = observer.of(BatchDispatched)[0].batch
    one, missing = observer.of(KeyAnswered)
    assert one == KeyAnswered("halves", batch, 1, error=None)
    assert (missing.key, type(missing.error)) == (-1, batchio.KeyNotFound)
    (done,) = observer.of(BatchDone)
    assert (done.loader, done.batch, done.error) == ("halves", batch, None)
    assert observer.events[-1] is done


@pytest.mark.parametrize("many", [False, True], ids=["load", "load_many"])
async def test_an_observer_is_told_why_a_batch_failed(many: bool) -> None:
    """A batch that failed as a whole is told with its error, and so is each of its keys."""
    observer = Everything()
    with batchio.observe(observer), pytest.raises(ValueError, match="13"):
        await (halves.load_many([13]) if many else halves(13))
    assert [type(event.error) for event in observer.of(KeyAnswered)] == [ValueError]
    assert [type(event.error) for event in observer.of(BatchDone)] == [ValueError]


async def test_an_observer_is_told_of_a_load_many_key_by_key() -> None:
    """A load_many that has its batch to itself is told as any other: a load and an answer for each key."""
    observer = Everything()
    with batchio.observe(observer):
        await halves.load_many([1, 2, 1])
    assert [event.key for event in observer.of(KeyAnswered)] == [1, 2]


async def test_a_batch_that_timed_out_is_told_once() -> None:
    """The end of a batch is told when its waiters are answered, and not again when its task ends."""

    @batchio.loader(limits=Limits(timeout=0.001))
    async def never(keys: list[int]) -> dict[int, int]:
        await asyncio.Event().wait()
        return {}

    observer = Everything()
    with batchio.observe(observer):
        with pytest.raises(batchio.BatchTimeout):
            await never(1)
        await batchio.drain()
    assert [type(event.error) for event in observer.of(BatchDone)] == [batchio.BatchTimeout]


# --- listening ----------------------------------------------------------------------------------------------------


def lists() -> dict[str, list[Any]]:
    return {name: list(hooks) for name, hooks in events.HOOKS.items()}


NOBODY: dict[str, list[Any]] = {"on_load": [], "on_dispatch": [], "on_done": [], "on_answer": []}


def test_nothing_is_paid_when_nobody_listens() -> None:
    """Hook lists are empty before and after, and a hook that an observer lacks or does not override is in none."""

    class Loads(batchio.Observer):
        def on_load(self, event: Load) -> None:
            raise NotImplementedError

    assert lists() == NOBODY
    with batchio.observe(batchio.Observer()):
        assert lists() == NOBODY
    with batchio.observe(Loads()):
        assert {name: len(hooks) for name, hooks in lists().items() if hooks} == {"on_load": 1}
    assert lists() == NOBODY


async def test_no_event_is_made_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an observer the machine makes no event at all."""
    for kind in (Load, BatchDispatched, BatchDone, KeyAnswered):
        monkeypatch.setattr(events, kind.__name__, None)
    assert await asyncio.gather(halves(1), halves.load_many([1, 2])) == [0.5, [0.5, 1.0]]


async def test_any_object_with_a_hook_may_listen() -> None:
    """An observer need not be an Observer; of what it does not have it is not told."""

    told: list[Any] = []
    with batchio.observe(SimpleNamespace(on_done=told.append)):
        await halves(1)
    assert [type(event) for event in told] == [BatchDone]


def test_an_object_without_a_hook_is_refused() -> None:
    """Whoever has none of the four hooks cannot have been meant."""
    with pytest.raises(
        TypeError, match="observe: object has none of the hooks on_load, on_dispatch, on_done, on_answer"
    ):
        batchio.observe(object())


async def test_listening_ends_at_close_and_closing_twice_is_no_error() -> None:
    """After close an observer is told nothing, and is free."""
    observer = Everything()
    subscription = batchio.observe(observer)
    await halves(1)
    subscription.close()
    subscription.close()
    count = len(observer.events)
    await halves(2)
    assert len(observer.events) == count
    gone = weakref.ref(observer)
    del observer, subscription
    gc.collect()
    assert gone() is None


async def test_a_subscription_that_is_closed_twice_ends_no_other() -> None:
    """The same observer may listen twice; closing one subscription again leaves the other."""
    observer = Everything()
    once, again = batchio.observe(observer), batchio.observe(observer)
    once.close()
    once.close()
    await halves(1)
    again.close()
    assert len(observer.of(BatchDone)) == 1
    assert lists() == NOBODY


async def test_an_observer_that_raises_is_logged_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """The load is answered, the log names the observer, and neither that observer nor any other breaks another load."""

    class Broken(Everything):
        def on_dispatch(self, event: BatchDispatched) -> None:
            super().on_dispatch(event)
            raise ZeroDivisionError

    broken, sound = Broken(), Everything()
    with batchio.observe(broken), batchio.observe(sound), caplog.at_level(logging.ERROR, "batchio"):
        assert await halves(1) == 0.5
        told = len(broken.events)
        assert await halves(1) == 0.5
    (record,) = caplog.records
    assert "raised and was dropped" in record.getMessage()
    assert "Broken" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert len(broken.events) == told, "a dropped observer is told nothing more"
    assert len(sound.of(BatchDispatched)) == 2


@pytest.mark.parametrize("hook", ["on_load", "on_dispatch", "on_done", "on_answer"])
async def test_an_observer_that_raises_in_any_hook_breaks_no_load(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whichever hook raises, everyone is answered."""

    def raising(event: Any) -> None:
        raise RuntimeError(hook)

    with batchio.observe(SimpleNamespace(**{hook: raising})):
        assert await asyncio.gather(halves(1), halves.load_many([2])) == [0.5, [1.0]]
        with pytest.raises(batchio.KeyNotFound):
            await halves(-1)
    assert len(caplog.records) == 1


async def test_an_observer_may_stop_listening_while_it_is_told() -> None:
    """An observer that closes its own subscription skips no other one."""
    heard: list[str] = []

    class Once(batchio.Observer):
        def on_done(self, event: BatchDone) -> None:
            heard.append("once")
            subscription.close()

    class Always(batchio.Observer):
        def on_done(self, event: BatchDone) -> None:
            heard.append("always")

    subscription = batchio.observe(Once())
    with batchio.observe(Always()):
        await halves(1)
        await halves(1)
    assert heard == ["once", "always", "always"]


async def test_an_observer_of_batches_runs_in_no_requests_context() -> None:
    """A batch is nobody's in particular: what an observer reads when it leaves or ends is no request's variable."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: set[str] = set()

    class Peeking(batchio.Observer):
        def on_dispatch(self, event: BatchDispatched) -> None:
            seen.add(user.get())

        def on_done(self, event: BatchDone) -> None:
            seen.add(user.get())

    async def request(name: str) -> None:
        user.set(name)
        await halves(1)

    with batchio.observe(Peeking()):
        await asyncio.gather(*(asyncio.create_task(request(name)) for name in ("ada", "bob")))
    assert seen == {"nobody"}


def test_events_are_frozen_facts() -> None:
    """An observer cannot change what the next one is told, nor reach the machine through it."""
    event = Load("users", 1, memo_hit=True, params={})
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.key = 2  # type: ignore[misc]
    observer = batchio.Observer()
    assert observer.on_load(event) is None
    assert observer.on_dispatch(BatchDispatched("users", 1, (1,), 1, "idle", 0.0, {})) is None
    assert observer.on_done(BatchDone("users", 1, 0.0, None)) is None
    assert observer.on_answer(KeyAnswered("users", 1, 1, None)) is None
