"""The tools over async functions: asyncio's tasks underneath, no more batches than needed, and nobody's errors but one's own."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import dataclasses
import doctest
import gc
import os
import pickle
import subprocess
import sys
import threading
import traceback
import weakref
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


@pytest.mark.parametrize("choose", [tools.amax, tools.amin])
def test_the_examples_of_the_extremes_run(choose: Any) -> None:
    """Their docstrings are made, and the suite reads examples where they are written."""
    (example,) = doctest.DocTestFinder().find(choose, globs={})
    assert doctest.DocTestRunner().run(example) == (0, 4)


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


def test_single_flight_needs_brackets() -> None:
    """Without them the function would be taken for a keygetter: that is said at once."""
    with pytest.raises(TypeError, match=r"Gate.__call__ is no keygetter; write @deduplicate\(\) with brackets"):
        tools.deduplicate(Gate.__call__)  # type: ignore[arg-type]


async def test_an_error_goes_with_whoever_caught_it() -> None:
    """It stands in no circle that would wait for the garbage collector; nor do the errors of several."""

    class Mine(Exception):
        pass

    @tools.deduplicate()
    async def fail() -> None:
        await asyncio.sleep(0)
        raise Mine

    async def caught() -> weakref.ref[Mine]:
        try:
            await fail()
        except Mine as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        told = [await caught(), *await asyncio.gather(caught(), caught())]
        await asyncio.sleep(0)
        assert [one() for one in told] == [None] * 3
    finally:
        gc.enable()


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


async def test_calls_that_wait_for_each_other_make_their_own() -> None:
    """Each of two, under way together, calls the other: as without the decorator, and nobody waits for ever."""
    calls: list[str] = []

    @tools.deduplicate()
    async def ping() -> int:
        calls.append("ping")
        await asyncio.sleep(0)
        return 1 if len(calls) > 3 else await pong() + 1

    @tools.deduplicate()
    async def pong() -> int:
        calls.append("pong")
        await asyncio.sleep(0)
        return 1 if len(calls) > 3 else await batchio.gather([ping()]) and 5

    assert await asyncio.gather(ping(), pong()) == [6, 5]
    assert sorted(calls[:2]) == ["ping", "pong"]


async def test_calls_in_a_circle_without_an_end_are_pythons_error() -> None:
    """What would recurse for ever without the decorator does so with it, and its traceback names all in the circle."""

    @tools.deduplicate()
    async def chicken() -> None:
        await asyncio.sleep(0)
        await egg()

    @tools.deduplicate()
    async def egg() -> None:
        await asyncio.sleep(0)
        await chicken()

    with pytest.raises(RecursionError) as caught:
        await asyncio.gather(chicken(), egg())
    told = "".join(traceback.format_exception(caught.value))
    assert "in chicken\n" in told
    assert "in egg\n" in told


async def test_calls_that_share_what_they_need_make_each_once() -> None:
    """Data without a circle is fetched once for each key, however its calls are nested."""
    made: list[int] = []

    @tools.deduplicate()
    async def fibonacci(number: int) -> int:
        made.append(number)
        await asyncio.sleep(0)
        return number if number < 2 else sum(await batchio.gather([fibonacci(number - 1), fibonacci(number - 2)]))

    assert await fibonacci(12) == 144
    assert len(made) < 30  # 465 without the decorator


async def test_each_of_several_callers_gets_an_error_of_its_own() -> None:
    """With the original as its cause, so that nobody's traceback shows in another's; one alone gets the original."""
    original = KeyError("mine")

    @tools.deduplicate()
    async def fail() -> None:
        await asyncio.sleep(0)
        raise original

    told: list[Any] = await asyncio.gather(fail(), fail(), return_exceptions=True)
    assert len({id(error) for error in [original, *told]}) == 3
    assert [(type(error), error.args, error.__cause__) for error in told] == [(KeyError, ("mine",), original)] * 2
    with pytest.raises(KeyError) as caught:
        await fail()
    assert caught.value is original


async def test_a_call_that_everybody_left_and_that_fails_is_no_error_of_the_program() -> None:
    """Nobody is told of it; the suite fails on what its loop reports."""
    gate = Gate()

    @tools.deduplicate()
    async def fail() -> None:
        await gate()
        raise KeyError("nobody reads this")

    only = asyncio.create_task(fail())
    while not gate.calls:
        await asyncio.sleep(0)
    only.cancel()
    await asyncio.wait([only])
    gate.open.set()
    await asyncio.sleep(0)


async def test_a_call_that_cancels_itself_cancels_its_callers() -> None:
    """As it would without the decorator."""

    @tools.deduplicate()
    async def cancel() -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    told = await asyncio.gather(cancel(), cancel(), return_exceptions=True)
    assert [type(error) for error in told] == [asyncio.CancelledError] * 2


def test_a_loop_that_is_closed_is_garbage(loop_errors: list[str]) -> None:
    """Also with a call under way that never ends: nothing but the loop itself holds it."""

    @tools.deduplicate()
    async def wait() -> None:
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    asked = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gone = weakref.ref(loop)
    del loop, asked
    gc.collect()
    assert gone() is None
    assert all("Task was destroyed" in message for message in loop_errors)
    loop_errors.clear()


def test_dirty_reaches_the_calls_of_every_loop() -> None:
    """Also from plain code, while a call is under way on a loop that another thread runs."""
    made: list[int] = []

    @tools.deduplicate()
    async def fetch() -> int:
        made.append(1)
        await asyncio.sleep(0)
        return len(made)

    loops = [asyncio.new_event_loop(), asyncio.new_event_loop()]
    first = [loop.create_task(fetch()) for loop in loops]
    for loop in loops:
        loop.run_until_complete(asyncio.sleep(0))
    fetch.dirty()
    for loop, task in zip(loops, first, strict=True):
        loop.run_until_complete(asyncio.gather(task, loop.create_task(fetch())))
        loop.close()
    assert len(made) == 4


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


async def test_a_constant_needs_no_brackets() -> None:
    """`@alazy_constant` is `@alazy_constant()`."""

    @tools.alazy_constant
    async def constant() -> object:
        return object()

    assert await constant() is await constant()
    first = await constant()
    constant.dirty()
    assert await constant() is not first


@pytest.mark.parametrize("ttl", [-1, float("nan")])
def test_a_constants_seconds_are_a_duration(ttl: float) -> None:
    """What is none is refused when the function is decorated."""
    with pytest.raises(ValueError, match="no duration; 0 means until dirty"):
        tools.alazy_constant(ttl=ttl)


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


class Counted:
    """Its method counts its calls and waits at a gate, which stands open unless somebody closes it."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.gate.open.set()

    @tools.acached_per_instance()
    async def value(self, x: int = 0) -> int:
        await self.gate(x)
        return x

    @tools.acached_per_instance()
    async def itself(self) -> Any:
        return self


