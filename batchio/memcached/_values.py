"""A loader's values as bytes, and back: typed, by msgspec. The only file that imports msgspec.

1. A hit equals the miss that filled it, in type and value. What would not come back as it was is not stored, and the
   log says so once: a Decimal under `Any`, say, which MessagePack gives back as text.
2. Never pickle: bytes from a store that others write to must not be able to run code.
3. Each value carries a fingerprint of its format: the codec, the loader's `version`, the type and its fields' names and
   types. A process with other code finds another fingerprint, which is a miss, and never reads a field as its neighbour.
   It stands in the value and not in the key, so that old and new code invalidate each other's values.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import contains
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias

import msgspec

Format: TypeAlias = Literal["msgpack", "json"]

_FORMAT = 1  # raised when this file writes values in another way
_MODULES = {"msgpack": msgspec.msgpack, "json": msgspec.json}


class Unfaithful(ValueError):
    """The value would come back as another one."""


class Codec:
    """How one loader's values are written and read.

    Args:
        value_type: Their type; Any where it is not known.
        version: The loader's.
        how: "msgpack" or "json".

    Raises:
        TypeError: No value of that type can be stored.
    """

    def __init__(self, value_type: Any, version: int | str, how: Format) -> None:
        value_type = Any if value_type is None else value_type
        self.flags = _fingerprint(how, version, value_type)
        try:
            self._encode: Callable[[Any], bytes] = _MODULES[how].Encoder().encode
            self.decode: Callable[[bytes], Any] = _MODULES[how].Decoder(value_type).decode
            custom = isinstance(msgspec.inspect.type_info(value_type), msgspec.inspect.CustomType)
        except (TypeError, NameError, RecursionError) as error:  # a name for type checkers only, say
            raise TypeError(f"values of type {_shown(value_type)} cannot be stored: {error}") from error
        if custom:
            raise TypeError(
                f"values of type {_shown(value_type)} cannot be stored: make it a NamedTuple, a dataclass or a msgspec "
                "Struct, or say with value_type= what the values are"
            )
        self._exact = _exact(value_type, how)

    def encode(self, value: Any) -> bytes:
        """Write a value.

        Raises:
            Unfaithful: It would not come back as it is.
            TypeError, ValueError, ArithmeticError, RecursionError: It cannot be written at all.
        """
        data = self._encode(value)
        if not self._exact(value) and not same(value, self._read_back(data, value)):
            raise Unfaithful(f"a {type(value).__name__} would not come back as it is")
        return data

    def _read_back(self, data: bytes, value: Any) -> Any:
        try:
            return self.decode(data)
        except msgspec.MsgspecError as error:
            raise Unfaithful(f"a {type(value).__name__} would not come back as it is: {error}") from error


# -------------------------------------------------------------------------------------------- faithfulness


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type and value, all the way down."""
    kind = type(one)
    if kind is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)  # NaN is NaN here, and 0.0 is not -0.0
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(map(same, one, other)) and all(map(same, one.values(), other.values()))
    if isinstance(one, (set, frozenset)):
        return one == other and sorted(map(_typed, one)) == sorted(map(_typed, other))
    names = _fields(kind)
    if names is not None:
        return all(same(getattr(one, name, None), getattr(other, name, None)) for name in names)
    return repr(one) == repr(other) and bool(one == other)  # a datetime in Paris is none in UTC, though they are equal


def _typed(value: Any) -> str:
    return f"{type(value).__qualname__} {value!r}"


def _fields(kind: Any) -> Sequence[str] | None:
    if dataclasses.is_dataclass(kind):
        return [one.name for one in dataclasses.fields(kind)]
    if hasattr(kind, "__attrs_attrs__"):
        return [one.name for one in kind.__attrs_attrs__]
    return getattr(kind, "__struct_fields__", None)


def _exact(value_type: Any, how: Format) -> Callable[[Any], bool]:
    """A quick look at a value of a simple type that says whether it comes back as it is; no needs a longer look."""
    kinds = _atoms(value_type, how)
    if kinds is not None:
        return lambda value: type(value) in kinds
    if typing.get_origin(value_type) is list:
        (item,) = typing.get_args(value_type)
        exact = _exact(item, how)
        return lambda value: type(value) is list and all(map(exact, value))
    if not _is_named_tuple(value_type):
        return lambda _: False
    fields = [_atoms(field, how) or frozenset() for field in _hints(value_type).values()]
    return lambda value: type(value) is value_type and all(map(contains, fields, map(type, value)))


def _atoms(value_type: Any, how: Format) -> frozenset[type] | None:
    """The classes of which a value may be, when all come back exactly (JSON has no NaN, and gives bytes as text).

    Under Any only those come back; others then get the longer look.
    """
    exact = {int, str, bool, NoneType} | ({float, bytes} if how == "msgpack" else set())
    if value_type is Any:
        return frozenset(exact)
    union = typing.get_origin(value_type) in (typing.Union, UnionType)
    kinds = {NoneType if kind is None else kind for kind in (typing.get_args(value_type) if union else [value_type])}
    return frozenset(kinds) if all(isinstance(kind, type) and kind in exact for kind in kinds) else None


# --------------------------------------------------------------------------------------------- fingerprints


def _fingerprint(how: Format, version: int | str, value_type: Any) -> bytes:
    """A number of 32 bits, as memcached's own flags hold it; never 0, which is what other programs' values have."""
    text = repr((_FORMAT, how, version, _description(value_type, ())))
    return b"%d" % (int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") or 1)


def _description(value_type: Any, above: tuple[Any, ...]) -> Any:
    """All of a type that decides how its values are written: names and types of fields, all the way down."""
    if value_type in above:
        return "above"
    above = (*above, value_type)
    origin = typing.get_origin(value_type)
    if origin is typing.Annotated:  # what is noted there says which values are valid, and not how they are written
        return _description(typing.get_args(value_type)[0], above)
    arguments = [_description(argument, above) for argument in typing.get_args(value_type)]
    if arguments:
        return (_description(origin, above) if isinstance(origin, type) else _shown(origin), arguments)
    if not isinstance(value_type, type):
        meant = getattr(value_type, "__supertype__", getattr(value_type, "__value__", None))  # NewType, type X = ...
        return repr(value_type) if meant is None else (repr(value_type), _description(meant, above))
    if issubclass(value_type, Enum):
        return (value_type.__qualname__, [(member.name, member.value) for member in value_type])
    fields = [(name, _description(hint, above)) for name, hint in _hints(value_type).items()]
    return (value_type.__qualname__, fields, _settings(value_type))


def _settings(kind: Any) -> list[str]:
    """What a Struct says of its own writing: other names of fields, a tag, an array, defaults that are not written."""
    config = getattr(kind, "__struct_config__", None)
    if config is None:
        return []
    unwritten = (
        [_shown(getattr(one, "factory", one)) for one in kind.__struct_defaults__] if config.omit_defaults else []
    )
    return [repr((config.array_like, config.tag, config.tag_field)), repr(kind.__struct_encode_fields__), *unwritten]


def _hints(kind: Any) -> Mapping[str, Any]:
    """The fields of a class with fields, in their order, with their types; none of others."""
    names = getattr(kind, "_fields", None) or _fields(kind) or ()
    if not names and not typing.is_typeddict(kind):
        return {}
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except Exception:  # a name that exists for type checkers only
        hints = inspect.get_annotations(kind)
    return {name: hints.get(name, Any) for name in names or hints}


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _shown(value_type: Any) -> str:
    return getattr(value_type, "__qualname__", None) or repr(value_type)
