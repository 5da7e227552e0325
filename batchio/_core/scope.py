"""What one unit of work remembers: a ContextVar and a table. Knows no loader.

Rules of this room:

- A scope is a request, a job, a websocket message. Its *memo* is seen by it alone and freed with it.
- A scope belongs to the event loop on which it is first used. Ended, or met on another loop, it acts as no scope.
- A memo keeps values, never errors. A load that is still under way is kept as the waiter that its first caller got,
  so that the next load of the key can find where that one stands and join it.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import Context, ContextVar, Token, copy_context
from typing import Any

__all__ = ["Scope", "scope"]

current: ContextVar[Scope | None] = ContextVar("batchio.scope", default=None)

_UNBOUND: Any = object()  # not used on a loop yet
_ENDED: Any = object()


class Memo:
    """What one scope asked one loader for.

    ``asked`` holds the future of each single load, under way or done: a hit on a done one costs nothing, since a done
    future can be shared. ``calls`` are load_manys under way, and ``values`` what they brought.
    """

    __slots__ = ("asked", "calls", "values")

    def __init__(self) -> None:
        self.asked: dict[Any, Any] = {}
        self.values: dict[Any, Any] = {}
        self.calls: list[Any] = []

    def is_empty(self) -> bool:
        return not (self.asked or self.values or self.calls)

    def known(self, key: Any, otherwise: Any) -> Any:
        """The value of a key, if it is there."""
        waiter = self.asked.get(key)
        if waiter is not None and waiter.done() and not waiter.cancelled():
            return waiter.result()
        return self.values.get(key, otherwise)

    def waiter(self, key: Any) -> Any | None:
        """Who asked for a key first, and may still wait for it."""
        return self.asked.get(key) or self.pending_call(key)

    def tell(self, key: Any, value: Any) -> None:
        """Remember a value that was not loaded, unless the key is known or under way."""
        asked = self.asked.get(key)
        if asked is not None and asked.cancelled():
            del self.asked[key]
        if self.waiter(key) is None:
            self.values.setdefault(key, value)

    def keep(self, key: Any, waiter: Any, value: Any) -> None:
        """The load of a caller who went away was answered: remember the value, if that load is still the key's."""
        if self.asked.get(key) is waiter:
            del self.asked[key]
            self.values[key] = value

    def drop(self, key: Any, waiter: Any) -> None:
        """A load failed: forget it, if it is still the key's."""
        if self.asked.get(key) is waiter:
            del self.asked[key]

    def forget(self, key: Any) -> None:
        """Remember nothing of a key, not even what is still under way."""
        self.asked.pop(key, None)
        self.values.pop(key, None)
        for call in self.calls:
            call.loose.add(key)

    def forget_all(self) -> None:
        """Remember nothing of any key."""
        self.asked.clear()
        self.values.clear()
        for call in self.calls:
            call.loose.update(call.keys)

    def pending_call(self, key: Any) -> Any | None:
        """The load_many under way that asked for a key."""
        for call in self.calls:
            if call.pending(key):
                return call
        return None


class Scope:
    """One unit of work; ``batchio.scope()`` makes it, ``with`` enters and ends it.

    Loads made inside remember what they were answered, each loader for itself, and forget it when the scope ends. A
    scope inside a scope has a fresh memo. ``asyncio`` tasks that are started inside see it too, until it ends.

    Example:
        >>> import asyncio, batchio
        >>> @batchio.loader(name="lengths")
        ... async def lengths(words: list[str]) -> dict[str, int]:
        ...     print("fetching", words)
        ...     return {word: len(word) for word in words}
        >>> async def main() -> int:
        ...     with batchio.scope():
        ...         return await lengths("tea") + await lengths("tea")
        >>> asyncio.run(main())
        fetching ['tea']
        6
    """

    __slots__ = ("__weakref__", "_context", "_token", "loop", "memos")

    def __init__(self) -> None:
        self.loop: Any = _UNBOUND
        self.memos: dict[Any, Memo] = {}
        self._context: Context | None = None
        self._token: Token[Scope | None] | None = None

    def __enter__(self) -> Scope:
        if self._token is not None or self.loop is _ENDED:
            raise RuntimeError("a scope is entered once; make a new one with batchio.scope()")
        self._token = current.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.loop = _ENDED
        self.memos = {}
        self._context = None
        if self._token is not None:
            with suppress(ValueError):  # ended in another context than it began in, as a generator fixture may be;
                current.reset(self._token)  # an ended scope acts as none, so nothing is left to put right

    def __repr__(self) -> str:
        state = "ended" if self.loop is _ENDED else f"{len(self.memos)} loaders used"
        return f"<batchio.Scope, {state}>"

    def on(self, loop: Any) -> Scope | None:
        """This scope as a load on a loop sees it: itself, or None when it has ended or belongs to another loop."""
        if self.loop is _UNBOUND:
            self.loop = loop
        return self if self.loop is loop else None

    def memo(self, name: Any) -> Memo:
        """The memo of one loader, and of one set of parameters."""
        memo = self.memos.get(name)
        if memo is None:
            memo = self.memos[name] = Memo()
        return memo

    def keep_context(self) -> None:
        """Take a copy of the context, at the first load of an isolated loader."""
        if self._context is None:
            self._context = copy_context()

    def context(self) -> Context:
        """What isolated batches run in: a copy, for each of its own, of the context that was kept."""
        return Context() if self._context is None else self._context.copy()


def scope() -> Scope:
    """Begin a unit of work: ``with batchio.scope():`` around a request, a job, a message.

    Returns:
        A ``Scope``, to be entered once with ``with``.

    Raises:
        RuntimeError: when the same scope is entered twice.

    Example:
        >>> import batchio
        >>> with batchio.scope() as request:
        ...     print(request)
        <batchio.Scope, 0 loaders used>
    """
    return Scope()