@pytest.mark.parametrize("gone", [0, 1, 2])
async def test_what_a_cancelled_caller_asked_for_is_remembered(gone: int) -> None:
    """Whichever of three goes away, the others are answered, and a later one too, by one call."""
    counted = Counted()
    counted.gate.open.clear()
    calls = [asyncio.create_task(counted.value(7)) for _ in range(3)]
    while not counted.gate.calls:
        await asyncio.sleep(0)
    calls[gone].cancel()
    await asyncio.wait([calls[gone]])
    assert calls[gone].cancelled()
    counted.gate.open.set()
    assert await asyncio.gather(*[call for call in calls if call is not calls[gone]]) == [7, 7]
    assert await counted.value(7) == 7
    assert counted.gate.calls == 1


async def test_what_everybody_went_away_from_is_remembered() -> None:
    """The call goes on, and the next caller has its result."""
    counted = Counted()
    counted.gate.open.clear()
    only = asyncio.create_task(counted.value(7))
    while not counted.gate.calls:
        await asyncio.sleep(0)
    only.cancel()
    await asyncio.wait([only])
    counted.gate.open.set()
    for _ in range(5):  # turns in which the call ends
        await asyncio.sleep(0)
    assert await counted.value(7) == 7
    assert counted.gate.calls == 1


