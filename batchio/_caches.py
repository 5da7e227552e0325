"""Single flight: calls with the same arguments share the one that is under way; and what remembers on top of it.

Rules of this room:

- Who asks for what is under way waits for it; a waiter that is cancelled takes nobody with it.
- A call runs in the context of whoever asked first: what it reads of a request there, the others are answered with.
- Errors are not remembered. What a call was computing when it was made dirty is not remembered either.
- No LRU here: async-lru's ``alru_cache`` does it well, and makes one call of concurrent ones too.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

__all__ = ["acached_per_instance", "alazy_constant", "deduplicate"]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_KEYWORDS: Any = object()  # stands between positional arguments and keywords in a key
_inside: ContextVar[frozenset[Any]] = ContextVar("batchio_inside_flights", default=frozenset())  # the tasks of calls


class Dirtied(Protocol[P, T_co]):
    """An async function with ``dirty``, which takes the same arguments."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T_co]:
        """Call the function, or join the call that is under way."""

    def dirty(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Let the next call begin anew."""


class _Flights:
    """Calls under way, by loop and key."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[int, Hashable], asyncio.Task[Any]] = {}

    async def join(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for the call of this key that is under way, or make one; within itself, a call waits for nobody."""
        place = (id(asyncio.get_running_loop()), key)  # a task that is kept keeps its loop: no id is used twice
        running = self._tasks.get(place)
        if running is None or running.done():  # its callback may be yet to come
            running = self._tasks[place] = asyncio.ensure_future(self._run(make))
            running.add_done_callback(functools.partial(self._forget, place))
        elif running in _inside.get():
            return await make()
        return await asyncio.shield(running)

    async def _run(self, make: Callable[[], Awaitable[Any]]) -> Any:
        _inside.set(_inside.get() | {asyncio.current_task()})
        return await make()

    def drop(self, key: Hashable) -> None:
        """Let the next call begin anew, on every loop."""
        for place in [place for place in self._tasks if place[1] == key]:
            del self._tasks[place]

    def _forget(self, place: tuple[int, Hashable], task: asyncio.Task[Any]) -> None:
        if self._tasks.get(place) is task:
            del self._tasks[place]


def _key_of(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], Hashable]:
    """Arguments as a key: one for all spellings of the same call."""
    signature = inspect.signature(function)

    def key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return (*bound.args, _KEYWORDS, *sorted(bound.kwargs.items()))

    return key


def deduplicate(
    keygetter: Callable[[tuple[Any, ...], dict[str, Any]], Hashable] | None = None,
) -> Callable[[Callable[P, Awaitable[T]]], Dirtied[P, T]]:
    """Make calls of an async function with the same arguments, while one is under way, wait for that one.

    Args:
        keygetter: makes the key of ``(args, kwargs)``; by default it is all arguments, however they are spelled.

    Returns:
        A decorator. What it decorates has a ``dirty``, which takes the same arguments and lets the next call begin anew.

    Raises:
        TypeError: at a call, for arguments that the function does not take or that cannot be hashed.

    Example:
        >>> import asyncio
        >>> from batchio.tools import deduplicate
        >>> @deduplicate()
        ... async def fetch(page: int) -> str:
        ...     print("fetching", page)
        ...     return f"page {page}"
        >>> async def main() -> None:
        ...     print(await asyncio.gather(fetch(1), fetch(page=1), fetch(2)))
        >>> asyncio.run(main())
        fetching 1
        fetching 2
        ['page 1', 'page 1', 'page 2']
    """

    def decorator(function: Callable[P, Awaitable[T]]) -> Dirtied[P, T]:
        flights, key = _Flights(), keygetter or _key_of(function)

        @functools.wraps(function)
        async def joined(*args: P.args, **kwargs: P.kwargs) -> T:
            return await flights.join(key(args, kwargs), lambda: function(*args, **kwargs))  # type: ignore[no-any-return]

        joined.dirty = lambda *args, **kwargs: flights.drop(key(args, kwargs))  # type: ignore[attr-defined]
        return joined  # type: ignore[return-value]

    return decorator


class _Constant(Generic[T]):
    """A value, until when it holds, and the flight that fetches it."""

    def __init__(self, function: Callable[[], Awaitable[T]], ttl: float) -> None:
        self._function, self._ttl = function, ttl
        self._flights = _Flights()
        self._kept: tuple[T, float] | None = None
        self._fetch: object = None  # the latest; an older one's value is not kept

    async def get(self) -> T:
        if self._kept is not None and (not self._ttl or time.monotonic() < self._kept[1]):
            return self._kept[0]
        return await self._flights.join(None, self._fetched)  # type: ignore[no-any-return]

    async def _fetched(self) -> T:
        fetch = self._fetch = object()
        value = await self._function()
        if self._fetch is fetch:
            self._kept = (value, time.monotonic() + self._ttl)
        return value

    def dirty(self) -> None:
        self._kept = self._fetch = None
        self._flights.drop(None)


def alazy_constant(ttl: float = 0) -> Callable[[Callable[[], Awaitable[T]]], Dirtied[[], T]]:
    """Remember the result of an async function without arguments.

    Args:
        ttl: seconds that a result is remembered; 0 means until ``dirty()``.

    Returns:
        A decorator. What it decorates has a ``dirty`` without arguments, which forgets the result.

    Raises:
        ValueError: ttl is negative.

    Example:
        >>> import asyncio
        >>> from batchio.tools import alazy_constant
        >>> @alazy_constant(ttl=60)
        ... async def settings() -> dict[str, str]:
        ...     print("fetching")
        ...     return {"color": "green"}
        >>> async def main() -> None:
        ...     print(await settings(), await settings())
        >>> asyncio.run(main())
        fetching
        {'color': 'green'} {'color': 'green'}
    """
    if ttl < 0:
        raise ValueError(f"alazy_constant: a ttl of {ttl} seconds is negative; 0 means until dirty()")

    def decorator(function: Callable[[], Awaitable[T]]) -> Dirtied[[], T]:
        known = _Constant(function, ttl)

        @functools.wraps(function)
        async def constant() -> T:
            return await known.get()

        constant.dirty = known.dirty  # type: ignore[attr-defined]
        return constant  # type: ignore[return-value]

    return decorator


class _Instance:
    """What is remembered of one instance, and the calls of its method that are under way."""

    def __init__(self, instance: Any, forget: Callable[[Any], Any]) -> None:
        self.reference = weakref.ref(instance, forget)  # calls `forget` when the instance goes
        self.results: dict[Hashable, Any] = {}
        self.flights = _Flights()


def acached_per_instance() -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Remember an async method's results on each instance, as long as it lives.

    Instances need not be hashable, but weak references to them must be possible. Concurrent calls make one.

    Returns:
        A decorator of methods.

    Raises:
        TypeError: at a call, for arguments that the method does not take or that cannot be hashed.

    Example:
        >>> import asyncio
        >>> from batchio.tools import acached_per_instance
        >>> class User:
        ...     @acached_per_instance()
        ...     async def name(self, locale: str = "en") -> str:
        ...         print("fetching", locale)
        ...         return "Ada"
        >>> async def main() -> None:
        ...     user = User()
        ...     print(await user.name(), await user.name(locale="en"))
        >>> asyncio.run(main())
        fetching en
        Ada Ada
    """

    def decorator(method: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        instances: dict[int, _Instance] = {}
        key_of = _key_of(method)

        def of(instance: Any) -> _Instance:
            identity = id(instance)
            if identity not in instances:
                instances[identity] = _Instance(instance, lambda _: instances.pop(identity, None))
            return instances[identity]

        @functools.wraps(method)
        async def cached(*args: P.args, **kwargs: P.kwargs) -> T:
            known, key = of(args[0]), key_of((None, *args[1:]), kwargs)
            if key not in known.results:
                known.results[key] = await known.flights.join(key, lambda: method(*args, **kwargs))
            return known.results[key]  # type: ignore[no-any-return]

        cached.__acached_per_instance_cache__ = instances  # type: ignore[attr-defined]  # asynq's name for it
        return cached

    return decorator
