"""What drop-in loaders are to those who load from them: the verbs that both libraries have.

Rules of this room: a verb is one line, and the ``Machine`` does the work. What a library has alone stands in its own room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Unmade:
    """Stands in the class, where a loader that was made has its machine."""

    def __get__(self, owner: Any, kind: type) -> Any:
        raise AttributeError(f"{kind.__qualname__}: its __init__ does not call super().__init__(), so it cannot load")


class Loads(Generic[K, V]):
    """What both libraries' loaders are to those who load from them."""

    _batchio: Any = _Unmade()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of loads that are made now: the running one, else the one that was given.

        Returns:
            An event loop.

        Raises:
            RuntimeError: there is neither.
        """
        return self._batchio.loop(self)  # type: ignore[no-any-return]

    def load(self, key: K) -> asyncio.Future[V]:
        """Ask for one key. The load is queued at once, awaited or not; to cancel it touches no other.

        Args:
            key: the key; aiodataloader's refuses None, strawberry's takes it.

        Returns:
            A future of the value.

        Raises:
            TypeError: for None, and where loads are cached for a key that cannot be hashed.
            RuntimeError: without a running event loop, unless the loader was given one.
        """
        if key is None and not self._batchio.takes_none:
            raise TypeError(f"{type(self).__qualname__}: load() takes a key, and got None")
        return self._batchio.load(self, key)  # type: ignore[no-any-return]

    def load_many(self, keys: Iterable[K]) -> asyncio.Future[list[V]]:
        """Ask for many keys.

        Args:
            keys: the keys, in the order in which the values are wanted.

        Returns:
            A future of the list of values; it fails with the first error that comes.

        Raises:
            TypeError: for something that cannot be iterated, and as ``load``.
            RuntimeError: as ``load``.
        """
        return asyncio.gather(*map(self.load, keys))
