"""What one unit of work remembers: a ContextVar and a table. Knows no loader.

Rules of this room:

- A scope is a request, a job, a websocket message. Its *memo* is seen by it alone and freed with it.
- A scope belongs to the event loop on which it is first used. Ended, or met on another loop, it acts as no scope.
- A memo keeps values, never errors. A load that is still under way is kept as the waiter that its first caller got,
  so that the next load of the key can find where that one stands and join it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context, ContextVar, Token, copy_context
from typing import Any, ClassVar

__all__ = ["Scope", "scope"]

current: ContextVar[Any] = ContextVar("batchio.scope", default=None)  # a Scope, or one that is seen from Within

_UNBOUND: Any = object()  # not used on a loop yet
_ENDED: Any = object()


class _Nowhere:
    """What has room for no load."""

    __slots__ = ()
    waiters: ClassVar[Mapping[Any, Any]] = {}
    room = 0


NOWHERE = _Nowhere()


class Memo:
    """What one scope asked one loader for.

    ``asked`` holds, for each key, the waiter that was the first to ask: a single load's future, under way or done (a
    hit on a done one costs nothing, since a done future can be shared), or a load_many under way. ``values`` holds what
    load_manys brought, and what was primed. One rule keeps old answers out: a waiter's value is remembered only while
    the key is still that waiter's.
    """

    __slots__ = ("asked", "edition", "group", "values")

    def __init__(self) -> None:
        self.asked: dict[Any, Any] = {}
        self.values: dict[Any, Any] = {}
        self.edition = 0  # one more whenever something was forgotten
        self.group: Any = NOWHERE  # in which its last load stood, when that was the quick way

    def known(self, key: Any, otherwise: Any) -> Any:
        """The value of a key, if it is there."""
        waiter = self.asked.get(key)
        if waiter is not None and waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            return waiter.result()
        return self.values.get(key, otherwise)

    def tell(self, key: Any, value: Any) -> None:
        """Remember a value that was not loaded, unless the key is known or under way."""
        if key not in self.asked:
            self.values.setdefault(key, value)

    def keep(self, key: Any, waiter: Any, value: Any) -> None:
        """A waiter that is no shareable future was answered: remember the value, if the key is still its."""
        if self.asked.get(key) is waiter:
            del self.asked[key]
            self.values[key] = value

    def keep_all(self, values: Mapping[Any, Any]) -> None:
        """The same for all keys of a load_many, none of which was forgotten meanwhile."""
        if len(values) == len(self.asked):
            self.asked.clear()
        else:
            for key in values:
                self.asked.pop(key, None)
        self.values.update(values)

    def drop(self, key: Any, waiter: Any) -> None:
        """A waiter gets no value: forget it, if the key is still its."""
        if self.asked.get(key) is waiter:
            del self.asked[key]

    def forget(self, key: Any) -> None:
        """Remember nothing of a key, not even what is still under way."""
        self.edition += 1
        self.asked.pop(key, None)
        self.values.pop(key, None)

    def forget_all(self) -> None:
        """Remember nothing of any key."""
        self.edition += 1
        self.asked.clear()
        self.values.clear()


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

    __slots__ = ("__weakref__", "_context", "_loop", "_memos", "_token")

    def __init__(self) -> None:
        self._loop: Any = _UNBOUND
        self._memos: dict[Any, Memo] = {}
        self._context: Context | None = None
        self._token: Token[Any] | None = None

    def __enter__(self) -> Scope:
        if self._token is not None or self._loop is _ENDED:
            raise RuntimeError("a scope is entered once; make a new one with batchio.scope()")
        self._token = current.set(self)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop = _ENDED
        for memo in self._memos.values():
            memo.forget_all()  # a batch under way may hold the memo
            memo.group = NOWHERE
        self._memos = {}
        self._context = None
        if self._token is not None:
            try:  # noqa: SIM105  # suppress takes twice as long as all the rest
                current.reset(self._token)
            except ValueError:  # ended in another context than it began in, as a generator fixture may be: an ended
                pass  # scope acts as none, so nothing is left to put right

    def __repr__(self) -> str:
        state = "ended" if self._loop is _ENDED else f"{len(self._memos)} loaders used"
        return f"<batchio.Scope, {state}>"


class Within:
    """A scope as the batch functions see it that run in its context: it is no loop's, so that their loads take the long
    way, which knows what a chain is.
    """

    __slots__ = ("scope",)
    _loop: ClassVar[Any] = object()

    def __init__(self, scope: Scope) -> None:
        self.scope = scope


def seen_from(loop: Any) -> Scope | None:
    """The current scope as a load on a loop sees it: None when there is none, it has ended, or is another loop's."""
    scope = current.get()
    if scope is None or loop is None:
        return None
    if type(scope) is Within:
        scope = scope.scope
    if scope._loop is _UNBOUND:
        scope._loop = loop
    return scope if scope._loop is loop else None


def memo_of(scope: Scope, name: Any) -> Memo:
    """A scope's memo of one loader, and of one set of parameters."""
    memo = scope._memos.get(name)
    if memo is None:
        memo = scope._memos[name] = Memo()
    return memo


def kept_context(scope: Scope) -> Context:
    """The scope's context as it was at its first load of an isolated loader: what isolated batches run copies of."""
    if scope._context is None:
        scope._context = batch_context()
    return scope._context


def batch_context() -> Context:
    """A copy of the current context, for a batch function that is to run in it."""
    context = copy_context()
    scope = current.get()
    context.run(current.set, Within(scope) if isinstance(scope, Scope) else scope)
    return context


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
