"""Keys that memcached is not given, and types whose values it is not: refused with an error that says what to do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from batchio.memcached._keys import KeyEncoder
from batchio.memcached._values import Codec

PARIS = ZoneInfo("Europe/Paris")

# --- keys -----------------------------------------------------------------------------------------------------------


class Sly:
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "key",
    [Sly(), object(), 1j, len, (1, Sly()), [1], range(3)],
    ids=["sly", "object", "complex", "function", "sly part", "list", "range"],
)
def test_other_types_are_refused_with_what_to_do(key: Any) -> None:
    """A class that may compare and print as it likes has no form; the error names it and the way out."""
    with pytest.raises(
        TypeError,
        match=r"a (Sly|object|complex|builtin_function_or_method|list|range) has .*key=",
    ):
        KeyEncoder("", "names").one(key)


NIGHT = datetime(2024, 10, 27, 2, 30, tzinfo=PARIS)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (NIGHT, "show twice"),
        (NIGHT.replace(fold=1), "show twice"),
        (datetime(2024, 3, 31, 2, 30, tzinfo=PARIS), "or never"),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "no UTC"),
        (datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))), "no UTC"),
    ],
)
def test_times_without_one_utc_are_refused(key: datetime, told: str) -> None:
    """Half past two in the night of the clocks is equal to itself twice and to no UTC: nothing is stored under it."""
    with pytest.raises(ValueError, match=told):
        KeyEncoder("", "names").one(key)


def test_the_hours_around_that_night_have_forms() -> None:
    """An hour before and after, a key in Paris is the key in UTC."""
    encode = KeyEncoder("", "names").one
    for hours in (-1, 1):
        moment = NIGHT.replace(hour=2 + hours, minute=0)
        assert encode(moment) == encode(moment.astimezone(UTC))


# --- types of values ------------------------------------------------------------------------------------------------


class Own:
    pass


class Unknown(NamedTuple):
    who: Nobody  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("value_type", "told"),
    [
        (Own, "Own cannot be stored: make it a NamedTuple, a dataclass or a msgspec Struct"),
        (list[int] | tuple[int, ...], "cannot be stored"),
        (Unknown, "Nobody"),
    ],
)
def test_a_type_that_cannot_be_stored_is_refused_at_once(value_type: Any, told: str) -> None:
    """The error comes where the loader is written, and says what to make of the class."""
    with pytest.raises(TypeError, match=told):
        Codec(value_type, 0, "json")
