"""Faults 19 to 24, 26 and 28: callers come and go, and none of them touches another.

Rules:
- What is in flight is held at the source's gate; `source.called()` waits until it is there.
- Whoever goes away is a task that is cancelled, as a web client that disconnects is; a bare future is cancelled too.
"""

from __future__ import annotations

import asyncio
import functools
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import batchio
from batchio import BatchFailed, Loader, MemoryCache
from tests.faults.helpers import Source, answers, caused_by, kinds

GONE = asyncio.CancelledError


async def one(load: asyncio.Future[Any]) -> Any:
    """A caller: a task of its own that waits for a load."""
    return await load


def callers(*loads: asyncio.Future[Any]) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(one(load)) for load in loads]


async def cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Send callers away, and see that each is told so."""
    for task in tasks:
        assert task.cancel()
    assert kinds(await answers(*tasks)) == [GONE] * len(tasks)


async def test_fault_19_a_key_whose_only_caller_left_is_not_fetched() -> None:
    """The keys of others are, also one that the caller who left had wanted too."""
    source = Source()
    loader = source.loader()
    gone = [loader(1), loader(2), loader.load_many([3, 4])]
    stay = [loader(2), loader(4), loader(5)]
    for load in gone:
        load.cancel()
    assert await answers(*stay) == ["value 2", "value 4", "value 5"]
    assert kinds(await answers(*gone)) == [GONE] * 3
    assert source.calls == [[2, 4, 5]]


async def test_fault_20_a_caller_that_leaves_in_flight_is_the_only_one_to_notice() -> None:
    """The batch goes on, the other callers have its values, and the scope of the one who left remembers its own."""
    source = Source(opened=False)
    loader = source.loader()
    with batchio.scope():
        gone, stay, beside = callers(loader(1), loader(1), loader(2))
        await source.called()
        await cancelled(gone)
        assert not stay.done()
        source.gate.set()
        assert await answers(stay, beside) == ["value 1", "value 2"]
        assert await loader(1) == "value 1"
    assert (source.calls, source.ended) == ([[1, 2]], ["done"])


async def test_fault_20_the_only_caller_of_a_key_leaves_and_its_value_is_remembered() -> None:
    """The scope that asked finds the value that came after the caller had left."""
    source = Source(opened=False)
    loader = source.loader()
    with batchio.scope():
        gone, stay = callers(loader(1), loader(2))
        await source.called()
        await cancelled(gone)
        source.gate.set()
        assert await stay == "value 2"
        assert await loader.load_many([1, 2]) == ["value 1", "value 2"]
    assert source.calls == [[1, 2]]


async def test_fault_21_when_every_caller_left_in_time_nothing_is_called() -> None:
    """Not even with no keys; and nothing of them is left in the loader."""
    source, later = Source(), Source()
    loader = source.loader()
    gone = [loader(1), loader(1), loader(2), loader.load_many([2, 3])]
    for load in gone:
        load.cancel()
    assert await later.loader()(1) == "value 1"  # which leaves at the tick at which they would have left
    await batchio.drain()
    assert (source.calls, later.calls) == ([], [[1]])
    assert repr(loader) == "<Loader users>"


async def test_fault_22_a_batch_that_nobody_waits_for_any_more_ends_in_peace_and_fills_the_cache() -> None:
    """The way it is unless one says otherwise: the source is not disturbed, and its work is not lost."""
    source = Source(opened=False)
    loader = source.loader(cache=MemoryCache())
    gone = callers(loader(1), loader(1), loader.load_many([1, 2]))
    await source.called()
    await cancelled(*gone)
    source.gate.set()
    await batchio.drain()
    assert source.ended == ["done"]
    assert await loader.load_many([1, 2]) == ["value 1", "value 2"]
    assert source.calls == [[1, 2]]


async def test_fault_22_with_cancel_abandoned_a_batch_is_cancelled_by_its_last_caller_alone() -> None:
    """As long as one waits, it runs; the next load is a batch of its own."""
    source = Source(opened=False)
    loader = source.loader(cancel_abandoned=True)
    *gone, last = callers(loader(1), loader(1), loader(2))
    await source.called()
    await cancelled(*gone)
    for _ in range(5):
        await asyncio.sleep(0)
    assert source.ended == []
    await cancelled(last)
    await batchio.drain()
    assert source.ended == ["cancelled"]
    source.gate.set()
    assert await loader(1) == "value 1"
    assert source.calls == [[1, 2], [1]]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "memo off": {"memo": False},
    "coalesce": {"coalesce": True},
    "cancel abandoned": {"cancel_abandoned": True},
    "both": {"coalesce": True, "cancel_abandoned": True},
    "isolated": {"isolated": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("many", [False, True], ids=["load", "load_many"])
@pytest.mark.parametrize("turns", [-1, 0, 1, 2], ids=["queued", "in flight", "a pass later", "two passes later"])
async def test_fault_23_a_key_that_is_asked_for_again_at_once_is_answered(
    options: dict[str, Any], many: bool, turns: int
) -> None:
    """Whoever asks in the moment in which another goes away never inherits the cancellation; nor who comes later."""
    source = Source(opened=False)
    loader = source.loader(**options)

    def ask() -> asyncio.Future[Any]:
        return loader.load_many([1]) if many else loader(1)

    with batchio.scope():
        gone = ask()
        if turns >= 0:
            await source.called()
        gone.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        again = ask()
        gone = ask()
        gone.cancel()
        once_more = ask()
        source.gate.set()
        value = ["value 1"] if many else "value 1"
        assert await answers(again, once_more, ask()) == [value] * 3
        assert await ask() == value
    await batchio.drain()


@pytest.mark.parametrize("way", ["timeout", "wait_for"])
async def test_fault_24_a_caller_that_runs_out_of_time_is_the_only_one_to_notice(way: str) -> None:
    """It gets TimeoutError; the batch and its other callers go on, and the loader's repr says where they are."""

    async def impatient(load: asyncio.Future[Any]) -> Any:
        if way == "wait_for":
            return await asyncio.wait_for(load, 0.001)
        async with asyncio.timeout(0.001):
            return await load

    source = Source(opened=False)
    loader = source.loader(max_in_flight=1, max_batch_size=1)
    with batchio.scope():
        patient = [loader(1), loader(2)]
        await source.called()
        told = await answers(impatient(loader(1)), impatient(loader(2)), impatient(loader.load_many([1, 2])))
        assert kinds(told) == [TimeoutError] * 3
        assert repr(loader) == "<Loader users 1 keys queued, 1 batches in flight>"
        assert [load.done() for load in patient] == [False, False]
        source.gate.set()
        assert await answers(*patient) == ["value 1", "value 2"]
    assert (source.calls, source.ended) == ([[1], [2]], ["done", "done"])


