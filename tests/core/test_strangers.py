"""Guarantees 6 and 7: waiters are strangers to each other, and no caller reaches the driver.

Rules:
- Each error of the zoo below is raised by one batch for several waiters; what they get is compared piece by piece.
- Whether a batch is cancelled is asked of the batch function itself: `source.ended` says how each batch ended.
"""

from __future__ import annotations

import asyncio
import gc
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

import batchio

# --- guarantee 6: the errors --------------------------------------------------------------------------------------


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Slotted(Exception):
    __slots__ = ("__secret", "code")

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code
        self.__secret = code + 1

    def __str__(self) -> str:
        return f"{self.code} {self.__secret}"


class Wrapping(Exception):
    """Called again with its own args, it would wrap them twice."""

    def __init__(self, message: str) -> None:
        super().__init__(f"wrapped {message}")


class Silent(Exception):
    """Never calls its parent, as many do not."""

    def __init__(self, code: int, detail: str) -> None:
        self.code, self.detail = code, detail


class Guarded(Exception):
    """Cannot be made without what only its maker has."""

    def __new__(cls, *, token: object) -> Guarded:
        return super().__new__(cls)

    def __init__(self, *, token: object) -> None:
        super().__init__("guarded")


class Individual(Exception):
    """No two of them say the same."""

    def __str__(self) -> str:
        return f"I am {id(self)}"


def with_extras() -> ValueError:
    error = ValueError("bad", 7)
    error.add_note("look at row 7")
    error.row = {"id": 7}  # type: ignore[attr-defined]
    return error


def undecodable() -> Exception:
    try:
        b"abc\xff".decode()
    except UnicodeDecodeError as error:
        return error
    raise AssertionError


def missing_attribute() -> Exception:
    try:
        return "".nothing  # type: ignore[attr-defined]
    except AttributeError as error:
        return error


ZOO: dict[str, Callable[[], Exception]] = {
    "plain": lambda: ValueError("bad"),
    "no arguments": ValueError,
    "notes and attributes": with_extras,
    "OSError": lambda: FileNotFoundError(2, "No such file", "/tmp/a"),
    "OSError with two names": lambda: OSError(18, "Cross-device link", "a", None, "b"),
    "UnicodeDecodeError": undecodable,
    "ImportError": lambda: ImportError("no x", name="x", path="/x.py"),
    "AttributeError": missing_attribute,
    "SyntaxError": lambda: SyntaxError("bad", ("f.py", 1, 2, "a b", 1, 3)),
    "group": lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
    "keyword-only": lambda: KeywordOnly(code=5),
    "slots": lambda: Slotted(5),
    "wrapping": lambda: Wrapping("a"),
    "silent": lambda: Silent(5, "five"),
    "ours": lambda: batchio.KeyNotFound("none"),
}

MEMBERS = ("errno", "strerror", "filename", "filename2", "start", "end", "reason", "object", "name", "path", "msg")
MEMBERS += ("obj", "lineno", "text", "end_offset", "message", "exceptions", "code", "detail", "_Slotted__secret", "row")


def said(error: BaseException) -> dict[str, Any]:
    """Everything an error says: type, args, words, notes and attributes."""
    members = {name: getattr(error, name) for name in MEMBERS if hasattr(error, name)}
    return {
        "type": type(error),
        "args": error.args,
        "words": str(error),
        "notes": getattr(error, "__notes__", []),
        **members,
    }


