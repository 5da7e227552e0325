"""gather of one coroutine among loads: it needs no task of its own, and nobody can tell but by counting tasks.

Rules:
- What a task would give it holds: a context of its own, errors by position, a cancellation that reaches everybody.
- Order in time is forced by events, and never by sleeping.
"""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from typing import Any

import pytest

import batchio

word: ContextVar[str] = ContextVar("word", default="unset")


def pending() -> asyncio.Future[Any]:
    """What a load is while it is under way."""
    return asyncio.Future(loop=asyncio.get_running_loop())


async def passes(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_runs_in_the_task_of_the_caller() -> None:
    """No task is made for it."""

    async def who() -> Any:
        await passes(1)
        return asyncio.current_task()

    load = pending()
    load.set_result(1)
    assert await batchio.gather(load, who()) == (1, asyncio.current_task())
    assert await batchio.gather(who()) == (asyncio.current_task(),)
    assert await batchio.gather([who(), load]) == [asyncio.current_task(), 1]


async def test_it_has_a_context_of_its_own_at_every_step() -> None:
    """What it sets is not seen by the caller, and lasts for it from step to step; it sees what the caller had set."""
    word.set("the caller's")

    async def sets() -> list[str]:
        seen = [word.get()]
        word.set("its own")
        await passes(2)
        return [*seen, word.get()]

    async def looks() -> str:
        await passes(1)
        return word.get()

    assert await batchio.gather(sets()) == (["the caller's", "its own"],)
    beside = asyncio.create_task(looks())
    assert word.get() == "the caller's"
    assert await beside == "the caller's"


async def test_its_context_holds_when_it_is_cancelled_or_fails() -> None:
    """Clean-up after an error sees what it had set."""
    seen = []

    async def fails(load: asyncio.Future[Any]) -> None:
        word.set("its own")
        try:
            await load
        finally:
            seen.append(word.get())

    load = pending()
    task = asyncio.create_task(batchio.gather(fails(load)))
    await passes()
    load.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await task
    task = asyncio.create_task(batchio.gather(fails(pending())))
    await passes()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["its own", "its own"]


@pytest.mark.parametrize("first", ["the load", "the coroutine"])
async def test_the_error_is_the_first_by_position_and_counts_the_others(first: str) -> None:
    """Whichever failed first in time."""

    async def fails() -> None:
        await passes(3)
        raise ValueError("the coroutine")

    load = pending()
    load.set_exception(KeyError("the load"))
    load._log_traceback = False
    aws = (load, fails()) if first == "the load" else (fails(), load)
    with pytest.raises((ValueError, KeyError), match=first) as caught:
        await batchio.gather(*aws)
    assert caught.value.__notes__ == ["the first of 2 errors in this gather, by position"]
    outcomes = await batchio.gather(load, fails(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [KeyError, ValueError]


async def test_an_error_does_not_come_before_the_loads_have_ended() -> None:
    """A gather waits for all its children, also when the coroutine failed at once."""

    async def fails() -> None:
        raise ValueError("at once")

    load = pending()
    task = asyncio.create_task(batchio.gather(fails(), load))
    await passes()
    assert not task.done()
    load.set_result(1)
    with pytest.raises(ValueError, match="at once"):
        await task


async def test_a_cancellation_reaches_the_coroutine_and_the_loads() -> None:
    """With the words of who cancelled."""
    load, inner = pending(), pending()

    async def waits() -> None:
        await inner

    task = asyncio.create_task(batchio.gather(load, waits()))
    await passes()
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert load.cancelled()
    assert inner.cancelled()


async def test_a_cancellation_that_it_swallows_is_passed_on_all_the_same() -> None:
    """A child that goes on after its cancellation does not save the caller from it, as no task of its own would."""
    load = pending()

    async def stubborn() -> str:
        try:
            await pending()
        except asyncio.CancelledError:
            return "I go on"
        return "nobody came"

    task = asyncio.create_task(batchio.gather(stubborn(), load))
    await passes()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert load.cancelled()


async def test_a_load_that_somebody_else_cancelled_cancels_nobody_else() -> None:
    """It is an error like others: the coroutine ends, and then it is raised."""
    load, inner = pending(), pending()
    ended = []

    async def waits() -> None:
        ended.append(await inner)

    task = asyncio.create_task(batchio.gather(load, waits()))
    await passes()
    load.cancel("not wanted")
    await passes()
    assert not task.done()
    inner.set_result(1)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [1]
    assert task.cancelled()


async def test_time_limits_and_task_groups_work_inside_it() -> None:
    """Both cancel the task that they are in, and mean themselves alone."""

    async def limited() -> str:
        try:
            async with asyncio.timeout(0):
                await pending()
        except TimeoutError:
            return "too late"
        return "in time"

    async def fails() -> None:
        raise ValueError("no")

    async def grouped() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await pending()
        except ExceptionGroup:
            return "a task failed"
        return "none failed"

    load = pending()
    asyncio.get_running_loop().call_soon(load.set_result, 1)
    assert await batchio.gather(load, limited()) == (1, "too late")
    assert await batchio.gather(grouped()) == ("a task failed",)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_it_is_closed_with_the_gather() -> None:
    """A gather that is thrown away while it waits runs the clean-up of what runs in it."""
    closed = []

    async def waits() -> None:
        try:
            await pending()
        finally:
            closed.append(True)

    waiting = batchio.gather(waits())
    waiting.send(None)
    waiting.close()
    assert closed == [True]


async def test_ten_thousand_of_them_in_each_other_do_not_break() -> None:
    """Each would be some frames on the stack of every step: beyond a few, they get tasks again."""

    async def level(n: int) -> int:
        await asyncio.sleep(0)
        return 0 if n == 0 else 1 + (await batchio.gather(level(n - 1)))[0]

    assert await level(10_000) == 10_000


async def test_a_failure_leaves_no_cycles() -> None:
    """What failed in place is freed when the last reference goes, without the garbage collector."""

    class Mine(Exception):
        alive = 0

        def __init__(self) -> None:
            Mine.alive += 1

        def __del__(self) -> None:
            Mine.alive -= 1

    async def fails() -> None:
        await passes(1)
        raise Mine

    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            with pytest.raises(Mine):
                await batchio.gather(fails())
        await passes()
        assert Mine.alive <= 1  # pytest's last
    finally:
        gc.enable()


async def test_what_ends_the_program_goes_through() -> None:
    """SystemExit is no child's error: it leaves by the caller at once."""

    async def leaves() -> None:
        raise SystemExit(3)

    gathering = batchio.gather(leaves(), pending())
    with pytest.raises(SystemExit):
        gathering.send(None)
