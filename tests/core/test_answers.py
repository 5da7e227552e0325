"""Guarantee 5: value, error or cancellation, no load is left hanging, whatever the batch function does.

Rules:
- Each misbehaviour is a batch function of a few lines; what is asked is who was told what.
- `answers` turns the loop and does not wait: a load that hangs is a failure at once, with the word "hanging".
- `ONE_SLOT` makes sure that a batch that went wrong gives its slot back: the load after it is answered, too.
"""

from __future__ import annotations

import asyncio
import gc
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

import batchio

ONE_SLOT = batchio.Limits(max_in_flight=1, max_delay=60.0)
TURNS = 200  # far more than any batch function here needs

BatchFunction = Callable[[list[Any]], Any]


async def answers(*futures: asyncio.Future[Any]) -> list[Any]:
    """What each load was answered: its value, or its error."""
    for _ in range(TURNS):
        if all(future.done() for future in futures):
            break
        await asyncio.sleep(0)
    return [outcome(future) for future in futures]


def outcome(future: asyncio.Future[Any]) -> Any:
    """A value, an error, or a word that no test expects."""
    if not future.done():
        return "hanging"
    if future.cancelled():
        return "cancelled"
    return future.exception() or future.result()


def kinds(outcomes: list[Any]) -> list[type]:
    return [type(one) for one in outcomes]


# --- the batch function raises ------------------------------------------------------------------------------------


class Rude(BaseException):
    """Somebody's own BaseException, as test runners and greenlet libraries have them."""


class Mute(BaseException):
    """One that cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class MuteError(Exception):
    """The same as an ordinary error."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


RAISED: dict[str, tuple[Callable[[], BaseException], type[Exception]]] = {
    "an error": (lambda: ValueError("no"), ValueError),
    "an error group": (lambda: ExceptionGroup("two", [ValueError("no"), KeyError("k")]), ExceptionGroup),
    "a timeout": (lambda: TimeoutError("slow"), TimeoutError),
    "StopIteration": (lambda: StopIteration(1), RuntimeError),
    "StopAsyncIteration": (lambda: StopAsyncIteration(1), StopAsyncIteration),
    "CancelledError": (lambda: asyncio.CancelledError("inner"), batchio.BatchAborted),
    "GeneratorExit": (GeneratorExit, batchio.BatchAborted),
    "a BaseException": (lambda: Rude("rude"), batchio.BatchAborted),
    "a BaseException without words": (Mute, batchio.BatchAborted),
    "an error without words": (MuteError, batchio.BatchFailed),
    "an unprintable StopIteration": (lambda: StopIteration(Unprintable()), RuntimeError),
    "a key error": (lambda: batchio.KeyNotFound("none of them"), batchio.KeyNotFound),
}

raised = pytest.mark.parametrize(("make", "expected"), RAISED.values(), ids=RAISED)
before_or_after = pytest.mark.parametrize("turns", [0, 1], ids=["before its first await", "after its first await"])


@raised
@before_or_after
async def test_guarantee_05_everyone_is_answered_when_the_function_raises(
    make: Callable[[], BaseException], expected: type[Exception], turns: int, loop_errors: list[str]
) -> None:
    """Each waiter of each key gets an error of the expected type, and the loader goes on working."""
    good = False

    @batchio.loader(limits=ONE_SLOT)
    async def fetch(keys: list[int]) -> dict[int, int]:
        if good:
            return {key: key for key in keys}
        for _ in range(turns):
            await asyncio.sleep(0)
        raise make()

    told = await answers(fetch(1), fetch(2), fetch(1), fetch.load_many([2, 3]))
    assert kinds(told) == [expected] * 4
    (several,) = await answers(fetch.load_many([1, 2], return_exceptions=True))
    assert kinds(several) == [expected] * 2
    good = True
    assert await answers(fetch(1), fetch.load_many([2])) == [1, [2]]
    assert loop_errors == []


