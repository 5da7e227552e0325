"""Single flight: calls with the same arguments share the one that is under way; and what remembers on top of it.

Rules of this room:

- Who asks for what is under way waits for it; a waiter that is cancelled takes nobody with it, and what was asked for
  is remembered all the same.
- Nobody waits for himself, straight or through others: see ``_Flights.join``.
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
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from batchio._core.batch import fail_future
from batchio._core.errors import separate
from batchio._local import LoopLocal

__all__ = ["acached_per_instance", "alazy_constant", "deduplicate"]

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_RESULTS = "_batchio_results"  # in an instance's __dict__
_KEYWORDS: Any = object()  # stands between positional arguments and keywords in a key
_inside: ContextVar[frozenset[_Flight]] = ContextVar("batchio_inside_flights", default=frozenset())


class Dirtied(Protocol[P, T_co]):
    """An async function with ``dirty``, which takes the same arguments."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T_co]:
        """Call the function, or join the call that is under way."""

    def dirty(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Let the next call begin anew."""


class _Flight:
    """A call under way: who waits for it, and for which calls it waits itself."""

    def __init__(self) -> None:
        self.over = False
        self._task: asyncio.Task[Any] | None = None
        self._waiters: dict[asyncio.Future[Any], None] = {}  # a set in the order in which they came
        self._awaited: dict[asyncio.Future[Any], _Flight] = {}  # by whoever waits: code inside this call

    def start(self, make: Callable[[], Awaitable[Any]], forget: Callable[[], None]) -> None:
        """Make the call, in a task of its own: no caller's cancellation ends it."""
        self._task = asyncio.ensure_future(self._run(make))
        self._task.add_done_callback(functools.partial(self._land, forget))

    async def _run(self, make: Callable[[], Awaitable[Any]]) -> Any:
        _inside.set(frozenset({self, *(flight for flight in _inside.get() if not flight.over)}))
        try:
            return await make()
        finally:
            self.over = True  # _land comes a turn later, and who asks meanwhile asks anew

    def waits_for(self, flights: frozenset[_Flight]) -> bool:
        """Whether it is one of these, or waits for one, straight or through others."""
        found, fresh = {self}, [self]
        while flights and fresh:
            flight = fresh.pop()
            if flight in flights:
                return True
            fresh += set(flight._awaited.values()) - found
            found.update(fresh)
        return False

    async def answer(self) -> Any:
        """Wait for it; those calls inside which this is asked wait as well."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        around = _inside.get()
        for flight in around:
            flight._awaited[waiter] = self
        try:
            return await waiter
        finally:
            self._waiters.pop(waiter, None)
            for flight in around:
                del flight._awaited[waiter]
            del waiter  # an error's traceback has this frame, and the waiter has the error

    def _land(self, forget: Callable[[], None], task: asyncio.Task[Any]) -> None:
        """Answer who waits. One alone gets the very error; several get one each, as a batch's loads do."""
        forget()
        waiters = [waiter for waiter in self._waiters if not waiter.done()]
        self._task, self._waiters = None, {}
        error: Any = None if task.cancelled() else task.exception()
        for waiter in waiters:
            if task.cancelled():
                waiter.cancel()
            elif error is None:
                waiter.set_result(task.result())
            else:
                fail_future(waiter, error if len(waiters) == 1 else separate(error))


class _Table(dict[Hashable, _Flight]):
    """The calls that are under way on one loop, by key; a plain dict takes no weak reference."""


class _Flights:
    """Calls under way, by loop and key. They hang on their loop, as connections do: a closed one takes them along."""

    def __init__(self) -> None:
        self._local: LoopLocal[_Table] = LoopLocal(self._new_table)
        self._tables: weakref.WeakValueDictionary[int, _Table] = weakref.WeakValueDictionary()

    def _new_table(self) -> _Table:
        table = _Table()
        self._tables[id(table)] = table
        return table

    async def join(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for the call of this key that is under way, or make one; what would wait for itself makes its own.

        That is no error: code without the decorator would make that call too. It may be in a task that nobody waits
        for, and if there is no end to it, Python says so.
        """
        table = self._local.get()
        flight = table.get(key)
        if flight is None or flight.over:
            flight = table[key] = _Flight()
            flight.start(make, functools.partial(_forget, table, key, flight))
        elif flight.waits_for(_inside.get()):
            return await make()
        return await flight.answer()

    def drop(self, key: Hashable) -> None:
        """Let the next call begin anew, on every loop."""
        for reference in self._tables.valuerefs():  # a list: another thread may add one meanwhile
            if (table := reference()) is not None:
                table.pop(key, None)


def _forget(table: _Table, key: Hashable, flight: _Flight) -> None:
    if table.get(key) is flight:
        table.pop(key, None)


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
        TypeError: at a call, for arguments that the function does not take or that cannot be hashed; at once, for a
            keygetter that is an async function.

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
    if inspect.iscoroutinefunction(keygetter):
        raise TypeError(f"deduplicate: {keygetter.__qualname__} is no keygetter; write @deduplicate() with brackets")

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


@overload
def alazy_constant(ttl: float = 0) -> Callable[[Callable[[], Awaitable[T]]], Dirtied[[], T]]: ...


@overload
def alazy_constant(ttl: Callable[[], Awaitable[T]]) -> Dirtied[[], T]: ...


def alazy_constant(ttl: Any = 0) -> Any:
    """Remember the result of an async function without arguments.

    Args:
        ttl: seconds that a result is remembered; 0 means until ``dirty()``. ``@alazy_constant`` alone will do, too.

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
    if callable(ttl):  # without brackets
        return alazy_constant()(ttl)
    if not ttl >= 0:
        raise ValueError(f"alazy_constant: a ttl of {ttl} seconds is no duration; 0 means until dirty()")

    def decorator(function: Callable[[], Awaitable[T]]) -> Dirtied[[], T]:
        known = _Constant(function, ttl)

        @functools.wraps(function)
        async def constant() -> T:
            return await known.get()

        constant.dirty = known.dirty  # type: ignore[attr-defined]
        return constant  # type: ignore[return-value]

    return decorator


class _Results(dict[Any, dict[Hashable, Any]]):
    """What is remembered of one instance, by method.

    It stands in the instance's own ``__dict__``: a table beside it would keep results for ever that refer to their
    instance. A copy of the instance begins anew, and so does one that was pickled: there this is an empty dict.
    """

    def __init__(self, instance: Any) -> None:
        super().__init__()
        self.whose = weakref.ref(instance)

    def __reduce__(self) -> Any:
        return dict, ()


_beside: dict[int, _Results] = {}  # of instances whose class has slots alone, as attrs makes them; by id


def _results_of(instance: Any) -> _Results:
    """What is remembered of an instance; its own ``__setattr__``, a frozen one's say, is not asked."""
    inside = getattr(instance, "__dict__", None)
    found = _beside.get(id(instance)) if inside is None else inside.get(_RESULTS)
    if type(found) is _Results and found.whose() is instance:
        return found
    made = _Results(instance)
    if inside is None:
        _beside[id(instance)] = made
        weakref.finalize(instance, _beside.pop, id(instance), None)
    else:
        (type if isinstance(instance, type) else object).__setattr__(instance, _RESULTS, made)
    return made


def acached_per_instance() -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Remember an async method's results on each instance, as long as it lives.

    They are kept in the instance's ``__dict__``, as ``functools.cached_property`` does it; copies begin anew. Instances
    need not be hashable, but weak references to them must be possible. (One with slots alone, and no ``__dict__``, is
    kept alive by a result that refers to it.) Concurrent calls make one.

    Returns:
        A decorator of methods.

    Raises:
        TypeError: at a call, for arguments that the method does not take or that cannot be hashed, and for an instance
            that cannot be referred to weakly.

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

    def decorator(method: Any) -> Any:
        instances: weakref.WeakValueDictionary[int, _Results] = weakref.WeakValueDictionary()
        flights, key_of = _Flights(), _key_of(method)

        @functools.wraps(method)
        async def cached(self: Any, *args: Any, **kwargs: Any) -> Any:
            remembered, key = _results_of(self), key_of((None, *args), kwargs)
            results = remembered.setdefault(method, {})

            async def fetch() -> Any:
                value = results[key] = await method(self, *args, **kwargs)
                return value

            if key in results:
                return results[key]
            instances[id(self)] = remembered
            return await flights.join((id(self), key), fetch)  # a call under way keeps its instance, and so the id

        cached.__acached_per_instance_cache__ = instances  # type: ignore[attr-defined]  # asynq's name for it
        return cached

    return decorator
