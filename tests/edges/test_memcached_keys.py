"""A loader's keys as memcached takes them: two keys never become one, equal ones never two, and every form is safe.

What counts as one key is written down a second time here, by other means than the encoder's: `identity`.
"""

# ruff: noqa: DTZ001 - naive datetimes are keys, too

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchio._core.cache import typed
from batchio.memcached._keys import LONGEST, KeyEncoder

PARIS = ZoneInfo("Europe/Paris")


class Color(Enum):
    RED = "red"
    ONE = 1


class Shade(Enum):
    RED = "red"


class Level(IntEnum):
    ONE = 1


class Word(StrEnum):
    RED = "red"


class Text(str):
    """A text of a class of its own, as libraries make them: markup, headers, paths."""

    __slots__ = ()


class Pair(NamedTuple):
    left: Any
    right: Any


class Point(NamedTuple):
    left: Any
    right: Any


# Each differs from all others in type or value, though Python finds many of them equal.
NEIGHBOURS: list[Any] = [
    *(0, 1, -1, 42, 2**63, 2**64 - 1, -(2**63), 10**300, 10**300 + 1, 10**4000),
    *(True, False, None, "None", "True", "none", ""),
    *(0.0, 1.0, 42.0, 1e16, 1e300, 5e-324, math.inf, -math.inf, math.nan, "nan", "inf"),
    *(
        "1",
        "42",
        "'42",
        "b'42",
        "42.0",
        " ",
        "  ",
        "a b",
        "a_b",
        "a%20b",
        "a+b",
        "a\r\nb",
        "a\nb",
        "\0",
        "\x7f",
        "a\tb",
    ),
    *(
        "é",
        "e\u0301",
        "E",
        "e",
        "e ",
        "\ud800",
        "\udc00",
        "\U0001f375",
        "#",
        "/",
        "a/b",
        "a,b",
        "(1)",
        "'",
        '"',
        "\\",
        "%",
    ),
    *("é" * 200, "é" * 199, "é" * 200 + " ", "k" * 250, "k" * 251, "k" * 10_000, "k" * 10_001),
    *(b"", b"1", b"42", b"a b", b"\0", b"\xff", b"\xc3\xa9", b"k" * 250, b"k" * 10_000),
    *((), (1,), ("1",), (b"1",), (1.0,), (True,), (None,), ("",), ((),), ((1,),), (1, 2), (2, 1), ("1,2",), ("1", "2")),
    *((1, (2, 3)), ((1, 2), 3), (1, 2, 3), ("1,'2",), ("a)", "(b"), ("a", ")(", "b"), ((1, 2),), ("1),(2",)),
    *(frozenset(), frozenset({1}), frozenset({"1"}), frozenset({True}), frozenset({(1,)}), frozenset({1, 2})),
    *(frozenset({frozenset()}), frozenset({frozenset({1})}), (frozenset({1}),), "{(1)}"),
    *(
        Decimal(0),
        Decimal(1),
        Decimal(-1),
        Decimal(10),
        Decimal("0.1"),
        Decimal("1e5"),
        Decimal("1e-5"),
        Decimal("NaN"),
    ),
    *(Decimal("Infinity"), Decimal("-Infinity"), Decimal("0.1000000000000000055511151231257827"), "d1e0", "d0"),
    *(UUID(int=0), UUID(int=1), "u" + "0" * 32, timedelta(0), timedelta(microseconds=1), timedelta(days=-1), "s0"),
    *(date(2024, 1, 1), datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), "t2024-01-01", "2024-01-01"),
    *(datetime(2024, 1, 1, microsecond=1), datetime(2024, 1, 1, tzinfo=PARIS), date(1, 1, 1), datetime(1, 1, 1)),
    *(Color.RED, Shade.RED, Word.RED, "red", Color.ONE, Level.ONE),
    *(Pair(1, 2), Point(1, 2), Pair(2, 1), Pair("1", 2), Pair((1, 2), ()), (Pair(1, 2),)),
]

# Those that are different to a cache: a StrEnum's member is its text, and a named tuple its tuple.
DIFFERENT = list({typed(key): key for key in NEIGHBOURS}.values())

