"""What the author of a loader may say: limits, options, and the signature of the batch function.

Rules of this room:

- A definition is checked when it is made, at import time: a pair that makes no sense is refused there, with one line
  that says what to write instead, and not at the first load in production.
- A definition is plain data, bound to no event loop. What changes while loops run lives in queues.
"""

from __future__ import annotations

import inspect
import itertools
import math
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["Definition", "Limits"]

MISSING: Any = object()  # no default was given; no value was found

Params = tuple[tuple[type, Hashable], ...]  # the keyword-only arguments of a load, each with its type: 1 is not True


@dataclass(frozen=True, slots=True)
class Limits:
    """What a loader may use at most, counted per loader and event loop.

    Args:
        max_batch_size: keys in one call of the batch function; more keys make several batches.
        max_in_flight: batches under way at once; meanwhile keys collect, so that under load batches grow.
        max_queued: keys waiting to leave; one more raises ``QueueFull`` at the call.
        max_delay: seconds that a key waits at most for company on a loop that is never idle.
        timeout: seconds from dispatch until the waiters get ``BatchTimeout``; None for no limit.
        cache_timeout: seconds that one cache verb may take before it counts as a miss.

    Raises:
        ValueError: for a count below 1, or for seconds that are negative, zero (timeouts) or not a number.

    Example:
        >>> import batchio
        >>> batchio.Limits(max_batch_size=100).max_in_flight
        8
    """

    max_batch_size: int = 1_000
    max_in_flight: int = 8
    max_queued: int = 100_000
    max_delay: float = 0.005
    timeout: float | None = 30.0
    cache_timeout: float = 0.25  # mcrouter's default is 1 s; a page that reads four levels must not wait 4 s

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_in_flight", "max_queued"):
            count = getattr(self, name)
            if type(count) is not int or count < 1:
                raise ValueError(f"Limits: {name} is {count!r}; it must be a whole number of at least 1")
        for name, least in (("max_delay", 0.0), ("timeout", math.ulp(0)), ("cache_timeout", math.ulp(0))):
            _check_seconds(name, getattr(self, name), least, optional=name == "timeout")


def _check_seconds(name: str, seconds: Any, least: float, *, optional: bool) -> None:
    """Refuse what is not a number of seconds."""
    if optional and seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= least:
        raise ValueError(f"Limits: {name} is {seconds!r}; it must be {'more than ' if least else ''}0 seconds or more")


@dataclass(eq=False, slots=True, weakref_slot=True)
class Definition:
    """A loader as its author wrote it. Equal only to itself: it is the key under which queues and memos are kept."""

    name: str
    fetch: Callable[..., Any]
    limits: Limits
    key: Callable[[Any], Any] | None
    default: Any
    cache: Any  # the loader's own keys in a Cache, or None
    ttl: float | None
    memo: bool
    isolated: bool
    coalesce: bool
    cancel_abandoned: bool
    show_keys: bool
    split_on_error: bool
    parameters: tuple[inspect.Parameter, ...]
    stand_ins: list[Callable[..., Any]] = field(default_factory=list)  # override() of tests, the last one counts
    number: int = field(default_factory=itertools.count(1).__next__)  # in chains, which must not keep it alive
    alone: frozenset[int] = field(init=False)  # itself: what a batch that no chain asked for passes through
    plain: bool = field(init=False)  # its loads have no way of their own to join, or to go away
    task_name: str = field(init=False)
    simple: bool = field(init=False)  # a scope has one memo of it, in which keys are looked up

    def __post_init__(self) -> None:
        self.alone = frozenset((self.number,))
        self.task_name = f"batchio {self.name}"
        self.simple = self.memo and not self.parameters
        self.plain = not (self.isolated or self.coalesce or self.cancel_abandoned)

    def memo_name(self, bound: Params) -> Any:
        """Under which a scope keeps a memo of it: itself, when loads take no parameters."""
        return self if self.simple else (self, bound)

    def normal(self, key: Any) -> Any:
        """A key as the author's ``key=`` wants it; what that raises says whose it is."""
        if self.key is None:
            return key
        try:
            return self.key(key)
        except Exception as error:
            error.add_note(f"raised by key= of the loader {self.name}")
            raise

    def bind(self, given: Mapping[str, Any]) -> Params:
        """The keyword-only arguments of a load, in the order of the definition, defaults filled in."""
        self.check_known(given)
        missing = [p.name for p in self.parameters if p.default is p.empty and p.name not in given]
        if missing:
            raise TypeError(f"{self.name}: a load lacks {', '.join(missing)}; {self._takes()}")
        values = {parameter.name: given.get(parameter.name, parameter.default) for parameter in self.parameters}
        for name, value in values.items():
            try:
                hash(value)
            except TypeError:
                raise TypeError(
                    f"{self.name}: the parameter {name} cannot be hashed: a {type(value).__name__}"
                ) from None
        return tuple((type(value), value) for value in values.values())

    def named(self, params: Params) -> dict[str, Any]:
        """The arguments of a load by name, as the batch function takes them."""
        return {parameter.name: value for parameter, (_, value) in zip(self.parameters, params, strict=False)}

    def check_known(self, given: Iterable[str]) -> None:
        """Refuse a parameter that the batch function does not have."""
        unknown = set(given) - {parameter.name for parameter in self.parameters}
        if unknown:
            raise TypeError(f"{self.name}: there is no parameter {', '.join(sorted(unknown))}; {self._takes()}")

    def _takes(self) -> str:
        return (
            f"the batch function's keyword-only parameters are: {', '.join(p.name for p in self.parameters) or 'none'}"
        )


