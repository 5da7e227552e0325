"""Faults 36 to 39 and 42: nothing is kept, nothing grows without end, and no crowd holds the loop.

Rules:
- What is kept is asked with the garbage collector off: what only a collection would find has been left behind.
- Whether the loop is held is counted: keys per pass of the loop, not milliseconds, which a busy machine invents.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

import batchio
from batchio import Limits, MemoryCache, QueueFull
from tests.faults.helpers import Source, answers, kinds

MANY = 200_000
CUSTOMERS = 1_000


async def scoped(loader: batchio.Loader[Any, Any], key: int) -> Any:
    """A request of its own."""
    with batchio.scope():
        return await loader(key)


WAYS: dict[str, Callable[[batchio.Loader[int, int], int], Awaitable[Any]]] = {
    "load": lambda loader, key: loader(key),
    "load_many": lambda loader, key: loader.load_many([key, key + 1]),
    "gather": lambda loader, key: batchio.gather(loader(key), loader(key + 1)),
    "gather of tasks": lambda loader, key: batchio.gather([scoped(loader, key), scoped(loader, key + 1)]),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
outcomes = pytest.mark.parametrize("outcome", ["value", "raised", "as a value", "missing"])


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The garbage collector stays off during the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def loader_of(outcome: str) -> batchio.Loader[int, Any]:
    """A loader whose keys come to a value, or to an error of some kind."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, Any]:
        await asyncio.sleep(0)
        if outcome == "raised":
            raise ValueError(keys[0])
        return {} if outcome == "missing" else {key: ValueError(key) if outcome != "value" else key for key in keys}

    return fetch


class Request:
    """What a request holds on to, and what should go with it."""


mine: ContextVar[Request] = ContextVar("mine")


async def request(wait: Callable[[], Awaitable[Any]]) -> weakref.ref[Request]:
    """A request that loads something; a reference to what it held, in a variable and in its context."""
    held = Request()
    mine.set(held)
    with suppress(ValueError, batchio.KeyNotFound):
        await wait()
    return weakref.ref(held)


@ways
@outcomes
async def test_fault_36_a_memo_keeps_no_request_alive(
    no_collector: None, way: Callable[[Any, int], Awaitable[Any]], outcome: str
) -> None:
    """A scope that goes on for long holds what its loads brought, and no frame or context of those who asked."""
    loader = loader_of(outcome)
    with batchio.scope():
        refs = [await asyncio.create_task(request(lambda: way(loader, key))) for key in range(0, 100, 2)]  # noqa: B023
        await asyncio.sleep(0)
        assert [ref() for ref in refs] == [None] * 50


