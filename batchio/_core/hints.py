"""What a beginner is told: mistakes that cost something to look for, so only in asyncio's debug mode and in tests.

Rules of this room:

- A hint is a RuntimeWarning that names the loader, the place in the caller's file, and what to write instead.
- Nothing here changes what a load does. Outside debug mode nothing here runs at all.
"""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
import weakref
from collections.abc import Generator
from typing import Any

ONE_BY_ONE = 5  # loads in a row from one line, each made when the one before was answered; two or three are a chain

_PACKAGE = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120  pathlib takes 4 ms to import


class WatchedFuture(asyncio.Future[Any]):
    """A load's future that warns when it goes away and nobody has ever asked it for its answer."""

    asked_for = False
    what = ""

    def __await__(self) -> Generator[Any, None, Any]:
        self.asked_for = True
        return super().__await__()

    __iter__ = __await__

    def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
        self.asked_for = True
        super().add_done_callback(*args, **kwargs)

    def result(self) -> Any:
        self.asked_for = True
        return super().result()

    def exception(self) -> BaseException | None:
        self.asked_for = True
        return super().exception()

    def __del__(self) -> None:
        if not self.asked_for and not self.cancelled():
            warnings.warn(
                f"{self.what} was never awaited; is an await missing before the load?", RuntimeWarning, stacklevel=2
            )


class Watch:
    """The loads of one event loop, as far as hints need to remember them."""

    def __init__(self) -> None:
        self._last: weakref.WeakKeyDictionary[asyncio.Task[Any], tuple[Any, asyncio.Future[Any], int]]
        self._last = weakref.WeakKeyDictionary()

    def load(self, name: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        """A future for a load that is about to be queued, watched."""
        place = _caller()
        future = _watched(name, "load", place, loop)
        self._count((name, *place), future, loop)
        return future

    def many(self, name: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
        """A future for a load_many, watched."""
        return _watched(name, "load_many", _caller(), loop)

    def _count(self, place: tuple[Any, ...], future: asyncio.Future[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Warn at the fifth load in a row of one task from one line, each made after the last one was answered."""
        task = asyncio.current_task(loop)
        if task is None:
            return
        last_place, last_future, count = self._last.get(task, (None, None, 0))
        again = last_place == place and last_future is not None and last_future.done()
        count = count + 1 if again else 1
        self._last[task] = (place, future, count)
        if count == ONE_BY_ONE:
            name, file, line = place
            warnings.warn(
                f"{name}: {count} loads at {file}:{line} were awaited one by one, so each was a batch of one key. If "
                f"they do not depend on each other, write load_many(keys), or batchio.gather(*map(...))",
                RuntimeWarning,
                stacklevel=2,
            )


def _watched(name: str, what: str, place: tuple[str, int], loop: asyncio.AbstractEventLoop) -> WatchedFuture:
    future = WatchedFuture(loop=loop)
    future.what = f"{name}: the {what} at {place[0]}:{place[1]}"
    return future


def _caller() -> tuple[str, int]:
    """File and line of the innermost frame that is not batchio's."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