async def errors_of(raised: Exception, *, as_value: bool = False, count: int = 3) -> list[BaseException]:
    """What several loads of one key, of another key, and a load_many of both are told."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, Any]:
        if as_value:
            return dict.fromkeys(keys, raised)
        raise raised

    loads = [fetch(1) for _ in range(count)] + [fetch(2), fetch.load_many([1, 2])]
    told = await batchio.gather(*loads, return_exceptions=True)
    assert all(isinstance(one, BaseException) for one in told)
    return list(told)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", ZOO.values(), ids=ZOO)
@pytest.mark.parametrize("as_value", [False, True], ids=["raised", "as a value"])
async def test_guarantee_06_waiters_are_strangers_each_has_an_error_of_its_own(
    make: Callable[[], Exception], as_value: bool
) -> None:
    """One exception in five waiters is five objects that say the same; none of them is the original."""
    original = make()
    told = await errors_of(original, as_value=as_value)
    assert len({id(error) for error in [original, *told]}) == 6
    assert [said(error) for error in told] == [said(original)] * 5


@pytest.mark.parametrize(
    "make", [ValueError, with_extras, lambda: KeywordOnly(code=5)], ids=["plain", "extras", "code"]
)
async def test_guarantee_06_waiters_are_strangers_and_the_cause_is_the_original(make: Callable[[], Exception]) -> None:
    """The original is the __cause__ of each copy, so that the batch function's traceback can be read."""
    original = make()
    told = await errors_of(original)
    assert all(error.__cause__ is original for error in told)
    assert "raise raised" in "".join(traceback.format_exception(told[0]))


@pytest.mark.parametrize("make", [lambda: Guarded(token=1), Individual], ids=["cannot be made", "says something else"])
async def test_guarantee_06_waiters_are_strangers_what_cannot_be_copied_is_wrapped(
    make: Callable[[], Exception],
) -> None:
    """An exception that has no faithful copy comes as BatchFailed, one for each waiter, with the original as cause."""
    original = make()
    told = await errors_of(original)
    assert {type(error) for error in told} == {batchio.BatchFailed}
    assert len({id(error) for error in told}) == 5
    assert all(error.__cause__ is original for error in told)
    assert type(original).__name__ in str(told[0])


async def test_what_one_waiter_writes_on_its_error_no_other_reads() -> None:
    """Notes and attributes that a request adds to its error stay in that request."""
    original = with_extras()
    first, second, *_ = await errors_of(original)
    first.add_note("request 1 was here")
    first.user = "request 1"  # type: ignore[attr-defined]
    assert second.__notes__ == original.__notes__ == ["look at row 7"]
    assert not hasattr(second, "user")
    assert not hasattr(original, "user")


async def test_no_traceback_of_one_request_shows_in_another() -> None:
    """Each waiter's traceback holds its own frames, and no foreign context; the batch's is in the cause."""

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        raise ValueError("bad")

    async def ada() -> None:
        await fetch(1)

    async def bob() -> None:
        try:
            {}["Bob's own trouble"]
        except KeyError:
            await fetch(1)

    of_ada, of_bob = await batchio.gather(ada(), bob(), return_exceptions=True)
    assert isinstance(of_ada, ValueError)
    assert isinstance(of_bob, ValueError)
    assert of_ada.__context__ is None
    assert isinstance(of_bob.__context__, KeyError)
    names = [[frame.name for frame in traceback.extract_tb(error.__traceback__)] for error in (of_ada, of_bob)]
    assert ("ada" in names[0], "bob" in names[0], "ada" in names[1], "bob" in names[1]) == (True, False, False, True)
    assert of_ada.__cause__ is of_bob.__cause__
    assert of_ada.__cause__.__context__ is None  # type: ignore[union-attr]


async def test_an_error_of_a_nested_load_keeps_its_trail() -> None:
    """An error that went through two loaders has two causes, one below the other, and the original at the end."""
    original = ValueError("bad")

    @batchio.loader
    async def inner(keys: list[int]) -> dict[int, int]:
        raise original

    @batchio.loader
    async def outer(keys: list[int]) -> dict[int, int]:
        return {key: await inner(key) for key in keys}

    with pytest.raises(ValueError, match="bad") as caught:
        await outer(1)
    assert caught.value.__cause__ is not original
    assert caught.value.__cause__.__cause__ is original  # type: ignore[union-attr]


CONSTANT = ValueError("not ready")  # a module's only exception object, raised again and again


def length_of(error: BaseException) -> int:
    """How many lines it takes to print an error with its causes."""
    return len("".join(traceback.format_exception(error)).splitlines())


