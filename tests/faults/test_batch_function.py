"""Faults 1 to 15 and 18: whatever the batch function does, everyone who waits is answered, and rightly.

Rules:
- One fault, one sharp test or two; the many shapes of each guarantee are in tests/core.
- Each batch function misbehaves in one way, and in that one only; what it should have answered is `value N` for N.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import batchio
from batchio import BatchAborted, BatchShapeError, BatchTimeout, KeyNotFound, Limits, Loader, MemoryCache
from tests.faults.helpers import Source, answers, kinds, on_its_own_loop

when = pytest.mark.parametrize("turns", [0, 1], ids=["at once", "after an await"])


class Rude(BaseException):
    """Somebody's own, and no Exception."""


@when
async def test_fault_01_an_exception_fails_its_own_batch_and_the_next_load_asks_again(turns: int) -> None:
    """Each waiter of the batch gets an error of its own, other batches their values, and nobody remembers the error."""
    calls = []
    error = ValueError("down")

    @batchio.loader(cache=MemoryCache(), limits=Limits(max_batch_size=2))
    async def fetch(keys: list[int]) -> dict[int, str]:
        first = not calls
        calls.append(keys)
        for _ in range(turns):
            await asyncio.sleep(0)
        if first:
            raise error
        return {key: f"value {key}" for key in keys}

    with batchio.scope():
        told = await answers(fetch(1), fetch(1), fetch(2), fetch.load_many([2, 1]), fetch(3))
        assert (kinds(told[:4]), told[4]) == ([ValueError] * 4, "value 3")
        assert len({id(one) for one in (*told[:4], error)}) == 5
        assert [one.__cause__ for one in told[:4]] == [error] * 4
        assert await fetch.load_many([1, 2, 3]) == ["value 1", "value 2", "value 3"]
    assert calls == [[1, 2], [3], [1, 2]]


@when
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, Rude])
async def test_fault_02_what_is_no_exception_aborts_the_batch_and_an_interrupt_goes_up(
    flavour: Callable[[], Any], kind: type[BaseException], turns: int
) -> None:
    """Waiters get BatchAborted before anything else happens; Ctrl-C and exits reach the loop's owner; then all works."""
    calls = []
    loads: list[asyncio.Future[Any]] = []

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, str]:
        calls.append(keys)
        for _ in range(turns):
            await asyncio.sleep(0)
        if len(calls) == 1:
            raise kind
        return {key: f"value {key}" for key in keys}

    async def ask() -> None:
        loads.extend([fetch(1), fetch(1), fetch(2), fetch.load_many([1, 2])])
        await asyncio.wait(loads, timeout=10)

    async def ask_again() -> list[str]:
        return await fetch.load_many([1, 2])

    def on(loop: Any) -> tuple[bool, list[Any], Any]:
        task, went_up = loop.create_task(ask()), False
        try:
            loop.run_until_complete(task)
        except kind:
            went_up = True
        told = [load.exception() if load.done() else None for load in loads]  # before the loop goes on
        loop.run_until_complete(task)
        return went_up, told, loop.run_until_complete(ask_again())

    went_up, told, later = await on_its_own_loop(flavour, on)
    assert went_up is issubclass(kind, (KeyboardInterrupt, SystemExit))
    assert (kinds(told), kinds([one.__cause__ for one in told])) == ([BatchAborted] * 4, [kind] * 4)
    assert later == ["value 1", "value 2"]


async def test_fault_03_what_is_raised_before_the_first_await_reaches_every_waiter() -> None:
    """Also from a function that is no coroutine function, which raises while it is called."""

    def fetch(keys: list[int]) -> Any:
        raise ValueError("down")

    loader: Loader[int, str] = Loader(lambda keys: fetch(keys))  # noqa: PLW0108 - hides what it gives back
    assert kinds(await answers(loader(1), loader.load_many([2, 3]))) == [ValueError] * 2


async def test_fault_03_what_cannot_be_awaited_is_named() -> None:
    """A TypeError says what came and what to write instead."""
    loader: Loader[int, str] = Loader(lambda keys: dict.fromkeys(keys, "value"), name="users")
    told = await answers(loader(1), loader(2))
    assert (kinds(told), issubclass(BatchShapeError, TypeError)) == ([BatchShapeError] * 2, True)
    words = "users: the batch function is no coroutine function, it returned a dict; write async def"
    assert [str(one) for one in told] == [words] * 2


@pytest.mark.parametrize("shown", [True, False], ids=["keys shown", "keys hidden"])
async def test_fault_04_a_wrong_count_of_items_fails_every_key_and_says_the_counts(shown: bool) -> None:
    """Whatever the count is: no key gets its neighbour's item, and the words name loader, counts and first keys."""
    keys = " [0, 1, 2, and 2 more]" if shown else ""

    @batchio.loader(name="users", show_keys=shown)
    async def fetch(keys: list[int]) -> list[str]:
        return [f"value {key}" for key in range(count)]

    for count in (*range(5), *range(6, 40), 100_000):
        told = await answers(*map(fetch, range(5)))
        assert kinds(told) == [BatchShapeError] * 5
        assert str(told[4]).startswith(f"users: asked for 5 keys{keys}, and the batch function returned {count} items;")


