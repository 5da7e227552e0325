"""What an edge keeps for each event loop that it is used on: its connections.

1. An edge is made at import and belongs to no loop; a connection belongs to one loop for life. So each loop has its own.
2. They hang on their loop, as an attribute, and nothing else holds them: a closed loop takes them along. A table of
   loops would keep the loops alive, even a weak one, since connections refer to their loop.
3. The loop holds the edge weakly: one that is dropped is collected, though its loops run on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

ATTRIBUTE = "_batchio_local"


class LoopLocal(Generic[T]):
    """One thing for each event loop, made when it is first asked for there. The thing must not refer to its owner."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    def get(self) -> T:
        """Give the running loop's own."""
        table: WeakKeyDictionary[LoopLocal[T], T] = _table_of(asyncio.get_running_loop())
        if self not in table:
            table[self] = self._make()
        return table[self]

    def pop(self) -> T | None:
        """Take away the running loop's own, if it has one."""
        table: WeakKeyDictionary[LoopLocal[T], T] = _table_of(asyncio.get_running_loop())
        return table.pop(self, None)


def _table_of(loop: asyncio.AbstractEventLoop) -> WeakKeyDictionary[LoopLocal[Any], Any]:
    table: WeakKeyDictionary[LoopLocal[Any], Any] | None = getattr(loop, ATTRIBUTE, None)
    if table is None:
        table = WeakKeyDictionary()
        setattr(loop, ATTRIBUTE, table)
    return table