@pytest.mark.parametrize("as_value", [False, True], ids=["raised", "as a value"])
async def test_guarantee_06_waiters_are_strangers_though_a_module_raises_one_object_for_ever(as_value: bool) -> None:
    """Over 1,000 batches that raise the same object, the traceback that a waiter sees does not grow."""
    CONSTANT.__traceback__ = None

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, Any]:
        if as_value:
            return dict.fromkeys(keys, CONSTANT)
        raise CONSTANT

    lengths = set()
    for _ in range(1_000):
        try:
            await fetch(1)
        except ValueError as error:
            lengths.add((len(traceback.extract_tb(error.__traceback__)), length_of(error)))
    assert len(lengths) == 1


@pytest.mark.parametrize("way", ["load", "load_many", "in a scope", "a constant"])
async def test_failed_loads_leave_nothing_behind(way: str) -> None:
    """After 2,000 failed loads the collector knows no more objects than after 200."""
    constant = KeyError("always the same")

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, int]:
        await asyncio.sleep(0)
        raise constant if way == "a constant" else KeyError(keys[0])

    async def fail(key: int) -> None:
        with pytest.raises(KeyError):
            await (fetch.load_many([key, key + 1]) if way == "load_many" else fetch(key))

    async def some(count: int) -> int:
        for key in range(count):
            if way == "in a scope":
                with batchio.scope():
                    await fail(key)
            else:
                await fail(key)
        gc.collect()
        return len(gc.get_objects())

    before = await some(200)
    assert await some(2_000) - before < 200


async def test_waiters_share_one_value_and_no_copy() -> None:
    """A value is one object for all; only errors are copied."""
    row = object()

    @batchio.loader
    async def fetch(keys: list[int]) -> dict[int, object]:
        return dict.fromkeys(keys, row)

    one, same, many = await batchio.gather(fetch(1), fetch(1), fetch.load_many([1, 2]))
    assert one is same is many[0] is many[1] is row


# --- guarantee 6: cancellation ------------------------------------------------------------------------------------


class Source:
    """A batch function that waits at its gate, and says how each batch ended."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.ended: list[str] = []
        self.left, self.gate = asyncio.Event(), asyncio.Event()
        self.tasks: list[Any] = []

    async def fetch(self, keys: list[Any]) -> dict[Any, str]:
        self.batches.append(keys)
        self.tasks.append(asyncio.current_task())
        self.left.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("done")
        return {key: f"value of {key}" for key in keys}

    def loader(self, **options: Any) -> Any:
        return batchio.Loader(self.fetch, name="source", **options)


async def passes(count: int = 20) -> None:
    """Let the loop turn so many times: enough for any queue to leave."""
    for _ in range(count):
        await asyncio.sleep(0)


async def task_of(awaitable: Any) -> Any:
    return await awaitable


async def within(seconds: float, awaitable: Any) -> Any:
    async with asyncio.timeout(seconds):
        return await awaitable


GOING = {
    "its future is cancelled": lambda load: load,
    "its task is cancelled": lambda load: asyncio.create_task(task_of(load)),
    "it waits in wait_for": lambda load: asyncio.create_task(asyncio.wait_for(load, 3600)),
    "it waits in a gather": lambda load: asyncio.create_task(task_of(batchio.gather(load))),
}


@pytest.mark.parametrize("goes", GOING.values(), ids=GOING)
@pytest.mark.parametrize("when", ["queued", "in flight"])
async def test_guarantee_06_waiters_are_strangers_one_that_goes_touches_no_other(
    goes: Callable[[Any], Any], when: str
) -> None:
    """One waiter is cancelled, before or after its batch leaves: all others of its key, and of other keys, are answered."""
    source = Source()
    load = source.loader()
    going = goes(load("a"))
    staying = load("a"), load("b"), load.load_many(["a", "b"]), asyncio.create_task(task_of(load("a")))
    await (source.left.wait() if when == "in flight" else asyncio.sleep(0))
    going.cancel()
    await source.left.wait()
    source.gate.set()
    assert await batchio.gather(*staying) == ("value of a", "value of b", ["value of a", "value of b"], "value of a")
    with pytest.raises(asyncio.CancelledError):
        await going
    assert (source.batches, source.ended) == ([["a", "b"]], ["done"])


async def test_a_waiter_that_times_out_touches_no_other() -> None:
    """One request's deadline passes; the request that waits for the same key gets its value."""
    source = Source()
    load = source.loader()
    patient = load("a")
    await source.left.wait()
    with batchio.scope():
        late = load("a")
        await passes()
        with pytest.raises(TimeoutError):
            await within(0, late)
    source.gate.set()
    assert await patient == "value of a"
    await passes()
    assert source.ended == ["done", "done"]


