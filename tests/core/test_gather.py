"""gather: shapes, order, errors by position, cancellation, and no task that outlives it.

Rules:
- Where asyncio.gather makes the same promise, both run the same test.
- Order in time is forced by events, and never by sleeping.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import traceback
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import pytest

import batchio

DEEP = 10_000
Gather = Callable[..., Awaitable[Any]]

both = pytest.mark.parametrize("gather", [asyncio.gather, batchio.gather], ids=["asyncio", "batchio"])


async def give(value: Any, turns: int = 1) -> Any:
    """A child that waits some passes of the loop and returns."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fail(error: BaseException, turns: int = 1) -> Any:
    """A child that waits some passes of the loop and raises."""
    for _ in range(turns):
        await asyncio.sleep(0)
    raise error


async def passes(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def future(value: Any = None) -> asyncio.Future[Any]:
    """A future that is done already."""
    done = asyncio.get_running_loop().create_future()
    done.set_result(value)
    return done


class Promise:
    """An awaitable that is neither coroutine nor future."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self.value


# --- shapes -------------------------------------------------------------------------------------------------------


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Box:
    content: Any


class MyList(list[Any]):
    pass


async def test_arguments_give_a_tuple() -> None:
    """For none, for one, and for many."""
    assert await batchio.gather() == ()
    assert await batchio.gather(give(1)) == (1,)
    assert await batchio.gather(give(1), future(2), Promise(3), asyncio.create_task(give(4))) == (1, 2, 3, 4)


@pytest.mark.parametrize("empty", [[], (), {}, set(), frozenset()])
async def test_an_empty_container_gives_an_empty_one(empty: Any) -> None:
    """And of its own type."""
    gathered = await batchio.gather(empty)
    assert (gathered, type(gathered)) == (empty, type(empty))


async def test_one_container_gives_the_same_shape() -> None:
    """Lists, tuples, named tuples, sets and dicts, nested, keep type and order; awaitables are replaced."""
    gathered = await batchio.gather(
        {
            "list": [give(1), [give(2), 3]],
            "tuple": (give(4), ()),
            "point": Point(give(5), y={give(6), 7}),
            "frozen": frozenset({give(8)}),
            9: give(9),
            "plain": 10,
        }
    )
    assert gathered == {
        "list": [1, [2, 3]],
        "tuple": (4, ()),
        "point": Point(5, {6, 7}),
        "frozen": frozenset({8}),
        9: 9,
        "plain": 10,
    }
    assert [type(gathered["point"]), type(gathered["frozen"]), list(gathered)[4]] == [Point, frozenset, 9]


async def test_what_is_no_container_is_not_walked() -> None:
    """Strings, bytes, dataclasses, subclasses of list and other objects stay as they are, None included."""
    box, mine, text = Box(give(1)), MyList([2]), "text"
    leaves = [None, text, b"bytes", box, mine, range(3), give(4), Box]
    gathered = await batchio.gather(leaves)
    assert gathered == [None, text, b"bytes", box, mine, range(3), 4, Box]
    assert gathered[3] is box
    assert gathered[4] is mine
    box.content.close()


async def test_a_container_is_not_changed() -> None:
    """The caller's container still holds its awaitables; a new one is given back."""
    load = asyncio.ensure_future(give(1))
    mine = {"a": [load]}
    assert await batchio.gather(mine) == {"a": [1]}
    assert mine == {"a": [load]}


async def test_loads_in_a_container_leave_together() -> None:
    """The page's way to say what it needs: a dict of loads, and coroutines that load, is one batch."""
    batches = []

    @batchio.loader
    async def square(keys: list[int]) -> dict[int, int]:
        batches.append(keys)
        return {key: key * key for key in keys}

    async def render(key: int) -> str:
        return f"<b>{await square(key)}</b>"

    gathered = await batchio.gather({"one": square(1), "more": [render(2), square.load_many([3, 1])]})
    assert gathered == {"one": 1, "more": ["<b>4</b>", [9, 1]]}
    assert [sorted(batch) for batch in batches] == [[1, 2, 3]]


# --- order and duplicates -----------------------------------------------------------------------------------------


@both
async def test_results_stand_in_the_order_of_the_arguments(gather: Gather) -> None:
    """Whoever finishes first."""
    assert list(await gather(*(give(i, turns=10 - i) for i in range(10)))) == list(range(10))


@both
async def test_one_awaitable_given_twice_runs_once(gather: Gather) -> None:
    """And its result stands in both places."""
    runs = []

    async def child() -> object:
        runs.append(1)
        return object()

    again, load = child(), asyncio.ensure_future(give("load"))
    one, shared, two, same = await gather(again, load, again, load)
    assert (one is two, shared, same, runs) == (True, "load", "load", [1])


async def test_an_awaitable_object_given_twice_is_awaited_once() -> None:
    """One that is neither coroutine nor future: its second place has the first's result, and nothing is left over."""
    promise = Promise("once")
    assert await batchio.gather(promise, give(2), promise) == ("once", 2, "once")


@both
async def test_children_run_at_the_same_time(gather: Gather) -> None:
    """Two children that wait for each other both end."""
    here, there = asyncio.Event(), asyncio.Event()

    async def meet(mine: asyncio.Event, theirs: asyncio.Event) -> bool:
        mine.set()
        return await theirs.wait()

    assert list(await gather(meet(here, there), meet(there, here))) == [True, True]


@both
async def test_a_coroutine_that_makes_tasks_is_one_child(gather: Gather) -> None:
    """Gathers in gathers."""
    assert list(await gather(gather(give(1), give(2)), give(3)))[1] == 3


# --- errors -------------------------------------------------------------------------------------------------------


async def test_the_error_is_the_first_by_position() -> None:
    """Not the first in time, so it is the same on every run; its note counts the others."""
    with pytest.raises(KeyError, match="second") as caught:
        await batchio.gather(give(1), fail(KeyError("second"), turns=9), fail(ValueError("third"), turns=1), give(4))
    assert caught.value.__notes__ == ["the first of 2 errors in this gather, by position"]


async def test_a_single_error_has_no_note() -> None:
    """There is nothing to count."""
    with pytest.raises(KeyError) as caught:
        await batchio.gather(give(1), fail(KeyError("only")))
    assert not hasattr(caught.value, "__notes__")


async def test_one_error_is_counted_once() -> None:
    """A failed future that stands there twice is one error, and gathering it again adds no second note."""
    shared = asyncio.ensure_future(fail(KeyError("shared")))
    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            await batchio.gather(shared, shared)
    assert not hasattr(caught.value, "__notes__")
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            await batchio.gather(shared, fail(ValueError()))
    assert caught.value.__notes__ == ["the first of 2 errors in this gather, by position"]


async def test_all_children_finish_before_the_error_is_raised() -> None:
    """The others are neither cancelled nor left running."""
    ended = []

    async def slow() -> None:
        await passes(10)
        ended.append("slow")

    with pytest.raises(ValueError, match="quick"):
        await batchio.gather(fail(ValueError("quick"), turns=0), slow())
    assert ended == ["slow"]


@both
async def test_errors_in_the_places_of_results(gather: Gather) -> None:
    """With return_exceptions=True nothing is raised; a cancelled child counts as an error, too."""
    errors = ValueError("a"), KeyError("b")
    gone = asyncio.ensure_future(give(0))
    gone.cancel()
    told = list(await gather(fail(errors[0]), give(1), gone, fail(errors[1]), return_exceptions=True))
    assert (told[0], told[1], told[3]) == (errors[0], 1, errors[1])
    assert isinstance(told[2], asyncio.CancelledError)


async def test_errors_in_the_places_of_a_shape() -> None:
    """The same in a container."""
    error = ValueError("a")
    told = await batchio.gather({"bad": [fail(error)], "good": give(1)}, return_exceptions=True)
    assert told == {"bad": [error], "good": 1}


@both
@pytest.mark.parametrize("turns", [0, 1], ids=["at once", "later"])
@pytest.mark.parametrize("place", [0, 1])
async def test_an_error_shows_where_it_came_from(gather: Gather, turns: int, place: int) -> None:
    """The traceback of what gather raises leads down to the line of the child that raised, whoever was awaited first."""
    children = [give(1, turns=5), give(2, turns=5)]
    children[place].close()
    children[place] = fail(ValueError("deep"), turns=turns)
    with pytest.raises(ValueError, match="deep") as caught:
        await gather(*children)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].line == "raise error"


