"""Awaitables with asynq's face: ready values, and tasks that start when they are first awaited.

Rules of this room: they are awaitables for plain asyncio, and any number of waiters may await one. ``value()`` waits in
plain code, as asynq's did.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any

from batchio._plain_code import run_sync

__all__ = ["Answer", "ConstFuture", "ErrorFuture", "Task", "task"]

_UNSET: Any = object()
_DEEPEST = 20_000  # tasks within tasks; asynq stops runaway recursion at 1,000,000, which no memory holds here


class Answer:
    """Something with a value or an error that can be awaited, by any number of waiters."""

    _result: Any = _UNSET
    _failure: BaseException | None = None

    def is_computed(self) -> bool:
        """Whether the value or the error is there."""
        return self._result is not _UNSET or self._failure is not None

    def value(self) -> Any:
        """The value, waited for from plain code if need be."""
        if not self.is_computed():
            return run_sync(self)
        return self._given()

    __call__ = value

    def error(self) -> BaseException | None:
        """The error, or None."""
        try:
            self.value()
        except BaseException as error:
            return error
        return None

    def set_value(self, value: Any) -> None:
        """Give it its value."""
        self._result = value

    def set_error(self, error: BaseException) -> None:
        """Make it fail."""
        self._failure = error

    def _given(self) -> Any:
        if self._failure is not None:
            raise self._failure
        return self._result

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from ()  # awaiting it is no turn of the loop
        return self._given()


class ConstFuture(Answer):
    """An awaitable that has its value.

    Args:
        value: what awaiting it gives.

    Example:
        >>> from batchio.compat.asynq import ConstFuture
        >>> ConstFuture(1).value()
        1
    """

    def __init__(self, value: Any) -> None:
        self._result = value


class ErrorFuture(Answer):
    """An awaitable that fails.

    Args:
        error: what awaiting it raises.

    Example:
        >>> from batchio.compat.asynq import ErrorFuture
        >>> ErrorFuture(KeyError("no")).error()
        KeyError('no')
    """

    def __init__(self, error: BaseException) -> None:
        self._failure = error


_depth: ContextVar[int] = ContextVar("batchio_task_depth", default=0)


class Task(Answer):
    """A coroutine that starts when it is first awaited, and answers everybody who awaits it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._waiters = 0

    def __del__(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()  # asynq's tasks that nobody waits for never run, and nobody is told

    def is_computed(self) -> bool:
        return self._task is not None and self._task.done()

    def _given(self) -> Any:
        return self._task.result()  # type: ignore[union-attr]  # asked only once it is computed

    def _start(self) -> asyncio.Task[Any]:
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is None:
            raise RuntimeError("a task is started once")
        depth = _depth.get() + 1
        if depth > _DEEPEST:
            coroutine.close()
            raise RecursionError(f"{_DEEPEST} tasks wait for each other in a chain")
        context = contextvars.copy_context()
        context.run(_depth.set, depth)
        loop = asyncio.get_running_loop()
        return asyncio.Task(coroutine, loop=loop, context=context)  # no factory's eager task: it would use up the stack

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._task is None:
            self._task = self._start()
        self._waiters += 1
        try:
            return (yield from asyncio.shield(self._task).__await__())
        except asyncio.CancelledError:
            if self._waiters == 1:
                self._task.cancel()  # nobody else waits for it
            raise
        finally:
            self._waiters -= 1


def task(coroutine: Coroutine[Any, Any, Any]) -> Task:
    """Make a coroutine what asynq's tasks were: it starts when first awaited, and may be awaited again.

    Each is a task of its own, so that recursion through it is not bound by Python's stack.

    Args:
        coroutine: what to run.

    Returns:
        An awaitable with asynq's ``value()``, ``error()`` and ``is_computed()``.

    Raises:
        RecursionError: when awaited, at the 20,000th of tasks that wait for each other.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import task
        >>> async def work() -> str:
        ...     print("working")
        ...     return "done"
        >>> async def main() -> None:
        ...     twice = task(work())
        ...     print(await twice, await twice)
        >>> asyncio.run(main())
        working
        done done
    """
    return Task(coroutine)
