"""What migrated code leans on: asynq's names on asyncio, with asynq's answers and no more batches than asynq."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, ClassVar

import pytest

import batchio
from batchio.compat import asynq
from batchio.tools import call_with_context, run_sync


async def truth(x: Any) -> bool:
    return bool(x)


class Gate:
    """A function that waits until it is let go."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self) -> None:
        await self.open.wait()


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_unwrap_waits_for_what_asynq_could_yield() -> None:
    """An awaitable, a container of them, or None; anything else is an error."""
    assert await asynq.unwrap(truth(1)) is True
    assert await asynq.unwrap({"a": [truth(1), None], "b": (truth(0),)}) == {"a": [True, None], "b": (False,)}
    assert await asynq.unwrap(None) is None
    with pytest.raises(TypeError, match="not a int"):
        await asynq.unwrap(1)


async def test_async_call_takes_either_kind_of_function() -> None:
    """And passes arguments on, whatever their names."""

    async def either(function: int, *, args: int) -> tuple[int, int]:
        return function, args

    assert await asynq.async_call(either, function=1, args=2) == (1, 2)
    assert await asynq.async_call(divmod, 5, 3) == (1, 2)


async def test_as_async_makes_functions_async_and_leaves_all_else() -> None:
    """Methods of either kind keep theirs."""

    class A:
        plain = asynq.as_async(lambda self: 1)
        of_class = asynq.as_async(classmethod(lambda cls: cls))
        static = asynq.as_async(staticmethod(lambda: 3))

    assert (await A().plain(), await A.of_class(), await A.static()) == (1, A, 3)
    assert asynq.as_async(truth) is truth
    assert asynq.as_async("text") == "text"
    assert asynq.as_async(int) is int


def test_a_function_with_two_bodies_chooses_by_who_began() -> None:
    """Plain code gets the one that asynq would have run, asyncio its own."""

    async def natively() -> str:
        return "asyncio"

    @asynq.twin(natively)
    async def either() -> str:
        return "plain"

    assert (run_sync(either()), asyncio.run(either())) == ("plain", "asyncio")


async def test_an_async_hook_calls_all_its_handlers() -> None:
    """Also when one of them raises: its error comes when all are through."""
    calls: list[str] = []

    async def bad() -> None:
        raise ValueError("bad")

    hook = asynq.AsyncEventHook([bad])
    hook.subscribe(lambda: calls.append("plain"))
    hook.subscribe(truth)
    hook.unsubscribe(truth)
    assert len(hook) == 2
    with pytest.raises(ValueError, match="bad"):
        await hook.safe_trigger()
    assert calls == ["plain"]


async def test_the_first_of_a_generator_leaves_the_rest() -> None:
    """Whoever asks again gets what follows."""

    async def numbers() -> Any:
        for number in range(4):
            yield number

    generator = numbers()
    assert await asynq.take_first(generator, 1) == [0]
    assert await asynq.list_of_generator(generator) == [1, 2, 3]
    assert await asynq.take_first(generator, 1) == []


async def test_the_stack_has_everybody_who_waits() -> None:
    """Through awaits, tasks and gathers, outermost first."""
    told: list[str] = []

    async def level1() -> None:
        await asyncio.sleep(0)  # the levels above wait by now
        told.extend(asynq.format_stack())

    async def level2() -> None:
        await level1()

    async def level3() -> None:
        await batchio.gather(level2(), truth(1))

    async def root() -> None:
        await asyncio.create_task(level3())

    await root()
    names = [name for name in ("root", "level3", "level2", "level1") if any(f"in {name}\n" in line for line in told)]
    assert names == ["root", "level3", "level2", "level1"]
    text = "".join(told)
    assert sorted(names, key=lambda name: text.index(f"in {name}\n")) == names


def test_the_stack_of_plain_code_is_a_plain_one() -> None:
    """Nobody waits for it."""
    assert "test_the_stack_of_plain_code" in "".join(asynq.format_stack())


# --- awaitables with asynq's face -------------------------------------------------------------------------------------


