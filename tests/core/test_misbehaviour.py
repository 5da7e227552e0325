"""Keys, exceptions, observers and batch functions that misbehave: everyone is answered, and nothing is kept."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import pytest

import batchio
from batchio import Limits
from batchio._core.batch import Several, give_up
from batchio._core.tick import ATTRIBUTE

request: ContextVar[Any] = ContextVar("request", default=None)


class Thing:
    """Something whose end can be watched."""


class Touchy:
    """A key that hashes like all of its kind, and whose comparison raises when it is told to."""

    raises = False

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        if Touchy.raises:
            raise RuntimeError("do not compare me")
        return isinstance(other, Touchy) and other.number == self.number


@pytest.fixture
def touchy() -> Any:
    """Keys that can be made to raise; they behave again after the test."""
    yield Touchy
    Touchy.raises = False


async def answers(*loads: asyncio.Future[Any]) -> list[Any]:
    """What each load came to; a load that hangs is a TimeoutError of the test."""
    async with asyncio.timeout(10):
        return await asyncio.gather(*loads, return_exceptions=True)


async def test_a_full_queue_is_swept_before_a_load_many_looks_into_it() -> None:
    """A key whose only load was cancelled is dropped to make room, and the load_many that wants it queues it anew."""

    @batchio.loader(limits=Limits(max_queued=4))
    async def same(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    with batchio.scope():
        same(1).cancel()
        two, three = same(2), same(3)
        assert await same.load_many([1, 4]) == [1, 4]
        assert await answers(two, three) == [2, 3]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exit_in_a_batch_function_is_passed_on_and_reported_once(
    error: type[BaseException], loop_errors: list[str]
) -> None:
    """The loop's owner gets it; the loop does not report it as never retrieved too."""

    @batchio.loader
    async def leave(keys: list[int]) -> dict[int, int]:
        raise error

    async def main() -> None:
        await leave(1)

    with pytest.raises(error):
        asyncio.run(main())
    gc.collect()
    assert loop_errors == []


