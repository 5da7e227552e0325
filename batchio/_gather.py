"""``gather``: wait for several things at once. The form in which a page asks for its parts.

Rules of this room:

- All children finish before a gather returns or raises; no task outlives it.
- The error is the first by position, not the first in time, so it is the same on every run.
- Futures that are under way are awaited one after another, in the caller's task: a batch answers many of them at once,
  so that one wake-up serves all. (``asyncio.gather`` schedules one callback for each child: 8.9 us where this takes 4.)
- A cancellation of the caller reaches all children, and is passed on when the last of them has ended.
- Each coroutine has a task. (The road not taken: to run one among loads in the caller's task saves a tenth of a page, but
  then nobody can tell whose cancellation it was, and the loads hear of it too late.)
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from types import CoroutineType
from typing import Any, TypeVar, overload

__all__ = ["gather"]

T = TypeVar("T")
K = TypeVar("K")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")

_COROUTINES = {CoroutineType}
_Future, _Task = asyncio.Future, asyncio.Task
_running_loop, _current_task = asyncio.get_running_loop, asyncio.current_task
_FUTURES = frozenset({asyncio.Future, asyncio.Task})
_LEAVES = _FUTURES | _COROUTINES
_FLAT = frozenset({list, tuple})
_EAGER = sys.version_info >= (3, 12)
_DEEPEST = 20  # gathers within gathers whose children start at once; deeper ones wait for the loop's next turn
_starting = threading.local()  # how deep this thread is in first steps

Words = dict[Any, tuple[Any, ...]]  # what children that others cancelled were told: a future tells it once only

CONTAINERS = frozenset({list, tuple, set, frozenset, dict})


@overload
async def gather() -> tuple[()]: ...
@overload
async def gather(aws: list[Awaitable[T]], /) -> list[T]: ...
@overload
async def gather(aws: list[asyncio.Future[T]], /) -> list[T]: ...
@overload
async def gather(aws: list[Coroutine[Any, Any, T]], /) -> list[T]: ...
@overload
async def gather(aws: dict[K, Awaitable[T]], /) -> dict[K, T]: ...
@overload
async def gather(aws: dict[K, asyncio.Future[T]], /) -> dict[K, T]: ...
@overload
async def gather(aws: dict[K, Coroutine[Any, Any, T]], /) -> dict[K, T]: ...
@overload
async def gather(aws: tuple[Awaitable[T], ...], /) -> tuple[T, ...]: ...
@overload
async def gather(aws: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any] | dict[Any, Any], /) -> Any: ...
@overload
async def gather(a: Awaitable[A], /) -> tuple[A]: ...
@overload
async def gather(a: Awaitable[A], b: Awaitable[B], /) -> tuple[A, B]: ...
@overload
async def gather(a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> tuple[A, B, C]: ...
@overload
async def gather(a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], /) -> tuple[A, B, C, D]: ...
@overload
async def gather(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], e: Awaitable[E], /
) -> tuple[A, B, C, D, E]: ...
@overload
async def gather(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[D], e: Awaitable[E], f: Awaitable[F], /
) -> tuple[A, B, C, D, E, F]: ...
@overload
async def gather(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    f: Awaitable[F],
    g: Awaitable[G],
    /,
) -> tuple[A, B, C, D, E, F, G]: ...
@overload
async def gather(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    f: Awaitable[F],
    g: Awaitable[G],
    h: Awaitable[H],
    /,
) -> tuple[A, B, C, D, E, F, G, H]: ...
@overload
async def gather(*aws: Awaitable[T]) -> tuple[T, ...]: ...
@overload
async def gather(*aws: Awaitable[T], return_exceptions: bool) -> tuple[T | BaseException, ...]: ...
async def gather(*aws: Any, return_exceptions: bool = False) -> Any:
    """Wait for several awaitables at once, or for all that stand in one container.

    ``gather(a, b)`` gives a tuple, for none and for one too. ``gather(container)`` with one builtin container alone
    (list, tuple, named tuple, set, dict, nested) gives the same shape back: its leaves that are awaitables are replaced
    by their results, every other leaf stays as it is. Strings, bytes, dataclasses and other objects are not walked.

    Differs from ``asyncio.gather``: all children finish before it raises; the error is the first by position, with a
    note that counts the others; the result is a tuple; it takes containers; it begins when it is awaited.

    Args:
        *aws: coroutines, futures, tasks, loads; or one container.
        return_exceptions: give errors in the places of results instead of raising the first.

    Returns:
        A tuple of results in the order of the arguments, or a container of the shape that was given.

    Raises:
        TypeError: for an argument that is not awaitable.
        ValueError: for a future of another event loop.
        BaseException: the first error by position among the children's.

    Example:
        >>> import asyncio, batchio
        >>> @batchio.loader(name="squares")
        ... async def square(keys: list[int]) -> dict[int, int]:
        ...     print("fetching", keys)
        ...     return {key: key * key for key in keys}
        >>> async def main() -> None:
        ...     print(await batchio.gather(square(1), square(2)))
        ...     print(await batchio.gather({"three": square(3), "more": [square(4), None]}))
        >>> asyncio.run(main())
        fetching [1, 2]
        (1, 4)
        fetching [3, 4]
        {'three': 9, 'more': [16, None]}
    """
    loop = _running_loop()
    shape: Callable[[Sequence[Any]], Any] | None = None
    children: Sequence[Any] = aws
    words: Words = {}
    child: Any = None
    task: Any = None
    try:
        if len(aws) == 1 and type(aws[0]) is not _Future and _is_container(aws[0]):
            children, shape = _opened(aws[0])
        # Nearly all gathers are of loads alone: this is written for speed. Loads end as soon as they are cancelled, so
        # it is enough to know at the next wake-up that the caller was: asyncio counts that.
        for child in children:
            if type(child) is not _Future or child._loop is not loop:
                children = await _all_done(children, loop, words)
                break
        else:
            for child in children:
                if not child.done():
                    if task is None:
                        task = _current_task(loop)
                        # Asyncio's own tasks count cancellations from now on, unless one is pending already.
                        if type(task) is not _Task or task._must_cancel:  # type: ignore[attr-defined]
                            children = await _all_done(children, loop, words)
                            break
                        cancels = task.cancelling()
                    try:
                        await child
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # the child's, which is looked at below; or a cancellation
                        words[child] = error.args
                        if task.cancelling() > cancels or not child.done():
                            raise _cancelled(children, error) from None
        child = None  # see _taken
        results = _results(children, words, return_exceptions=return_exceptions)
        return results if shape is None else shape(results)
    finally:
        aws, shape, children, child, task = (), None, (), None, None


def _cancelled(children: Sequence[Any], error: BaseException) -> asyncio.CancelledError:
    """The caller was cancelled: so are all loads, and what is raised has the words of the cancellation."""
    words = error.args if isinstance(error, asyncio.CancelledError) else ()
    for child in children:
        child.cancel(*words[:1])
    _note_all(children)
    return asyncio.CancelledError(*words)


async def _all_done(aws: Sequence[Any], loop: asyncio.AbstractEventLoop, words: Words) -> list[asyncio.Future[Any]]:
    """Wait for any awaitables: each is a future or gets a task. Those come back, all done.

    Raises:
        CancelledError: the caller was cancelled, and with it all of them.
    """
    children = _children(aws, loop)
    front: Any = None
    for child in children:
        if not child.done():
            front = front or _Front(children, words, loop)
            front.child = child
            while not child.done():
                await front
    if front is not None:
        front.child = None
        if front.cancelled:
            _note_all(children)
            raise asyncio.CancelledError(*(() if front.message is None else (front.message,)))
    return children


def _opened(container: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """The awaitables of a container, and what makes the same shape of their results."""
    if type(container) in _FLAT and _LEAVES.issuperset(map(type, container)):
        return list(container), type(container)
    leaves: list[Any] = []
    _collect(container, leaves)
    return leaves, lambda results: _rebuilt(container, iter(results))


def _results(children: Sequence[Any], words: Words, *, return_exceptions: bool) -> Sequence[Any]:
    """The results of children that have all ended, in order."""
    if return_exceptions:
        errors = [_error_of(child, words) for child in children]
        return tuple(child.result() if error is None else error for child, error in zip(children, errors, strict=True))
    results, child = [], None
    try:
        for child in children:  # no comprehension: on 3.11 it has a frame, which the traceback below would show
            results.append(child.result())
        return tuple(results)
    except BaseException as error:
        if not any(map(_failed, children)):  # Ctrl-C, in here
            raise
        # Told again below, as if it had not been raised here.
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    backwards = list(reversed(children))
    del children, child, results  # see _taken
    return tuple(_taken(backwards, words))


def _taken(children: list[Any], words: Words) -> list[Any]:
    """The results of children that stand in reverse, taken one by one.

    An error that is raised holds its traceback, and that the frames with their names: no name here may hold the error
    or the child whose error it is, or each failed gather would be a cycle for the garbage collector. And a future's
    ``result()`` gives its error's traceback once only, so the error is asked for and raised.
    """
    results: list[Any] = []
    while children:
        child = children.pop()
        error = _error_of(child, words)
        if error is not None:
            words.clear()
            _count_others(error, children)
            try:
                raise error
            finally:
                del child, error
        results.append(child.result())
    return results


def _children(aws: Sequence[Any], loop: asyncio.AbstractEventLoop) -> list[asyncio.Future[Any]]:
    """A future for each awaitable: itself, or a new task. One that stands there twice has one task.

    All are looked at before the first is started, so that a bad argument leaves nothing half done.
    """
    kinds = set(map(type, aws))
    if kinds == _COROUTINES and len(set(map(id, aws))) == len(aws):
        return _start_all(aws, loop)
    unstarted: dict[int, Any] = {}
    for place, aw in enumerate(aws):
        kind = type(aw)
        if kind is CoroutineType:
            unstarted[id(aw)] = aw
        elif kind not in _FUTURES or aw.get_loop() is not loop:
            if problem := _problem(aw, loop):
                _close_all(aws)
                raise problem(f"gather: argument {place + 1} of {len(aws)}")
            if not asyncio.isfuture(aw) and id(aw) not in unstarted:
                unstarted[id(aw)] = _waiting(aw)
    if not unstarted:
        return list(aws)
    tasks = dict(zip(unstarted, _start_all(list(unstarted.values()), loop), strict=True))
    return [tasks.get(id(aw), aw) for aw in aws]


def _start_all(coroutines: Sequence[Any], loop: asyncio.AbstractEventLoop) -> list[asyncio.Future[Any]]:
    """Start coroutines, each in a task of its own.

    Where the Python version can, they take their first step at once, which saves a turn of the loop for each; not
    deeper than some levels, for each is a frame on the stack, and not against a task factory of somebody else's.
    """
    if loop.get_task_factory() is not None:
        return list(map(loop.create_task, coroutines))
    depth = getattr(_starting, "depth", 0)
    if not _EAGER or depth >= _DEEPEST:
        return [asyncio.Task(coroutine, loop=loop) for coroutine in coroutines]
    tasks: list[asyncio.Future[Any]] = []
    _starting.depth = depth + 1
    try:
        for coroutine in coroutines:  # no comprehension: what was started must be known when the next one raises
            tasks.append(asyncio.Task(coroutine, loop=loop, eager_start=True))  # type: ignore[call-arg]  # noqa: PERF401
    except BaseException:  # SystemExit and the like come out of a first step: nothing may be left behind
        for task in tasks:
            task.cancel()
        _close_all(coroutines[len(tasks) + 1 :])
        raise
    finally:
        _starting.depth = depth
    return tasks


def _close_all(aws: Sequence[Any]) -> None:
    """Coroutines that will not be started, in containers too, are closed: "never awaited" would hide the error."""
    for aw in aws:
        leaves = [aw]
        if _is_container(aw):
            _collect(aw, leaves)
        for leaf in leaves:
            if type(leaf) is CoroutineType:
                leaf.close()


def _problem(aw: Any, loop: asyncio.AbstractEventLoop) -> Callable[[str], Exception] | None:
    """What is wrong with an argument, as a function of the words that name it."""
    if isinstance(aw, asyncio.Future) or asyncio.isfuture(aw):
        if aw.get_loop() is loop:
            return None
        return lambda which: ValueError(f"{which} is a future of another event loop")
    if inspect.isawaitable(aw):
        return None
    if _is_container(aw):
        return lambda which: TypeError(
            f"{which} is a {type(aw).__name__} and cannot be awaited; gather walks one container, alone"
        )
    return lambda which: TypeError(
        f"{which} is a {type(aw).__name__} and cannot be awaited; is it the result of an await already?"
    )


async def _waiting(aw: Awaitable[T]) -> T:
    """An awaitable object as a coroutine, which a task needs."""
    return await aw


_cancelling = threading.local()  # the list of the outermost _Front.cancel that is at work in this thread


class _Front:
    """What the caller's task waits on: one child after another, and yet a cancellation reaches all of them at once.

    asyncio lets a task wait on any object that looks like a future. This one lends each child's ``add_done_callback``
    to the task, so a wait costs no callback of its own; and since the task cancels what it waits on, ``cancel`` here
    knows for certain that it is the caller who was cancelled, which a CancelledError that comes out of a child cannot
    tell. (The road not taken, comparing ``Task.cancelling()`` before and after, errs when a child swallows it.)
    """

    __slots__ = ("_asyncio_future_blocking", "_loop", "cancelled", "child", "children", "message", "words")

    def __init__(
        self,
        children: list[asyncio.Future[Any]],
        words: Words,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self.children = children
        self.child: Any = None
        self.cancelled = False
        self.message: Any = None
        self.words = words

    def __repr__(self) -> str:
        return f"<gather of {len(self.children)}, waiting for {self.child!r}>"

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        self.child.add_done_callback(callback, context=context)

    def cancel(self, msg: Any = None) -> bool:
        """Cancel all children at once, and their children's, in one loop: a tree of 10,000 levels must bear it too.

        A child that waits in a gather of its own brings us here again, from within; that call only adds to the list.
        """
        self.cancelled = True
        self.message = msg
        mine = [(child, msg) for child in self.children if not child.done()]
        underway: list[Any] | None = getattr(_cancelling, "list", None)
        if underway is not None:
            underway.extend(mine)
            return bool(mine)
        _cancelling.list = underway = list(mine)
        try:
            for child, message in underway:
                child.cancel(message)
        finally:
            _cancelling.list = None
        return bool(mine)

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        try:
            yield self
        except GeneratorExit:
            raise
        except BaseException as error:  # the child's, which is looked at when all have ended; or a cancellation
            if not self.child.done():
                self.cancel()
            elif self.child.cancelled():
                self.words[self.child] = error.args


def _note_all(children: Iterable[asyncio.Future[Any]]) -> None:
    """Look at every child's error, so that none counts as never retrieved."""
    for child in children:
        if not child.cancelled():
            child.exception()


