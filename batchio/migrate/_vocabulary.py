"""What asynq's names are, and what they become. The guide's table says the same to people.

Rules of this room: tables and no decisions. A name is known by its canonical spelling, which is the last part of
``asynq.tools.amap`` and, for the modules that are used as such, the last two: ``debug.sync``.
"""

from __future__ import annotations

__all__ = [
    "ADVICE",
    "API_METHODS",
    "ASYNC_API",
    "BUILTIN_ATTRIBUTES",
    "CONTEXTS",
    "DECORATORS",
    "HARMLESS",
    "canonical",
    "home",
]

_USED_AS_MODULES = {"debug", "mock", "mock_", "profiler", "scheduler"}
_MODULES = {
    "async_task",
    "asynq_to_async",
    "batching",
    "contexts",
    "decorators",
    "futures",
    "generator",
    "scoped_value",
    "tools",
    "utils",
}


def canonical(dotted: str) -> str | None:
    """The short name of something in asynq: `asynq.decorators.asynq` is `asynq`; None for what is not asynq's."""
    parts = dotted.split(".")
    if parts[0] != "asynq" or (len(parts) > 1 and parts[1] == "tests"):
        return None
    rest = parts[1:]
    if rest and rest[0] in _MODULES:
        rest = rest[1:]
        return rest[-1] if rest else "." + parts[1]
    if not rest:
        return "."
    if rest[0] in _USED_AS_MODULES:
        rest[0] = rest[0].removesuffix("_")
        return "." + rest[0] if len(rest) == 1 else ".".join(rest)
    return rest[-1]


# Decorators that have nothing to do with asynq, by the last part of their names.
HARMLESS = {"abstractmethod", "cached_property", "classmethod", "contextmanager", "deprecated", "final", "object"}
HARMLESS |= {"overload", "override", "patch", "property", "setter", "staticmethod", "wraps"}

DECORATORS = {"asynq": "asynq", "async_proxy": "proxy", "async_generator": "generator"}

# Names that are batchio's too, with the same meaning; only the import changes.
TOOLS = {
    "AsyncScopedValue",
    "acached_per_instance",
    "afilter",
    "afilterfalse",
    "alazy_constant",
    "amap",
    "amax",
    "amin",
    "asift",
    "asorted",
    "call_with_context",
    "deduplicate",
}
COMPAT = {
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
    "async_call",
    "async_override",
    "list_of_generator",
    "make_async_decorator",
    "take_first",
}


def home(name: str) -> str | None:
    """The module of ours that has a name of asynq's."""
    if name in TOOLS:
        return "batchio.tools"
    return "batchio.compat.asynq" if name in COMPAT else None


# Functions of asynq with a synchronous call and `.asynq`: coroutine functions afterwards.
ASYNC_API = {
    "afilter",
    "afilterfalse",
    "amap",
    "amax",
    "amin",
    "asift",
    "asorted",
    "async_call",
    "call_with_context",
    "list_of_generator",
    "take_first",
}
API_METHODS = {"AsyncEventHook": {"trigger", "safe_trigger"}}

# Classes whose contexts are paused while other tasks run.
CONTEXTS = {"AsyncContext", "async_override"}

# What a method may be called on that is no instance of a class of ours.
BUILTIN_ATTRIBUTES = frozenset(
    name for kind in (list, dict, set, str, bytes, tuple, int, frozenset) for name in dir(kind)
) | {"get", "set", "close", "read", "write", "send", "put", "run", "start", "stop", "join", "execute", "fetch"}

ADVICE = {
    "asynq": "asynq() is used here in a way that is not known: write `async def`",
    "AsyncTaskResult": "return the value instead of raising it",
    "FutureBase": "what can be awaited is an Awaitable",
    "AsyncTask": "asyncio.Task is what awaitables become; nothing else of AsyncTask remains",
    "END_OF_GENERATOR": "an async generator just ends: `async for` needs no marker",
    "Future": "asynq.Future: make it a coroutine, which also runs when it is first awaited",
    "Value": "Value marks data in an asynq generator: yield the data itself in an async generator",
    "get_async_fn": "async functions need no lookup: call the function, or batchio.compat.asynq.async_call for either kind",
    "get_async_or_sync_fn": "async functions need no lookup: batchio.compat.asynq.async_call calls either kind",
    "has_async_fn": "inspect.iscoroutinefunction says whether a function is async",
    "is_async_fn": "inspect.iscoroutinefunction says whether a function is async",
    "is_pure_async_fn": "inspect.iscoroutinefunction says whether a function is async",
    "is_asyncio_mode": "there is no other mode any more",
    "lazy": "lazy: make it a coroutine, which also runs when it is first awaited",
    "result": "result() outside of a function that is migrated: return the value",
    "AsyncDecorator": "a decorator over async functions is a plain functools.wraps decorator",
    "scheduler": "there is no scheduler; asyncio.current_task() is the task that runs",
    "debug": "asynq.debug: asyncio's debug mode, and batchio.observe for batches",
    "profiler": "asynq.profiler: batchio.observe tells of every batch",
}