SHAPES: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "str": lambda: "ab",
    "bytes": lambda: b"ab",
    "bytearray": lambda: bytearray(b"ab"),
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset({1, 2}),
    "generator": lambda: (key for key in "ab"),
    "iterator": lambda: iter(["a", "b"]),
    "view": {1: "a", 2: "b"}.values,
    "number": lambda: 2,
    "class": lambda: dict,
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_fault_05_a_wrong_type_fails_every_key_and_names_the_contract(shape: str) -> None:
    """Two items for two keys are not enough: what has no keys and no order is refused, and the words say what came."""

    @batchio.loader(name="users")
    async def fetch(keys: list[int]) -> Any:
        return SHAPES[shape]()

    told = await answers(fetch(1), fetch(2))
    assert kinds(told) == [BatchShapeError] * 2
    came = "None" if shape == "None" else f"a {type(SHAPES[shape]()).__name__}"
    assert f"users: asked for 2 keys [1, 2], and the batch function returned {came};" in str(told[0])
    assert "eturn a mapping" in str(told[0])


@pytest.mark.parametrize("options", [{}, {"default": None}], ids=["no default", "default"])
async def test_fault_05_a_dict_is_matched_by_key_and_its_holes_are_declared_misses(options: dict[str, Any]) -> None:
    """A dict is never taken for a sequence; a key that it lacks is KeyNotFound, or the default."""

    @batchio.loader(**options)
    async def fetch(keys: list[int]) -> dict[int, str]:
        return {3: "value 3", 1: "value 1"}

    told = await answers(fetch(1), fetch(2), fetch(3))
    assert (told[0], told[2]) == ("value 1", "value 3")
    assert told[1] is None if options else type(told[1]) is KeyNotFound


async def test_fault_06_what_nobody_asked_for_is_dropped_and_types_are_told_apart() -> None:
    """A value goes to the key that equals its own as in a dict (1 is 1.0 and is not "1"); strangers are not kept."""
    calls = []

    @batchio.loader
    async def fetch(keys: list[Any]) -> dict[Any, str]:
        calls.append(keys)
        return {1.0: "value 1", "2": "text 2", 3: "value 3", None: "nobody's"}

    with batchio.scope():
        told = await answers(fetch(1), fetch(2))
        assert (told[0], type(told[1])) == ("value 1", KeyNotFound)
        assert await fetch(3) == "value 3"  # which the first answer brought, unasked
    assert calls == [[1, 2], [3]]


async def as_dict(items: dict[int, Any]) -> Any:
    return items


async def as_list(items: dict[int, Any]) -> Any:
    return list(items.values())


async def as_stream(items: dict[int, Any]) -> AsyncIterator[Any]:
    for pair in items.items():
        yield pair


ITEMS = {
    "Exception": (lambda: ValueError("bad"), ValueError),
    "StopIteration": (lambda: StopIteration(1), RuntimeError),
    "StopAsyncIteration": (StopAsyncIteration, StopAsyncIteration),
    "CancelledError": (asyncio.CancelledError, BatchAborted),
    "GeneratorExit": (GeneratorExit, BatchAborted),
    "KeyboardInterrupt": (KeyboardInterrupt, BatchAborted),
    "own": (Rude, BatchAborted),
}


