"""Map, filter, sort, max and min with async functions: the standard library's, with all calls under way at once.

Rules of this room:

- Every call of the user's function is made before the first is awaited, so that their loads share batches.
- What comes back is a list, in the order of the items; what is chosen is chosen by the standard library's own function.
- The error is the first by position, when all calls have ended: ``gather``'s contract.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar

from batchio._gather import gather

__all__ = ["afilter", "afilterfalse", "amap", "amax", "amin", "asift", "asorted"]

T = TypeVar("T")
R = TypeVar("R")


async def amap(function: Callable[[T], Awaitable[R]], iterable: Iterable[T]) -> list[R]:
    """``map`` with an async function, a list.

    Args:
        function: what to call with each item.
        iterable: the items.

    Returns:
        The results, in the order of the items.

    Raises:
        BaseException: the first error by position, when all calls have ended.

    Example:
        >>> import asyncio, batchio
        >>> from batchio.tools import amap
        >>> @batchio.loader(name="squares of a map")
        ... async def square(keys: list[int]) -> dict[int, int]:
        ...     print("fetching", keys)
        ...     return {key: key * key for key in keys}
        >>> asyncio.run(amap(square, [1, 2, 3]))
        fetching [1, 2, 3]
        [1, 4, 9]
    """
    items = list(iterable)  # an iterable that raises in its middle must leave no coroutine behind
    return await gather(list(map(function, items)))


async def afilter(function: Callable[[T], Awaitable[Any]] | None, iterable: Iterable[T]) -> list[T]:
    """``filter`` with an async function, a list.

    Args:
        function: what to call with each item; None keeps the items that are true.
        iterable: the items.

    Returns:
        The items for which the function gives something true.

    Raises:
        BaseException: the first error by position, when all calls have ended.

    Example:
        >>> import asyncio
        >>> from batchio.tools import afilter
        >>> async def is_even(number: int) -> bool:
        ...     return number % 2 == 0
        >>> asyncio.run(afilter(is_even, range(5)))
        [0, 2, 4]
    """
    if function is None:
        return list(filter(None, iterable))
    return (await asift(function, iterable))[0]


async def afilterfalse(function: Callable[[T], Awaitable[Any]], iterable: Iterable[T]) -> list[T]:
    """``itertools.filterfalse`` with an async function, a list.

    Args:
        function: what to call with each item.
        iterable: the items.

    Returns:
        The items for which the function gives something false.

    Raises:
        BaseException: the first error by position, when all calls have ended.

    Example:
        >>> import asyncio
        >>> from batchio.tools import afilterfalse
        >>> async def is_even(number: int) -> bool:
        ...     return number % 2 == 0
        >>> asyncio.run(afilterfalse(is_even, range(5)))
        [1, 3]
    """
    return (await asift(function, iterable))[1]


async def asift(function: Callable[[T], Awaitable[Any]], iterable: Iterable[T]) -> tuple[list[T], list[T]]:
    """Divide items into those that pass and those that do not.

    Args:
        function: what to call with each item.
        iterable: the items.

    Returns:
        Two lists: the items for which the function gives something true, and the others.

    Raises:
        BaseException: the first error by position, when all calls have ended.

    Example:
        >>> import asyncio
        >>> from batchio.tools import asift
        >>> async def is_even(number: int) -> bool:
        ...     return number % 2 == 0
        >>> asyncio.run(asift(is_even, range(5)))
        ([0, 2, 4], [1, 3])
    """
    items = list(iterable)
    passes = list(map(bool, await amap(function, items)))
    return list(itertools.compress(items, passes)), [
        item for item, passed in zip(items, passes, strict=True) if not passed
    ]


async def asorted(
    iterable: Iterable[T], key: Callable[[T], Awaitable[Any]] | None = None, reverse: bool = False
) -> list[T]:
    """``sorted`` with an async key function; stable, as ``sorted`` is.

    Args:
        iterable: the items.
        key: what to sort each item by; None sorts by the items themselves.
        reverse: the greatest first.

    Returns:
        The items in order.

    Raises:
        BaseException: the first error by position of the key function; TypeError where keys cannot be compared.

    Example:
        >>> import asyncio
        >>> from batchio.tools import asorted
        >>> async def length(word: str) -> int:
        ...     return len(word)
        >>> asyncio.run(asorted(["three", "one", "four"], key=length))
        ['one', 'four', 'three']
    """
    items = list(iterable)
    keys: list[Any] = items if key is None else await amap(key, items)
    return [items[place] for place in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


class Extreme(Protocol):
    """What ``amax`` and ``amin`` are to a type checker."""

    async def __call__(self, *args: Any, key: Callable[[Any], Awaitable[Any]] | None = None) -> Any:
        """Choose an item."""


def _extreme(choose: Any, extreme: str, example: str) -> Extreme:
    """``max`` or ``min`` with an async key function. It chooses among places: items themselves need not be comparable."""
    name = f"a{choose.__name__}"

    async def chosen(*args: Any, key: Callable[[Any], Awaitable[Any]] | None = None) -> Any:
        if not args:
            raise TypeError(f"{name} expected at least 1 argument, got 0")
        items = list(args[0] if len(args) == 1 else args)
        if not items:
            raise ValueError(f"{name}() was given nothing to choose from")
        keys: list[Any] = items if key is None else await amap(key, items)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    chosen.__name__ = chosen.__qualname__ = name
    chosen.__doc__ = f"""``{choose.__name__}`` with an async key function.

    Args:
        *args: the items, or one iterable of them.
        key: what to compare each item by; None compares the items themselves.

    Returns:
        The {extreme} item; of several, the first.

    Raises:
        ValueError: there is no item.
        TypeError: there is no argument, or keys cannot be compared.

    Example:
        >>> import asyncio
        >>> from batchio.tools import {name}
        >>> async def length(word: str) -> int:
        ...     return len(word)
        >>> asyncio.run({name}(["three", "one"], key=length))
        {example!r}
    """
    return chosen


amax, amin = _extreme(max, "greatest", "three"), _extreme(min, "least", "one")
