"""What asynq did unasked when something was called or yielded, as functions.

Rules of this room: each looks at what it is given when it runs. Code whose author knows what is async needs none of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

from batchio._gather import gather
from batchio._plain_code import from_plain_code

__all__ = [
    "AsyncEventHook",
    "as_async",
    "async_call",
    "list_of_generator",
    "make_async_decorator",
    "take_first",
    "twin",
    "unwrap",
]

T = TypeVar("T")


async def unwrap(thing: Any) -> Any:
    """Do what asynq's ``yield`` did: wait for an awaitable, for all that stand in a container, or for None.

    Args:
        thing: what was yielded.

    Returns:
        Its result, or a container of the same shape.

    Raises:
        TypeError: it is none of these.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import ConstFuture, unwrap
        >>> asyncio.run(unwrap({"a": ConstFuture(1), "b": [None]}))
        {'a': 1, 'b': [None]}
    """
    if thing is None:
        return None
    if isinstance(thing, list | tuple | dict | set | frozenset):
        return await gather(thing)
    if inspect.isawaitable(thing):
        return await thing
    raise TypeError(f"unwrap takes an awaitable, a container of them or None, and not a {type(thing).__name__}")


async def async_call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a function that may be async or plain.

    Args:
        function: what to call.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Returns:
        Its result.

    Raises:
        BaseException: whatever it raises.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import async_call
        >>> asyncio.run(async_call(divmod, 5, 3))
        (1, 2)
    """
    result = function(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def as_async(function: Any) -> Any:
    """Make a plain function async; what is async already, or no function, stays as it is.

    Args:
        function: a function, or a ``classmethod`` or ``staticmethod`` of one.

    Returns:
        An async function that does the same.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import as_async
        >>> asyncio.run(as_async(lambda: 42)())
        42
    """
    if isinstance(function, classmethod | staticmethod):
        return type(function)(as_async(function.__func__))
    if isinstance(function, type) or not callable(function) or inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    async def called(*args: Any, **kwargs: Any) -> Any:
        return await async_call(function, *args, **kwargs)

    return called


def twin(other: Callable[..., Awaitable[T]]) -> Callable[[Callable[..., Awaitable[T]]], Any]:
    """Give an async function two bodies, as asynq's ``asyncio_fn`` did.

    Args:
        other: the body that runs unless ``run_sync`` began the call.

    Returns:
        A decorator of the body that runs when it did.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import twin
        >>> from batchio.tools import run_sync
        >>> async def natively() -> str:
        ...     return "asyncio"
        >>> @twin(natively)
        ... async def either() -> str:
        ...     return "plain code"
        >>> asyncio.run(either()), run_sync(either())
        ('asyncio', 'plain code')
    """

    def decorator(function: Callable[..., Awaitable[T]]) -> Any:
        @functools.wraps(function)
        async def either(*args: Any, **kwargs: Any) -> T:
            return await (function if from_plain_code.get() else other)(*args, **kwargs)

        return either

    return decorator


def make_async_decorator(function: Any, wrapper: Any, name: str) -> Any:
    """Make an async wrapper look like the function that it wraps.

    Args:
        function: what is wrapped.
        wrapper: the async function that calls it.
        name: what the decorator is called.

    Returns:
        The wrapper, with ``name()`` as asynq has it.

    Example:
        >>> from batchio.compat.asynq import make_async_decorator
        >>> async def work(): ...
        >>> async def wrapper(): ...
        >>> make_async_decorator(work, wrapper, "mine").name()
        '@mine()'
    """
    wrapped: Any = functools.wraps(function)(wrapper)
    wrapped.name = lambda: f"@{name}()"
    return wrapped


class AsyncEventHook:
    """Handlers, async and plain, that are called together.

    Args:
        handlers: the first of them.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import AsyncEventHook
        >>> asyncio.run(AsyncEventHook([print]).trigger("it happened"))
        it happened
    """

    def __init__(self, handlers: Iterable[Callable[..., Any]] = ()) -> None:
        self._handlers = list(handlers)

    def subscribe(self, handler: Callable[..., Any]) -> None:
        """Add a handler.

        Args:
            handler: what to call at each event.
        """
        self._handlers.append(handler)

    def unsubscribe(self, handler: Callable[..., Any]) -> None:
        """Take a handler away.

        Args:
            handler: one that was added.

        Raises:
            ValueError: it was not.
        """
        self._handlers.remove(handler)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(list(self._handlers))

    def __len__(self) -> int:
        return len(self._handlers)

    async def trigger(self, *args: Any) -> None:
        """Call all handlers at once.

        Args:
            *args: what they are called with.

        Raises:
            BaseException: the first error, in their order, when all have ended.
        """
        await gather([async_call(handler, *args) for handler in self])

    safe_trigger = trigger  # asynq's `trigger` left handlers uncalled when one raised; this one never does


async def list_of_generator(generator: AsyncIterator[T]) -> list[T]:
    """List all values of an async generator.

    Args:
        generator: what gives them.

    Returns:
        The values, in order.

    Raises:
        BaseException: whatever the generator raises.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import list_of_generator
        >>> async def numbers():
        ...     yield 1
        ...     yield 2
        >>> asyncio.run(list_of_generator(numbers()))
        [1, 2]
    """
    return [value async for value in generator]


async def take_first(generator: AsyncIterator[T], n: int) -> list[T]:
    """List the first values of an async generator, which goes on from there next time.

    Args:
        generator: what gives them.
        n: how many, at most.

    Returns:
        The values, in order.

    Raises:
        BaseException: whatever the generator raises.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import take_first
        >>> async def numbers():
        ...     yield 1
        ...     yield 2
        >>> asyncio.run(take_first(numbers(), 1))
        [1]
    """
    values: list[T] = []
    while len(values) < n:
        try:
            values.append(await anext(generator))
        except StopAsyncIteration:
            break
    return values
