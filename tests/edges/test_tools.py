"""The tools over async functions: asyncio's tasks underneath, no more batches than needed, and nobody's errors but one's own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from typing import Any

import pytest

import batchio
from batchio import tools


async def truth(x: Any) -> bool:
    return bool(x)


async def size(x: Any) -> int:
    return len(x)


# --- map, filter, sort ------------------------------------------------------------------------------------------------


async def test_all_calls_are_made_before_the_first_is_awaited() -> None:
    """So the loads of all items leave in one batch, through each of the tools."""
    asked: list[list[int]] = []

    @batchio.loader(memo=False)
    async def double(keys: list[int]) -> dict[int, int]:
        asked.append(keys)
        return {key: key * 2 for key in keys}

    async def key(x: int) -> int:
        return await double(x)

    await tools.amap(key, [1, 2])
    await tools.afilter(key, [1, 2])
    await tools.afilterfalse(key, [1, 2])
    await tools.asift(key, [1, 2])
    await tools.asorted([1, 2], key=key)
    await tools.amax([1, 2], key=key)
    await tools.amin([1, 2], key=key)
    assert asked == [[1, 2]] * 7


async def test_they_take_generators_and_nothing() -> None:
    """And give lists."""
    assert await tools.amap(truth, iter([0, 1])) == [False, True]
    assert await tools.afilter(truth, iter([0, 1, 2])) == [1, 2]
    assert await tools.afilter(None, iter([0, 1, 2])) == [1, 2]
    assert await tools.afilterfalse(truth, iter([0, 1])) == [0]
    assert await tools.asift(truth, iter([])) == ([], [])
    assert await tools.asorted(["bb", "a", "cc"], key=size, reverse=True) == sorted(
        ["bb", "a", "cc"], key=len, reverse=True
    )
    assert await tools.asorted(iter([2, 1])) == [1, 2]
    assert await tools.amax("a", "bb", "cc", key=size) == "bb"
    assert await tools.amin(iter(["aa", "b", "c"]), key=size) == "b"


@pytest.mark.parametrize("choose", [tools.amax, tools.amin])
async def test_the_extreme_of_nothing_is_an_error(choose: Any) -> None:
    """The same kinds as max and min have."""
    with pytest.raises(ValueError, match="nothing to choose from"):
        await choose([])
    with pytest.raises(TypeError, match="at least 1 argument"):
        await choose(key=size)


# --- single flight ----------------------------------------------------------------------------------------------------


class Gate:
    """A function that counts its calls and waits until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.open = asyncio.Event()

    async def __call__(self, x: int = 1, *, y: int = 2) -> int:
        self.calls += 1
        await self.open.wait()
        return self.calls


async def test_calls_with_the_same_arguments_wait_for_one() -> None:
    """However they are spelled; and once it has ended, the next call is a new one."""
    gate = Gate()

    @tools.deduplicate()
    async def once(x: int = 1, *, y: int = 2) -> int:
        return await gate(x, y=y)

    calls = asyncio.gather(once(), once(1), once(x=1, y=2), once(1, y=3))
    await asyncio.sleep(0)
    gate.open.set()
    assert len(set((await calls)[:3])) == 1
    assert gate.calls == 2
    await once()
    assert gate.calls == 3


async def test_a_call_that_is_cancelled_takes_nobody_with_it() -> None:
    """The others still get their answer."""
    gate = Gate()

    @tools.deduplicate()
    async def once() -> int:
        return await gate()

    first, second = asyncio.create_task(once()), asyncio.create_task(once())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    gate.open.set()
    assert await second == 1
    assert gate.calls == 1
    assert (await asyncio.gather(first, return_exceptions=True))[0].__class__ is asyncio.CancelledError


async def test_within_itself_a_call_waits_for_nobody() -> None:
    """A function that comes back to itself with the same arguments would wait for ever."""
    depth: list[int] = []

    @tools.deduplicate()
    async def again() -> int:
        depth.append(1)
        return len(depth) if len(depth) == 3 else await batchio.gather([again()]) and len(depth)

    assert await again() == 3


async def test_a_task_that_a_call_began_shares_calls_once_that_one_has_ended() -> None:
    """What goes on after its own flight is nobody's inside any more: three calls at once make one."""
    made: list[int] = []
    left: list[asyncio.Task[Any]] = []
    go = asyncio.Event()

    @tools.deduplicate()
    async def fetch(key: int) -> None:
        made.append(key)
        if not left:
            left.append(asyncio.create_task(afterwards()))
        await asyncio.sleep(0)

    async def afterwards() -> None:
        await go.wait()
        await batchio.gather(fetch(1), fetch(1), fetch(1))

    await fetch(1)
    go.set()
    await left[0]
    assert made == [1, 1]