async def test_fault_36_a_caller_that_left_is_not_kept_by_the_batch_that_goes_on(no_collector: None) -> None:
    """While the batch it had waited for is still under way, and after it has answered into the memo."""
    source = Source(opened=False)
    loader = source.loader()
    with batchio.scope():
        tasks = [asyncio.create_task(request(lambda: WAYS["load_many"](loader, key))) for key in range(0, 100, 2)]  # noqa: B023
        await source.called()
        held = [weakref.ref(task) for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        del task
        tasks.clear()
        await asyncio.sleep(0)
        assert [ref() for ref in held] == [None] * 50
        source.gate.set()
        await batchio.drain()
        assert await loader(0) == "value 0"


@ways
@outcomes
async def test_fault_37_what_failed_or_not_leaves_no_cycles(
    no_collector: None, way: Callable[[Any, int], Awaitable[Any]], outcome: str
) -> None:
    """Of a thousand loads, one by one, the collector would find nothing: each thing goes when the last caller lets go."""
    loader = loader_of(outcome)

    async def some(count: int) -> int:
        for key in range(count):
            with suppress(ValueError, batchio.KeyNotFound):
                await way(loader, key)
        await asyncio.sleep(0)
        return len(gc.get_objects())

    before = await some(100)
    assert await some(1_000) - before < 50


@pytest.mark.parametrize("outcome", ["value", "raised"])
async def test_fault_37_ten_thousand_loads_leave_no_objects_behind(no_collector: None, outcome: str) -> None:
    """Nor ten thousand that failed, for a hundred requests at a time that share their batches."""
    loader = loader_of(outcome)

    async def some(waves: int) -> int:
        for wave in range(waves):
            await answers(*(scoped(loader, key) for key in range(wave * 100, wave * 100 + 100)))
        await asyncio.sleep(0)
        return len(gc.get_objects())

    before = await some(5)
    assert await some(100) - before < 50


async def test_fault_38_a_key_too_many_is_refused_at_the_call() -> None:
    """QueueFull at once, a load_many whole; what waits already is answered, and then there is room again."""
    source = Source()
    loader = source.loader(max_queued=4)
    loads = [loader(1), loader.load_many([2, 3]), loader(1)]
    for ask in (lambda: loader.load_many([4, 5]), lambda: loader.load_many([1, 4, 5])):
        with pytest.raises(QueueFull, match="users: 3 keys wait already and 2 more came; max_queued is 4"):
            ask()
    loads.append(loader(4))
    with pytest.raises(QueueFull):
        loader(5)
    assert await answers(*loads) == ["value 1", ["value 2", "value 3"], "value 1", "value 4"]
    assert await loader.load_many([5, 6]) == ["value 5", "value 6"]
    assert source.calls == [[1, 2, 3, 4], [5, 6]]


class PerPass(batchio.Observer):
    """Counts the keys that are started and answered in each pass of the loop, beside callbacks of somebody else."""

    def __init__(self) -> None:
        self.passes = 0
        self.started: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.over = False

    def turn(self) -> None:
        self.passes += 1
        if not self.over:
            asyncio.get_running_loop().call_soon(self.turn)

    def on_dispatch(self, event: Any) -> None:
        self.started[self.passes] += len(event.keys)

    def on_answer(self, event: Any) -> None:
        self.answered[self.passes] += 1


@pytest.mark.parametrize(
    ("many", "quick"), [(False, True), (True, False)], ids=["loads, quick source", "load_many, slow source"]
)
async def test_fault_39_a_crowd_of_200_000_keys_leaves_in_portions(
    many: bool, quick: bool, record_property: Any
) -> None:
    """No pass of the loop starts or answers more keys than fit in the slots, and others have their turn in between."""
    limits = Limits(max_queued=MANY)
    most = limits.max_batch_size * limits.max_in_flight
    sizes = Counter[int]()

    @batchio.loader(limits=limits)
    async def fetch(keys: list[int]) -> list[int]:
        sizes[len(keys)] += 1
        if not quick:
            await asyncio.sleep(0)
        return keys

    told = PerPass()
    with batchio.observe(told):
        told.turn()
        loads = [fetch.load_many(range(MANY))] if many else [fetch(key) for key in range(MANY)]
        for load in loads:
            await load
        told.over = True
    assert [load.result() for load in loads] == ([list(range(MANY))] if many else list(range(MANY)))
    assert sizes == {limits.max_batch_size: MANY // limits.max_batch_size}
    for counted in (told.started, told.answered):
        assert sum(counted.values()) == MANY
        assert max(counted.values()) <= most, f"{max(counted.values())} keys in one pass"
        assert len(counted) >= MANY // most
    record_property("crowd", MANY)
    await asyncio.sleep(0)


async def test_fault_42_a_thousand_requests_of_one_tick_make_one_call() -> None:
    """Whatever just expired: no cache and no option is needed for those who come together."""
    source = Source()
    loader = source.loader()
    assert set(await answers(*(scoped(loader, 1) for _ in range(CUSTOMERS)))) == {"value 1"}
    assert source.calls == [[1]]


@pytest.mark.virtual
@pytest.mark.parametrize("how", ["coalesce", "cache"])
async def test_fault_42_a_thousand_requests_one_after_another_make_one_call(how: str) -> None:
    """While what expired is being fetched, who comes later waits for it: for the flight, or for who fills the cache."""
    loop = asyncio.get_running_loop()
    source = Source()
    options = {"coalesce": True} if how == "coalesce" else {"cache": MemoryCache(clock=loop.time), "ttl": 60.0}
    loader = source.loader(**options)
    assert await scoped(loader, 1) == "value 1"
    await asyncio.sleep(61.0)
    source.gate.clear()
    requests = []
    for _ in range(CUSTOMERS):
        requests.append(asyncio.create_task(scoped(loader, 1)))
        await asyncio.sleep(0.001)
    assert source.calls == [[1], [1]]
    source.gate.set()
    assert set(await answers(*requests)) == {"value 1"}
    assert source.calls == [[1], [1]]
    assert kinds(requests) == [asyncio.Task] * CUSTOMERS