def _error_of(child: asyncio.Future[Any], words: Words) -> BaseException | None:
    """A child's error, or None."""
    return asyncio.CancelledError(*words.get(child, ())) if child.cancelled() else child.exception()


def _count_others(error: BaseException, children: Iterable[asyncio.Future[Any]]) -> None:
    """Say on the error that is raised how many others there were, once."""
    others = {id(child if child.cancelled() else child.exception()) for child in children if _failed(child)} - {
        id(error)
    }
    note = f"the first of {len(others) + 1} errors in this gather, by position"
    if others and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _failed(child: asyncio.Future[Any]) -> bool:
    return child.cancelled() or child.exception() is not None


def _is_container(thing: Any) -> bool:
    return type(thing) in CONTAINERS or (isinstance(thing, tuple) and hasattr(thing, "_fields"))


def _is_awaitable(thing: Any) -> bool:
    return type(thing) is CoroutineType or inspect.isawaitable(thing)


def _collect(container: Any, leaves: list[Any]) -> None:
    """The awaitables of a container, in its order."""
    for item in container.values() if type(container) is dict else container:
        if _is_container(item):
            _collect(item, leaves)
        elif _is_awaitable(item):
            leaves.append(item)


def _rebuilt(container: Any, results: Iterator[Any]) -> Any:
    """The same shape with results in the places of awaitables."""

    def of(item: Any) -> Any:
        if _is_container(item):
            return _rebuilt(item, results)
        return next(results) if _is_awaitable(item) else item

    if type(container) is dict:
        return {key: of(item) for key, item in container.items()}
    items = [of(item) for item in container]
    return container._make(items) if hasattr(container, "_fields") else type(container)(items)
