"""The loader as its users see it: load and what is remembered, the decorator, and the ways to have it otherwise.

Rules of this room:

- ``load`` looks into the memo; what that cannot answer goes through ``enqueue``. No call here runs the batch function.
- Everything that can be wrong with a call is raised at the call, before anything is queued.
- What an author may say is checked in ``options``; what happens to a batch is in ``dispatch``.
"""

from __future__ import annotations

import asyncio
import copy
import functools
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Concatenate, Generic, Literal, Never, ParamSpec, Protocol, TypeVar, overload

from batchio._core import events
from batchio._core.batch import join
from batchio._core.cache import Cache, typed
from batchio._core.enqueue import answered, ask, ask_many, ask_quickly, dispatcher_on, running, tell_loads
from batchio._core.errors import BatchAborted, BatchTimeout, show_key
from batchio._core.options import MISSING, Definition, Limits, Params, define, explain_unknown
from batchio._core.scope import Memo, Scope, current, memo_of, seen_from
from batchio._core.tick import ATTRIBUTE, within

__all__ = ["Loader", "loader"]

K = TypeVar("K")
V = TypeVar("V")
D_co = TypeVar("D_co", covariant=True)
D = TypeVar("D")
P = ParamSpec("P")


_running_loop = asyncio._get_running_loop
_Future = asyncio.Future