# Each line is one key, written in several ways.
EQUAL: list[list[Any]] = [
    [Word.RED, "red", Text("red")],
    [Level.ONE, 1],
    [Pair(1, 2), Point(1, 2), (1, 2)],
    [(Pair(1, 2), Word.RED), ((1, 2), "red")],
    [0.0, -0.0],
    [(0.0, 1), (-0.0, 1)],
    [Decimal("1.0"), Decimal("1.00"), Decimal(1), Decimal("0.1e1"), Decimal("10e-1")],
    [Decimal(0), Decimal("-0"), Decimal("0.00"), Decimal("0e10")],
    [Decimal(-120), Decimal("-1.2e2"), Decimal("-120.000")],
    [frozenset({"a", "b", "c"}), frozenset({"c", "b", "a"})],
    [frozenset({Decimal("1.0"), 0.0}), frozenset({-0.0, Decimal("1.00")})],
    [datetime(2024, 7, 1, 12, tzinfo=PARIS), datetime(2024, 7, 1, 10, tzinfo=UTC)],
    [datetime(2024, 7, 1, 12), datetime(2024, 7, 1, 12, fold=1)],
    [timedelta(hours=24), timedelta(days=1)],
    [Pair(Decimal("1.0"), 0.0), Pair(Decimal("1.00"), -0.0)],
]

scalars = (
    st.integers()
    | st.booleans()
    | st.none()
    | st.floats()
    | st.text(st.characters(), max_size=300)
    | st.sampled_from(["1", "1.0", "True", "'1", "b'1", "(1", "1,1", "%20", " ", "\r\n", "#", "é" * 200])
    | st.binary(max_size=300)
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.timedeltas()
    | st.datetimes()
    | st.datetimes(
        min_value=datetime(1900, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3.5)), timezone.min])
    )
    | st.sampled_from([*Color, *Shade, *Level, *Word])
)
keys = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Pair, inner, inner)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=6,
)


def identity(key: Any) -> Any:
    """A key as something that equals another one's where both are one key: of one type, and equal."""
    if isinstance(key, tuple):
        return (type(key), tuple(map(identity, key)))
    if isinstance(key, frozenset):
        return (frozenset, frozenset(map(identity, key)))
    if isinstance(key, datetime):
        return (datetime, key.tzinfo is None, key.replace(fold=0))
    return (type(key), "NaN" if key != key else key)  # noqa: PLR0124 - only NaN is not itself


def key_of(key: Any) -> bytes:
    return KeyEncoder("", "names").one(key)


def assert_safe(form: bytes) -> None:
    """As memcached takes a key in a line of its protocol."""
    assert 1 <= len(form) <= 250
    assert not [byte for byte in form if byte <= 0x20 or byte >= 0x7F]


# --- which keys are one ---------------------------------------------------------------------------------------------


def test_different_keys_have_different_forms() -> None:
    """Of a list of neighbours, near misses and forgeries no two share a form."""
    forms: dict[bytes, Any] = {}
    for key in DIFFERENT:
        form = key_of(key)
        assert form not in forms, f"{key!r} and {forms[form]!r} are both {form!r}"
        forms[form] = key


@pytest.mark.parametrize("same", EQUAL, ids=[f"{type(same[0]).__name__} {n}" for n, same in enumerate(EQUAL)])
def test_equal_keys_of_one_type_have_one_form(same: list[Any]) -> None:
    """However a key is written, an invalidation of it reaches what was stored under it."""
    assert len({key_of(key) for key in same}) == 1


@given(keys, keys)
@settings(max_examples=200)
def test_two_keys_share_a_form_only_when_they_are_one(one: Any, other: Any) -> None:
    """Forms are equal exactly where type and value are, all the way down."""
    assert (key_of(one) == key_of(other)) == (identity(one) == identity(other))


@given(
    st.lists(st.sampled_from(["1", "'1", ",", "(", ")", "()", "%2C", "#", " ", 1, 1.0, (), (1,), ("1",)]), max_size=5)
)
def test_no_string_forges_a_tuple(parts: list[Any]) -> None:
    """What a string holds never reads as the signs that join a tuple's parts."""
    flat, nested = tuple(parts), (tuple(parts),)
    forms = {key_of(flat), key_of(nested), key_of(",".join(map(str, parts))), key_of(str(flat))}
    assert len(forms) == 4 - (",".join(map(str, parts)) == str(flat))


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_prefix_and_name_are_kept_apart(prefix: str, name: str, other_prefix: str, other_name: str) -> None:
    """Two loaders share keys only where both prefix and name are the same."""
    same = (prefix, name) == (other_prefix, other_name)
    assert (KeyEncoder(prefix, name).one(1) == KeyEncoder(other_prefix, other_name).one(1)) == same