async def test_within_a_scope_the_second_waiter_does_not_depend_on_the_first() -> None:
    """In one scope the first load of a key is cancelled in flight; who joined it later is answered, without a new fetch."""
    source = Source()
    load = source.loader()
    with batchio.scope():
        first = load("a")
        await source.left.wait()
        second, many = load("a"), load.load_many(["a"])
        first.cancel()
        third = load("a")
        source.gate.set()
        assert await batchio.gather(second, many, third, load("a")) == (
            "value of a", ["value of a"], "value of a", "value of a"
        )  # fmt: skip
    assert source.batches == [["a"]]


# --- guarantee 7: callers never reach the driver ------------------------------------------------------------------


@pytest.mark.parametrize("way", ["load", "load_many"])
async def test_guarantee_07_callers_never_reach_the_driver(way: str) -> None:
    """All callers are cancelled in flight: the batch function runs to its end, in a task that is none of theirs."""
    source = Source()
    load = source.loader()

    async def caller() -> None:
        await (load("a") if way == "load" else load.load_many(["a"]))

    callers = [asyncio.create_task(caller()) for _ in range(3)]
    await source.left.wait()
    for task in callers:
        task.cancel()
    await asyncio.wait(callers)
    source.gate.set()
    await batchio.drain()
    assert source.ended == ["done"]
    assert source.tasks[0] not in {*callers, asyncio.current_task()}


async def test_guarantee_07_callers_never_reach_the_driver_keys_that_nobody_wants_stay_home() -> None:
    """Cancelled before it left, a key is fetched only if somebody else wants it."""
    source = Source()
    source.gate.set()
    load = source.loader()
    gone = [load("a"), load("b"), load("b"), load("c"), load.load_many(["d", "c"])]
    wanted = [load("c"), load("e")]
    for future in gone:
        future.cancel()
    await batchio.gather(*wanted)
    assert source.batches == [["c", "e"]]


async def test_when_nobody_wants_anything_no_batch_leaves() -> None:
    """All loads of a wave were cancelled: the batch function is not called, and the queue is gone."""
    source = Source()
    load = source.loader()
    for future in (load("a"), load("a"), load("b"), load.load_many(["c", "a"])):
        future.cancel()
    await passes()
    assert source.batches == []
    assert repr(load) == "<Loader source>"


async def test_a_cancelled_key_that_is_asked_for_again_is_fetched_once() -> None:
    """Who comes back before the batch leaves finds the key's place in the order kept or taken up anew, and one fetch."""
    source = Source()
    source.gate.set()
    load = source.loader()
    load("a").cancel()
    assert await batchio.gather(load("b"), load("a")) == ("value of b", "value of a")
    assert [sorted(batch) for batch in source.batches] == [["a", "b"]]


@pytest.mark.parametrize("way", ["load", "load_many"])
async def test_guarantee_07_callers_never_reach_the_driver_and_the_answer_is_remembered(way: str) -> None:
    """The caller goes away in flight; its scope still has the answer, for load and for load_many."""
    source = Source()
    load = source.loader()
    with batchio.scope():
        going = load("a") if way == "load" else load.load_many(["a", "b"])
        await source.left.wait()
        going.cancel()
        source.gate.set()
        await batchio.drain()
        assert await load("a") == "value of a"
        assert await load.load_many(["a"]) == ["value of a"]
    assert len(source.batches) == 1