async def test_a_task_runs_once_however_often_it_is_awaited() -> None:
    """And not before."""
    calls: list[int] = []

    async def work() -> int:
        calls.append(1)
        return len(calls)

    task = asynq.task(work())
    assert not task.is_computed()
    assert calls == []
    assert (await task, await task) == (1, 1)
    assert await task == task.value() == task() == 1
    assert task.error() is None


def test_a_task_that_nobody_awaits_never_runs() -> None:
    """And nobody is told: asynq's tasks were like that."""
    asynq.task(truth(1))
    gc.collect()  # a warning would fail the test


async def test_a_tasks_waiters_are_strangers() -> None:
    """One that is cancelled leaves it to the others; the last one takes it along."""
    gate = Gate()
    task = asynq.task(gate())

    async def wait() -> Any:
        return await task

    first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not task.is_computed()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await asyncio.sleep(0)
    assert task.is_computed()


async def test_recursion_through_tasks_is_deep_and_ends() -> None:
    """10,000 levels work; recursion without end raises."""

    async def total(n: int) -> int:
        return n and n + await asynq.task(total(n - 1))

    async def endless() -> None:
        await asynq.task(endless())

    assert await total(10_000) == 10_000 * 10_001 // 2
    with pytest.raises(RecursionError):
        await endless()


def test_ready_values_are_awaitables() -> None:
    """Or errors."""
    assert run_sync(asynq.ConstFuture(1)) == asynq.ConstFuture(1).value() == 1
    error = KeyError("no")
    assert asynq.ErrorFuture(error).error() is error
    with pytest.raises(KeyError):
        run_sync(asynq.ErrorFuture(error))


# --- batches ----------------------------------------------------------------------------------------------------------


class Batch(asynq.BatchBase):
    """Doubles numbers, and keeps a record."""

    current: Batch
    flushed: list[list[int]]

    def _try_switch_active_batch(self) -> None:
        if Batch.current is self:
            Batch.current = Batch()

    def _flush(self) -> None:
        Batch.flushed.append([item.key for item in self.items])
        for item in self.items:
            if item.key < 0:
                raise ValueError(item.key)
            if item.key:
                item.set_value(item.key * 2)


class Item(asynq.BatchItemBase):
    """A number to be doubled."""

    def __init__(self, key: int) -> None:
        super().__init__(Batch.current)
        self.key = key


@pytest.fixture
def batches() -> list[list[int]]:
    Batch.current = Batch()
    Batch.flushed = []
    return Batch.flushed


async def test_items_leave_in_one_batch_when_all_have_run_as_far_as_they_can(batches: list[list[int]]) -> None:
    """At whatever depth they are awaited, wave by wave; one that is merely made rides along."""

    async def deep(depth: int, key: int) -> Any:
        if depth:
            return (await batchio.gather(deep(depth - 1, key)))[0]
        return await Item(await Item(key))

    spare = Item(9)
    assert await batchio.gather(*(deep(depth, depth + 1) for depth in range(4))) == (4, 8, 12, 16)
    assert sorted(map(sorted, batches)) == [[1, 2, 3, 4, 9], [2, 4, 6, 8]]
    assert spare.value() == 18


async def test_an_item_without_a_value_fails_and_so_do_those_of_a_flush_that_raises(batches: list[list[int]]) -> None:
    """What has its value keeps it."""
    items = [Item(1), Item(0), Item(2)]
    assert [await item for item in (items[0], items[2])] == [2, 4]
    with pytest.raises(AssertionError, match="wasn't set"):
        await items[1]
    items = [Item(1), Item(-1), Item(2)]
    assert await items[0] == 2
    for item in items[1:]:
        with pytest.raises(ValueError, match="-1"):
            await item


async def test_a_cancelled_batch_fails_its_items(batches: list[list[int]]) -> None:
    """And is never flushed."""
    item = Item(1)
    item.batch.cancel()
    assert item.batch.is_cancelled()
    with pytest.raises(asynq.BatchCancelledError):
        await item
    assert batches == []
    with pytest.raises(asynq.BatchingError):
        item.batch.flush()


