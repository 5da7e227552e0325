"""Async code called from plain code: one event loop for each thread, kept until the thread ends.

Rules of this room:

- The loop is kept, so that pools, caches and flights that belong to a loop outlive one call. (``asyncio.run`` makes a
  new loop for each call: a page in plain code with ten calls would open ten pools.)
- Inside a running loop the call runs on another loop in a thread of its own, and this loop stands still meanwhile: what
  the awaitable needs from it never comes. That is asynq's nested call, made safe; ``await`` is the better spelling.
- A process that is forked has loops of its own, also if it was forked inside a running one.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["from_plain_code", "run_sync"]

T = TypeVar("T")


from_plain_code: contextvars.ContextVar[bool] = contextvars.ContextVar("batchio_from_plain_code", default=False)
"""Whether what runs was begun by ``run_sync``: only ``batchio.compat.asynq`` asks."""


class _Kept:
    """The runner of one thread of one process, closed when the thread ends and lets go of it."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.process = os.getpid()

    def __del__(self) -> None:
        if self.process == os.getpid():
            self.runner.close()
        else:  # the parent's: to close it would take its files out of the epoll that both processes share
            with suppress(AttributeError):  # uvloop's
                self.runner.get_loop()._closed = True  # type: ignore[attr-defined]


_here = threading.local()
atexit.register(_here.__dict__.clear)


def run_sync(awaitable: Awaitable[T]) -> T:
    """Wait for an awaitable from plain code.

    It sees the context variables of its caller. Tasks that it leaves behind go on at the thread's next call.

    Args:
        awaitable: a coroutine, or anything else that can be awaited.

    Returns:
        Its result.

    Raises:
        BaseException: whatever the awaitable raises.

    Example:
        >>> from batchio.tools import run_sync
        >>> async def answer() -> int:
        ...     return 42
        >>> run_sync(answer())
        42
    """
    context = contextvars.copy_context()
    context.run(from_plain_code.set, True)
    if asyncio._get_running_loop() is not None:
        return _elsewhere(awaitable, context)
    return _runner().run(_waiting(awaitable), context=context)


def _runner() -> asyncio.Runner:
    """This thread's. No frame of a call holds its ``_Kept``: an error's traceback would, past the end of the thread."""
    kept: _Kept | None = _here.__dict__.get("kept")
    if kept is None or kept.process != os.getpid():
        kept = _here.kept = _Kept()
    return kept.runner


async def _waiting(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _elsewhere(awaitable: Awaitable[T], context: contextvars.Context) -> T:
    """Run in a thread of its own, which has no loop yet."""
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((True, context.run(run_sync, awaitable)))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=work, name="batchio.run_sync", daemon=True)
    thread.start()
    thread.join()
    fine, what = outcome.pop()
    if fine:
        return what  # type: ignore[no-any-return]
    try:
        raise what
    finally:
        del what