def define(
    fetch: Any,
    *,
    name: str | None,
    limits: Limits | None,
    cache: Any,
    version: int | str,
    value_type: Any,
    **options: Any,
) -> Definition:
    """Check what the author wrote and make it a definition.

    Raises:
        TypeError: for a batch function that cannot be one.
        ValueError: for a pair of options that makes no sense, or a name that its cache already has.
    """
    name = name or _name_of(fetch)
    limits = limits if limits is not None else Limits()
    if not isinstance(limits, Limits):
        raise TypeError(f"{name}: limits is {limits!r}; write limits=batchio.Limits(...)")
    _check_function(name, fetch)
    _check_pairs(name, cache=cache, **options)
    parameters = _parameters(name, fetch)
    if value_type is MISSING:
        value_type = _value_type(fetch)
    value_type = _or_default(value_type, options["default"])
    bound = None if cache is None else cache.bind(name, value_type, version)
    return Definition(name=name, fetch=fetch, limits=limits, cache=bound, parameters=parameters, **options)


def explain_unknown(name: str, unknown: Sequence[str]) -> str:
    """What to write instead of an option that does not exist."""
    first = unknown[0]
    if first in {entry.name for entry in fields(Limits)}:
        return f"{name}: {first} is a limit; write limits=batchio.Limits({first}=...)"
    return f"{name}: there is no option {first!r}"


def _check_pairs(
    name: str, *, cache: Any, ttl: float | None, isolated: bool, coalesce: bool, key: Any, **_: Any
) -> None:
    """Refuse pairs of options that cannot both be meant."""
    if ttl is not None and cache is None:
        raise ValueError(f"{name}: ttl is for a cache; give cache=... too, or leave ttl out")
    if ttl is not None and not ttl > 0:
        raise ValueError(f"{name}: ttl is {ttl!r}; it must be more than 0 seconds")
    if isolated and coalesce:
        raise ValueError(f"{name}: isolated keeps scopes apart and coalesce joins their flights; choose one")
    if isolated and cache is not None:
        raise ValueError(f"{name}: an isolated loader may read its scope's context (a user), a cache is shared by all")
    if key is not None and not callable(key):
        raise TypeError(f"{name}: key is {key!r}; it must be a function of one key, as key=int")


def _check_function(name: str, fetch: Any) -> None:
    """Refuse what cannot be a batch function, as early as it can be seen."""
    if not callable(fetch):
        raise TypeError(f"{name}: a loader needs a batch function, async def f(keys): ...; got {fetch!r}")
    plain = inspect.isfunction(fetch) and fetch.__name__ != "<lambda>" and not hasattr(fetch, "__wrapped__")
    if plain and not (inspect.iscoroutinefunction(fetch) or inspect.isasyncgenfunction(fetch)):
        raise TypeError(f"{name}: the batch function is a plain def; write async def {fetch.__name__}(...)")


def _parameters(name: str, fetch: Any) -> tuple[inspect.Parameter, ...]:
    """The keyword-only parameters of the batch function: they are parameters of each load."""
    try:
        signature = inspect.signature(fetch)
    except (TypeError, ValueError):  # a callable of C without a signature: then loads take none
        return ()
    kinds = list(signature.parameters.values())
    positional = [p for p in kinds if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    needed = [p for p in positional if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if not positional or len(needed) > 1:
        raise TypeError(
            f"{name}: the batch function must take one positional argument, the list of keys, and others only by "
            f"keyword (after a *); its signature is {signature}"
        )
    return tuple(p for p in kinds if p.kind is p.KEYWORD_ONLY)


def _name_of(fetch: Any) -> str:
    """module:qualname, as entry points and the docs write it."""
    return f"{getattr(fetch, '__module__', '?')}:{getattr(fetch, '__qualname__', type(fetch).__qualname__)}"


def _value_type(fetch: Any) -> Any:
    """V, read off the batch function's return annotation; Any when it does not say."""
    try:
        returns = typing.get_type_hints(fetch).get("return", Any)
    except Exception:  # a name that exists for type checkers only
        return Any
    arguments = typing.get_args(returns)
    origin = typing.get_origin(returns)
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
        return arguments[1]
    if isinstance(origin, type) and issubclass(origin, Sequence) and len(arguments) == 1:
        return arguments[0]
    return Any


def _or_default(value_type: Any, default: Any) -> Any:
    """V or the type of the default: it is a value like others, and the cache keeps it."""
    members = typing.get_args(value_type) if typing.get_origin(value_type) in _UNIONS else (value_type,)
    known = {typing.get_origin(member) or member for member in members}
    if default is MISSING or value_type is Any or type(default) in known:
        return value_type
    return typing.Union[value_type, type(default)]  # noqa: UP007  `|` is not for a string, which a hint may be


_UNIONS = (typing.Union, types.UnionType)
