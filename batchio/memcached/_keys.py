"""A loader's keys as memcached takes them: at most 250 bytes, no spaces, no control characters. Pure.

1. Two different keys never become one. A key reads like Python's own literal, with its type: `42`, `'42`, `42.0`, `True`,
   `b'42`, `(42,'fr)`; what memcached cannot take is percent-encoded. What is too long is replaced by its SHA-256.
2. Two equal keys of one type never become two: an invalidation of Decimal("1.0") must reach what was stored for
   Decimal("1.00"), and one of noon in Paris what was stored for 11:00 UTC. Nor do a text and an equal instance of a
   subclass, a StrEnum's member, say. Only numbers of different types (1, 1.0, True) are equal keys and stay two.
3. What has no such form (a class of the user's, say) is refused. `str()` or `hash()` would make one key of two.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import quote
from uuid import UUID

from batchio._core.cache import base_of

LONGEST = 250  # bytes: memcached's own limit
_ROOM_FOR_KEYS = 100  # bytes that a loader's name leaves to its keys
_SHORT = 10 ** (_ROOM_FOR_KEYS - 1)  # smaller ints fit there, with a sign

_SAFE = "!$&*+-.:;<=>?@[]^_`{|}~"  # in names and strings; not the signs that join: / ' , ( ) # %


class KeyEncoder:
    """Turns one loader's keys into memcached's.

    Args:
        prefix: What all keys of the cache begin with.
        name: The loader's name.
    """

    def __init__(self, prefix: str, name: str) -> None:
        start = f"{_escaped(prefix)}/{_escaped(name)}/" if prefix else f"{_escaped(name)}/"  # "a" "bc" is not "ab" "c"
        self._start = start if len(start) <= LONGEST - _ROOM_FOR_KEYS else f"#{_digest(start)}/"
        self._between = f" {self._start}"

    def one(self, key: Any) -> bytes:
        """Encode a key.

        Raises:
            TypeError, ValueError: It has no safe form.
        """
        text = _literal(key)
        if len(self._start) + len(text) > LONGEST:
            text = f"#{_digest(text)}"
        return f"{self._start}{text}".encode()

    def line(self, keys: Collection[Any]) -> bytes:
        """Encode keys, as `get` takes them: in one line, with a space between two.

        Raises:
            TypeError, ValueError: One of them has no safe form.
        """
        # Nearly all keys are ints, and this is on the path of every lookup: C writes a list of them in half the time.
        if set(map(type, keys)) == {int} and min(keys) > -_SHORT and max(keys) < _SHORT:
            return f"{self._start}{str(list(keys))[1:-1].replace(', ', self._between)}".encode()
        return b" ".join(map(self.one, keys))

    def many(self, keys: Collection[Any]) -> dict[bytes, Any]:
        """Encode keys; gives each under its encoded form.

        Raises:
            TypeError, ValueError: One of them has no safe form.
        """
        return dict(zip(self.line(keys).split(b" "), keys, strict=True)) if keys else {}


def _literal(key: Any) -> str:
    write = _WRITERS.get(type(key)) or _WRITERS.get(base_of(key, _WRITERS))
    if write is not None:
        return write(key)
    if isinstance(key, Enum):
        return f"{_class(key)}({_literal(key._value_)})"
    raise TypeError(
        f"a {type(key).__name__} has no safe form as memcached's key; give the loader key=..., a function that makes an "
        "int, a str or a tuple of it"
    )


def _sequence(key: tuple[Any, ...]) -> str:
    return f"({','.join(map(_literal, key))})"


def _set(key: frozenset[Any]) -> str:
    return f"{{({','.join(sorted(map(_literal, key)))})}}"


def _float(key: float) -> str:
    return repr(key + 0.0)  # -0.0 equals 0.0


def _decimal(key: Decimal) -> str:
    sign, digits, exponent = key.as_tuple()
    if not isinstance(exponent, int):
        return f"d{key}"  # Infinity, NaN
    number = "".join(map(str, digits)).lstrip("0")
    shorter = number.rstrip("0")
    return f"d{'-' * sign}{shorter}e{exponent + len(number) - len(shorter)}" if shorter else "d0"


def _datetime(key: datetime) -> str:
    if key.utcoffset() is None:
        return f"t{key.replace(tzinfo=None).isoformat()}"
    if key.utcoffset() != key.replace(fold=1 - key.fold).utcoffset():  # equal to each other there, and not to their UTC
        raise ValueError(f"{key!r} is a time that its zone's clocks show twice, or never; make the keys UTC")
    try:
        return f"t{key.astimezone(UTC).isoformat()}"
    except OverflowError:
        raise ValueError(f"{key!r} has no UTC, its year would be 0 or 10000") from None


def _timedelta(key: timedelta) -> str:
    return f"s{key // timedelta(microseconds=1)}"


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: int.__repr__,
    str: lambda key: f"'{_escaped(key)}",
    bytes: lambda key: f"b'{quote(key, safe=_SAFE)}",
    bool: str,
    type(None): str,
    float: _float,
    tuple: _sequence,
    frozenset: _set,
    UUID: lambda key: f"u{key.hex}",
    Decimal: _decimal,
    datetime: _datetime,
    date: lambda key: f"t{key.isoformat()}",
    timedelta: _timedelta,
}


def _class(key: object) -> str:
    return f"<{_escaped(f'{type(key).__module__}.{type(key).__qualname__}')}>"


def _escaped(text: str) -> str:
    return quote(text, safe=_SAFE, errors="surrogatepass")


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
