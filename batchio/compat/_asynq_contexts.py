"""Contexts with asynq's face: those with side effects are paused while other tasks run.

Rules of this room:

- A value that belongs to a piece of work is no context but a ``ContextVar``: ``batchio.tools.AsyncScopedValue``.
- Only a context with side effects has to be paused, and only in functions that say so with ``pausing``: those are run
  step by step. It is no scheduler: which task runs, and when, stays the event loop's business.
- ``pausing`` was to be left to people. It is here because eight of the yields in asynq's own tests stand around such
  contexts, and these tests pass after the migration with it only.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

__all__ = ["AsyncContext", "AsyncTimer", "NonAsyncContext", "async_override", "pausing"]

P = ParamSpec("P")
T = TypeVar("T")

_entered: ContextVar[tuple[AsyncContext, ...]] = ContextVar("batchio_entered", default=())


class AsyncContext:
    """A context that is paused while other tasks run: override ``resume`` and ``pause``.

    It is paused where the async function that holds the ``with`` is decorated with ``pausing``, and resumed in the
    functions with that decorator which run inside the block. Elsewhere it is a plain context manager.

    Example:
        >>> from batchio.compat.asynq import AsyncContext
        >>> class Light(AsyncContext):
        ...     def resume(self) -> None:
        ...         print("on")
        ...
        ...     def pause(self) -> None:
        ...         print("off")
        >>> with Light():
        ...     print("reading")
        on
        reading
        off
    """

    _is_resumed = False

    def __enter__(self) -> Any:
        self._go_on()
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> Any:
        _entered.set(tuple(context for context in _entered.get() if context is not self))
        if self._is_resumed:
            self._stand_still()

    def _go_on(self) -> None:
        self.resume()
        self._is_resumed = True

    def _stand_still(self) -> None:
        self._is_resumed = False
        self.pause()

    def resume(self) -> None:
        """Do what the context is for; called at its begin and whenever its task goes on.

        Raises:
            NotImplementedError: a subclass must override it.
        """
        raise NotImplementedError

    def pause(self) -> None:
        """Undo it; called whenever its task waits and at its end.

        Raises:
            NotImplementedError: a subclass must override it.
        """
        raise NotImplementedError


def pausing(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Pause each ``AsyncContext`` of an async function whenever it waits, and resume it when it goes on.

    Args:
        function: the function that holds the ``with``, or one that is called inside.

    Returns:
        A function that does the same, step by step.

    Raises:
        BaseException: whatever the function raises, or a context's ``pause`` or ``resume``.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import AsyncContext, pausing
        >>> class Light(AsyncContext):
        ...     def resume(self) -> None:
        ...         print("on")
        ...
        ...     def pause(self) -> None:
        ...         print("off")
        >>> @pausing
        ... async def read() -> None:
        ...     with Light():
        ...         await asyncio.sleep(0)
        >>> asyncio.run(read())
        on
        off
        on
        off
    """

    @functools.wraps(function)
    async def stepped(*args: P.args, **kwargs: P.kwargs) -> T:
        return await _Steps(function(*args, **kwargs))  # type: ignore[no-any-return]

    return stepped


class _Steps:
    """Runs a coroutine step by step, with its contexts resumed during each step only."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        self.outer = _entered.get()
        self.mine: list[AsyncContext] = []

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                waits_for = self._step(value, error)
            except StopIteration as end:
                return end.value
            except _Trouble as trouble:
                value, error = None, trouble.error
                continue
            try:
                value, error = (yield waits_for), None
            except GeneratorExit:
                self.coroutine.close()
                raise
            except BaseException as thrown:
                value, error = None, thrown

    def _step(self, value: Any, error: BaseException | None) -> Any:
        lent = [context for context in self.outer if not context._is_resumed]
        try:
            for context in (*lent, *self.mine):
                if not context._is_resumed:
                    context._go_on()
        except BaseException as trouble:
            error = trouble
        try:
            waits_for = self.coroutine.send(value) if error is None else self.coroutine.throw(error)
        except BaseException:
            self._pause(lent)
            raise
        outside = set(map(id, self.outer))
        self.mine = [context for context in _entered.get() if id(context) not in outside and context._is_resumed]
        self._pause([*lent, *self.mine], told=True)
        return waits_for

    def _pause(self, contexts: list[AsyncContext], *, told: bool = False) -> None:
        """Pause all of them, the innermost first, also when one raises."""
        errors: list[BaseException] = []
        for context in reversed(contexts):
            try:
                if context._is_resumed:
                    context._stand_still()
            except BaseException as error:
                errors.append(error)
        if errors and told:
            raise _Trouble(errors[0])
        if errors:
            raise errors[0]


class _Trouble(Exception):
    """A pause raised: the error is the function's."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class NonAsyncContext:
    """A context in which nobody may wait: leaving it after the loop has turned raises AssertionError.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import NonAsyncContext
        >>> async def waits() -> None:
        ...     with NonAsyncContext():
        ...         await asyncio.sleep(0)
        >>> try:
        ...     asyncio.run(waits())
        ... except AssertionError:
        ...     print("it waited")
        it waited
    """

    _turn: asyncio.Handle | None = None
    _turned = False

    def __enter__(self) -> Any:
        self._turned = False
        try:
            self._turn = asyncio.get_running_loop().call_soon(self._note)
        except RuntimeError:
            self._turn = None

    def _note(self) -> None:
        self._turned = True

    def __exit__(self, kind: object, error: object, traceback: object) -> Any:
        if self._turn is not None:
            self._turn.cancel()
        if self._turned and kind is None:
            raise AssertionError(f"a task waited while {self} was active")


class AsyncTimer:
    """Measures the time in its blocks, waiting included; ``total_time`` is in microseconds.

    Example:
        >>> from batchio.compat.asynq import AsyncTimer
        >>> with AsyncTimer() as timer:
        ...     sum(range(1000))
        499500
        >>> timer.total_time < 1_000_000
        True
    """

    def __init__(self) -> None:
        self.total_time = 0
        self._started = 0

    def __enter__(self) -> AsyncTimer:
        self._started = time.perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.total_time += (time.perf_counter_ns() - self._started) // 1000


def async_override(target: Any, property_name: str, value: Any) -> AsyncContext:
    """Give an attribute another value for a block.

    Args:
        target: the object.
        property_name: its attribute.
        value: the value inside the block.

    Returns:
        A context manager, paused as any ``AsyncContext``.

    Raises:
        AttributeError: when entered, if the object has no such attribute.

    Example:
        >>> from types import SimpleNamespace
        >>> from batchio.compat.asynq import async_override
        >>> settings = SimpleNamespace(debug=False)
        >>> with async_override(settings, "debug", True):
        ...     print(settings.debug)
        True
    """
    return _Override(target, property_name, value)


class _Override(AsyncContext):
    def __init__(self, target: Any, name: str, value: Any) -> None:
        self._target, self._name, self._value = target, name, value
        self._before: Any = None

    def resume(self) -> None:
        self._before = getattr(self._target, self._name)
        setattr(self._target, self._name, self._value)

    def pause(self) -> None:
        setattr(self._target, self._name, self._before)