@pytest.mark.parametrize("shape", [as_dict, as_list, as_stream], ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("item", ITEMS)
async def test_fault_07_an_exception_among_the_items_fails_its_key_alone(item: str, shape: Any) -> None:
    """The keys before and after it have their values, whatever kind of exception it is and however it came."""
    make, kind = ITEMS[item]
    loader: Loader[int, Any] = Loader(lambda keys: shape({1: "value 1", 2: make(), 3: "value 3"}), name="users")
    told = await answers(loader(1), loader(2), loader(2), loader(3))
    assert (told[0], told[3]) == ("value 1", "value 3")
    assert kinds(told[1:3]) == [kind] * 2
    assert told[1] is not told[2]


async def test_fault_07_a_cancelled_future_among_the_items_is_a_value() -> None:
    """A future is not awaited for anybody: it is given as it is, and holds up no other key."""
    gone = asyncio.get_running_loop().create_future()
    gone.cancel()
    loader: Loader[int, Any] = Loader(lambda keys: as_dict({1: "value 1", 2: gone, 3: "value 3"}))
    assert await loader.load_many([1, 2, 3]) == ["value 1", gone, "value 3"]


async def test_fault_08_a_batch_that_never_returns_is_ended_and_its_slot_is_free() -> None:
    """Its waiters get BatchTimeout, it is cancelled, and the next batch starts in the only slot."""
    source = Source(opened=False)
    loader = source.loader(timeout=0.01, max_in_flight=1, max_batch_size=1)
    told = await answers(loader(1), loader(1), loader(2), loader.load_many([3]))
    assert kinds(told) == [BatchTimeout] * 4
    assert source.calls == [[1], [2], [3]]
    await batchio.drain()
    assert source.ended == ["cancelled"] * 3
    assert repr(loader) == "<Loader users>"


async def test_fault_09_a_batch_that_swallows_its_cancellation_is_answered_for_counted_and_bounded() -> None:
    """Waiters are told all the same; the loader says how many it has, sends no more beyond its bound, and recovers."""
    let_go = asyncio.Event()
    calls = []

    @batchio.loader(name="users", limits=Limits(timeout=0.01, max_in_flight=1, max_batch_size=1))
    async def fetch(keys: list[int]) -> dict[int, str]:
        calls.append(keys)
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return {}

    told = await answers(fetch(1), fetch(2), fetch(3))
    assert kinds(told) == [BatchTimeout] * 3
    assert calls == [[1], [2]]
    assert repr(fetch) == "<Loader users 0 keys queued, 0 batches in flight, 2 timed out and not ended>"
    assert "2 batches timed out and do not end" in str(told[2])
    let_go.set()
    await batchio.drain()
    assert repr(fetch) == "<Loader users>"


async def test_fault_10_a_poison_key_is_found_by_halving_and_fails_alone() -> None:
    """With `split_on_error`, for 1 to 64 keys and wherever it is: at most 2 * log2(n) + 1 calls; without it, one."""
    calls: list[list[int]] = []

    async def fetch(keys: list[int]) -> dict[int, str]:
        calls.append(keys)
        if poison in keys:
            raise ValueError(poison)
        return {key: f"value {key}" for key in keys}

    split, whole = Loader(fetch, name="split", split_on_error=True), Loader(fetch, name="whole")
    for count in range(1, 65):
        for poison in {0, count // 2, count - 1}:
            calls.clear()
            told = await split.load_many(range(count), return_exceptions=True)
            assert [key for key, one in enumerate(told) if one != f"value {key}"] == [poison]
            assert len(calls) <= 2 * math.ceil(math.log2(count)) + 1
            assert type(told[poison]) is ValueError
    calls.clear()
    assert kinds(await whole.load_many([62, poison], return_exceptions=True)) == [ValueError] * 2
    assert len(calls) == 1


async def test_fault_11_keys_that_were_answered_before_the_failure_keep_their_values() -> None:
    """The others fail, and only they are fetched at the next load."""
    calls = []

    @batchio.loader
    async def fetch(keys: list[int]) -> AsyncIterator[tuple[int, str]]:
        calls.append(keys)
        for key in keys:
            if key == 3 and len(calls) == 1:
                raise ValueError("down")
            yield key, f"value {key}"

    with batchio.scope():
        told = await answers(*map(fetch, range(5)))
        assert told[:3] == ["value 0", "value 1", "value 2"]
        assert kinds(told[3:]) == [ValueError] * 2
        assert await fetch.load_many(range(5)) == [f"value {key}" for key in range(5)]
    assert calls == [[0, 1, 2, 3, 4], [3, 4]]


async def test_fault_12_a_value_is_one_object_for_all_read_only_by_contract() -> None:
    """Nothing is copied behind anybody's back: every waiter, the memo and the cache give the object that came."""
    row = {"name": "Ada"}
    loader: Loader[int, Any] = Loader(lambda keys: as_dict(dict.fromkeys(keys, row)), cache=MemoryCache(), name="rows")
    with batchio.scope():
        told = [*await answers(loader(1), loader(1)), *await loader.load_many([1, 2]), await loader(1)]
    told.append(await loader(1))  # another scope would ask the cache too
    assert all(one is row for one in told)


@when
async def test_fault_18_a_batch_function_that_blocks_the_loop_is_seen_in_debug_mode(
    caplog: pytest.LogCaptureFixture, turns: int
) -> None:
    """The loop's own warning of slow callbacks tells of it; it names the loader, or the tick that begins batches at once.

    A function's part before its first await runs inside the tick where Python has eager tasks, and is counted as its.
    """
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.05

    @batchio.loader(name="users")
    async def fetch(keys: list[int]) -> dict[int, str]:
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.06)  # noqa: ASYNC251 - the fault
        return {key: f"value {key}" for key in keys}

    with caplog.at_level(logging.WARNING, "asyncio"):
        assert await fetch(1) == "value 1"
        await asyncio.sleep(0)
    slow = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Executing")]
    named = "batchio users" if turns or sys.version_info < (3, 12) else "Dispatcher._check"
    assert any(named in message for message in slow), slow
