"""Values as MySQL's text: what an edge without prepared statements sends in the place of `%s`.

The drivers have an escaping of their own, and this is why it is not used: for bytes it is wrong, and open to injection,
where the server's sql_mode has NO_BACKSLASH_ESCAPES; it drops a datetime's zone; and lists, dicts and objects become
text that nobody asked for. This room imports no driver and no asyncio.

1. No value can leave its quotes, in any sql_mode: a quote is always doubled, a backslash too or it is sent in
   hexadecimal, and bytes are always hexadecimal. If the mode were misjudged, a backslash would be stored twice; no more.
2. What the database cannot hold exactly is refused, and nothing is guessed. Messages show types, never values.
3. A value that stands between quotes, or in a comment, is a mistake of the statement, and is said to be one.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, islice
from typing import Any, TypeAlias

from batchio._sql import MYSQL_FIXED, Plan

_SURROGATE = re.compile("[\ud800-\udfff]")

Params: TypeAlias = Sequence[Any] | Mapping[str, Any]


def text_literal(text: str, *, plain_backslash: bool) -> str:
    """Quote a text; `plain_backslash` says that the server's sql_mode has NO_BACKSLASH_ESCAPES.

    Raises:
        ValueError: It holds a lone surrogate, which a driver would send as some byte.
    """
    if not text.isascii() and _SURROGATE.search(text):  # no encode() in a try: its error would carry the text
        raise ValueError("a text cannot be sent to the database: it holds a lone surrogate")
    if "\\" not in text:
        return "'" + text.replace("'", "''") + "'"
    if plain_backslash:  # correct in the other mode too, should it be that; but of another collation, so not the rule
        return f"_utf8mb4 X'{text.encode().hex()}'"
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def bytes_literal(value: bytes | bytearray | memoryview) -> str:
    """Bytes in hexadecimal, which has no quotes to leave.

    By a function, because a bare X'31' can be the number 49, and MariaDB refuses one beside a text column if it is no
    text of that column's character set.
    """
    return f"UNHEX('{bytes(value).hex()}')"


def value_literal(value: Any, *, plain_backslash: bool) -> str:
    """Give a value's text, for a statement of the user's own.

    Raises:
        TypeError: Its type is none that MySQL can hold.
        ValueError: It is of such a type, and MySQL cannot hold it all the same: nan, a lone surrogate.
    """
    if isinstance(value, str):
        return text_literal(value, plain_backslash=plain_backslash)
    for kind, write in _WRITERS.items():
        if isinstance(value, kind):
            return write(value)
    raise TypeError(
        f"a {type(value).__name__} cannot be sent to the database: convert it to one of str, bytes, int, float, bool, "
        "Decimal, datetime, date, time, timedelta or None"
    )


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("inf and nan cannot be sent to the database: it has no such numbers")
    text = float.__repr__(value)
    return text if "e" in text else f"{text}e0"  # or MySQL would read a decimal


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError("inf and nan cannot be sent to the database: it has no such numbers")
    return format(value, "f")


def _time(value: dt.datetime | dt.time) -> str:
    if value.tzinfo is not None:
        raise TypeError(
            f"a {type(value).__name__} with a time zone cannot be sent to the database: its columns hold none. Convert it "
            "first, as in value.astimezone(UTC).replace(tzinfo=None)"
        )
    return f"'{value.isoformat(' ') if isinstance(value, dt.datetime) else value.isoformat()}'"


def _duration(value: dt.timedelta) -> str:
    minutes, seconds = divmod(abs(value), dt.timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    sign = "-" if value < dt.timedelta(0) else ""
    return f"'{sign}{hours:02}:{minutes:02}:{seconds.seconds:02}.{seconds.microseconds:06}'"


# In this order: a bool is an int, and a datetime a date.
_WRITERS: dict[Any, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: str(int(value)),
    int: int.__repr__,
    bytes | bytearray | memoryview: bytes_literal,
    float: _float,
    Decimal: _decimal,
    dt.datetime | dt.time: _time,
    dt.date: lambda value: f"'{value.isoformat()}'",
    dt.timedelta: _duration,
}

# ---------------------------------------------------------------------------------------------------- keys


def key_literals(keys: Sequence[Any], *, whole: bool, plain_backslash: bool) -> list[str]:
    """Give the texts of keys, or of one column of them.

    An int is sent in quotes, unless its column is known to hold integers: `name IN (0)` is true for every name that is
    no number, so the server would read and send the whole table. `id IN ('7')` finds 7, by the index and exactly.
    """
    if set(map(type, keys)) == {int}:  # nearly always
        return list(map(str, keys)) if whole else [f"'{key}'" for key in keys]
    return [_key_literal(key, whole=whole, plain_backslash=plain_backslash) for key in keys]


def _key_literal(key: Any, *, whole: bool, plain_backslash: bool) -> str:
    if type(key) is int:
        return str(key) if whole else f"'{key}'"
    return text_literal(key, plain_backslash=plain_backslash) if type(key) is str else bytes_literal(key)


def key_statements(
    plan: Plan, keys: Sequence[Any], *, max_bytes: int, plain_backslash: bool
) -> tuple[list[tuple[str, list[Any]]], list[Any]]:
    """Write a loader's statements for some keys, each with those that it asks for; and say which are too long for any.

    Texts and bytes never share a list: beside bytes the server compares texts by their bytes too, so that 'e' with an
    accent is not found in a latin1 column.
    """
    several = len(plan.key) > 1
    columns = [
        key_literals(column, whole=plan.whole.get(place, False), plain_backslash=plain_backslash)
        for place, column in enumerate(zip(*keys, strict=True) if several else (keys,))
    ]
    room = None if _surely_fit(plan, columns, max_bytes) else max_bytes
    if not several and room is None and len(keys) <= plan.dialect.max_parameters and bytes not in set(map(type, keys)):
        return [(_written(plan, columns[0]), list(keys))] if keys else [], []  # nearly always
    texts = dict(zip(keys, zip(*columns, strict=True) if several else columns[0], strict=True))
    too_long = [] if room is None else [key for key, text in texts.items() if plan.overhead + plan.size(text) > room]
    for key in too_long:
        del texts[key]
    return [found for group in _groups(texts, several=several) for found in _cut(plan, group, room)], too_long


def _written(plan: Plan, texts: list[str]) -> str:
    """The one statement for keys of one column."""
    head, tail = (part.replace("%%", "%") for part in (plan.head, plan.tail))
    return f"{head}({','.join(texts)}){tail}"


def _surely_fit(plan: Plan, columns: list[list[str]], max_bytes: int) -> bool:
    """Whether all keys fit into one statement, whatever bytes their characters take; nearly always, and quick to say."""
    characters = sum(sum(map(len, column)) + 2 * len(column) + 2 for column in columns)
    return plan.overhead + 4 * characters <= max_bytes


def _groups(texts: dict[Any, Any], *, several: bool) -> Iterable[dict[Any, Any]]:
    """Part texts from bytes; keys of several columns by the columns in which they are bytes."""
    if bytes not in set(map(type, chain.from_iterable(texts) if several else texts)):
        return [texts] if texts else []
    groups: dict[Any, dict[Any, Any]] = {}
    for key, text in texts.items():
        parts = key if several else (key,)
        groups.setdefault(tuple(type(part) is bytes for part in parts), {})[key] = text
    return groups.values()


def _cut(plan: Plan, texts: dict[Any, Any], max_bytes: int | None) -> Iterator[tuple[str, list[Any]]]:
    keys = iter(texts)
    for sql, params in plan.statements(list(texts.values()), max_bytes=max_bytes):
        yield sql % tuple(params), list(islice(keys, len(params) // len(plan.key)))


# ---------------------------------------------------------------------------------------------- statements

_PLACE = r"%(?:\((?P<name>\w+)\))?s"
_TOKENS = re.compile(rf"(?P<fixed>{MYSQL_FIXED}) | (?P<place>{_PLACE}) | (?P<percent>%%)", re.VERBOSE | re.DOTALL)


def filled(sql: str, params: Params, literal: Callable[[Any], str]) -> str:
    """Put the values into a statement of the user's own.

    Args:
        sql: One statement with `%s` or `%(name)s` where values go; `%%` is a percent sign. With no params, the
            statement is taken as it stands.
        params: A sequence, or a mapping for `%(name)s`.
        literal: Makes a value's text.

    Raises:
        ValueError: The statement has other places than values, or a place in quotes or in a comment.
        TypeError: The params are neither, or hold what MySQL cannot.
    """
    if isinstance(params, str | bytes | bytearray) or not isinstance(params, Sequence | Mapping):
        raise TypeError(f"params is a {type(params).__name__}: write a tuple, as in (value,), or a mapping")
    if not params:
        return sql
    found = list(_TOKENS.finditer(sql))
    if any(match["fixed"] and re.search(_PLACE, match["fixed"]) for match in found):
        raise ValueError(
            "a place for a value stands in quotes or in a comment: write %s bare, and the value comes with quotes of its "
            "own; a percent sign in quotes is written %%"
        )
    places = [match["name"] for match in found if match["place"]]
    texts: dict[Any, str]
    if isinstance(params, Mapping):
        texts = {name: literal(value) for name, value in params.items()}
        known = set(places) <= texts.keys()
    else:
        texts = {place: literal(value) for place, value in enumerate(params)}
        known = places == [None] * len(texts)
    if not known:
        raise ValueError(
            f"the statement has {len(places)} places for values, which do not fit the {len(texts)} params: write %s once "
            "for each value of a tuple, or %(name)s for the values of a mapping"
        )
    count = iter(range(len(places)))

    def text(match: re.Match[str]) -> str:
        return texts[match["name"] or next(count)] if match["place"] else match[0].replace("%%", "%")

    return _TOKENS.sub(text, sql)