@both
async def test_an_error_in_the_place_of_a_result_shows_where_it_came_from(gather: Gather) -> None:
    """With return_exceptions=True, too."""
    (error,) = await gather(fail(ValueError("deep")), return_exceptions=True)
    assert traceback.extract_tb(error.__traceback__)[-1].line == "raise error"


async def test_no_error_is_forgotten_in_the_log(loop_errors: list[str]) -> None:
    """The errors that were not raised count as looked at."""
    with pytest.raises(ValueError, match="a"):
        await batchio.gather(fail(ValueError("a")), fail(ValueError("b")), fail(ValueError("c")))
    gc.collect()
    assert loop_errors == []


@both
async def test_a_child_that_was_cancelled_by_others_raises_cancelled_error(gather: Gather) -> None:
    """The caller was not cancelled, and can go on."""
    child = asyncio.ensure_future(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(child.cancel, "by others")
    with pytest.raises(asyncio.CancelledError, match="by others"):
        await gather(child, give(1))
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


# --- cancellation -------------------------------------------------------------------------------------------------


class Child:
    """A child that notes how it ends; it may take its time, or refuse."""

    def __init__(self, after: str = "ends") -> None:
        self.after = after
        self.said: list[str] = []
        self.may_end = asyncio.Event()

    async def run(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            self.said.append("cancelled" + "".join(error.args))
            if self.after == "swallows":
                return "swallowed"
            if self.after == "fails":
                raise ValueError("while cleaning up") from None
            if self.after == "takes its time":
                await self.may_end.wait()
                self.said.append("ended")
            raise
        raise AssertionError


async def test_a_cancelled_caller_cancels_all_children_at_once_and_awaits_them() -> None:
    """Not one after another: all are told before the first has ended, and the caller ends after the last."""
    children = [Child("takes its time") for _ in range(3)]
    caller = asyncio.create_task(give_all(child.run() for child in children))
    await passes()
    caller.cancel(" please")
    await passes()
    assert [child.said for child in children] == [["cancelled please"]] * 3
    for child in reversed(children):
        assert not caller.done()
        child.may_end.set()
        await passes()
    assert [child.said[-1] for child in children] == ["ended"] * 3
    with pytest.raises(asyncio.CancelledError):
        await caller


async def give_all(aws: Any) -> Any:
    return await batchio.gather(*aws)


@pytest.mark.parametrize("after", ["swallows", "fails"])
@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_a_child_cannot_swallow_the_callers_cancellation(after: str, return_exceptions: bool) -> None:
    """What a child makes of it is its own business: the caller was cancelled, and CancelledError comes out."""
    children = [Child(after), Child("ends")]
    caller = asyncio.ensure_future(
        batchio.gather(*(child.run() for child in children), return_exceptions=return_exceptions)
    )
    await passes()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert caller.cancelled()
    assert [child.said for child in children] == [["cancelled"]] * 2


async def test_a_caller_that_is_cancelled_as_its_last_child_ends_is_cancelled() -> None:
    """Between a child's end and the caller's next step there is no gap in which a cancellation is lost."""
    child = asyncio.get_running_loop().create_future()
    caller = asyncio.ensure_future(batchio.gather(child))
    await passes()
    child.set_result(1)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_caller_that_was_cancelled_before_it_gathers_is_cancelled() -> None:
    """A cancellation that waits for the task's next await reaches the children, too."""
    child = Child()

    async def caller() -> None:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        await batchio.gather(child.run(), give(1, turns=5))

    task = asyncio.create_task(caller())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert child.said in (["cancelled"], [])  # [] if it was cancelled before its first step


@pytest.mark.parametrize("return_exceptions", [False, True])
@pytest.mark.parametrize("loads", [0, 1, 3])
async def test_a_cancellation_that_came_before_the_gather_is_passed_on(loads: int, return_exceptions: bool) -> None:
    """As Ctrl-C in asyncio.run may: the task is cancelled while it runs, and hears of it where it waits next."""
    futures = [asyncio.get_running_loop().create_future() for _ in range(3)]

    async def caller() -> Any:
        current = asyncio.current_task()
        assert current is not None
        current.cancel("stop")
        return await batchio.gather(*futures[:loads], *map(wait, futures[loads:]), return_exceptions=return_exceptions)

    async def wait(future: asyncio.Future[Any]) -> Any:
        return await future

    with pytest.raises(asyncio.CancelledError, match="stop"):
        await asyncio.create_task(caller())
    assert all(future.cancelled() for future in futures[:loads])
    assert not any(future.done() and not future.cancelled() for future in futures)


async def test_who_waits_for_the_same_loads_is_told_the_words_of_a_cancellation() -> None:
    """All loads of a cancelled gather are cancelled in the caller's words."""
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    gathering = asyncio.create_task(batchio.gather(*futures))
    await passes()
    gathering.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await gathering
    for future in futures:
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await future


async def test_time_limits_and_task_groups_around_a_gather_mean_themselves_alone() -> None:
    """Both cancel the task that they are in and take that back; the next gather is not cancelled."""
    never, task = asyncio.get_running_loop().create_future(), asyncio.current_task()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await batchio.gather(never)
    assert never.cancelled()

    async def grouped() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail(ValueError("no")))
                await batchio.gather(asyncio.get_running_loop().create_future())
        except ExceptionGroup:
            return "went on"
        return "nothing failed"

    assert await batchio.gather(grouped(), future(1)) == ("went on", 1)
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("how", ["failed", "was cancelled"])
async def test_a_task_that_ended_in_a_gather_waits_for_no_garbage_collector(how: str) -> None:
    """Nothing in the gather refers to the task that ran it."""

    async def page(child: Any) -> Any:
        return await batchio.gather(child, future(2))

    gc.collect()
    gc.disable()
    try:
        child = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(page(child))
        await passes()
        if how == "failed":
            child.set_exception(ValueError("no"))
        else:
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception()
        ended = weakref.ref(task)
        del task, child
        await passes()
        assert ended() is None
    finally:
        gc.enable()


async def test_an_exception_outside_of_exception_is_counted_like_others() -> None:
    """A BaseException of somebody's own is the first by position, with its note, and no other error is left over."""

    class Stop(BaseException):
        pass

    with pytest.raises(Stop) as caught:
        await batchio.gather(fail(Stop("now")), fail(ValueError("too"), turns=2))
    assert caught.value.__notes__ == ["the first of 2 errors in this gather, by position"]


async def test_a_caller_may_be_cancelled_twice() -> None:
    """The second time reaches those that are still cleaning up."""
    stubborn = Child("takes its time")
    caller = asyncio.ensure_future(batchio.gather(stubborn.run(), give(1)))
    await passes()
    caller.cancel()
    await passes()
    assert not caller.done()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert stubborn.said == ["cancelled"]


async def test_a_cancelled_gather_cancels_loads_for_itself_alone() -> None:
    """Another gather of the same keys gets its values."""
    gate = asyncio.Event()

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        await gate.wait()
        return {key: key for key in keys}

    going = asyncio.ensure_future(batchio.gather(fetch(1), fetch(2)))
    staying = asyncio.ensure_future(batchio.gather(fetch(1), fetch(2)))
    await passes()
    going.cancel()
    gate.set()
    assert await staying == (1, 2)
    assert going.cancelled() or not going.done()
    with pytest.raises(asyncio.CancelledError):
        await going


@both
async def test_a_timeout_around_a_gather(gather: Gather) -> None:
    """asyncio.timeout gets its cancellation back, and the caller's count is as before."""
    child = Child()
    with pytest.raises(TimeoutError):
        await in_time(gather(child.run(), give(1)), 0.05)
    assert child.said == ["cancelled"]
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    assert list(await gather(give(1), give(2))) == [1, 2]


async def in_time(awaitable: Any, seconds: float) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable


@pytest.mark.virtual
async def test_a_timeout_waits_for_children_that_clean_up() -> None:
    """Nothing outlives a gather, not even when its time is over: the last child's clean-up is awaited."""

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        await in_time(batchio.gather(slow_to_end(), give(1)), 1)
    assert asyncio.get_running_loop().time() == 6
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_task_group_around_gathers() -> None:
    """A sibling's error cancels a gather and all its children; the group raises that error alone."""
    children = [Child(), Child("swallows")]
    group = asyncio.create_task(in_a_group(batchio.gather(*(child.run() for child in children)), fail(KeyError(), 5)))
    with pytest.raises(ExceptionGroup) as caught:
        await group
    assert [type(error) for error in caught.value.exceptions] == [KeyError]
    assert [child.said for child in children] == [["cancelled"]] * 2


async def in_a_group(*works: Coroutine[Any, Any, Any]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(work)


# --- depth --------------------------------------------------------------------------------------------------------
#
# Eager tasks run their first step inside create_task, so there each level of recursion is one of Python's stack: no
# gather can help that, and asyncio's cannot either.

deep = pytest.mark.flavours("asyncio", "uvloop")


async def down(levels: int, bottom: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """So many gathers, each a child of the one before."""
    if levels == 0:
        return await bottom()
    below, _ = await batchio.gather(down(levels - 1, bottom), give(levels))
    return below


@deep
@pytest.mark.patience(120)
@pytest.mark.parametrize("width", [1, 2])
async def test_ten_thousand_nested_gathers_give_their_value(width: int) -> None:
    """No level of nesting costs a level of Python's stack, be a child alone or one of two."""

    async def narrow(levels: int) -> Any:
        if levels == 0:
            return "bottom"
        (below,) = await batchio.gather(narrow(levels - 1))
        return below

    assert await (narrow(DEEP) if width == 1 else down(DEEP, lambda: give("bottom"))) == "bottom"


@deep
@pytest.mark.patience(120)
async def test_an_error_comes_up_through_ten_thousand_gathers() -> None:
    """And is the same object at the top."""
    error = ValueError("bottom")
    with pytest.raises(ValueError, match="bottom") as caught:
        await down(DEEP, lambda: fail(error))
    assert caught.value is error
    error.__traceback__ = None  # 10,000 levels of it: let it go here and not inside pytest


@deep
@pytest.mark.patience(120)
@pytest.mark.parametrize("levels", [100, 1_000, DEEP])
async def test_a_cancellation_goes_down_ten_thousand_gathers(levels: int) -> None:
    """The caller of a deep tree is cancelled, and all of it ends."""
    reached, release, told = asyncio.Event(), asyncio.Event(), []

    async def bottom() -> None:
        reached.set()
        try:
            await release.wait()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    caller = asyncio.create_task(down(levels, bottom))
    await reached.wait()
    try:
        caller.cancel()
        await passes()
        assert told == ["cancelled"]
        await asyncio.wait([caller])
        assert caller.cancelled()
    finally:
        release.set()  # so that a tree that could not be cancelled ends, too
        await asyncio.wait([caller])


# --- bad arguments ------------------------------------------------------------------------------------------------


async def never() -> None:
    raise AssertionError("started")


BAD: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "a value first": (lambda: [3, never()], "argument 1 of 2 is a int and cannot be awaited"),
    "a value last": (lambda: [never(), never(), "x"], "argument 3 of 3 is a str and cannot be awaited"),
    "None": (lambda: [never(), None], "argument 2 of 2 is a NoneType and cannot be awaited"),
    "two containers": (lambda: [[never()], [never()]], "argument 1 of 2 is a list and cannot be awaited"),
    "a container and more": (lambda: [never(), {"a": never()}], "argument 2 of 2 is a dict and cannot be awaited"),
    "a function": (lambda: [never(), never], "argument 2 of 2 is a function and cannot be awaited"),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
async def test_a_bad_argument_leaves_nothing_half_done(make: Callable[[], list[Any]], words: str) -> None:
    """TypeError says which argument; no child was started, and none complains that it was never awaited."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TypeError, match=f"gather: {words}"):
            await batchio.gather(*make())
        gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@both
@pytest.mark.parametrize("nested", [False, True])
async def test_a_future_of_another_loop_is_refused(gather: Gather, nested: bool) -> None:
    """ValueError, before anything is started."""
    other = asyncio.new_event_loop()
    try:
        foreign = other.create_future()
        if gather is batchio.gather:
            with pytest.raises(ValueError, match="argument 2 of 2 is a future of another event loop"):
                await (batchio.gather([never(), foreign]) if nested else batchio.gather(never(), foreign))
        else:
            with pytest.raises(ValueError, match="loop"):
                await asyncio.gather(foreign, future())
    finally:
        other.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_unknown_option_is_refused() -> None:
    """As by any function."""
    with pytest.raises(TypeError, match="unexpected keyword"):
        await batchio.gather(return_exception=True)  # type: ignore[call-overload]


async def test_an_awaitable_of_a_generator_function_is_awaited() -> None:
    """What `await` takes, gather takes: coroutines of types.coroutine, too."""
    import types

    @types.coroutine
    def old_style() -> Generator[Any, None, int]:
        yield from asyncio.sleep(0).__await__()
        return 5

    assert await old_style() == 5
    assert await asyncio.gather(old_style()) == [5]
    assert await batchio.gather(old_style()) == (5,)


# --- as asyncio's where they agree --------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("turns", [(0, 0, 0), (1, 2, 3), (3, 2, 1), (0, 5, 0)])
@pytest.mark.parametrize("kind", ["coroutine", "task", "done", "awaitable"])
async def test_results_are_those_of_asyncios_gather(gather: Gather, turns: tuple[int, ...], kind: str) -> None:
    """Whatever the children are, and in whatever order they end."""
    makers: dict[str, Callable[[int, int], Any]] = {
        "coroutine": give,
        "task": lambda value, turns: asyncio.create_task(give(value, turns)),
        "done": lambda value, turns: future(value),
        "awaitable": lambda value, turns: Promise(value),
    }
    children = [makers[kind](value, count) for value, count in enumerate(turns)]
    assert list(await gather(*children)) == [0, 1, 2]


@both
async def test_a_gather_of_gathers_of_loads(gather: Gather) -> None:
    """Two levels of gather over one loader: each key once, each value in its place."""
    batches = []

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        batches.append(keys)
        return {key: 10 * key for key in keys}

    async def pair(key: int) -> Any:
        return await gather(fetch(key), fetch(key + 1))

    assert [list(one) for one in await gather(*map(pair, range(3)))] == [[0, 10], [10, 20], [20, 30]]
    assert batches == [[0, 1, 2, 3]]


# --- how children start -------------------------------------------------------------------------------------------


def test_an_exit_in_a_childs_first_step_leaves_nothing_behind(
    flavourless_loop: asyncio.AbstractEventLoop, loop_errors: list[str]
) -> None:
    """SystemExit goes to the loop's owner; the children before it are cancelled, those after it never begin."""
    ended: list[str] = []

    async def before() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("before")

    async def leave() -> None:
        raise SystemExit(3)

    async def after() -> None:
        ended.append("after, which began")

    with pytest.raises(SystemExit):
        flavourless_loop.run_until_complete(batchio.gather(before(), leave(), after()))
    left = asyncio.all_tasks(flavourless_loop)
    for task in left:
        task.cancel()
    flavourless_loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    assert ended in (["before"], ["after, which began", "before"])  # where children do not start at once, all begin
    gc.collect()
    assert all("SystemExit: 3" in told for told in loop_errors)  # asyncio's own word on a task that raised it
    loop_errors.clear()


@pytest.fixture
def flavourless_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the test runs by itself: no plugin's runner stands between it and what goes to a loop's owner."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


async def test_each_child_has_a_context_of_its_own() -> None:
    """What a child sets in a context variable, neither its caller nor its neighbour sees; in its first step neither."""
    seen: ContextVar[str] = ContextVar("seen", default="nothing")

    async def child(name: str) -> str:
        before = seen.get()
        seen.set(name)
        await asyncio.sleep(0)
        return f"{before}, then {seen.get()}"

    assert await batchio.gather(child("a"), child("b")) == ("nothing, then a", "nothing, then b")
    assert await batchio.gather(child("a")) == ("nothing, then a",)
    assert seen.get() == "nothing"