async def test_the_batch_of_the_higher_priority_is_flushed_first() -> None:
    """The larger one, where nobody says otherwise."""
    order: list[str] = []

    class Named(asynq.BatchBase):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def _try_switch_active_batch(self) -> None:
            pass

        def _flush(self) -> None:
            order.append(self.name)
            for item in self.items:
                item.set_value(None)

    small, large = Named("small"), Named("large")
    await batchio.gather(*(asynq.BatchItemBase(batch) for batch in (small, large, large)))
    assert order == ["large", "small"]


# --- contexts ---------------------------------------------------------------------------------------------------------


class Recorded(asynq.AsyncContext):
    """A context that writes down what is done to it."""

    active: ClassVar[set[str]] = set()

    def __init__(self, name: str) -> None:
        self.name = name

    def resume(self) -> None:
        assert self.name not in self.active
        self.active.add(self.name)

    def pause(self) -> None:
        self.active.remove(self.name)


async def test_a_context_is_paused_while_others_run() -> None:
    """Each function sees its own contexts, and those of the functions that wait for it; siblings see none of them."""

    @asynq.pausing
    async def child(name: str) -> set[str]:
        await asyncio.sleep(0)
        return {name, *Recorded.active}

    @asynq.pausing
    async def parent(name: str) -> Any:
        with Recorded(name):
            inline = await child("inline")
            with Recorded(name + "+"):
                return inline, await batchio.gather(child("a"), child("b")), set(Recorded.active)

    (left, right) = await batchio.gather(parent("l"), parent("r"))
    assert left == ({"inline", "l"}, ({"a", "l", "l+"}, {"b", "l", "l+"}), {"l", "l+"})
    assert right == ({"inline", "r"}, ({"a", "r", "r+"}, {"b", "r", "r+"}), {"r", "r+"})
    assert Recorded.active == set()


async def test_errors_of_pause_and_resume_are_the_functions() -> None:
    """Contexts outside of it are released."""

    class Bad(asynq.AsyncContext):
        def __init__(self, when: str) -> None:
            self.when, self.resumed = when, 0

        def resume(self) -> None:
            self.resumed += 1
            if self.when == "resume" and self.resumed == 2:
                raise KeyError("resume")

        def pause(self) -> None:
            if self.when == "pause":
                raise KeyError("pause")

    @asynq.pausing
    async def work(when: str) -> None:
        with Recorded("outside"), Bad(when):
            await asyncio.sleep(0)

    for when in ("pause", "resume"):
        with pytest.raises(KeyError, match=when):
            await work(when)
        assert Recorded.active == set()


async def test_a_cancelled_function_leaves_its_contexts() -> None:
    """As it would leave any other."""

    @asynq.pausing
    async def work() -> None:
        with Recorded("work"):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    assert Recorded.active == set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Recorded.active == set()


async def test_nobody_may_wait_in_a_context_that_is_not_for_it() -> None:
    """Who does is told at the end of the block."""
    with asynq.NonAsyncContext():
        await asynq.ConstFuture(1)  # no turn of the loop
    with pytest.raises(AssertionError, match="waited"), asynq.NonAsyncContext():  # noqa: PT012
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_an_attribute_is_overridden_for_its_block() -> None:
    """Also when the block raises."""

    class A:
        x = 1

    with pytest.raises(KeyError), asynq.async_override(A, "x", 2):  # noqa: PT012
        assert A.x == 2
        raise KeyError
    assert A.x == 1


def test_a_timer_counts_microseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all its blocks."""
    now = iter([0, 5_000, 10_000, 12_000])
    monkeypatch.setattr("batchio.compat._asynq_contexts.time.perf_counter_ns", lambda: next(now))
    timer = asynq.AsyncTimer()
    with timer:
        pass
    with timer:
        pass
    assert timer.total_time == 7


async def test_one_branch_may_run_in_a_context() -> None:
    """The others do not see it."""

    @asynq.pausing
    async def read() -> set[str]:
        await asyncio.sleep(0)
        return set(Recorded.active)

    assert await batchio.gather(asynq.pausing(call_with_context)(Recorded("one"), read), read()) == ({"one"}, set())


def test_a_decorated_function_looks_like_the_one_inside() -> None:
    """With asynq's name for the decorator."""

    async def wrapper() -> None:
        pass

    made = asynq.make_async_decorator(truth, wrapper, "mine")
    assert (made.__name__, made.name()) == ("truth", "@mine()")