async def test_a_timeout_of_less_than_a_loops_clock_step_holds_up_no_other_batch() -> None:
    """Half a millisecond is a timeout like any other, also where the loop's timers are coarser."""

    @batchio.loader(limits=Limits(timeout=0.0004))
    async def never(keys: list[int]) -> dict[int, int]:
        await asyncio.sleep(1000)
        return {}

    @batchio.loader
    async def same(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    late, fine = await answers(never(1), same(1))
    assert (type(late), fine) == (batchio.BatchTimeout, 1)


class Falsy(Exception):
    def __len__(self) -> int:
        return 0


class Boolless(Exception):
    def __bool__(self) -> bool:
        raise RuntimeError("neither true nor false")


@pytest.mark.parametrize("kind", [Falsy, Boolless])
async def test_an_exception_that_is_false_is_copied_like_any_other(kind: type[Exception]) -> None:
    """The truth of an exception is nobody's business, in a loader or in a gather."""

    @batchio.loader
    async def fail(keys: list[int]) -> dict[int, int]:
        raise kind("no")

    assert [type(error) for error in await answers(fail(1), fail(1), fail.load_many([1, 2]))] == [kind] * 3
    (error,) = await batchio.gather(fail(1), return_exceptions=True)
    assert type(error) is kind


@pytest.mark.parametrize("many", [False, True], ids=["load", "load_many"])
async def test_keys_that_cannot_be_compared_at_the_answer_still_get_one(touchy: Any, many: bool) -> None:
    """A comparison that raises while answers are given out is an error for the waiters, and no hang."""

    @batchio.loader
    async def same(keys: list[Any]) -> dict[Any, int]:
        values = {touchy(key.number): key.number for key in keys}
        touchy.raises = True
        return values

    with batchio.scope():
        keys = [touchy(1), touchy(2)]
        loads = [same.load_many(keys)] if many else [same(key) for key in keys]
        told = await answers(*loads)
    assert [type(answer) for answer in told] == [batchio.BatchAborted] * len(loads)


async def test_keys_that_cannot_be_compared_when_they_leave_hold_up_no_other_loader(touchy: Any) -> None:
    """A queue that cannot be cut fails its own keys; loaders that leave in the same tick are served."""

    @batchio.loader(limits=Limits(max_batch_size=2))
    async def same(keys: list[Any]) -> dict[Any, int]:
        return {key: key.number for key in keys}

    @batchio.loader
    async def other(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    with batchio.scope():
        before = other(1)
        loads = [same(touchy(number)) for number in range(6)]
        after = other.load_many([8, 9])
        touchy.raises = True
        told = await answers(before, after, *loads)
    assert told[:2] == [1, [8, 9]]
    assert all(isinstance(answer, (int, Exception)) for answer in told[2:])
    dispatcher = getattr(asyncio.get_running_loop(), ATTRIBUTE)
    assert [queue.queued for queue in dispatcher.queues.values()] in ([], [0])


async def test_the_last_resort_answers_those_who_wait_and_nobody_twice() -> None:
    """When keys cannot be looked up any more, whoever has no answer gets an error of its own."""
    loop = asyncio.get_running_loop()
    done, open_, another = (loop.create_future() for _ in range(3))
    done.set_result(1)
    give_up([Several((done, open_)), another], error := ValueError("lost"))
    assert done.result() == 1
    assert [type(future.exception()) for future in (open_, another)] == [ValueError] * 2
    assert open_.exception() is not another.exception()
    assert error not in (open_.exception(), another.exception())


async def test_an_observer_whose_hook_raises_cancelled_error_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """It is an error of the hook like any other, and the load goes on."""

    class Asks(batchio.Observer):
        def on_load(self, event: Any) -> None:
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            gone.result()

    @batchio.loader
    async def same(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    with batchio.observe(Asks()):
        assert await answers(same(1), same(2)) == [1, 2]
    assert "was dropped" in caplog.text


async def test_a_memo_ends_with_its_scope_though_a_batch_of_its_goes_on() -> None:
    """What a stream has answered already is freed with the request, not with the rest of the batch."""
    go = asyncio.Event()

    @batchio.loader
    async def stream(keys: list[int]) -> AsyncIterator[tuple[int, Thing]]:
        yield keys[0], Thing()
        await go.wait()
        for key in keys[1:]:
            yield key, Thing()

    with batchio.scope():
        first, second = stream(1), stream(2)
        thing = weakref.ref(await first)
        del first
    await asyncio.sleep(0)  # the loop holds the future of the wake-up that it is in
    gc.collect()
    assert thing() is None
    go.set()
    await second


async def test_an_isolated_context_ends_with_its_batches_though_keys_were_dropped() -> None:
    """A group that was cut in parts, and whose rest nobody wanted, keeps no request's context."""

    class Viewer:
        """Somebody whose end can be watched."""

    seen = []

    @batchio.loader(isolated=True, limits=Limits(max_batch_size=1, max_in_flight=1))
    async def peek(keys: list[int]) -> dict[int, str]:
        seen.append(type(request.get()).__name__)
        return dict.fromkeys(keys, "seen")

    async def handle() -> weakref.ref[Any]:
        viewer = Viewer()
        request.set(viewer)
        with batchio.scope():
            one, two = peek(1), peek(2)
            two.cancel()
            await one
        return weakref.ref(viewer)

    viewer = await asyncio.create_task(handle())
    await batchio.drain()
    gc.collect()
    assert (seen, viewer()) == (["Viewer"], None)


@pytest.mark.virtual
async def test_a_batch_whose_time_is_over_takes_no_more_leases() -> None:
    """A batch function that swallows its cancellation, while others fill the rest, leaves no lease behind."""
    cache = batchio.MemoryCache(clock=asyncio.get_running_loop().time)
    stranger = cache.bind("other", int, 0)
    del stranger

    @batchio.loader(name="stubborn", cache=cache, limits=Limits(timeout=1.0))
    async def stubborn(keys: list[int]) -> dict[int, int]:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return {}
        return {}

    first = stubborn(1)  # its batch holds the lease of 1
    await asyncio.sleep(0.5)
    second = stubborn.load_many([1, 2])  # waits for the filler of 1, and fetches 2
    told = await answers(first, second)
    assert [type(error) for error in told] == [batchio.BatchTimeout] * 2
    await asyncio.sleep(5.0)
    assert "0 leases" in repr(cache)
