"""A store shared between requests and processes: the protocol with its leases, and the one in memory.

Rules of this room:

- Verbs are bulk verbs. A page asks for hundreds of keys; one verb per key would be one round trip per key.
- A hit equals the miss that filled it, in type and value. Two keys that differ in type are two keys (1 is not True).
- A fill never overwrites a later invalidation. Whoever misses gets a *lease*, a token bound to the key; deleting the
  key voids the token; a fill with a void token does nothing. (Nishtala et al., "Scaling Memcache at Facebook",
  NSDI 2013, section 3.2.1.) The road not taken, ``set`` or ``add`` after a read, leaves stale values for a whole ttl.
- One lease at a time for a key: others who miss are told that somebody is filling, so that a herd makes one fetch.
- Errors are the caller's business: a loader takes a read that fails for a miss, and reports a failed invalidation.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["BoundCache", "Cache", "Lookup", "MemoryCache"]

K = TypeVar("K")
V = TypeVar("V")

LEASE_SECONDS = 10.0  # Facebook grants one token per key and 10 s (NSDI 2013); a filler that died frees the key then


@dataclass(slots=True)
class Lookup(Generic[K, V]):
    """What ``get_many`` found. Each asked key stands in one of the three.

    Args:
        hits: values by key.
        leases: a token for each miss that the caller may fill.
        filling: keys that miss and that somebody else is filling just now.

    Example:
        >>> Lookup(hits={1: "Ada"}).hits
        {1: 'Ada'}
    """

    hits: dict[K, V] = field(default_factory=dict)
    leases: dict[K, Any] = field(default_factory=dict)
    filling: list[K] = field(default_factory=list)


class BoundCache(Protocol[K, V]):
    """One loader's keys in a cache: what ``Cache.bind`` returns. All verbs take many keys at once.

    Example:
        >>> import asyncio, batchio
        >>> async def main() -> dict[int, str]:
        ...     names = batchio.MemoryCache().bind("names", str, 0)
        ...     missed = await names.get_many([1])
        ...     await names.fill_many({1: "Ada"}, missed.leases, ttl=60.0)
        ...     return (await names.get_many([1])).hits
        >>> asyncio.run(main())
        {1: 'Ada'}
    """

    async def get_many(self, keys: Sequence[K]) -> Lookup[K, V]:
        """Look keys up.

        Args:
            keys: distinct keys.

        Returns:
            Hits, leases for the misses that the caller may fill, and keys that somebody else is filling.

        Raises:
            Exception: whatever the store raises when it fails; the loader takes that for a miss of all keys.
        """

    async def fill_many(self, values: Mapping[K, V], leases: Mapping[K, Any], ttl: float | None) -> None:
        """Store what was fetched after a miss; a value whose lease is void is dropped without an error.

        Args:
            values: values by key.
            leases: the tokens that ``get_many`` gave; a lease whose key has no value is given back.
            ttl: seconds that the values live, or None for as long as the store keeps them.

        Raises:
            Exception: whatever the store raises when it fails; the loader takes no notice but a line in the log.
        """

    async def set_many(self, values: Mapping[K, V], ttl: float | None) -> None:
        """Store values whatever was there, and void the leases of their keys.

        Args:
            values: values by key.
            ttl: seconds that the values live, or None.

        Raises:
            Exception: whatever the store raises when it fails.
        """

    async def delete_many(self, keys: Sequence[K]) -> None:
        """Forget values, and void the leases of their keys.

        Args:
            keys: the keys to forget; those that are not there are no error.

        Raises:
            Exception: whatever the store raises when it fails; ``invalidate`` gives it to the writer.
        """


class Cache(Protocol):
    """A store that loaders can share. Write your own with this one method; ``batchio.testing.check_cache`` checks it.

    Example:
        >>> import batchio
        >>> cache: batchio.Cache = batchio.MemoryCache()
    """

    def bind(self, name: str, value_type: Any, version: int | str) -> BoundCache[Any, Any]:
        """Give one loader its own keys and its own codec.

        Args:
            name: the loader's name; no other loader on this cache may have it.
            value_type: the type of the values, so that a hit comes back as the type of the miss.
            version: raised by the loader's author when the meaning of the values changes.

        Returns:
            The loader's bulk verbs.

        Raises:
            ValueError: when a living loader of that name is bound already.
        """


class MemoryCache:
    """A cache in this process: ttl, least recently used out first, bounded by a number of items, safe in threads.

    Values are kept as they are and given to every reader: treat them as read-only, as you do with loaders.

    Args:
        max_items: how many keys it keeps over all its loaders; the least recently used one goes first.
        clock: seconds that never go back; a test gives its loop's ``time``.

    Raises:
        ValueError: when ``max_items`` is below 1.

    Example:
        >>> import asyncio, batchio
        >>> cache = batchio.MemoryCache(max_items=1000)
        >>> @batchio.loader(name="doubles", cache=cache, ttl=60.0)
        ... async def doubles(keys: list[int]) -> dict[int, int]:
        ...     print("fetching", keys)
        ...     return {key: 2 * key for key in keys}
        >>> async def main() -> list[int]:
        ...     return [await doubles(4), await doubles(4)]
        >>> asyncio.run(main())
        fetching [4]
        [8, 8]
    """

    def __init__(self, max_items: int = 10_000, *, clock: Callable[[], float] = time.monotonic) -> None:
        if max_items < 1:
            raise ValueError(f"MemoryCache: max_items is {max_items}; it must be at least 1")
        self._max_items = max_items
        self._clock = clock
        self._lock = threading.Lock()  # loaders may run in several threads, each with a loop of its own
        self._items: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()  # key -> (value, when it ends)
        self._leases: OrderedDict[Hashable, tuple[object, float]] = OrderedDict()  # key -> (token, when it ends)
        self._bound: weakref.WeakValueDictionary[str, _BoundMemory] = weakref.WeakValueDictionary()

    def bind(self, name: str, value_type: Any = None, version: int | str = 0) -> BoundCache[Any, Any]:
        """Give one loader its own keys.

        Args:
            name: the loader's name.
            value_type: not needed here; values keep their type by being kept as they are.
            version: part of the keys.

        Returns:
            The loader's bulk verbs.

        Raises:
            ValueError: when a living loader of that name is bound already.
        """
        with self._lock:
            if name in self._bound:
                raise ValueError(f"{name}: this cache already has a loader of that name; give one of them name=...")
            bound = self._bound[name] = _BoundMemory(self, (name, version))
        return bound

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"<MemoryCache {len(self._items)} of {self._max_items} items, {len(self._leases)} leases>"

    def _get(self, key: Hashable, now: float) -> tuple[Any, float] | None:
        """The living item of a key, moved to the young end; a dead one is dropped."""
        item = self._items.get(key)
        if item is None:
            return None
        if item[1] <= now:
            del self._items[key]
            return None
        self._items.move_to_end(key)
        return item

    def _set(self, key: Hashable, value: Any, ends: float) -> None:
        """Put an item at the young end and push the oldest ones out."""
        self._items[key] = (value, ends)
        self._items.move_to_end(key)
        while len(self._items) > self._max_items:
            self._items.popitem(last=False)

    def _lease(self, key: Hashable, now: float) -> object | None:
        """A new token for a key, or None while somebody else holds one."""
        held = self._leases.get(key)
        if held is not None and held[1] > now:
            return None
        token = object()
        self._leases[key] = (token, now + LEASE_SECONDS)
        self._leases.move_to_end(key)
        while len(self._leases) > self._max_items:  # forgetting a lease voids it: a fill is lost, nothing goes stale
            self._leases.popitem(last=False)
        return token

    def _redeem(self, key: Hashable, token: object) -> bool:
        """Whether the token is still the key's; it can be used once."""
        held = self._leases.get(key)
        if held is None or held[0] is not token:
            return False
        del self._leases[key]
        return True


