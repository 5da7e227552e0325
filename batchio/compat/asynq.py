"""What code that came from asynq still leans on: awaitables with asynq's face. New code needs none of it.

Rules of this room: a door and nothing else. Nothing behind it imports asynq. A name is asynq's where its behaviour is;
``task``, ``unwrap``, ``twin`` and ``pausing`` are what asynq did unasked. ``batchio migrate asynq`` writes these names
where it cannot know that plain ``await`` does, and each of them is a place to make simpler by hand.
"""

from batchio.compat._asynq_batches import (
    BatchBase,
    BatchCancelledError,
    BatchingError,
    BatchItemBase,
    DebugBatch,
    DebugBatchItem,
    sync,
)
from batchio.compat._asynq_calls import (
    AsyncEventHook,
    as_async,
    async_call,
    list_of_generator,
    make_async_decorator,
    take_first,
    twin,
    unwrap,
)
from batchio.compat._asynq_contexts import AsyncContext, AsyncTimer, NonAsyncContext, async_override, pausing
from batchio.compat._asynq_futures import ConstFuture, ErrorFuture, task
from batchio.compat._asynq_stack import format_stack

__all__ = [
    "AsyncContext",
    "AsyncEventHook",
    "AsyncTimer",
    "BatchBase",
    "BatchCancelledError",
    "BatchItemBase",
    "BatchingError",
    "ConstFuture",
    "DebugBatch",
    "DebugBatchItem",
    "ErrorFuture",
    "NonAsyncContext",
    "as_async",
    "async_call",
    "async_override",
    "format_stack",
    "list_of_generator",
    "make_async_decorator",
    "pausing",
    "sync",
    "take_first",
    "task",
    "twin",
    "unwrap",
]
