"""Batches with asynq's face, for batch classes that are no loaders yet.

Rules of this room: they are flushed by a batchio loader, so that they leave with everybody else's batches, at the loop's
idle moment. A ``_flush`` runs on the event loop, which stands still meanwhile: a ``batchio.loader`` does not have that
fault.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

from batchio._core.loader import Loader
from batchio.compat._asynq_futures import Answer

__all__ = [
    "BatchBase",
    "BatchCancelledError",
    "BatchItemBase",
    "BatchingError",
    "DebugBatch",
    "DebugBatchItem",
    "sync",
]


class BatchingError(Exception):
    """A batch was flushed twice, or an item was made for a batch that is flushed.

    Example:
        >>> from batchio.compat.asynq import BatchingError, DebugBatch
        >>> batch = DebugBatch()
        >>> batch.flush()
        >>> try:
        ...     batch.flush()
        ... except BatchingError as error:
        ...     print(error)
        Batch is already flushed or cancelled.
    """


class BatchCancelledError(BatchingError):
    """A batch was cancelled before it was flushed.

    Example:
        >>> from batchio.compat.asynq import BatchCancelledError, DebugBatch
        >>> batch = DebugBatch()
        >>> batch.cancel()
        >>> isinstance(batch.error(), BatchCancelledError)
        True
    """


class BatchBase(Answer):
    """A batch with asynq's face: override ``_flush`` and ``_try_switch_active_batch``.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import BatchBase, BatchItemBase
        >>> class Doubles(BatchBase):
        ...     def _try_switch_active_batch(self) -> None:
        ...         if Double.batch is self:
        ...             Double.batch = Doubles()
        ...
        ...     def _flush(self) -> None:
        ...         for item in self.items:
        ...             item.set_value(item.number * 2)
        >>> class Double(BatchItemBase):
        ...     batch = Doubles()
        ...
        ...     def __init__(self, number: int) -> None:
        ...         super().__init__(Double.batch)
        ...         self.number = number
        >>> async def main() -> int:
        ...     return await Double(21)
        >>> asyncio.run(main())
        42
    """

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._ticket = _Ticket(self)

    def is_flushed(self) -> bool:
        """Tell whether it was flushed or cancelled.

        Returns:
            Whether no item can be added any more.
        """
        return self.is_computed()

    def is_cancelled(self) -> bool:
        """Tell whether it has failed.

        Returns:
            Whether it was cancelled, or its flush raised.
        """
        return self._failure is not None

    def is_empty(self) -> bool:
        """Tell whether it has no items.

        Returns:
            Whether there is nothing to flush.
        """
        return not self.items

    def get_priority(self) -> Any:
        """Tell how urgent it is among the batches that leave together.

        Returns:
            Something to sort by; the greatest is flushed first.
        """
        return 0, len(self.items)

    def flush(self) -> None:
        """Flush now. What a flush raises is its items' error.

        Raises:
            BatchingError: it was flushed already.
        """
        if self.is_computed():
            raise BatchingError("Batch is already flushed or cancelled.")
        self._try_switch_active_batch()
        try:
            self._flush()
        except BaseException as error:
            self._end(error)
        else:
            self._end(None)

    def cancel(self, error: BaseException | None = None) -> None:
        """Fail every item that has no value yet.

        Args:
            error: what they fail with; by default a ``BatchCancelledError``.
        """
        if not self.is_computed():
            self._end(error or BatchCancelledError())

    def _end(self, error: BaseException | None) -> None:
        if error is None:
            self._result = None
        else:
            self._failure = error
        self._try_switch_active_batch()
        if error is not None:
            self._cancel()
        missing = error or AssertionError("Value of this item wasn't set on batch flush.")
        for item in self.items:
            if not item.is_computed():
                item.set_error(missing)
        self.items.clear()  # a circle otherwise

    def _flush(self) -> None:
        raise NotImplementedError

    def _cancel(self) -> None:
        pass

    def _try_switch_active_batch(self) -> None:
        raise NotImplementedError


class _Ticket:
    """What a batch is to the loader: equal to nothing else, whatever the batch says of equality."""

    def __init__(self, batch: BatchBase) -> None:
        self.batch = batch


async def _flush_all(tickets: list[_Ticket]) -> list[None]:
    """Flush batches, the highest priority first, as asynq does."""
    waiting = [ticket.batch for ticket in tickets if not ticket.batch.is_flushed()]
    for batch in sorted(waiting, key=lambda batch: batch.get_priority(), reverse=True):
        if not batch.is_flushed():  # by the flush of another one
            batch.flush()
    return [None] * len(tickets)


_flushes: Loader[_Ticket, None] = Loader(_flush_all, name="batchio.compat.asynq.BatchBase", memo=False)


class BatchItemBase(Answer):
    """One item of a ``BatchBase``; awaiting it waits until its batch is flushed.

    Args:
        batch: the batch that it joins.

    Example:
        >>> from batchio.compat.asynq import BatchItemBase, DebugBatch
        >>> batch = DebugBatch()
        >>> item = BatchItemBase(batch)
        >>> batch.items == [item]
        True
    """

    def __init__(self, batch: BatchBase) -> None:
        if batch.is_flushed():
            raise BatchingError("an item was made for a batch that is flushed already; make it for the active one")
        self.batch = batch
        self.index = len(batch.items)
        batch.items.append(self)

    def value(self) -> Any:
        """Give the value; the batch is flushed at once if need be.

        Returns:
            What the flush set.

        Raises:
            BaseException: what the flush set or raised; AssertionError if it did neither.
        """
        if not self.is_computed() and not self.batch.is_flushed():
            self.batch.flush()
        return self._given()

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.is_computed():
            yield from _flushes(self.batch._ticket)
        return self.value()


class DebugBatch(BatchBase):
    """A batch that fetches nothing.

    Args:
        name: which of them.
        index: how many of this name were flushed before.

    Example:
        >>> from batchio.compat.asynq import DebugBatch
        >>> DebugBatch("mine").is_empty()
        True
    """

    def __init__(self, name: str = "default", index: int = 0) -> None:
        super().__init__()
        self.name, self.index = name, index

    def _try_switch_active_batch(self) -> None:
        if _debug_batches().get(self.name) is self:
            _debug_batches()[self.name] = DebugBatch(self.name, self.index + 1)

    def _flush(self) -> None:
        for item in self.items:
            item.set_value(item._debug_result)


_here = threading.local()


def _debug_batches() -> dict[str, DebugBatch]:
    """The active ones of this thread, by name."""
    return _here.__dict__.setdefault("batches", {})  # type: ignore[no-any-return]


class DebugBatchItem(BatchItemBase):
    """An item whose value is given; awaiting it lets everybody else go first.

    Args:
        batch_name: the batch that it joins.
        result: its value.

    Example:
        >>> from batchio.compat.asynq import DebugBatchItem
        >>> DebugBatchItem("mine", 1).value()
        1
    """

    def __init__(self, batch_name: str = "default", result: Any = None) -> None:
        super().__init__(_debug_batches().setdefault(batch_name, DebugBatch(batch_name)))
        self._debug_result = result


def sync(tag: str = "default") -> DebugBatchItem:
    """Make an awaitable that waits until everybody else has run as far as they can.

    Args:
        tag: those of one tag go on together.

    Returns:
        An item whose value is None.

    Example:
        >>> import asyncio
        >>> from batchio.compat.asynq import sync
        >>> async def main() -> None:
        ...     print(await sync())
        >>> asyncio.run(main())
        None
    """
    return DebugBatchItem(f"sync-{tag}")