async def test_a_dirty_call_is_made_anew() -> None:
    """Though the one before it is under way."""
    gate = Gate()

    @tools.deduplicate(lambda args, kwargs: args[0])
    async def once(x: int) -> int:
        return await gate(x)

    first = asyncio.create_task(once(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    once.dirty(1)
    second = asyncio.create_task(once(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, second)
    assert gate.calls == 2


async def test_a_constant_is_fetched_once_until_it_is_dirty() -> None:
    """By however many at once. A fetch that was under way when it became dirty is not remembered."""
    gate = Gate()
    constant = tools.alazy_constant()(gate.__call__)
    calls = [asyncio.create_task(constant()) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    constant.dirty()
    gate.open.set()
    await asyncio.gather(*calls)
    assert gate.calls == 1
    assert await asyncio.gather(constant(), constant()) == [2, 2]
    assert await constant() == 2


async def test_a_constant_lasts_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is fetched again then."""
    now = 100.0
    monkeypatch.setattr("batchio._caches.time.monotonic", lambda: now)
    calls: list[int] = []

    @tools.alazy_constant(ttl=10)
    async def constant() -> int:
        calls.append(1)
        return len(calls)

    assert (await constant(), await constant()) == (1, 1)
    now = 109.9
    assert await constant() == 1
    now = 110.0
    assert await constant() == 2


async def test_results_of_an_instance_go_with_it() -> None:
    """Instances need not be hashable; concurrent calls make one; errors are not remembered."""

    class Thing:
        __hash__ = None  # type: ignore[assignment]

        def __init__(self) -> None:
            self.calls = 0

        @tools.acached_per_instance()
        async def value(self, x: int = 0) -> int:
            self.calls += 1
            if x < 0:
                raise ValueError(x)
            return x

    thing = Thing()
    assert await asyncio.gather(thing.value(1), thing.value(x=1), thing.value()) == [1, 1, 0]
    assert thing.calls == 2
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            await thing.value(-1)
    assert thing.calls == 4
    cache = Thing.value.__acached_per_instance_cache__  # type: ignore[attr-defined]
    assert len(cache) == 1
    del thing
    await asyncio.sleep(0)  # a task holds what was thrown into it until its step has ended
    gc.collect()
    assert not cache


# --- plain code -------------------------------------------------------------------------------------------------------


def test_plain_code_has_one_loop_for_all_its_calls() -> None:
    """What belongs to a loop outlives one call; another thread has another loop."""

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    others: list[Any] = []
    thread = threading.Thread(target=lambda: others.append(tools.run_sync(loop())))
    thread.start()
    thread.join()
    assert tools.run_sync(loop()) is tools.run_sync(loop())
    assert others[0] is not tools.run_sync(loop())


async def test_inside_a_running_loop_plain_code_still_gets_its_answer() -> None:
    """Errors come out as they are; context variables go in."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    variable.set(7)

    async def read() -> int:
        return variable.get()

    async def bad() -> None:
        raise KeyError("bad")

    assert tools.run_sync(read()) == 7
    with pytest.raises(KeyError):
        tools.run_sync(bad())


def test_an_error_from_plain_code_has_no_context_of_ours() -> None:
    """What the function raised is all that a traceback shows: no "during handling of another exception"."""

    async def bad() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        tools.run_sync(bad())
    assert caught.value.__context__ is None


# --- values and contexts that belong to a piece of work ---------------------------------------------------------------


async def test_a_scoped_value_is_seen_by_the_tasks_made_inside() -> None:
    """And by no sibling; `set` outside of any override is for everybody."""
    value = tools.AsyncScopedValue("a")

    async def read() -> str:
        await asyncio.sleep(0)
        return value()

    async def overridden(to: str) -> Any:
        with value.override(to):
            inside = await batchio.gather(read(), read())
            value.set(to + "!")
            return inside, value.get()

    assert await batchio.gather(overridden("b"), overridden("c"), read()) == (
        (("b", "b"), "b!"),
        (("c", "c"), "c!"),
        "a",
    )
    value.set("d")
    assert (value.get(), str(value), repr(value)) == ("d", "AsyncScopedValue(d)", "AsyncScopedValue('d')")


async def test_one_branch_may_run_in_a_context() -> None:
    """The others do not see it."""
    value = tools.AsyncScopedValue("a")

    async def read() -> str:
        await asyncio.sleep(0)
        return value.get()

    assert await batchio.gather(tools.call_with_context(value.override("b"), read), read()) == ("b", "a")
