"""Who waits for whom: the stack of the running code with the tasks that wait for it.

Rules of this room: it reads what asyncio and gather keep, and changes nothing. From Python 3.14 asyncio tells it itself
(``asyncio.capture_call_graph``).
"""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

__all__ = ["format_stack"]


def format_stack() -> list[str]:
    """Format the stack of the running code, and of the tasks that wait for it in a ``gather`` or an ``await``.

    Returns:
        The entries, outermost first, as ``traceback.format_stack`` gives them.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import format_stack
        >>> async def inner() -> bool:
        ...     await asyncio.sleep(0)
        ...     return any("in outer" in entry for entry in format_stack())
        >>> async def outer() -> bool:
        ...     return await asyncio.create_task(inner())
        >>> asyncio.run(outer())
        True
    """
    entries = traceback.format_stack()[:-1]
    try:
        task = asyncio.current_task()
    except RuntimeError:  # plain code: nobody waits for it
        return entries
    seen: set[Any] = set()
    while task is not None and task not in seen:
        seen.add(task)
        task = next((other for other in asyncio.all_tasks() - seen if _waits_for(other, task)), None)
        if task is not None:
            entries = [*_waiting_frames(task), *entries]
    return entries


def _chain(task: asyncio.Task[Any]) -> list[Any]:
    """A task's coroutine, what that awaits, and so on inwards."""
    chain: list[Any] = [task.get_coro()]
    while (inner := getattr(chain[-1], "cr_await", None) or getattr(chain[-1], "gi_yieldfrom", None)) is not None:
        chain.append(inner)
    return chain


def _waits_for(task: asyncio.Task[Any], other: asyncio.Task[Any]) -> bool:
    """Whether a task awaits another, or gathers it."""
    frame = getattr(_chain(task)[-1], "gi_frame", None)
    front = frame.f_locals.get("self") if frame else None
    return other in getattr(front, "children", ()) or getattr(task, "_fut_waiter", None) is other


def _waiting_frames(task: asyncio.Task[Any]) -> list[str]:
    frames = [each.cr_frame for each in _chain(task) if getattr(each, "cr_frame", None)]
    return traceback.format_list(
        [traceback.FrameSummary(f.f_code.co_filename, f.f_lineno, f.f_code.co_name) for f in frames]
    )