class Loader(Generic[K, V]):
    """One key type: how to fetch many of its keys at once, so that callers can ask for one.

    Made at import time by the decorator ``@loader``, by ``Loader(fn, ...)``, or as a subclass with
    ``async def load_batch(self, keys)``. It is bound to no event loop and works from any number of them.

    ``await users(1)`` is ``await users.load(1)``. Loads that are made before the event loop has nothing else to run
    leave together, in one call of the batch function, which returns a mapping, a sequence in the order of the keys, or
    an async iterator of ``(key, value)``. An ``Exception`` instance as a value fails that key only. Keyword-only
    parameters of the batch function are parameters of each load: ``await title(1, locale="fr")``.

    Args:
        fetch: the batch function, ``async def f(keys: list[K], *, ...) -> dict[K, V]``.
        name: what errors, events and caches call it; default ``module:qualname``.
        limits: what it may use at most, per event loop; see ``Limits``.
        key: a function that checks and normalises each key, as ``key=int``.
        default: the value of keys for which nothing was found; without it they raise ``KeyNotFound``.
        cache: a store to ask first; see ``Cache``.
        ttl: seconds that a value lives in the cache; None for as long as the cache keeps it.
        memo: whether a scope remembers what it asked for.
        isolated: give each scope batches of its own, run in a copy of its context.
        coalesce: let a load join a batch under way that another scope's load started, if it fetches the same key.
        cancel_abandoned: cancel a batch when the last load that waits for it was cancelled.
        show_keys: whether messages may show keys; False where keys are secrets.
        split_on_error: halve a batch that failed until the bad key is alone; the batch function must bear being asked
            again. At most ``8 * log2(keys) + 1`` calls.
        version: part of what the cache stores; raise it when the meaning of the values changes.
        value_type: the type of the values for the cache's codec; read off the annotations by default.

    Raises:
        TypeError: for a batch function that cannot be one, or an unknown option.
        ValueError: for options that make no sense together, or a name that its cache already has.

    Example:
        >>> import asyncio, batchio
        >>> async def fetch(keys: list[int]) -> dict[int, str]:
        ...     print("fetching", keys)
        ...     return {key: f"user {key}" for key in keys}
        >>> users = batchio.Loader(fetch, name="users")
        >>> async def main() -> tuple[str, str]:
        ...     return await batchio.gather(users(1), users(2))
        >>> asyncio.run(main())
        fetching [1, 2]
        ('user 1', 'user 2')
    """

    _definition: Definition
    _given: Mapping[str, Any]

    def __init__(
        self,
        fetch: Callable[Concatenate[list[K], ...], Awaitable[Mapping[K, V]]]
        | Callable[Concatenate[list[K], ...], Awaitable[Sequence[V]]]
        | Callable[Concatenate[list[K], ...], AsyncIterator[tuple[K, V]]]
        | None = None,
        *,
        name: str | None = None,
        limits: Limits | None = None,
        key: Callable[[Any], Any] | None = None,
        default: Any = MISSING,
        cache: Cache | None = None,
        ttl: float | None = None,
        memo: bool = True,
        isolated: bool = False,
        coalesce: bool = False,
        cancel_abandoned: bool = False,
        show_keys: bool = True,
        split_on_error: bool = False,
        version: int | str = 0,
        value_type: Any = MISSING,
        **unknown: Never,
    ) -> None:
        if fetch is None:
            fetch = self._own_function()
            name = name or f"{type(self).__module__}:{type(self).__qualname__}"
        if unknown:
            raise TypeError(explain_unknown(name or str(getattr(fetch, "__qualname__", "loader")), list(unknown)))
        self._definition = define(
            fetch, name=name, limits=limits, key=key, default=default, cache=cache, ttl=ttl, memo=memo,
            isolated=isolated, coalesce=coalesce, cancel_abandoned=cancel_abandoned, show_keys=show_keys,
            split_on_error=split_on_error, version=version, value_type=value_type,
        )  # fmt: skip
        self._given = {}
        functools.update_wrapper(self, fetch, updated=())

    def _own_function(self) -> Callable[..., Any]:
        """The batch function of a subclass."""
        if type(self).load_batch is Loader.load_batch:
            raise TypeError(
                "a loader needs a batch function: write @batchio.loader above one, or subclass Loader with "
                "async def load_batch(self, keys)"
            )
        return self.load_batch

    async def load_batch(self, keys: list[K]) -> Mapping[K, V] | Sequence[V]:
        """The batch function of a subclass; a loader made from a function does not use it.

        Args:
            keys: distinct keys, in the order of their first load.

        Returns:
            A mapping, or a sequence in the order of the keys.

        Raises:
            NotImplementedError: always, here.
        """
        raise NotImplementedError(f"{self.name}: write async def load_batch(self, keys)")

    @property
    def name(self) -> str:
        """The name that errors, events and caches use.

        Returns:
            ``name=``, or ``module:qualname``.
        """
        return self._definition.name

    @property
    def limits(self) -> Limits:
        """What this loader may use at most on each event loop.

        Returns:
            The ``Limits`` that it was made with.
        """
        return self._definition.limits

    def __repr__(self) -> str:
        dispatcher = getattr(asyncio._get_running_loop(), ATTRIBUTE, None)
        queue = None if dispatcher is None else dispatcher.queues.get(self._definition)
        state = "" if queue is None else f" {queue.state}"
        return f"<Loader {self.name}{state}>"

    # -- loads -----------------------------------------------------------------------------------------------------

    def load(self, key: K, /, **params: Any) -> asyncio.Future[V]:
        """Ask for one key.

        The load is queued at once, awaited or not, so several can be started first and awaited later; none needs a
        task. Cancelling the future touches no other load.

        Args:
            key: the key; it must be hashable.
            **params: the batch function's keyword-only parameters.

        Returns:
            A future of the value. Its error is the batch function's (a copy of one's own), or one of ``BatchioError``.

        Raises:
            RuntimeError: without a running event loop.
            TypeError: for an unhashable key, or for parameters that the batch function does not have.
            QueueFull: when ``max_queued`` keys wait already.

        Example:
            >>> import asyncio, batchio
            >>> @batchio.loader(name="halves")
            ... async def halves(keys: list[int]) -> dict[int, float]:
            ...     return {key: key / 2 for key in keys}
            >>> async def main() -> list[float]:
            ...     one, five = halves.load(1), halves.load(5)
            ...     return [await one, await five]
            >>> asyncio.run(main())
            [0.5, 2.5]
        """
        # The way of nearly all loads, written for speed: a hit, or a key that is new to its scope and joins those that
        # wait for this tick. Whatever is unusual goes a longer way, which also explains what is wrong with a key.
        loop = _running_loop()
        scope = current.get()
        definition = self._definition
        wanted: Any = key if definition.key is None or loop is None else definition.normal(key)
        if scope is not None and scope._loop is loop and not params:
            memo = scope._memos.get(definition)
            if memo is not None:
                asked = memo.asked
                try:
                    future: asyncio.Future[V] | None = asked.get(wanted)
                    if future is None:
                        group = memo.group
                        waiters = group.waiters
                        if (
                            len(waiters) < group.room and not (memo.values and wanted in memo.values)
                            and not events.on_load
                        ):  # fmt: skip
                            future = _Future(loop=loop)
                            if waiters.setdefault(wanted, future) is not future:
                                join(waiters, wanted, future)
                            asked[wanted] = future
                            group.owners[future] = memo
                            return future
                    elif future.done() and not future.cancelled() and not events.on_load:
                        return future
                except TypeError:
                    pass
        return self._load_first(loop, scope, wanted, params)

    def _load_first(self, loop: Any, scope: Scope | None, wanted: Any, params: dict[str, Any]) -> asyncio.Future[V]:
        """The same for a scope's first load of a tick, and for those without a scope."""
        definition = self._definition
        if definition.simple and not params:
            if scope is not None and scope._loop is not loop:
                scope = seen_from(loop)
            future: asyncio.Future[V] | None = None
            try:
                if scope is None:
                    future = ask_quickly(definition, loop, None, wanted)
                else:
                    memo = scope._memos.get(definition) or memo_of(scope, definition)
                    if not (memo.values and wanted in memo.values):
                        future = ask_quickly(definition, loop, memo, wanted)
            except TypeError:
                pass
            if future is not None:
                return future
        return self._load(loop, wanted, params)

    def _load(self, loop: Any, wanted: Any, params: dict[str, Any]) -> asyncio.Future[V]:
        """The same for every load."""
        if loop is None:
            raise self._no_loop()
        definition = self._definition
        bound = definition.bind({**self._given, **params}) if params or definition.parameters else ()
        scope = current.get()
        if scope is not None and scope._loop is not loop:
            scope = seen_from(loop)
        try:
            if scope is None or not definition.memo:
                return ask(definition, loop, scope, None, bound, wanted)
            name = definition.memo_name(bound)
            memo = scope._memos.get(name) or memo_of(scope, name)
            done = memo.asked.get(wanted)
            if done is None and wanted in memo.values:
                done = memo.asked[wanted] = answered(loop, memo.values[wanted])
            if done is None or not done.done() or done.cancelled():
                return ask(definition, loop, scope, memo, bound, wanted)
        except TypeError as error:
            raise _explained(definition, (wanted,), error) from None
        if events.on_load:
            tell_loads(definition, (wanted,), bound, memo_hit=True)
        return done  # type: ignore[no-any-return]

    __call__ = load

    @overload
    def load_many(
        self, keys: Iterable[K], /, *, return_exceptions: Literal[False] = False, **params: Any
    ) -> asyncio.Future[list[V]]: ...
    @overload
    def load_many(
        self, keys: Iterable[K], /, *, return_exceptions: bool, **params: Any
    ) -> asyncio.Future[list[V | BaseException]]: ...
    def load_many(
        self, keys: Iterable[K], /, *, return_exceptions: bool = False, **params: Any
    ) -> asyncio.Future[list[V]] | asyncio.Future[list[V | BaseException]]:
        """Ask for many keys with one future.

        Costs a fraction of as many ``load`` calls. All keys are queued, or none.

        Args:
            keys: the keys, in the order in which the values are wanted; a key may stand there twice.
            return_exceptions: give errors in the places of their keys, instead of raising the first one by position.
            **params: the batch function's keyword-only parameters.

        Returns:
            A future of the list of values. It is answered when the last key is.

        Raises:
            RuntimeError: without a running event loop.
            TypeError: for an unhashable key, for a string in place of a list of keys, or for unknown parameters.
            QueueFull: when ``max_queued`` keys wait already, or would.

        Example:
            >>> import asyncio, batchio
            >>> @batchio.loader(name="cubes")
            ... async def cubes(keys: list[int]) -> dict[int, int]:
            ...     return {key: key**3 for key in keys}
            >>> async def main() -> list[int]:
            ...     return await cubes.load_many([3, 1, 3])
            >>> asyncio.run(main())
            [27, 1, 27]
        """
        definition = self._definition
        if isinstance(keys, (str, bytes)):
            raise TypeError(f"{self.name}: load_many takes many keys and got one {type(keys).__name__}; write [key]")
        loop = asyncio._get_running_loop()
        if loop is None:
            raise self._no_loop()
        wanted: list[Any] = list(keys) if definition.key is None else list(map(definition.normal, keys))
        bound = self._bound(params)
        scope, memo = self._remembering(loop, bound)
        try:
            return ask_many(definition, loop, scope, memo, bound, wanted, return_exceptions=return_exceptions)
        except TypeError as error:
            raise _explained(definition, wanted, error) from None

    # -- what is remembered ----------------------------------------------------------------------------------------

    def prime(self, key: K, value: V, /, **params: Any) -> None:
        """Tell the current scope the value of a key, as if it had been loaded. What it knows already stays.

        Args:
            key: the key.
            value: its value; an exception is refused, since errors are not remembered.
            **params: the batch function's keyword-only parameters.

        Raises:
            RuntimeError: without a scope, or for a loader with ``memo=False``: nothing would remember the value.
            TypeError: for an exception as the value.

        Example:
            >>> import asyncio, batchio
            >>> @batchio.loader(name="planets")
            ... async def planets(keys: list[int]) -> dict[int, str]:
            ...     raise AssertionError("not asked")
            >>> async def main() -> str:
            ...     with batchio.scope():
            ...         planets.prime(3, "Earth")
            ...         return await planets(3)
            >>> asyncio.run(main())
            'Earth'
        """
        self.prime_many({key: value}, **params)

    def prime_many(self, values: Mapping[K, V], /, **params: Any) -> None:
        """Tell the current scope the values of many keys.

        Args:
            values: values by key.
            **params: the batch function's keyword-only parameters.

        Raises:
            RuntimeError: without a scope, or for a loader with ``memo=False``.
            TypeError: for an exception as a value.
        """
        _, memo = self._remembering(asyncio._get_running_loop(), self._bound(params))
        if memo is None:
            raise RuntimeError(
                f"{self.name}: prime needs a memo: enter a scope on a running loop first (with batchio.scope(): ...), "
                f"and do not say memo=False"
            )
        for error in values.values():
            if isinstance(error, BaseException):
                raise TypeError(f"{self.name}: prime got {error!r} as a value; errors are not remembered")
        for key, value in values.items():
            memo.tell(self._definition.normal(key), value)

    def clear(self, key: K, /, **params: Any) -> None:
        """Forget a key in the current scope; its next load fetches again, though a batch may be fetching it now.

        Args:
            key: the key.
            **params: the batch function's keyword-only parameters.
        """
        self.clear_many((key,), **params)

    def clear_many(self, keys: Iterable[K], /, **params: Any) -> None:
        """Forget many keys in the current scope.

        Args:
            keys: the keys.
            **params: the batch function's keyword-only parameters.
        """
        bound = self._bound(params)
        loop = asyncio._get_running_loop()
        _, memo = self._remembering(loop, bound)
        batches = running(self._definition, loop, bound)
        for key in map(self._definition.normal, keys):
            if memo is not None:
                memo.forget(key)
            for batch in batches:
                batch.loosen((key,))

    def clear_all(self, **params: Any) -> None:
        """Forget all keys of this loader in the current scope.

        Args:
            **params: the batch function's keyword-only parameters.
        """
        bound = self._bound(params)
        loop = asyncio._get_running_loop()
        _, memo = self._remembering(loop, bound)
        if memo is not None:
            memo.forget_all()
        for batch in running(self._definition, loop, bound):
            batch.loosen(batch.keys)

    async def invalidate(self, *keys: K, **params: Any) -> None:
        """After a write: forget keys in the memo, in batches under way, and in the cache.

        Await it before you tell anybody that the write is done. A cancelled caller does not stop it.

        Args:
            *keys: the keys that the write changed.
            **params: the batch function's keyword-only parameters.

        Raises:
            BatchTimeout: when the cache did not answer within ``Limits.cache_timeout`` seconds.
            BatchAborted: when ``drain()`` ran out of time meanwhile.
            Exception: whatever the cache raised; until its ttl ends it may hold the old value.

        Example:
            >>> import asyncio, batchio
            >>> stock = {"tea": 3}
            >>> @batchio.loader(name="stock", cache=batchio.MemoryCache())
            ... async def in_stock(names: list[str]) -> dict[str, int]:
            ...     return {name: stock[name] for name in names}
            >>> async def main() -> list[int]:
            ...     before = await in_stock("tea")
            ...     stock["tea"] = 2
            ...     await in_stock.invalidate("tea")
            ...     return [before, await in_stock("tea")]
            >>> asyncio.run(main())
            [3, 2]
        """
        self.clear_many(keys, **params)
        if self._definition.cache is not None and keys:
            await self._delete(keys, self._bound(params))
            self.clear_many(keys, **params)  # what was read from the cache meanwhile

    async def _delete(self, keys: Sequence[K], bound: Params) -> None:
        """Delete from the cache in a task of our own: a driver is never cancelled by a caller."""
        full: Iterable[Any] = map(self._definition.normal, keys)
        if bound:
            full = [(key, *(value for _, value in bound)) for key in full]
        dispatcher = dispatcher_on(asyncio.get_running_loop())
        work = _delete_in_time(self._definition, list({typed(key): key for key in full}.values()))
        task = dispatcher.own(work, Context(), f"batchio {self.name} invalidate")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelled():
                raise BatchAborted(
                    f"{self.name}: an invalidation was cut short by drain(); the cache may hold the old value until "
                    f"its ttl ends"
                ) from None
            raise

    # -- other ways to have it -------------------------------------------------------------------------------------

    def bind(self, **params: Any) -> Loader[K, V]:
        """This loader with some of its keyword-only parameters fixed.

        Args:
            **params: parameters of the batch function, by name.

        Returns:
            A loader that shares everything with this one: queue, limits, memo, cache.

        Raises:
            TypeError: for a parameter that the batch function does not have.

        Example:
            >>> import asyncio, batchio
            >>> @batchio.loader(name="greetings")
            ... async def greeting(names: list[str], *, locale: str) -> dict[str, str]:
            ...     hello = {"en": "Hello", "fr": "Bonjour"}[locale]
            ...     return {name: f"{hello} {name}" for name in names}
            >>> french = greeting.bind(locale="fr")
            >>> async def main() -> str:
            ...     return await french("Ada")
            >>> asyncio.run(main())
            'Bonjour Ada'
        """
        self._definition.check_known(params)
        bound = copy.copy(self)
        bound._given = {**self._given, **params}
        return bound

    @contextmanager
    def override(self, source: Mapping[K, V] | Callable[..., Any], /) -> Generator[None]:
        """For tests: answer from a mapping or a function instead of the batch function, without the cache.

        Loads are batched as ever, so that a test can look at the batches. It holds for all event loops and threads of
        the process until the ``with`` block ends.

        Args:
            source: values by key (others raise ``KeyNotFound``), or a batch function, which may be a plain ``def``.

        Yields:
            Nothing.

        Raises:
            TypeError: for something that is neither.

        Example:
            >>> import asyncio, batchio
            >>> @batchio.loader(name="prices")
            ... async def price(names: list[str]) -> dict[str, int]:
            ...     raise AssertionError("a test must not get here")
            >>> async def main() -> int:
            ...     return await price("tea")
            >>> with price.override({"tea": 4}):
            ...     asyncio.run(main())
            4
        """
        function = _from_mapping(source) if isinstance(source, Mapping) else source
        if not callable(function):
            raise TypeError(f"{self.name}: override takes a mapping or a function, and got {source!r}")
        stand_in = functools.partial(function)  # equal to itself alone, when one function stands in twice
        self._definition.stand_ins.append(stand_in)
        try:
            yield
        finally:
            self._definition.stand_ins.remove(stand_in)

    # -- small things ----------------------------------------------------------------------------------------------

    def _bound(self, params: Mapping[str, Any]) -> Params:
        """The parameters of a call."""
        definition = self._definition
        return definition.bind({**self._given, **params}) if params or definition.parameters else ()

    def _remembering(self, loop: Any, bound: Params) -> tuple[Scope | None, Memo | None]:
        """The current scope as this loop sees it, and its memo of this loader."""
        scope = seen_from(loop)
        if scope is None or not self._definition.memo:
            return scope, None
        return scope, memo_of(scope, self._definition.memo_name(bound))

    def _no_loop(self) -> RuntimeError:
        return RuntimeError(
            f"{self.name}: a load needs a running event loop; call it inside a coroutine (asyncio.run(main()))"
        )