def test_a_prefix_does_not_run_into_the_name() -> None:
    """Neither "a" before "bc" nor "a" before "b/c" is "ab" before "c", however long they are."""
    for long in ("", "k" * 300):
        pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("", "a/bc"), ("a/b", "c"), ("a", "b/c"), ("", "")]
        forms = {KeyEncoder(prefix + long, name + long).one(1) for prefix, name in pairs}
        assert len(forms) == len(pairs)


def test_a_long_key_of_one_loader_is_not_another_loaders() -> None:
    """A key that is replaced by its digest still stands behind its loader's name."""
    assert KeyEncoder("", "a").one("k" * 1000) != KeyEncoder("", "b").one("k" * 1000)


# --- what memcached takes -------------------------------------------------------------------------------------------


@given(st.text(max_size=300), st.text(max_size=300), keys)
def test_every_form_is_safe(prefix: str, name: str, key: Any) -> None:
    """1 to 250 bytes of printable ASCII without a space, whatever prefix, name and key are."""
    assert_safe(KeyEncoder(prefix, name).one(key))


@pytest.mark.parametrize("name", ["n", "é" * 200, "n" * 249, "n" * 250, "n" * 10_000, " \r\n\0", "\ud800"])
def test_long_and_odd_names_leave_room_for_keys(name: str) -> None:
    """Behind any name keys of all lengths are safe, and differ."""
    encoder = KeyEncoder("prefix ", name)
    forms = {encoder.one(key) for key in DIFFERENT}
    for form in forms:
        assert_safe(form)
    assert len(forms) == len(DIFFERENT)


def test_the_border_of_250_bytes_holds() -> None:
    """A form of 250 bytes is written out, one of 251 is a digest; neither is cut."""
    encoder = KeyEncoder("", "n")
    longest = "k" * (LONGEST - len("n/'"))
    assert encoder.one(longest) == f"n/'{longest}".encode()
    assert encoder.one(longest + "k").startswith(b"n/#")


# --- many at once ---------------------------------------------------------------------------------------------------


@given(st.lists(keys, max_size=6) | st.lists(st.integers(), max_size=20))
def test_many_keys_get_the_forms_that_each_gets_alone(several: list[Any]) -> None:
    """`many` is `one` for each, in order, also on its short way for integers."""
    encoder = KeyEncoder("p", "names")
    distinct = list({encoder.one(key): key for key in several}.values())
    assert list(encoder.many(distinct).items()) == [(encoder.one(key), key) for key in distinct]


def test_long_integers_leave_the_short_way() -> None:
    """Integers of more than 250 digits get digests in `many`, too."""
    encoder = KeyEncoder("", "n")
    assert list(encoder.many([1, 10**300])) == [encoder.one(1), encoder.one(10**300)]


# --- odd keys -------------------------------------------------------------------------------------------------------


def test_a_zone_without_an_offset_is_none() -> None:
    """A datetime whose zone knows no offset equals the naive one, and has its form."""

    class Nowhere(timezone.__base__):  # type: ignore[misc, name-defined]
        def utcoffset(self, _: object) -> None:
            return None

    moment = datetime(2024, 1, 1, 12)
    assert moment.replace(tzinfo=Nowhere()) == moment
    assert key_of(moment.replace(tzinfo=Nowhere())) == key_of(moment)


def test_an_enums_own_value_property_makes_no_two_members_one() -> None:
    """Members are told apart by what they are, and not by what a property of theirs says."""

    class Loud(Enum):
        A = "a"
        B = "A"

        @property
        def value(self) -> str:  # type: ignore[override]
            return "A"

    assert key_of(Loud.A) != key_of(Loud.B)


def test_forms_can_be_read() -> None:
    """What one meets in memcached's own tools says what it is."""
    encode: Callable[[Any], bytes] = KeyEncoder("qa", "names").one
    read = [encode(key) for key in (42, "42", 42.0, (42, "fr"), None)]
    assert read == [b"qa/names/42", b"qa/names/'42", b"qa/names/42.0", b"qa/names/(42,'fr)", b"qa/names/None"]
