"""Values and contexts that belong to one piece of work, and not to the tasks beside it.

Rules of this room: what is scoped is a ``ContextVar``; asyncio carries it into the tasks that are made inside, and keeps
it from those beside. A context with side effects is not scoped by that, and no tool here makes it so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["AsyncScopedValue", "call_with_context"]

P = ParamSpec("P")
T = TypeVar("T")
_UNSET: Any = object()


class AsyncScopedValue(Generic[T]):
    """A value that an ``override`` changes for the code inside its block, and for the tasks made there.

    Args:
        default: the value outside of any override.

    Example:
        >>> from batchio.tools import AsyncScopedValue
        >>> language = AsyncScopedValue("en")
        >>> with language.override("fr"):
        ...     print(language.get())
        fr
        >>> language.get()
        'en'
    """

    def __init__(self, default: T) -> None:
        self._base = default
        self._over: ContextVar[T] = ContextVar("batchio_scoped_value", default=_UNSET)

    def get(self) -> T:
        """Tell the value here.

        Returns:
            What the innermost override around says, or else the default.
        """
        over = self._over.get()
        return self._base if over is _UNSET else over

    def __call__(self) -> T:
        """Do what ``get`` does."""
        return self.get()

    def set(self, value: T) -> None:
        """Change the value: inside an override until its end, outside for everybody.

        Args:
            value: the new value.
        """
        if self._over.get() is _UNSET:
            self._base = value
        else:
            self._over.set(value)

    @contextmanager
    def override(self, value: T) -> Iterator[None]:
        """Make a context manager in which the value is another.

        Args:
            value: the value inside.

        Yields:
            Nothing.

        Raises:
            BaseException: whatever the block raises.
        """
        before = self._over.get()
        self._over.set(value)
        try:
            yield
        finally:
            self._over.set(before)  # no reset(): a generator that is closed elsewhere ends its block in another context

    def __str__(self) -> str:
        return f"AsyncScopedValue({self.get()})"

    def __repr__(self) -> str:
        return f"AsyncScopedValue({self.get()!r})"


async def call_with_context(
    context: AbstractContextManager[Any], function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call an async function inside a ``with`` block: for one of several calls that are gathered.

    Args:
        context: what to enter; its value is not passed on.
        function: what to call.
        *args: its arguments.
        **kwargs: its keyword arguments.

    Returns:
        The function's result.

    Raises:
        BaseException: whatever the function raises, unless the context swallows it.

    Example:
        >>> import asyncio, batchio
        >>> from batchio.tools import AsyncScopedValue, call_with_context
        >>> language = AsyncScopedValue("en")
        >>> async def greet() -> str:
        ...     return {"en": "hello", "fr": "bonjour"}[language.get()]
        >>> async def main() -> None:
        ...     print(await batchio.gather(greet(), call_with_context(language.override("fr"), greet)))
        >>> asyncio.run(main())
        ('hello', 'bonjour')
    """
    with context:
        return await function(*args, **kwargs)