async def group_of(*works: Callable[[], Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work())


async def test_fault_26_a_task_group_that_fails_cancels_each_of_its_loads_once() -> None:
    """Each sibling sees one CancelledError, which no timeout of its own turns into another; the counts stay right."""
    source, seen = Source(opened=False), []
    loader = source.loader()

    async def sibling(wait: Callable[[], Any]) -> None:
        task: Any = asyncio.current_task()
        try:
            async with asyncio.timeout(100):
                await wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # a second one would come out here
            seen.append(task.cancelling())
            raise

    async def failing() -> None:
        await source.called()
        raise ValueError("bad")

    async def request(*waits: Callable[[], Any]) -> int:
        task: Any = asyncio.current_task()
        with pytest.raises(ExceptionGroup) as caught:
            await group_of(*(functools.partial(sibling, wait) for wait in waits), failing)
        assert kinds(list(caught.value.exceptions)) == [ValueError]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await loader(4)
        return int(task.cancelling())

    other = asyncio.create_task(one(loader(1)))
    loads = (lambda: loader(1), lambda: loader.load_many([1, 2]), lambda: batchio.gather(loader(1), loader(3)))
    without_loads = await asyncio.create_task(request(*[asyncio.Event().wait] * 3))  # Python 3.11 leaves a 1
    assert await asyncio.create_task(request(*loads)) == without_loads
    assert seen == [1] * 6
    assert not other.done()
    source.gate.set()
    assert await other == "value 1"
    await batchio.drain()


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Guarded(Exception):
    """Cannot be made without what only its maker has."""

    def __new__(cls, *, token: object) -> Guarded:
        return super().__new__(cls)

    def __init__(self, *, token: object) -> None:
        super().__init__("guarded")


def noted() -> Exception:
    error = ValueError("bad", 7)
    error.add_note("look at row 7")
    return error


def frames_of(error: BaseException) -> int:
    """How many frames an error's traceback shows, and holds."""
    return len(list(traceback.walk_tb(error.__traceback__)))


ERRORS: dict[str, Callable[[], Exception]] = {
    "notes": noted,
    "keyword-only": lambda: KeywordOnly(code=5),
    "OSError": lambda: FileNotFoundError(2, "No such file", "/tmp/a"),
    "group": lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
    "no copy": lambda: Guarded(token=object()),
}


@pytest.mark.parametrize("as_value", [False, True], ids=["raised", "as a value"])
@pytest.mark.parametrize("error", ERRORS)
async def test_fault_28_no_caller_sees_what_another_was_doing(error: str, as_value: bool) -> None:
    """Each has an error of its own, like the original, which is its cause; no context and no frame is another's."""
    original = ERRORS[error]()

    async def fetch(keys: list[int]) -> dict[int, Any]:
        if as_value:
            return dict.fromkeys(keys, original)
        raise original

    loader: Loader[int, Any] = Loader(fetch)

    async def request(name: str) -> Exception:
        try:
            raise KeyError(f"private data of {name}")  # noqa: TRY301 - somebody's own trouble
        except KeyError:
            try:
                await loader(1)
            except Exception as told:
                return told
        raise AssertionError

    told = await answers(*map(request, ("alice", "bob", "carol")))
    for mine, name in zip(told, ("alice", "bob", "carol"), strict=True):
        private = [str(seen) for seen in caused_by(mine) if "private" in str(seen)]
        assert private == [repr(f"private data of {name}")]
        assert mine.__cause__ is original
        assert frames_of(mine) == 1  # that of its own request
        if error != "no copy":
            assert (type(mine), str(mine), vars(mine)) == (type(original), str(original), vars(original))
        else:
            assert type(mine) is BatchFailed
    assert original.__context__ is None
    assert len({id(one) for one in (*told, original)}) == 4


CONSTANT = ValueError("not ready")  # a module's only exception object, raised again and again


async def test_fault_28_an_object_that_is_raised_for_ever_does_not_grow() -> None:
    """Over 1,000 batches that raise the same exception object, what a caller sees of it stays as long as it was."""
    CONSTANT.__traceback__ = None

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, Any]:
        raise CONSTANT

    lengths = set()
    for key in range(1_000):
        (told,) = await answers(fetch(key))
        lengths.add(tuple(frames_of(one) for one in caused_by(told)))
    assert len(lengths) == 1
