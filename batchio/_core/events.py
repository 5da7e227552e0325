"""What an observer is told, and how one listens.

Rules of this room:

- An event is a frozen fact with a loader's name in it, never the loader: an observer cannot reach the machine.
- Nothing is paid when nobody listens. A hook list is empty then, and the machine looks at the list before it makes
  the event. An observer that lacks a hook is in no list for it.
- An observer can never break a load: one that raises is logged and dropped.
- The machine calls the lists; it knows no observer. They are the process's, not a scope's: a batch serves many scopes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["BatchDispatched", "BatchDone", "KeyAnswered", "Load", "Observer", "Subscription", "observe"]

log = logging.getLogger("batchio")


@dataclass(frozen=True, slots=True)
class Load:
    """Somebody asked a loader for a key.

    Args:
        loader: the loader's name.
        key: the key, as ``key=`` normalised it.
        memo_hit: True when the scope had asked for it before; False when the key was queued.
        params: the keyword-only parameters of this load, by name.

    Example:
        >>> Load("users", 1, memo_hit=False, params={}).key
        1
    """

    loader: str
    key: Any
    memo_hit: bool
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BatchDispatched:
    """Keys left together: one call of the batch function, or of the cache before it.

    Args:
        loader: the loader's name.
        batch: the batch's number, counted up over the whole process.
        keys: the keys, in the order of their first load.
        waiters: how many loads wait for them (a ``load_many`` counts once for each of its keys).
        reason: why it left: ``idle`` (the loop had nothing else to run), ``quiet`` (passes without a new key),
            ``max_delay`` (its oldest key had waited that long).
        waited: how long the oldest key waited, in seconds.
        params: the keyword-only parameters of its loads, by name.

    Example:
        >>> BatchDispatched("users", 1, (1, 2), waiters=3, reason="idle", waited=0.0, params={}).keys
        (1, 2)
    """

    loader: str
    batch: int
    keys: tuple[Any, ...]
    waiters: int
    reason: str
    waited: float
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BatchDone:
    """All waiters of a batch are answered.

    Args:
        loader: the loader's name.
        batch: the number that ``BatchDispatched`` had.
        seconds: from dispatch to the last answer.
        error: what the batch as a whole failed with, or None.

    Example:
        >>> BatchDone("users", 1, seconds=0.002, error=None).error is None
        True
    """

    loader: str
    batch: int
    seconds: float
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class KeyAnswered:
    """One key of a batch got its value or its error.

    Args:
        loader: the loader's name.
        batch: the number that ``BatchDispatched`` had.
        key: the key.
        error: the key's error, or None when it got a value.

    Example:
        >>> KeyAnswered("users", 1, 2, error=None).key
        2
    """

    loader: str
    batch: int
    key: Any
    error: BaseException | None


Hook = Callable[[Any], None]
Entry = tuple[str, Hook, "Subscription"]  # of which kind, what to call, and who listens

# One list per kind of event. The machine imports the lists by name, so they are changed in place and never replaced.
on_load: list[Entry] = []
on_dispatch: list[Entry] = []
on_done: list[Entry] = []
on_answer: list[Entry] = []

HOOKS: dict[str, list[Entry]] = {
    "on_load": on_load,
    "on_dispatch": on_dispatch,
    "on_done": on_done,
    "on_answer": on_answer,
}


class Observer:
    """A base class for observers: override the hooks that you want, leave the others.

    Any object with some of these methods will do; the class is for your editor and for ``super()``. A hook is called
    inside the event loop, between two steps of your tasks: be quick, and never block.

    Example:
        >>> import asyncio, batchio
        >>> class Sizes(batchio.Observer):
        ...     def on_dispatch(self, event):
        ...         print(event.loader, len(event.keys), event.reason)
        >>> @batchio.loader(name="squares")
        ... async def squares(keys: list[int]) -> dict[int, int]:
        ...     return {key: key * key for key in keys}
        >>> async def main() -> list[int]:
        ...     with batchio.observe(Sizes()):
        ...         return await squares.load_many([1, 2, 3])
        >>> asyncio.run(main())
        squares 3 idle
        [1, 4, 9]
    """

    def on_load(self, event: Load) -> None:
        """A load was made.

        Args:
            event: the loader, the key, and whether the memo had it.
        """

    def on_dispatch(self, event: BatchDispatched) -> None:
        """A batch left.

        Args:
            event: its keys, its waiters, why it left and how long (seconds) its oldest key had waited.
        """

    def on_done(self, event: BatchDone) -> None:
        """A batch is over.

        Args:
            event: how many seconds it took, and its error.
        """

    def on_answer(self, event: KeyAnswered) -> None:
        """A key of a batch was answered.

        Args:
            event: the key and its error.
        """


class Subscription:
    """What ``observe`` returns: ends the listening at ``close()`` or at the end of a ``with`` block.

    Args:
        observer: the object that is told.

    Example:
        >>> import batchio
        >>> with batchio.observe(batchio.Observer()) as subscription:
        ...     pass
        >>> subscription.close()  # closing again is no error
    """

    def __init__(self, observer: object) -> None:
        self._entries = [(name, hook, self) for name in HOOKS if (hook := _hook_of(observer, name)) is not None]
        for entry in self._entries:
            HOOKS[entry[0]].append(entry)

    def close(self) -> None:
        """Stop listening."""
        entries, self._entries = self._entries, []
        for entry in entries:
            HOOKS[entry[0]].remove(entry)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def observe(observer: object) -> Subscription:
    """Tell an observer what every loader of this process does, from now on.

    Args:
        observer: an object with some of the methods of ``Observer``. Hooks that it lacks, or does not override, cost
            nothing.

    Returns:
        A ``Subscription``; use it in a ``with`` block, or call its ``close()``.

    Raises:
        TypeError: when the object has none of the four hooks.

    Example:
        >>> import batchio
        >>> class Loads(batchio.Observer):
        ...     def on_load(self, event):
        ...         print(event)
        >>> subscription = batchio.observe(Loads())
        >>> subscription.close()
    """
    if not any(hasattr(observer, name) for name in HOOKS):
        raise TypeError(f"observe: {type(observer).__name__} has none of the hooks {', '.join(HOOKS)}")
    return Subscription(observer)


def tell(hooks: list[Entry], event: object) -> None:
    """Call each hook with the event; an observer that raises is logged and listens no more."""
    for _, hook, subscription in tuple(hooks):
        try:
            hook(event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # CancelledError too, of a future which the hook asked for its result
            subscription.close()
            log.exception("observer %r raised and was dropped", hook)


def _hook_of(observer: object, name: str) -> Hook | None:
    """The observer's hook of this name, unless it is absent or the base class's empty one."""
    if getattr(type(observer), name, None) is getattr(Observer, name):
        return None
    return getattr(observer, name, None)