async def test_an_error_is_not_remembered_for_a_caller_who_went_away() -> None:
    """The same, when the batch fails: the next load of the scope tries again."""
    gate, calls = asyncio.Event(), []

    @batchio.loader
    async def fetch(keys: list[str]) -> dict[str, int]:
        calls.append(keys)
        await gate.wait()
        if len(calls) == 1:
            raise ValueError("bad")
        return dict.fromkeys(keys, len(calls))

    with batchio.scope():
        going = fetch("a")
        await passes()
        going.cancel()
        gate.set()
        await batchio.drain()
        assert await fetch("a") == 2


# --- cancel_abandoned ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["load", "load_many"])
async def test_guarantee_07_callers_never_reach_the_driver_unless_cancel_abandoned(way: str) -> None:
    """With cancel_abandoned=True a batch is cancelled once its last waiter is gone, and not before."""
    source = Source()
    load = source.loader(cancel_abandoned=True)
    first = load("a") if way == "load" else load.load_many(["a", "b"])
    last = load("a")
    await source.left.wait()
    first.cancel()
    await passes()
    assert source.ended == []
    last.cancel()
    await passes()
    assert source.ended == ["cancelled"]


async def test_an_abandoned_batch_leaves_other_batches_alone() -> None:
    """Only the batch whose waiters are gone is cancelled; another one of the same loader goes on."""
    source = Source()
    load = source.loader(cancel_abandoned=True, limits=batchio.Limits(max_batch_size=1))
    gone, kept = load("a"), load("b")
    await passes()
    gone.cancel()
    await passes()
    assert source.ended == ["cancelled"]
    source.gate.set()
    assert await kept == "value of b"


async def test_a_batch_that_has_answered_everybody_is_not_abandoned() -> None:
    """A stream that gave all its pairs may finish its work, though another load of the loader is cancelled."""
    gate, ended = asyncio.Event(), []

    @batchio.loader(cancel_abandoned=True)
    async def fetch(keys: list[str]) -> AsyncIterator[tuple[str, str]]:
        try:
            for key in keys:
                yield key, key
            await gate.wait()
            ended.append("done")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    assert await fetch("a") == "a"
    fetch("b").cancel()
    await passes()
    gate.set()
    await batchio.drain()
    assert ended == ["done"]


class Slow:
    """A batch function whose first batch, when it is cancelled, takes its time to clean up."""

    def __init__(self) -> None:
        self.calls = 0
        self.left, self.gate = asyncio.Event(), asyncio.Event()
        self.cleaning, self.clean = asyncio.Event(), asyncio.Event()

    async def fetch(self, keys: list[str]) -> dict[str, int]:
        self.calls += 1
        number = self.calls
        self.left.set()
        if number == 1:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cleaning.set()
                await self.clean.wait()
                raise
        return dict.fromkeys(keys, number)


@pytest.mark.parametrize("way", ["load", "load_many"])
@pytest.mark.parametrize("turns", range(7))
async def test_guarantee_06_waiters_are_strangers_nobody_joins_an_abandoned_flight(way: str, turns: int) -> None:
    """However soon after another caller's going a load comes, it joins a batch that lives or fetches anew."""
    source = Slow()
    load = batchio.Loader(source.fetch, coalesce=True, cancel_abandoned=True)
    going = load("a")
    await source.left.wait()
    going.cancel()
    await passes(turns)
    late = load("a") if way == "load" else load.load_many(["a"])
    await passes()
    source.gate.set()
    source.clean.set()
    assert await late in (1, 2, [1], [2])


async def test_a_scope_that_comes_back_to_an_abandoned_key_fetches_anew() -> None:
    """A request whose first try timed out asks again while the cancelled batch still cleans up."""
    source = Slow()
    load = batchio.Loader(source.fetch, cancel_abandoned=True)
    with batchio.scope():
        going = load("a")
        await source.left.wait()
        going.cancel()
        await source.cleaning.wait()
        again = load("a")
        await passes()
        source.clean.set()
        assert await again == 2
        assert await load("a") == 2