@raised
async def test_guarantee_05_everyone_is_answered_when_an_error_is_a_value(
    make: Callable[[], BaseException], expected: type[Exception]
) -> None:
    """An exception as a value fails its own key, and no other; of BaseExceptions comes what may be raised in a task."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, Any]:
        return {key: make() if key == 2 else key for key in keys}

    one, two, many, some = await answers(
        fetch(1), fetch(2), fetch.load_many([1, 2, 3]), fetch.load_many([3, 2], return_exceptions=True)
    )
    assert (one, type(two), type(many)) == (1, expected, expected)
    assert (some[0], type(some[1])) == (3, expected)


async def test_an_exception_class_is_a_value() -> None:
    """Only instances are errors: a loader of exception types is possible."""

    @batchio.loader
    async def kind(keys: list[str]) -> dict[str, type[Exception]]:
        return dict.fromkeys(keys, ValueError)

    assert await kind("a") is ValueError


async def test_an_aborted_batch_names_what_happened() -> None:
    """BatchAborted says which loader, and what its function did; the original is the cause."""
    error = Rude("out of here")

    @batchio.loader(name="users")
    async def fetch(keys: list[int]) -> dict[int, int]:
        raise error

    with pytest.raises(batchio.BatchAborted, match="users: the batch function raised Rude: out of here") as caught:
        await fetch(1)
    assert caught.value.__cause__ is error


async def test_a_batch_that_cancels_itself_cancels_nobody_else() -> None:
    """An inner task of the source was cancelled: its waiters get an error, which is no cancellation of theirs."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        inner = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        inner.cancel()
        await inner
        return {}

    with pytest.raises(batchio.BatchAborted, match="the batch function was cancelled"):
        await fetch(1)
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


# --- KeyboardInterrupt and SystemExit: they stop the loop, and the loop may be run again --------------------------


def eager_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # 3.12
    return loop


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
if hasattr(asyncio, "eager_task_factory"):
    LOOPS["eager"] = eager_loop


@pytest.fixture(params=LOOPS)
def private_loop(request: pytest.FixtureRequest, loop_errors: list[str]) -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the test may interrupt; asyncio's own complaint about the interrupted task is expected."""
    loop = LOOPS[request.param]()
    yield loop
    loop.close()
    gc.collect()
    unexpected = [text for text in loop_errors if "Task exception was never retrieved" not in text]
    loop_errors[:] = unexpected