async def test_a_result_that_refers_to_its_instance_goes_with_it() -> None:
    """Results are kept on the instance, so that the garbage collector sees the circle."""
    counted = Counted()
    assert await counted.itself() is counted
    gone = weakref.ref(counted)
    del counted
    await asyncio.sleep(0)  # a loop holds what a task waited for until its step has ended
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],
    ids=["copy", "deepcopy", "pickle"],
)
async def test_a_copy_of_an_instance_begins_anew(copied: Any) -> None:
    """It may be changed, so it remembers nothing; nor does it take anything from its original."""
    money = Money(1)
    assert await money.doubled() == 2
    other = copied(money)
    object.__setattr__(other, "amount", 5)
    assert (await other.doubled(), await money.doubled(), await other.doubled()) == (10, 2, 10)


@dataclasses.dataclass(frozen=True)
class Money:
    """Equal to others of its amount, and refuses to be changed."""

    amount: int

    @tools.acached_per_instance()
    async def doubled(self) -> int:
        return self.amount * 2

    @classmethod
    @tools.acached_per_instance()
    async def kind(cls) -> str:
        return cls.__name__


class Dollars(Money):
    """Overrides a method that remembers, and uses it."""

    @tools.acached_per_instance()
    async def doubled(self) -> int:
        return -await super().doubled()


async def test_a_subclass_remembers_its_own() -> None:
    """A method and the one that it overrides are two, and so are a class and its base."""
    dollars = Dollars(1)
    assert [await dollars.doubled(), await Money.doubled(dollars), await dollars.doubled()] == [-2, 2, -2]
    assert [await Money.kind(), await Dollars.kind(), await Money.kind()] == ["Money", "Dollars", "Money"]


async def test_a_method_without_an_instance_is_pythons_error() -> None:
    """At the call, in Python's own words; and `self` may be named."""
    with pytest.raises(TypeError, match=r"Counted.value\(\) missing 1 required positional argument: 'self'"):
        Counted.value()  # type: ignore[call-arg]
    assert await Counted.value(self=Counted(), x=3) == 3


class Fresh:
    """Its method gives another object each time that it is called."""

    @tools.acached_per_instance()
    async def make(self) -> object:
        return object()


async def test_an_instance_with_slots_alone_remembers_too() -> None:
    """Its results go with it, as with any other; what nobody can refer to weakly is refused."""

    class Slotted:
        __slots__ = ("__weakref__",)
        make = Fresh.make

    first, second = Slotted(), Slotted()
    assert await first.make() is await first.make()
    assert await first.make() is not await second.make()
    gone = weakref.ref(first)
    del first
    await asyncio.sleep(0)  # a loop holds what a task waited for until its step has ended
    gc.collect()
    assert gone() is None
    assert len(Fresh.make.__acached_per_instance_cache__) == 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="cannot create weak reference"):
        await type("Bare", (), {"__slots__": (), "make": Fresh.make})().make()  # type: ignore[attr-defined]


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


def test_a_threads_loop_is_closed_with_it() -> None:
    """Also if an error that came out of it lives on: its traceback holds no loop of a thread that has ended."""
    seen: list[Any] = []

    async def fail() -> None:
        seen.append(asyncio.get_running_loop())
        raise KeyError("kept")

    def work() -> None:
        try:
            tools.run_sync(fail())
        except KeyError as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0].is_closed()
    assert seen[1].__traceback__ is not None


FORKS = """
import asyncio, os, sys
from batchio.tools import run_sync

async def hop():
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    asyncio.get_running_loop().run_in_executor(None, loop.call_soon_threadsafe, woken.set_result, "woken")
    return await woken

def child():
    answer = run_sync(hop())
    sys.stdout.write(f"child {answer}\\n")
    sys.stdout.flush()

def forked(leave):
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            leave(0)
    os.waitpid(pid, 0)

async def inside():
    forked(os._exit)
    return await hop()

before = run_sync(hop())
forked(sys.exit)
print("parent", run_sync(hop()))
print("parent", run_sync(inside()))
print("parent", asyncio.run(inside()))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("first", ["", "import uvloop; uvloop.install()"], ids=["asyncio", "uvloop"])
def test_a_forked_process_has_loops_of_its_own(first: str) -> None:
    """Also one that was forked inside a running loop; and its end leaves the parent's loop as it was."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", first + FORKS], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout.splitlines() == ["child woken", "parent woken"] * 3
    assert not done.stderr


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
