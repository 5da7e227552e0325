"""strawberry's DataLoader on batchio's machine: change the import, and nothing else.

    from batchio.compat.strawberry import DataLoader

Rules of this room:

- What a program can see of strawberry.dataloader 0.341 it sees here, but for the names of its inside (``Batch`` ...).
- Where batchio promises more (strangers, late askers, a key once) its promise holds; the guide has the list.
- strawberry is not imported. Where a program has done so, its error for a wrong number of values is raised; elsewhere
  one of its name and message, which is no name to import: whoever catches strawberry's imports strawberry.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from batchio._core.enqueue import answered
from batchio._core.errors import BatchShapeError
from batchio.compat._dropin import Future, Futures, Keyed, Machine, keyed, uncached
from batchio.compat._loads import Loads

__all__ = ["AbstractCache", "DataLoader", "DefaultCache"]

K = TypeVar("K")
V = TypeVar("V")


class AbstractCache(ABC, Generic[K, V]):
    """What a loader's cache has to offer; it keeps futures by key.

    Example:
        >>> from batchio.compat.strawberry import AbstractCache
        >>> class Cache(AbstractCache[int, str]):
        ...     def __init__(self):
        ...         self.futures = {}
        ...     def get(self, key):
        ...         return self.futures.get(key)
        ...     def set(self, key, value):
        ...         self.futures[key] = value
        ...     def delete(self, key):
        ...         del self.futures[key]
        ...     def clear(self):
        ...         self.futures.clear()
        >>> Cache().get(1) is None
        True
    """

    @abstractmethod
    def get(self, key: K) -> asyncio.Future[V] | None:
        """Look a key up.

        Args:
            key: the key, as it was loaded.

        Returns:
            Its future, or None.

        Raises:
            Exception: whatever yours raises comes out of ``load``.
        """

    @abstractmethod
    def set(self, key: K, value: asyncio.Future[V]) -> None:
        """Keep a key's future.

        Args:
            key: the key.
            value: its future, perhaps still pending.

        Raises:
            Exception: whatever yours raises comes out of ``load``.
        """

    @abstractmethod
    def delete(self, key: K) -> None:
        """Forget a key.

        Args:
            key: the key.

        Raises:
            KeyError: if you like; ``clear`` says nothing of it.
        """

    @abstractmethod
    def clear(self) -> None:
        """Forget all keys.

        Raises:
            Exception: whatever yours raises comes out of ``clear_all``.
        """


class DefaultCache(AbstractCache[K, V]):
    """A cache in a dict.

    Args:
        cache_key_fn: gives what keys are compared by; the keys themselves, if there is none.

    Example:
        >>> from batchio.compat.strawberry import DefaultCache
        >>> DefaultCache(cache_key_fn=str.lower).get("A") is None
        True
    """

    def __init__(self, cache_key_fn: Callable[[K], Hashable] | None = None) -> None:
        self.cache_key_fn: Callable[[K], Hashable] = _itself if cache_key_fn is None else cache_key_fn
        self.cache_map: dict[Hashable, asyncio.Future[V]] = {}

    def get(self, key: K) -> asyncio.Future[V] | None:
        """Look a key up.

        Args:
            key: the key.

        Returns:
            Its future, or None.

        Raises:
            TypeError: for what cannot be hashed.
        """
        return self.cache_map.get(self.cache_key_fn(key))

    def set(self, key: K, value: asyncio.Future[V]) -> None:
        """Keep a key's future.

        Args:
            key: the key.
            value: its future.

        Raises:
            TypeError: for what cannot be hashed.
        """
        self.cache_map[self.cache_key_fn(key)] = value

    def delete(self, key: K) -> None:
        """Forget a key.

        Args:
            key: the key.

        Raises:
            KeyError: it is not there.
        """
        del self.cache_map[self.cache_key_fn(key)]

    def clear(self) -> None:
        """Forget all keys."""
        self.cache_map.clear()


class DataLoader(Loads[K, V]):
    """A loader of one request: loads that are made before the event loop has nothing else to run leave together.

    Args:
        load_fn: ``async def f(keys)``; it returns an iterable with one item per key, in the order of the keys, or a
            mapping. An exception as an item fails that key only.
        max_batch_size: keys in one call of ``load_fn``; None for any number.
        cache: whether loads are remembered, for as long as the loader lives.
        loop: where loads go that are made while no event loop is running; otherwise the running one counts.
        cache_map: a cache in place of ``DefaultCache``.
        cache_key_fn: gives what keys are compared by, where there is no ``cache_map``; ``load_fn`` gets the keys
            themselves.

    Example:
        >>> import asyncio
        >>> from batchio.compat.strawberry import DataLoader
        >>> async def load_users(keys: list[int]) -> list[str]:
        ...     print("fetching", keys)
        ...     return [f"user {key}" for key in keys]
        >>> async def main() -> list[str]:
        ...     users = DataLoader(load_fn=load_users)
        ...     return await asyncio.gather(users.load(1), users.load(2), users.load(1))
        >>> asyncio.run(main())
        fetching [1, 2]
        ['user 1', 'user 2', 'user 1']
    """

    cache: bool = False
    cache_map: AbstractCache[K, V]

    def __init__(
        self,
        load_fn: Callable[[list[K]], Awaitable[Sequence[V | BaseException]]],
        max_batch_size: int | None = None,
        cache: bool = True,
        loop: asyncio.AbstractEventLoop | None = None,
        cache_map: AbstractCache[K, V] | None = None,
        cache_key_fn: Callable[[K], Hashable] | None = None,
    ) -> None:
        self.load_fn = load_fn
        self.max_batch_size = max_batch_size
        self.cache = cache
        if cache:
            self.cache_map = DefaultCache(cache_key_fn) if cache_map is None else cache_map
        self._batchio = _Machine(self.cache_map if cache else None, loop)

    def clear(self, key: K) -> None:
        """Forget a key: its next load fetches again, though a batch may be fetching it now.

        Args:
            key: the key; it need not be known.
        """
        self.clear_many((key,))

    def clear_many(self, keys: Iterable[K]) -> None:
        """Forget many keys.

        Args:
            keys: the keys; they need not be known.
        """
        for key in keys if self.cache else ():
            with suppress(KeyError):  # an error of a whole batch is forgotten already, which its reader cannot know
                self.cache_map.delete(key)

    def clear_all(self) -> None:
        """Forget all keys."""
        if self.cache:
            self.cache_map.clear()

    def prime(self, key: K, value: V, force: bool = False) -> None:
        """Tell the loader the value of a key, also those who wait for it while it is queued.

        Args:
            key: the key.
            value: its value.
            force: whether it replaces what is known.

        Raises:
            RuntimeError: without a running event loop, unless the loader was given one.
        """
        if self.cache:
            self._batchio.prime(self, key, answered(self.loop, value), force=force)
        self._batchio.tell_queued(self, key, value)

    def prime_many(self, data: Mapping[K, V], force: bool = False) -> None:
        """Tell the loader the values of many keys.

        Args:
            data: values by key.
            force: whether they replace what is known.

        Raises:
            RuntimeError: without a running event loop, unless the loader was given one.
        """
        for key, value in data.items():
            self.prime(key, value, force)


class _Machine(Machine):
    """What strawberry's loaders say for themselves."""

    takes_none = True
    __slots__ = ()

    def function(self, owner: Any) -> Callable[[list[Any]], Awaitable[Any]]:
        return owner.load_fn  # type: ignore[no-any-return]

    def most(self, owner: Any) -> int | None:
        return owner.max_batch_size  # type: ignore[no-any-return]

    def plain(self, owner: Any) -> bool:
        cache = self.cache_map
        return cache is None or (type(cache) is DefaultCache and cache.cache_key_fn is _itself)

    def compared(self, owner: Any, key: Any) -> Any:
        cache = self.cache_map
        return keyed(cache.cache_key_fn(key), key) if isinstance(cache, DefaultCache) else uncached(key)

    def futures(self, owner: Any) -> Futures:
        if self.cache_map is None:
            return {}
        return self.cache_map.cache_map if self.plain(owner) else _Through(self.cache_map)

    def wrong_number(self, error: BatchShapeError, expected: int, received: int) -> Exception:
        theirs = getattr(sys.modules.get("strawberry.exceptions"), "WrongNumberOfResultsReturned", None)
        wrong: Exception = (theirs or WrongNumberOfResultsReturned)(expected=expected, received=received)
        wrong.__cause__ = error
        return wrong


class WrongNumberOfResultsReturned(BatchShapeError):
    """strawberry's error, by name and message, where nobody has imported strawberry; caught as a ``BatchShapeError``."""

    def __init__(self, expected: int, received: int) -> None:
        super().__init__(f"Received wrong number of results in dataloader, expected: {expected}, received: {received}")


class _Through(MutableMapping[Any, Future]):
    """A cache of the user's as a mapping. It compares keys by itself, so it gets them as they were loaded."""

    def __init__(self, cache: AbstractCache[Any, Any]) -> None:
        self._cache = cache

    def __getitem__(self, key: Any) -> Future:
        future = self._cache.get(_loaded(key))
        if future is None:
            raise KeyError(key)
        return future

    def __setitem__(self, key: Any, future: Future) -> None:
        self._cache.set(_loaded(key), future)

    def __delitem__(self, key: Any) -> None:
        self._cache.delete(_loaded(key))

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a cache gives no keys")

    def __len__(self) -> int:
        raise TypeError("a cache does not count")


def _loaded(key: Any) -> Any:
    return key.key if type(key) is Keyed else key


def _itself(key: Any) -> Any:
    return key