class _BoundMemory:
    """One loader's keys in a ``MemoryCache``."""

    def __init__(self, cache: MemoryCache, prefix: tuple[Hashable, ...]) -> None:
        self._cache = cache
        self._prefix = prefix

    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        found: Lookup[Any, Any] = Lookup()
        cache = self._cache
        with cache._lock:
            now = cache._clock()
            for key, full in self._full(keys):
                if (item := cache._get(full, now)) is not None:
                    found.hits[key] = item[0]
                elif (token := cache._lease(full, now)) is not None:
                    found.leases[key] = token
                else:
                    found.filling.append(key)
        return found

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        with self._cache._lock:
            ends = self._ends(ttl)
            for key, full in self._full(leases):
                if self._cache._redeem(full, leases[key]) and key in values:
                    self._cache._set(full, values[key], ends)

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        with self._cache._lock:
            ends = self._ends(ttl)
            for key, full in self._full(values):
                self._cache._leases.pop(full, None)
                self._cache._set(full, values[key], ends)

    async def delete_many(self, keys: Sequence[Any]) -> None:
        with self._cache._lock:
            for _, full in self._full(keys):
                self._cache._leases.pop(full, None)
                self._cache._items.pop(full, None)

    def _full(self, keys: Iterable[Any]) -> list[tuple[Any, Hashable]]:
        """Each key with the key under which the cache holds it."""
        return [(key, (self._prefix, typed(key))) for key in keys]

    def _ends(self, ttl: float | None) -> float:
        """When a value that is stored now ends, on the cache's clock."""
        return float("inf") if ttl is None else self._cache._clock() + ttl


def typed(key: Hashable) -> Hashable:
    """A key that equals only keys of the same type: a dict takes 1, True and 1.0 for one key, a store may not.

    An instance of a subclass that equals its base's is of the base's type here: a StrEnum's member is its text.
    """
    kind = type(key) if type(key) in _KINDS else base_of(key, _BASES)
    if isinstance(key, tuple):
        return (kind, tuple(typed(part) for part in key))
    if isinstance(key, frozenset):
        return (kind, frozenset(typed(part) for part in key))
    return (kind, key)


def base_of(key: object, bases: Iterable[type]) -> type:
    """The first of some classes whose comparison a key of a subclass has kept; the key's own class where there is none."""
    kind: Any = type(key)
    return next((base for base in bases if isinstance(key, base) and kind.__eq__ is base.__eq__), kind)


_BASES: tuple[type, ...] = (str, bytes, int, float, tuple, frozenset)
_KINDS = frozenset({*_BASES, bool, type(None)})
