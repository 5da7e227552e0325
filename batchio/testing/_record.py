"""What the loaders did, for a test to look at.

Rules of this room:

- A record is of what left, in the words of the events, and knows loaders by their names.
- Nothing is mocked: the loaders under test run as they do in production, with one observer more.
- A name that means no loader is an error, never an empty answer: a misspelt name would pass any test.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from batchio._core.events import BatchDispatched, BatchDone, KeyAnswered, Load, observe
from batchio._core.loader import Loader

__all__ = ["Recorded", "record"]

Event = Load | BatchDispatched | BatchDone | KeyAnswered


class Recorded:
    """What loaders did inside ``record()``.

    A loader is named by its full name (``app.loaders:user_name``), by the end of it after ``:`` or ``.``
    (``user_name``), or by the ``Loader`` itself.

    Args:
        events: the events, in the order in which they came; the list grows while the recording lasts.

    Example:
        >>> from batchio.testing import record
        >>> with record() as recorded:
        ...     pass
        >>> recorded
        <Recorded 0 events, 0 batches of no loader>
    """

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def batches(self, loader: str | Loader[Any, Any]) -> list[list[Any]]:
        """The keys of each batch of a loader, in the order of dispatch.

        Args:
            loader: a name, or the loader.

        Returns:
            One list of keys for each batch; empty when none left.

        Raises:
            LookupError: for a name that no loader has, or that several have.

        Example:
            >>> import batchio
            >>> from batchio.testing import record, run
            >>> @batchio.loader(name="app:lengths")
            ... async def lengths(words: list[str]) -> dict[str, int]:
            ...     return {word: len(word) for word in words}
            >>> async def main() -> None:
            ...     await lengths.load_many(["tea", "milk", "tea"])
            >>> with record() as recorded:
            ...     run(main())
            >>> recorded.batches("lengths")
            [['tea', 'milk']]
        """
        name = self._name(loader)
        left = [event for event in self.events if isinstance(event, BatchDispatched)]
        return [list(event.keys) for event in left if event.loader == name]

    def loads(self, loader: str | Loader[Any, Any]) -> list[Any]:
        """The key of each load of a loader, answered by the memo or not, in the order of the calls.

        Args:
            loader: a name, or the loader.

        Returns:
            Keys, as often as they were asked for.

        Raises:
            LookupError: for a name that no loader has, or that several have.

        Example:
            >>> import batchio
            >>> from batchio.testing import record, run
            >>> @batchio.loader(name="app:lengths")
            ... async def lengths(words: list[str]) -> dict[str, int]:
            ...     return {word: len(word) for word in words}
            >>> async def main() -> None:
            ...     await batchio.gather(lengths("tea"), lengths("tea"))
            >>> with record() as recorded:
            ...     run(main())
            >>> recorded.loads("lengths")
            ['tea', 'tea']
        """
        name = self._name(loader)
        return [event.key for event in self.events if isinstance(event, Load) and event.loader == name]

    def names(self) -> list[str]:
        """Which loaders did something.

        Returns:
            Their full names, in the order of their first event.

        Example:
            >>> from batchio.testing import record
            >>> with record() as recorded:
            ...     pass
            >>> recorded.names()
            []
        """
        return list(dict.fromkeys(event.loader for event in self.events))

    def __repr__(self) -> str:
        batches = sum(isinstance(event, BatchDispatched) for event in self.events)
        return f"<Recorded {len(self.events)} events, {batches} batches of {', '.join(self.names()) or 'no loader'}>"

    def _name(self, loader: str | Loader[Any, Any]) -> str:
        """The full name that is meant: of a loader that did something, else of one that an imported module holds."""
        if not isinstance(loader, str):
            return loader.name
        seen = self.names()
        for names in (seen, _imported_names()):
            found = [name for name in names if name == loader] or [name for name in names if _ends_with(name, loader)]
            if len(found) == 1:
                return found[0]
            if found:
                raise LookupError(f"recorded: {loader!r} may be {' or '.join(found)}; give the full name")
        raise LookupError(
            f"recorded: no loader {loader!r} did anything here; those that did: {', '.join(seen) or 'none'}. "
            f"If there is one, and it is right that it did nothing, give the loader itself instead of its name"
        )


def _ends_with(name: str, end: str) -> bool:
    """Whether a name ends with these words: ``users`` ends ``app.loaders:users`` and ``app:Site.users``."""
    return name.endswith((f":{end}", f".{end}"))


def _imported_names() -> list[str]:
    """The names of the loaders that imported modules hold; a loader does not know where it lives."""
    modules = [vars(module) for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    held = [value for names in modules for value in list(names.values()) if issubclass(type(value), Loader)]
    return list(dict.fromkeys(loader.name for loader in held))


@contextmanager
def record() -> Generator[Recorded]:
    """Record what all loaders of this process do inside the ``with`` block.

    Returns:
        A context manager that gives a ``Recorded``; it can still be read after the block.

    Example:
        >>> import batchio
        >>> from batchio.testing import record, run
        >>> @batchio.loader
        ... async def user_name(uids: list[int]) -> dict[int, str]:
        ...     return {uid: f"user {uid}" for uid in uids}
        >>> async def main() -> None:
        ...     await batchio.gather(user_name(1), user_name(2))
        >>> with record() as recorded:
        ...     run(main())
        >>> recorded.batches("user_name")
        [[1, 2]]
    """
    events: list[Event] = []
    listen = events.append
    with observe(SimpleNamespace(on_load=listen, on_dispatch=listen, on_done=listen, on_answer=listen)):
        yield Recorded(events)
