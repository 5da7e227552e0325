"""Every exception that a caller can see, and the words in which it speaks.

Rules of this room:

- A message says what was asked, what came, and what to do about it. It begins with the loader's name.
- It shows at most three keys of 40 characters each, and none when the loader says ``show_keys=False``: keys can be
  e-mail addresses, and messages end in logs.
- An error is plain data: one message in ``args``, facts in attributes. So it can be copied for each waiter.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterable, Sized
from contextlib import suppress
from itertools import islice

__all__ = [
    "BatchAborted",
    "BatchFailed",
    "BatchShapeError",
    "BatchTimeout",
    "BatchioError",
    "KeyNotFound",
    "LoadCycle",
    "QueueFull",
]

SHOWN_KEYS = 3
SHOWN_CHARACTERS = 40


class BatchioError(Exception):
    """The family of batchio's own errors: ``except batchio.BatchioError`` catches them all.

    An error that the batch function raises keeps its own type; it is not wrapped in one of these.

    Example:
        >>> import batchio
        >>> issubclass(batchio.KeyNotFound, batchio.BatchioError)
        True
    """


class KeyNotFound(BatchioError, LookupError):
    """The batch function's answer holds nothing for this key, and the loader has no ``default=``.

    Mend it by leaving the key out on purpose and catching this, or by ``@loader(default=...)``.

    Example:
        >>> import asyncio, batchio
        >>> @batchio.loader(name="names")
        ... async def names(uids: list[int]) -> dict[int, str]:
        ...     return {1: "Ada"}
        >>> async def main() -> str:
        ...     try:
        ...         return await names(2)
        ...     except batchio.KeyNotFound as error:
        ...         return str(error)
        >>> asyncio.run(main())
        'names: nothing found for key 2; give the loader default=... if a missing key is no error'
    """


class BatchShapeError(BatchioError, TypeError):
    """The batch function returned something that cannot be matched with its keys.

    It must return a mapping, a sequence with one item per key in the order of the keys, or an async iterator of
    ``(key, value)`` pairs. All keys of the batch fail with this error.

    Example:
        >>> import batchio
        >>> issubclass(batchio.BatchShapeError, TypeError)
        True
    """


class BatchTimeout(BatchioError, TimeoutError):
    """The batch took longer than its loader's ``Limits.timeout`` (seconds from dispatch), or could not leave at all.

    Example:
        >>> import batchio
        >>> issubclass(batchio.BatchTimeout, TimeoutError)
        True
    """


class BatchAborted(BatchioError):
    """The batch ended without an answer: its function was cancelled or raised a ``BaseException``, or ``drain()`` came.

    Example:
        >>> import batchio
        >>> issubclass(batchio.BatchAborted, batchio.BatchioError)
        True
    """


class BatchFailed(BatchioError):
    """The batch function raised an exception that cannot be copied for each waiter; it is this error's ``__cause__``.

    Waiters are strangers to each other: each gets an exception object of its own. Mend it by giving the exception
    class an ``__init__`` that passes all its arguments on to ``super().__init__``.

    Example:
        >>> import batchio
        >>> issubclass(batchio.BatchFailed, batchio.BatchioError)
        True
    """


class QueueFull(BatchioError):
    """The loader already has ``Limits.max_queued`` keys waiting on this event loop; raised at the call of ``load``.

    A web service answers 503 and lets the client come again (``batchio.aiohttp`` does).

    Example:
        >>> import batchio
        >>> issubclass(batchio.QueueFull, batchio.BatchioError)
        True
    """


class LoadCycle(BatchioError):
    """A batch function asked, straight or through other loaders, for all the keys that it was just fetching.

    Waiting for that answer would never end. The data has a cycle (a comment that is its own parent, say).

    Example:
        >>> import batchio
        >>> issubclass(batchio.LoadCycle, batchio.BatchioError)
        True
    """


def show_key(key: object, *, shown: bool = True) -> str:
    """One key as a message may show it: its ``repr``, 40 characters at most; ``(hidden)`` when not shown."""
    if not shown:
        return "(hidden)"
    try:
        # a slice first: the repr of a megabyte of text is a megabyte of work
        text = repr(key[: SHOWN_CHARACTERS + 1] if isinstance(key, (str, bytes)) else key)
    except Exception:
        text = f"<{type(key).__name__}>"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def show_keys(keys: Iterable[object], *, shown: bool = True) -> str:
    """The first three keys and how many more there are, as a message may show them."""
    first = [show_key(key) for key in islice(keys, SHOWN_KEYS)] if shown else []
    count = len(keys) if isinstance(keys, Sized) else len(first)
    if not shown:
        return f"{count} keys (hidden)"
    more = f", and {count - SHOWN_KEYS} more" if count > SHOWN_KEYS else ""
    return f"[{', '.join(first)}{more}]"


def separate(error: BaseException) -> Exception:
    """An exception of its own for one waiter: same type, args, notes and attributes, the original as its cause.

    One object raised in many tasks would carry the traceback and the context of one request into another, so the
    original is never raised, not even when a single waiter is there (a module's constant exception would grow with
    each raise). What cannot be copied faithfully comes as ``BatchFailed``.
    """
    if isinstance(error, StopIteration):  # a future refuses it, and a coroutine that raised it would seem to return
        twin: Exception = RuntimeError(f"the batch function raised {described(error)}")
    elif not isinstance(error, Exception):
        twin = BatchAborted(f"the batch was aborted by {described(error)}")
    else:
        copied = _copied(error)
        failed = f"the batch failed with {described(error)}, which cannot be copied"
        twin = BatchFailed(failed) if copied is None else copied  # an exception may be false
    # one of our own that was never raised has no traceback to show: its cause says more
    ours = isinstance(error, BatchioError) and error.__traceback__ is None
    twin.__cause__ = error.__cause__ if ours else error
    return twin


def _copied(error: Exception) -> Exception | None:
    """A faithful copy, or None. First by the class's own way, then around its ``__init__``."""
    for make in (copy.copy, _bare_copy):
        try:
            twin = make(error)
            _copy_members(error, twin)
            if _same(error, twin):
                return twin
        except Exception:  # noqa: S112 - an __init__ or __reduce__ of somebody else's; the next way may do
            continue
    return None