async def test_who_comes_back_in_time_keeps_the_batch_alive() -> None:
    """The last waiter goes and the same scope asks again in the same step: there is no reason to cancel."""
    source = Source()
    load = source.loader(cancel_abandoned=True)
    with batchio.scope():
        going = load("a")
        await source.left.wait()
        going.cancel()
        again = load("a")
        await passes()
        source.gate.set()
        assert await again == "value of a"


# --- TaskGroup and timeout keep their counts ----------------------------------------------------------------------

FORMS: dict[str, Callable[[Any], Coroutine[Any, Any, Any]]] = {
    "a load": lambda load: task_of(load("a")),
    "a load_many": lambda load: task_of(load.load_many(["a", "b"])),
    "a gather of loads": lambda load: task_of(batchio.gather(load("a"), load("b"))),
    "a gather of tasks": lambda load: task_of(batchio.gather(task_of(load("a")), task_of(load("b")))),
}


async def in_a_group(works: list[Any]) -> None:
    """Run coroutines in a task group; their tasks take their places in the list."""
    async with asyncio.TaskGroup() as tasks:
        works[:] = [tasks.create_task(work) for work in works]


forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@forms
async def test_a_timeout_around_a_load_keeps_its_count(form: Callable[[Any], Any]) -> None:
    """asyncio.timeout turns its own cancellation into TimeoutError, and the task is as it was."""
    source = Source()
    load = source.loader()
    with pytest.raises(TimeoutError):
        await within(0, form(load))
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    source.gate.set()
    assert await form(load)


@forms
@pytest.mark.virtual
async def test_of_nested_timeouts_only_the_one_that_expired_speaks(form: Callable[[Any], Any]) -> None:
    """The inner deadline passes and the outer one does not; then the other way round."""
    load = Source().loader()
    async with asyncio.timeout(100) as outer:
        with pytest.raises(TimeoutError):
            await within(1, form(load))
    assert not outer.expired()
    inner = asyncio.create_task(within(100, form(load)))
    with pytest.raises(TimeoutError):
        await within(1, inner)
    assert inner.cancelled()  # by the outer one; had its own expired, it would hold a TimeoutError
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
    await batchio.drain(timeout=0)


async def group_of(*works: Any) -> tuple[list[type], list[bool], int]:
    """What a task group raised, which of its tasks were cancelled, and the count of cancellations that it left."""
    tasks = list(works)
    with pytest.raises(ExceptionGroup) as caught:
        await in_a_group(tasks)
    kinds = [type(error) for error in caught.value.exceptions]
    return kinds, [task.cancelled() for task in tasks], asyncio.current_task().cancelling()  # type: ignore[union-attr]


async def raising(error: Exception) -> None:
    await asyncio.sleep(0)
    raise error


@forms
async def test_a_task_group_that_fails_cancels_its_own_waiters_alone(form: Callable[[Any], Any]) -> None:
    """One request's task group fails, as one without loads would; another's load of the same key is answered."""
    source = Source()
    load = source.loader()
    other = asyncio.create_task(form(load))
    await source.left.wait()
    plain = await asyncio.create_task(group_of(asyncio.Event().wait(), raising(ValueError())))
    assert await asyncio.create_task(group_of(form(load), raising(ValueError()))) == plain
    assert plain[:2] == ([ValueError], [True, False])
    source.gate.set()
    assert await other
    await batchio.drain()
    assert set(source.ended) == {"done"}


@forms
async def test_a_task_group_reports_the_error_of_a_load(form: Callable[[Any], Any]) -> None:
    """A batch that fails is an error in the group, as any other, and the group's other tasks are cancelled."""

    @batchio.loader
    async def broken(keys: list[str]) -> dict[str, str]:
        raise ValueError("bad")

    plain = await asyncio.create_task(group_of(raising(ValueError()), asyncio.Event().wait()))
    assert await asyncio.create_task(group_of(form(broken), asyncio.Event().wait())) == plain
    assert plain[:2] == ([ValueError], [False, True])