def _from_mapping(values: Mapping[Any, Any]) -> Callable[..., Any]:
    """A batch function that looks its keys up."""

    def look_up(keys: list[Any], **_: Any) -> dict[Any, Any]:
        return {key: values[key] for key in keys if key in values}

    return look_up


async def _delete_in_time(definition: Definition, keys: list[Any]) -> None:
    """An invalidation of the cache within its time; the writer is told when it fails."""
    try:
        await within(definition.limits.cache_timeout, definition.cache.delete_many(keys))
    except BatchTimeout:
        raise  # the cache's own word
    except TimeoutError as error:
        raise BatchTimeout(
            f"{definition.name}: the cache did not confirm an invalidation within {definition.limits.cache_timeout} "
            f"seconds; it may hold the old value until its ttl ends"
        ) from error


def _is_cancelled() -> bool:
    """Whether somebody cancelled the task that runs here."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _explained(definition: Definition, keys: Sequence[Any], error: TypeError) -> TypeError:
    """The error as it is, or one that names the loader when a key of these cannot be hashed."""
    for key in keys:
        try:
            hash(key)
        except TypeError:
            shown = show_key(key, shown=definition.show_keys)
            return TypeError(
                f"{definition.name}: a key of type {type(key).__name__} cannot be hashed: {shown}; use a str, an int, "
                f"a tuple ..., or give the loader key=... to make one"
            )
    return error


# -- the decorator -------------------------------------------------------------------------------------------------------


class _Decorator(Protocol):
    """What ``@loader(...)`` with options is, before it meets its batch function."""

    @overload
    def __call__(self, fetch: Callable[Concatenate[list[K], P], Awaitable[Mapping[K, V]]], /) -> Loader[K, V]: ...
    @overload
    def __call__(self, fetch: Callable[Concatenate[list[K], P], Awaitable[Sequence[V]]], /) -> Loader[K, V]: ...
    @overload
    def __call__(self, fetch: Callable[Concatenate[list[K], P], AsyncIterator[tuple[K, V]]], /) -> Loader[K, V]: ...


class _DecoratorWithDefault(Protocol[D_co]):
    """The same with ``default=``, whose type the values may have too."""

    @overload
    def __call__(
        self, fetch: Callable[Concatenate[list[K], P], Awaitable[Mapping[K, V]]], /
    ) -> Loader[K, V | D_co]: ...
    @overload
    def __call__(self, fetch: Callable[Concatenate[list[K], P], Awaitable[Sequence[V]]], /) -> Loader[K, V | D_co]: ...
    @overload
    def __call__(
        self, fetch: Callable[Concatenate[list[K], P], AsyncIterator[tuple[K, V]]], /
    ) -> Loader[K, V | D_co]: ...


@overload
def loader(fetch: Callable[Concatenate[list[K], P], Awaitable[Mapping[K, V]]], /) -> Loader[K, V]: ...
@overload
def loader(fetch: Callable[Concatenate[list[K], P], Awaitable[Sequence[V]]], /) -> Loader[K, V]: ...
@overload
def loader(fetch: Callable[Concatenate[list[K], P], AsyncIterator[tuple[K, V]]], /) -> Loader[K, V]: ...
@overload
def loader(
    *,
    default: D,
    name: str | None = None,
    limits: Limits | None = None,
    key: Callable[[Any], Any] | None = None,
    cache: Cache | None = None,
    ttl: float | None = None,
    memo: bool = True,
    isolated: bool = False,
    coalesce: bool = False,
    cancel_abandoned: bool = False,
    show_keys: bool = True,
    split_on_error: bool = False,
    version: int | str = 0,
    value_type: Any = ...,
) -> _DecoratorWithDefault[D]: ...
@overload
def loader(
    *,
    name: str | None = None,
    limits: Limits | None = None,
    key: Callable[[Any], Any] | None = None,
    cache: Cache | None = None,
    ttl: float | None = None,
    memo: bool = True,
    isolated: bool = False,
    coalesce: bool = False,
    cancel_abandoned: bool = False,
    show_keys: bool = True,
    split_on_error: bool = False,
    version: int | str = 0,
    value_type: Any = ...,
) -> _Decorator: ...
def loader(fetch: Any = None, /, **options: Any) -> Any:
    """Make a batch function a loader: ``@loader``, or ``@loader(...)`` with the options of ``Loader``.

    Args:
        fetch: the batch function, ``async def f(keys: list[K], *, ...) -> dict[K, V]``.
        **options: see ``Loader``.

    Returns:
        A ``Loader[K, V]``, or with options a decorator that makes one.

    Raises:
        TypeError: for a plain ``def``, for a batch function that takes no list of keys, for an unknown option.
        ValueError: for options that make no sense together.

    Example:
        >>> import asyncio, batchio
        >>> @batchio.loader
        ... async def user_name(uids: list[int]) -> dict[int, str]:
        ...     return {uid: f"user {uid}" for uid in uids}
        >>> async def main() -> str:
        ...     return await user_name(7)
        >>> asyncio.run(main())
        'user 7'
    """
    if fetch is not None:
        return Loader(fetch, **options)
    return functools.partial(Loader, **options)