def _bare_copy(error: Exception) -> Exception:
    """A copy made without ``__init__``, for classes whose ``__init__`` takes something else than ``args``."""
    twin = type(error).__new__(type(error), *error.args)
    twin.args = error.args
    return twin


def _copy_members(error: Exception, twin: Exception) -> None:
    """Bring the attributes over: the instance's own, and those in slots (of C classes too, as OSError.errno is)."""
    twin.__dict__.update(error.__dict__)
    if notes := getattr(error, "__notes__", None):
        twin.__notes__ = list(notes)
    family = type(error).__mro__
    for klass in family[: family.index(BaseException)]:
        for name, member in vars(klass).items():
            value = getattr(error, name, None) if isinstance(member, types.MemberDescriptorType) else None
            if value is not None and getattr(twin, name, None) is not value:  # OSError shows errno=None if it is set
                with suppress(AttributeError, TypeError):  # a read-only one comes from args
                    setattr(twin, name, value)


def _same(error: Exception, twin: Exception) -> bool:
    """Whether a copy says the same: identity of the args, since ``==`` of foreign objects may mean anything."""
    return (
        type(twin) is type(error)
        and twin is not error
        and len(twin.args) == len(error.args)
        and all(mine is theirs for mine, theirs in zip(twin.args, error.args, strict=True))
        and str(twin) == str(error)
    )


def described(error: BaseException) -> str:
    """Type and message of somebody else's exception; its ``__str__`` may raise."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__