def end(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    """Let a task that waits for ever go."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
@before_or_after
def test_guarantee_05_everyone_is_answered_when_the_program_is_interrupted(
    private_loop: asyncio.AbstractEventLoop, interrupt: type[BaseException], turns: int
) -> None:
    """Ctrl-C inside a batch function goes up, as it must; that batch and its neighbours are answered all the same."""
    first = True

    async def fetch(keys: list[int]) -> dict[int, int]:
        nonlocal first
        if first:
            first = False
            for _ in range(turns):
                await asyncio.sleep(0)
            raise interrupt
        return {key: key for key in keys}

    left, right = batchio.Loader(fetch, name="left"), batchio.Loader(fetch, name="right")
    loads: list[asyncio.Future[Any]] = []

    async def interrupted() -> None:
        loads.extend([left(1), left(2), right(1), left.load_many([1, 3])])
        await asyncio.Event().wait()

    async def afterwards() -> tuple[list[Any], list[Any]]:
        return await answers(*loads), await answers(left(1), right(1))

    task = private_loop.create_task(interrupted())
    with pytest.raises(interrupt):
        private_loop.run_until_complete(task)
    told, later = private_loop.run_until_complete(afterwards())
    assert (kinds(told[:2]), told[2], type(told[3])) == ([batchio.BatchAborted] * 2, 1, batchio.BatchAborted)
    assert later == [1, 1]
    end(private_loop, task)


def test_an_interrupt_in_a_late_batch_leaves_the_tick_alive(private_loop: asyncio.AbstractEventLoop) -> None:
    """A batch that leaves a busy loop for its max_delay, and is interrupted, does not stop the loads after it."""
    calls = 0

    @batchio.loader(limits=batchio.Limits(max_delay=0.0))
    async def fetch(keys: list[int]) -> dict[int, int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt
        return {key: key for key in keys}

    loads: list[asyncio.Future[Any]] = []

    async def busy() -> None:
        loads.append(fetch(1))
        while True:
            await asyncio.sleep(0)

    async def afterwards() -> list[Any]:
        return await answers(*loads, fetch(2))

    task = private_loop.create_task(busy())
    with pytest.raises(KeyboardInterrupt):
        private_loop.run_until_complete(task)
    told = private_loop.run_until_complete(afterwards())
    assert (type(told[0]), told[1]) == (batchio.BatchAborted, 2)
    end(private_loop, task)


PROGRAM = """
import asyncio, batchio, sys

@batchio.loader(name="users")
async def fetch(keys):
    await asyncio.sleep(0)
    raise {interrupt}

async def main():
    try:
        await asyncio.shield(fetch(1))
    except batchio.BatchAborted as error:
        print(error)
    finally:
        print("cleaned up")

asyncio.run(main())
"""


@pytest.mark.parametrize(("interrupt", "code"), [("KeyboardInterrupt", None), ("SystemExit(3)", 3)])
def test_an_interrupted_program_ends(interrupt: str, code: int | None) -> None:
    """asyncio.run comes back with the interrupt, and the waiter's own clean-up has run by then."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM.format(interrupt=interrupt)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=25, check=False)
    assert ended.stdout.splitlines()[-1:] == ["cleaned up"], ended.stderr
    assert ended.returncode == code if code else ended.stderr.splitlines()[-1] == "KeyboardInterrupt"


# --- the batch function never returns -----------------------------------------------------------------------------


@pytest.mark.virtual
@pytest.mark.parametrize("stubborn", [False, True])
async def test_guarantee_05_everyone_is_answered_when_the_function_never_returns(stubborn: bool) -> None:
    """After its timeout a batch's waiters get BatchTimeout, whether or not its function can be cancelled."""
    let_go = asyncio.Event()

    @batchio.loader(limits=batchio.Limits(timeout=3.0))
    async def fetch(keys: list[int]) -> dict[int, int]:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                if not stubborn:
                    raise
        return {key: key for key in keys}

    loads = fetch(1), fetch(2), fetch.load_many([1, 2])
    told = await batchio.gather(*loads, return_exceptions=True)
    assert kinds(list(told)) == [batchio.BatchTimeout] * 3
    assert asyncio.get_running_loop().time() == 3.0
    let_go.set()
    assert await fetch(1) == 1


@pytest.mark.virtual
async def test_a_stream_that_stops_in_the_middle_is_over_after_its_timeout() -> None:
    """Keys that came are answered as they come; the others get BatchTimeout."""

    @batchio.loader(limits=batchio.Limits(timeout=3.0))
    async def fetch(keys: list[int]) -> AsyncIterator[tuple[int, int]]:
        yield 1, 1
        await asyncio.Event().wait()

    assert await fetch(1) == 1
    one, two = await batchio.gather(fetch(1), fetch(2), return_exceptions=True)
    assert (one, type(two)) == (1, batchio.BatchTimeout)


# --- the batch function returns what cannot be matched ------------------------------------------------------------


async def coroutine() -> dict[int, int]:
    return {}


WRONG: dict[str, tuple[Callable[[list[int]], Any], str]] = {
    "None": (lambda keys: None, "returned None; is a return missing"),
    "too few": (lambda keys: keys[:-1], "asked for 2 keys [1, 2], and the batch function returned 1 items"),
    "none at all": (lambda keys: [], "returned 0 items"),
    "too many": (lambda keys: (*keys, 3), "returned 3 items"),
    "a string": (lambda keys: "ab", "returned a str"),
    "bytes": (lambda keys: b"ab", "returned a bytes"),
    "a bytearray": (lambda keys: bytearray(b"ab"), "returned a bytearray"),
    "a memoryview": (lambda keys: memoryview(b"ab"), "returned a memoryview"),
    "a set": (set, "returned a set"),
    "a number": (len, "returned a int"),
    "a generator": (lambda keys: (10 * key for key in keys), "returned a generator"),
    "items of a dict": (lambda keys: dict.fromkeys(keys).items(), "returned a dict_items"),
    "a future": (lambda keys: asyncio.get_running_loop().create_future(), "returned a Future; is an await missing"),
}


@pytest.mark.parametrize(("answer", "words"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("split", [False, True])
async def test_guarantee_05_everyone_is_answered_when_the_shape_is_wrong(
    answer: Callable[[list[int]], Any], words: str, split: bool
) -> None:
    """Everybody gets a BatchShapeError that says what came; the function is not asked again in halves."""
    calls = []

    @batchio.loader(name="users", limits=ONE_SLOT, split_on_error=split)
    async def fetch(keys: list[int]) -> Any:
        calls.append(keys)
        return answer(keys) if len(calls) == 1 else keys

    told = await answers(fetch(1), fetch(2), fetch(1), fetch.load_many([2]))
    assert kinds(told) == [batchio.BatchShapeError] * 4
    assert str(told[0]).startswith("users: asked for 2 keys [1, 2]")
    assert words in str(told[0])
    assert calls == [[1, 2]]
    assert await answers(fetch(1)) == [1]


async def test_a_forgotten_await_is_named() -> None:
    """A coroutine as the answer means that an await is missing in the batch function."""
    forgotten = coroutine()

    @batchio.loader
    async def fetch(keys: list[int]) -> Any:
        return forgotten

    with pytest.raises(batchio.BatchShapeError, match="returned a coroutine; is an await missing"):
        await fetch(1)
    assert await forgotten == {}  # awaited here, so that it does not complain


async def test_a_callable_that_is_no_coroutine_function_is_named() -> None:
    """A lambda cannot be refused when the loader is made; at its first batch everybody is told."""
    fetch = batchio.Loader(lambda keys: {key: key for key in keys}, name="users")
    with pytest.raises(batchio.BatchShapeError, match="users: the batch function is no coroutine function"):
        await fetch(1)


async def test_a_mapping_with_holes() -> None:
    """A key that the mapping lacks raises KeyNotFound, for that key alone; keys that nobody asked for are ignored."""

    @batchio.loader(name="users")
    async def fetch(keys: list[int]) -> dict[int, Any]:
        return {1: "Ada", 3: None, 99: "nobody"}

    one, two, three = await answers(fetch(1), fetch(2), fetch(3))
    assert (one, three) == ("Ada", None)
    assert isinstance(two, batchio.KeyNotFound)
    assert isinstance(two, LookupError)
    assert str(two).startswith("users: nothing found for key 2")
    assert two.__cause__ is None
    (some,) = await answers(fetch.load_many([2, 1], return_exceptions=True))
    assert (type(some[0]), some[1]) == (batchio.KeyNotFound, "Ada")


@pytest.mark.parametrize("default", [None, 0, ValueError])
async def test_a_default_fills_the_holes(default: Any) -> None:
    """With default= a missing key is no error, and None is a default like any other."""

    @batchio.loader(default=default)
    async def fetch(keys: list[int]) -> dict[int, Any]:
        return {1: "Ada"}

    assert await answers(fetch(1), fetch(2), fetch.load_many([2, 1])) == ["Ada", default, [default, "Ada"]]


async def test_a_defaultdict_makes_nothing_up() -> None:
    """A mapping is asked what it holds; a key that it would invent is missing."""
    from collections import defaultdict

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, list[int]]:
        return defaultdict(list, {1: [1]})

    one, two = await answers(fetch(1), fetch(2))
    assert (one, type(two)) == ([1], batchio.KeyNotFound)


class Rotten(Mapping[int, int]):
    """A lazy mapping that decodes its rows as they are read; one row, or the whole, cannot be read."""

    def __init__(self, broken: str) -> None:
        self.broken = broken

    def __getitem__(self, key: int) -> int:
        if self.broken == "one row" and key != 2:
            return key
        raise ValueError("rotten")

    def __iter__(self) -> Iterator[int]:
        if self.broken == "iteration":
            raise ValueError("rotten")
        return iter((1, 2, 3))

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("broken", ["one row", "every row", "iteration"])
@pytest.mark.parametrize("way", ["load", "load_many"])
async def test_guarantee_05_everyone_is_answered_when_a_mapping_cannot_be_read(broken: str, way: str) -> None:
    """A mapping whose look-up raises answers everybody, be it with that error."""

    @batchio.loader(limits=ONE_SLOT)
    async def fetch(keys: list[int]) -> Mapping[int, int]:
        return Rotten(broken) if 2 in keys else {key: key for key in keys}

    loads = [fetch(1), fetch(2), fetch(3)] if way == "load" else [fetch.load_many([1, 2, 3])]
    told = await answers(*loads)
    assert "hanging" not in told
    assert any(isinstance(one, ValueError) for one in told)
    assert await answers(fetch(5)) == [5]


async def test_a_batch_function_may_change_its_list() -> None:
    """The list of keys is the function's own: to empty it harms nobody."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        found = {}
        while keys:
            key = keys.pop()
            found[key] = key
        return found

    assert await answers(fetch(1), fetch(2), fetch.load_many([3, 1])) == [1, 2, [3, 1]]


# --- async iterators ----------------------------------------------------------------------------------------------


async def test_a_stream_answers_each_key_as_it_comes() -> None:
    """Who waits for the first pair does not wait for the last."""
    gate = asyncio.Event()

    @batchio.loader
    async def fetch(keys: list[int]) -> AsyncIterator[tuple[int, int]]:
        for key in reversed(keys):
            yield key, key
            await gate.wait()

    one, two, both = fetch(1), fetch(2), fetch.load_many([1, 2])
    assert await two == 2
    assert not one.done()
    assert not both.done()
    gate.set()
    assert await answers(one, both) == [1, [1, 2]]


async def test_guarantee_05_everyone_is_answered_when_a_stream_ends_early() -> None:
    """Keys whose pair never came are missing; the same with default= are no error."""

    async def first_only(keys: list[int]) -> AsyncIterator[tuple[int, int]]:
        yield keys[0], keys[0]

    one, two, three = await answers(*map(batchio.Loader(first_only), [1, 2, 3]))
    assert (one, type(two), type(three)) == (1, batchio.KeyNotFound, batchio.KeyNotFound)
    assert await answers(*map(batchio.Loader(first_only, default=0), [1, 2, 3])) == [1, 0, 0]


@raised
async def test_guarantee_05_everyone_is_answered_when_a_stream_raises_midway(
    make: Callable[[], BaseException], expected: type[Exception], loop_errors: list[str]
) -> None:
    """What came before the error stays; the others get it."""
    if isinstance(make(), (StopIteration, StopAsyncIteration)):
        expected = RuntimeError  # Python's own doing, in a generator

    @batchio.loader(limits=ONE_SLOT)
    async def fetch(keys: list[int]) -> AsyncIterator[tuple[int, int]]:
        yield 1, 1
        await asyncio.sleep(0)
        if len(keys) > 1:
            raise make()

    one, two, both = await answers(fetch(1), fetch(2), fetch.load_many([1, 2]))
    assert (one, type(two), type(both)) == (1, expected, expected)
    assert await answers(fetch(1)) == [1]
    assert loop_errors == []


BAD_PAIRS = {"a string": "ab", "a list": [2, 2], "three": (2, 2, 2), "one": (2,), "None": None, "a key alone": 2}


@pytest.mark.parametrize("pair", BAD_PAIRS.values(), ids=BAD_PAIRS)
async def test_guarantee_05_everyone_is_answered_when_a_stream_brings_no_pair(pair: Any) -> None:
    """Something else than (key, value) is a wrong shape for all who still wait, and the stream is closed."""
    closed = []

    @batchio.loader(name="users", limits=ONE_SLOT)
    async def fetch(keys: list[int]) -> AsyncIterator[Any]:
        try:
            yield 1, 1
            if len(keys) > 1:
                yield pair
        finally:
            closed.append(keys)

    one, two, three = await answers(fetch(1), fetch(2), fetch(3))
    assert (one, type(two), type(three)) == (1, batchio.BatchShapeError, batchio.BatchShapeError)
    assert f"yielded a {type(pair).__name__}" in str(two)
    assert await answers(fetch(1)) == [1]
    assert closed == [[1, 2, 3], [1]]


async def test_a_stream_may_bring_errors_strangers_and_a_key_twice() -> None:
    """An exception fails its key; a key that nobody asked for is ignored; of two values the first counts."""

    @batchio.loader
    async def fetch(keys: list[int]) -> AsyncIterator[tuple[int, Any]]:
        yield 99, "nobody asked"
        yield 1, ValueError("bad row")
        yield 2, "first"
        yield 2, "second"
        yield 1, "too late"

    one, two = await answers(fetch(1), fetch(2))
    assert (type(one), two) == (ValueError, "first")


async def test_an_async_iterator_may_be_any_object() -> None:
    """What a coroutine function returns may be an async iterator that is no generator."""

    class Pairs:
        def __init__(self, keys: list[int]) -> None:
            self.left = list(keys)

        def __aiter__(self) -> Pairs:
            return self

        async def __anext__(self) -> tuple[int, int]:
            if not self.left:
                raise StopAsyncIteration
            key = self.left.pop()
            return key, 10 * key

    @batchio.loader
    async def fetch(keys: list[int]) -> Any:
        return Pairs(keys)

    assert await answers(fetch(1), fetch(2)) == [10, 20]


# --- split_on_error -----------------------------------------------------------------------------------------------


class Picky:
    """A batch function that raises when it meets a bad key."""

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad
        self.calls: list[list[int]] = []

    async def fetch(self, keys: list[int]) -> dict[int, int]:
        self.calls.append(keys)
        await asyncio.sleep(0)
        if met := sorted(self.bad.intersection(keys)):
            raise ValueError(f"bad: {met}")
        return {key: key for key in keys}

    async def run(self, count: int) -> list[Any]:
        """What so many keys were answered, in one batch."""
        load = batchio.Loader(self.fetch, split_on_error=True, limits=batchio.Limits(max_batch_size=count))
        return await load.load_many(range(count), return_exceptions=True)


async def test_a_failed_batch_is_halved_until_the_bad_key_is_alone() -> None:
    """The bad key gets its own error, the others their values, the halves in the order of the keys."""
    picky = Picky({2})
    one, two, three, four, five = await picky.run(5)
    assert [one, two, four, five] == [0, 1, 3, 4]
    assert (type(three), str(three)) == (ValueError, "bad: [2]")
    assert picky.calls == [[0, 1, 2, 3, 4], [0, 1, 2], [0, 1], [2], [3, 4]]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 100, 1_000])
async def test_splitting_is_bounded_when_everything_fails(count: int) -> None:
    """A source that is down is asked at most 8 * log2(keys) + 1 times, and everybody gets its error."""
    picky = Picky(set(range(count)))
    told = await picky.run(count)
    assert kinds(told) == [ValueError] * count
    assert len(picky.calls) <= 8 * math.ceil(math.log2(max(count, 2))) + 1
    assert len(picky.calls) <= 2 * count - 1  # halving to the end takes no more


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), count=st.integers(1, 300))
def test_four_bad_keys_are_isolated_wherever_they_are(data: st.DataObject, count: int) -> None:
    """Up to four bad keys in a batch of any size cost nobody else an answer, within the bound of calls."""
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=min(4, count)))
    picky = Picky(bad)
    told = asyncio.run(picky.run(count))
    assert [place for place, one in enumerate(told) if isinstance(one, ValueError)] == sorted(bad)
    assert len(picky.calls) <= 8 * math.ceil(math.log2(max(count, 2))) + 1


async def test_without_the_option_nothing_is_asked_twice() -> None:
    """Many batch functions must not be called again; splitting is asked for."""
    picky = Picky({2})
    told = await batchio.Loader(picky.fetch).load_many(range(4), return_exceptions=True)
    assert kinds(told) == [ValueError] * 4
    assert picky.calls == [[0, 1, 2, 3]]


async def test_a_half_of_the_wrong_shape_is_not_halved_again() -> None:
    """Among halves, too, a wrong shape is the function's fault and not a key's."""
    calls = []

    @batchio.loader(split_on_error=True)
    async def fetch(keys: list[int]) -> Any:
        calls.append(keys)
        if len(keys) == 8:
            raise ValueError("bad")
        return None

    assert kinds(await answers(*map(fetch, range(8)))) == [batchio.BatchShapeError] * 8
    assert calls == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7]]


async def test_a_stream_is_split_among_those_who_still_wait() -> None:
    """Keys that a stream answered before it broke are not asked for again."""
    calls = []

    @batchio.loader(split_on_error=True)
    async def fetch(keys: list[int]) -> AsyncIterator[tuple[int, int]]:
        calls.append(keys)
        for key in keys:
            if key == 2:
                raise ValueError("bad")
            yield key, key

    told = await answers(*map(fetch, [0, 1, 2, 3]))
    assert (told[:2], type(told[2]), told[3]) == ([0, 1], ValueError, 3)
    assert calls == [[0, 1, 2, 3], [2], [3]]


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Rude("rude")], ids=["CancelledError", "a BaseException"])
async def test_what_is_no_exception_is_not_split(error: BaseException) -> None:
    """A batch that was cancelled, or aborted, is over; its keys are not tried again."""
    calls = []

    @batchio.loader(split_on_error=True)
    async def fetch(keys: list[int]) -> dict[int, int]:
        calls.append(keys)
        raise error

    assert kinds(await answers(fetch(1), fetch(2))) == [batchio.BatchAborted] * 2
    assert calls == [[1, 2]]


# --- nobody waits, and everybody waits ----------------------------------------------------------------------------


async def test_an_error_that_nobody_awaits_is_no_error_of_the_program(loop_errors: list[str]) -> None:
    """Loads that were started and dropped fail in silence: no "exception was never retrieved"."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        raise ValueError("no")

    fetch(1)
    fetch.load_many([1, 2])
    await batchio.drain()
    gc.collect()
    assert loop_errors == []


async def test_load_many_raises_the_first_error_by_position() -> None:
    """Whichever key failed first in time, the error is that of the first key in the call; the others are given on request."""

    @batchio.loader(limits=batchio.Limits(max_batch_size=1))
    async def fetch(keys: list[int]) -> dict[int, Any]:
        for _ in range(10 - keys[0]):  # later keys fail earlier
            await asyncio.sleep(0)
        return {key: ValueError(key) if key % 2 else key for key in keys}

    with pytest.raises(ValueError, match=r"^3$"):
        await fetch.load_many([2, 3, 1, 5])
    told = await fetch.load_many([2, 5, 4, 1, 5], return_exceptions=True)
    assert [one.args[0] if isinstance(one, ValueError) else one for one in told] == [2, 5, 4, 1, 5]
    assert kinds(told) == [int, ValueError, int, ValueError, ValueError]


async def test_an_empty_load_many_is_answered_at_once() -> None:
    """No keys, no batch: an empty list, with and without a scope."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        raise AssertionError("not asked")

    assert await fetch.load_many([]) == []
    with batchio.scope():
        assert await fetch.load_many(iter(())) == []


async def test_many_waiters_of_many_keys_are_all_answered() -> None:
    """A thousand tasks on ten keys, half of which fail: each gets what its key got."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, Any]:
        return {key: KeyError(key) if key % 2 else key for key in keys}

    async def one(key: int) -> Awaitable[Any]:
        return await fetch(key)

    told = await batchio.gather(*(one(i % 10) for i in range(1_000)), return_exceptions=True)
    assert all(isinstance(x, KeyError) if i % 2 else x == i % 10 for i, x in enumerate(told))
    assert len({id(x) for x in told if isinstance(x, KeyError)}) == 500
