"""Maps a function over jobs, in this process or in several.

Rules of this room:

- Functions travel by name, and the world is given to a process once, and not with each file.
- Ctrl-C is this process's business: the others do not hear it, finish what they have in hand, and end silently.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

__all__ = ["Workers"]

_world: Any = None


def _begin(world: Any) -> None:
    global _world  # noqa: PLW0603  # a process is given it once, and not with each file
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _world = world


def _with_world(call: tuple[Callable[..., Any], Any]) -> Any:
    function, job = call
    return function(job) if _world is None else function(job, _world)


class Workers:
    """Some processes; each map brings its own, because it may bring a world along."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.pools: list[ProcessPoolExecutor] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self.pools:
            pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[..., Any], jobs: list[Any], world: Any = None) -> Iterator[Any]:
        """The answers, in the order of the jobs."""
        if self.processes == 1:
            return (function(job) if world is None else function(job, world) for job in jobs)
        pool = ProcessPoolExecutor(self.processes, initializer=_begin, initargs=(world,))
        self.pools.append(pool)
        with _deaf():
            return pool.map(_with_world, [(function, job) for job in jobs], chunksize=8)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are begun in this block do not hear Ctrl-C from the first moment; here it comes afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
