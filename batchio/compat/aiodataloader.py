"""aiodataloader's DataLoader on batchio's machine: change the import, and nothing else.

    from batchio.compat.aiodataloader import DataLoader

Rules of this room:

- What a program can see of aiodataloader 0.4.3 it sees here: arguments, attributes, subclassing, what is cached.
- Where batchio promises more (strangers, late askers, a key once) its promise holds; the guide has the list.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from typing import Any, Self, TypeVar

from batchio._core.enqueue import answered
from batchio.compat._dropin import Future, Futures, Keyed, Machine, keyed, rejected
from batchio.compat._loads import Loads

__all__ = ["DataLoader"]

K = TypeVar("K")
V = TypeVar("V")


class DataLoader(Loads[K, V]):
    """A loader of one request: loads that are made before the event loop has nothing else to run leave together.

    Made from a function, or as a subclass with ``async def batch_load_fn(self, keys)``, which may also set ``batch``,
    ``max_batch_size`` and ``cache`` and define ``get_cache_key``.

    Args:
        batch_load_fn: ``async def f(keys)``; it returns an iterable with one item per key, in the order of the keys,
            or a mapping. An ``Exception`` as an item fails that key only.
        batch: whether keys travel together; without it each is a batch of its own.
        max_batch_size: keys in one call of ``batch_load_fn``; None for any number.
        cache: whether loads are remembered, for as long as the loader lives.
        get_cache_key: gives what keys are compared by; ``batch_load_fn`` gets the keys themselves.
        cache_map: a mutable mapping in place of a dict; it holds futures.
        loop: where loads go that are made while no event loop is running; otherwise the running one counts.

    Raises:
        TypeError: for a batch function that is missing, or a plain ``def``.

    Example:
        >>> import asyncio
        >>> from batchio.compat.aiodataloader import DataLoader
        >>> class Users(DataLoader[int, str]):
        ...     async def batch_load_fn(self, keys: list[int]) -> list[str]:
        ...         print("fetching", keys)
        ...         return [f"user {key}" for key in keys]
        >>> async def main() -> list[str]:
        ...     users = Users()
        ...     return await asyncio.gather(users.load(1), users.load(2), users.load(1))
        >>> asyncio.run(main())
        fetching [1, 2]
        ['user 1', 'user 2', 'user 1']
    """

    batch_load_fn: Callable[[list[K]], Awaitable[Iterable[V]]]
    batch: bool = True
    max_batch_size: int | None = None
    cache: bool | None = True

    def __init__(
        self,
        batch_load_fn: Callable[[list[K]], Awaitable[Iterable[V]]] | None = None,
        batch: bool | None = None,
        max_batch_size: int | None = None,
        cache: bool | None = None,
        get_cache_key: Callable[[K], Any] | None = None,
        cache_map: MutableMapping[Any, asyncio.Future[V]] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._batchio = _Machine(cache_map, loop)
        if batch_load_fn is not None:
            self.batch_load_fn = batch_load_fn
        if batch is not None:
            self.batch = batch
        if max_batch_size is not None:
            self.max_batch_size = max_batch_size
        if cache is not None:
            self.cache = cache
        if get_cache_key is not None:
            self.get_cache_key = get_cache_key  # type: ignore[assignment,method-assign]  # as if a subclass had defined it
        _check_function(getattr(self, "batch_load_fn", None))

    def get_cache_key(self, key: K) -> Any:
        """What a key is compared by; subclasses may define another.

        Args:
            key: the key.

        Returns:
            Something that can be hashed; here the key itself.
        """
        return key

    def clear(self, key: K) -> Self:
        """Forget a key: its next load fetches again, though a batch may be fetching it now.

        Args:
            key: the key; it need not be known.

        Returns:
            The loader.
        """
        self._batchio.known(self).pop(self._batchio.place(self, key), None)
        return self

    def clear_all(self) -> Self:
        """Forget all keys.

        Returns:
            The loader.
        """
        self._batchio.known(self).clear()
        return self

    def prime(self, key: K, value: V | Exception) -> Self:
        """Tell the loader the value of a key; what it knows already stays.

        Args:
            key: the key.
            value: its value; an ``Exception`` is raised by the loads of the key.

        Returns:
            The loader.

        Raises:
            RuntimeError: without a running event loop, unless the loader was given one.
        """
        answer = rejected(self.loop, value) if isinstance(value, Exception) else answered(self.loop, value)
        self._batchio.prime(self, key, answer)
        return self


class _Machine(Machine):
    """What aiodataloader's loaders say for themselves."""

    __slots__ = ()

    def function(self, owner: Any) -> Callable[[list[Any]], Awaitable[Any]]:
        return owner.batch_load_fn  # type: ignore[no-any-return]

    def most(self, owner: Any) -> int | None:
        return owner.max_batch_size if owner.batch else 1

    def plain(self, owner: Any) -> bool:
        return getattr(owner.get_cache_key, "__func__", None) is DataLoader.get_cache_key

    def compared(self, owner: Any, key: Any) -> Keyed:
        return keyed(owner.get_cache_key(key), key)

    def futures(self, owner: Any) -> Futures:
        if self.cache_map is None:
            return {}
        return self.cache_map if self.plain(owner) else _ByCacheKey(self.cache_map)


class _ByCacheKey(MutableMapping[Keyed, Future]):
    """A user's mapping, which knows what keys are compared by and not the keys."""

    def __init__(self, cache_map: Futures) -> None:
        self._map = cache_map

    def __getitem__(self, key: Keyed) -> Future:
        return self._map[key[0]]

    def __setitem__(self, key: Keyed, future: Future) -> None:
        self._map[key[0]] = future

    def __delitem__(self, key: Keyed) -> None:
        del self._map[key[0]]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._map)

    def __len__(self) -> int:
        return len(self._map)

    def clear(self) -> None:
        self._map.clear()


def _check_function(function: Any) -> None:
    """Refuse at once what cannot be a batch function."""
    if not callable(function):
        raise TypeError(
            f"DataLoader needs a batch function, async def f(keys): ..., or a subclass with async def "
            f"batch_load_fn(self, keys); got {function!r}"
        )
    plain = inspect.isfunction(function) or inspect.ismethod(function)
    if plain and not inspect.iscoroutinefunction(function) and not hasattr(function, "__wrapped__"):
        raise TypeError(f"DataLoader: the batch function {function.__qualname__} is a plain def; write async def")
