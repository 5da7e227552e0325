"""A loader's values as bytes, and back: a hit equals the miss that filled it in type and value, or nothing is stored.

What "the same" means is written down a second time here, by other means than the codec's: `shape`.
"""

# ruff: noqa: DTZ001 - naive datetimes are values, too

from __future__ import annotations

import collections
import dataclasses
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any, Generic, Literal, NamedTuple, Optional, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchio.memcached._values import Codec, Unfaithful, same

HOWS = ["msgpack", "json"]
T = TypeVar("T")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class User(NamedTuple):
    id: int
    name: str | None
    karma: float = 0.0


class Loose(NamedTuple):
    one: Any
    other: Any = None


class Twice(User):
    def __new__(cls, id: int, name: str) -> Twice:  # noqa: A002
        return super().__new__(cls, 2 * id, name)


Untyped = collections.namedtuple("Untyped", "one other")  # noqa: PYI024


@dataclasses.dataclass
class Post:
    id: int
    author: User
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    at: datetime
    price: Decimal
    hidden: int = dataclasses.field(default=0, compare=False, repr=False)


@attrs.define
class Attrs:
    id: int
    hidden: float = attrs.field(default=0.0, eq=False, repr=False)


@dataclasses.dataclass
class Page(Generic[T]):
    items: list[T]


class Vote(msgspec.Struct, frozen=True, tag="vote"):
    value: int
    by: UUID | None = None


class Mark(msgspec.Struct, tag="mark", rename="camel"):
    long_name: str


class Sparse(msgspec.Struct, omit_defaults=True):
    a: int = 0
    b: list[int] = []


class Story(TypedDict, total=False):
    title: str
    score: float


class Text(str):
    __slots__ = ()


class Number(int):
    pass


NOON = datetime(2024, 7, 1, 12, 30, 15, 123456)
PLUS = timezone(timedelta(hours=5, minutes=30))

# Value type, values that are stored under it by both codecs.
KEPT: list[tuple[Any, list[Any]]] = [
    (
        Any,
        [
            None,
            True,
            0,
            -(2**63),
            2**64 - 1,
            "",
            "naïve \0 \U0001f375",
            [],
            {},
            [1, "1", None, [True]],
            {"a": {"b": []}},
        ],
    ),
    (None, [None, 1, "a"]),
    (int, [0, 1, -1, 2**63, 2**64 - 1, -(2**63)]),
    (bool, [True, False]),
    (float, [0.1, 1.0, 5e-324, 1.7976931348623157e308, -0.0, 0.0]),
    (int | float, [1, 1.5, 2**64 - 1]),
    (str | None, [None, "", "null", "é" * 200, "\r\nEND\r\n", "\x7f"]),
    (Optional[list[int]], [None, [], [1, 2]]),  # noqa: UP045
    (bytes, [b"", b"\0\r\n\xff", b"x" * 5000]),
    (dict[int, str], [{}, {1: "a", -1: "b"}, {2: "z", 1: "a"}]),
    (set[int], [set(), {1, 2}]),
    (frozenset[str], [frozenset({"a"})]),
    (tuple[int, str], [(1, "a")]),
    (tuple[int, ...], [(), (1, 2, 3)]),
    (User, [User(1, "Ada"), User(1, None, -0.0), User(2**64 - 1, "", 1e300)]),
    (list[User], [[], [User(1, "Ada"), User(2, None, 0.5)]]),
    (User | None, [None, User(1, "Ada")]),
    (Twice, [Twice(1, "Ada")]),
    (Loose, [Loose(1), Loose("a", None), Loose([1], {"a": 1})]),
    (Untyped, [Untyped(1, "a"), Untyped(None, [True])]),
    (Post, [Post(1, User(1, "Ada")), Post(2, User(1, None), ["a"])]),
    (Frozen, [Frozen(NOON, Decimal("1.00"), 7), Frozen(NOON.replace(tzinfo=UTC), Decimal("1E+5"))]),
    (Attrs, [Attrs(1), Attrs(1, 0.5)]),
    (Page[User], [Page([User(1, "Ada")])]),
    (Vote | Mark, [Vote(1), Vote(-1, UUID(int=1)), Mark("a")]),
    (Sparse, [Sparse(), Sparse(1), Sparse(0, [1])]),
    (Story, [{}, {"title": "a"}, {"title": "a", "score": 1.0}]),
    (Color, [Color.RED]),
    (Level, [Level.LOW]),
    (Literal["a", 1], ["a", 1]),
    (Decimal, [Decimal("1.0"), Decimal("1.00"), Decimal("-0"), Decimal("1E+100")]),
    (UUID, [UUID(int=0), UUID(int=2**128 - 1)]),
    (datetime, [NOON, NOON.replace(tzinfo=UTC)]),
    (date, [date(1, 1, 1)]),
    (timedelta, [timedelta(days=-1, microseconds=1)]),
    (dict[str, list[User | None]], [{"a": [User(1, "Ada"), None]}]),
]

# Value type, values that no codec may store under it: they would come back as another one, or not at all.
REFUSED: list[tuple[Any, list[Any]]] = [
    (Any, [(1,), {1}, Decimal(1), UUID(int=1), User(1, "a"), Color.RED, Level.LOW, Text("a"), Number(1), Vote(1)]),
    (Any, [[(1,)], {"a": (1,)}, "\ud800", ["\udc00"], collections.OrderedDict(a=1), object()]),
    (int, [True, 1.0, "1", None, Number(1), Level.LOW]),
    (bool, [1, 0, "true", None]),
    (float, [1, True, "0.1", Number(1)]),
    (str, [b"a", 1, Text("a"), "\ud800", None]),
    (str | None, [Text("a"), 0]),
    (bytes, ["a", bytearray(b"a"), memoryview(b"a")]),
    (list[int], [(1,), [True], [1.0], ["1"], [None], {1}]),
    (tuple[int, str], [[1, "a"], (1,), (1, "a", 2), (True, "a")]),
    (dict[str, int], [{1: 1}, {"a": True}, collections.Counter("a"), collections.OrderedDict(a=1), collections.defaultdict(int)]),
    (set[int], [frozenset({1}), {True}, {1.0}]),
    (User, [(1, "a", 0.0), User("1", "a"), User(1, "a", 1), User(True, "a"), Twice(1, "a"), {"id": 1}, Post(1, User(1, "a"))]),
    (list[User], [[(1, "a", 0.0)], [User(1, b"a")], (User(1, "a"),)]),
    (Untyped, [Untyped((1,), 2), Untyped(Decimal(1), 2)]),
    (Post, [Post(1, (1, "a", 0.0)), Post(1, User(1, "a"), ("a",)), Post(1.0, User(1, "a"))]),
    (Attrs, [Attrs(1, 1), Attrs(True)]),
    (Vote, [Vote(True), Mark("a"), Vote(1, "00000000-0000-0000-0000-000000000001")]),
    (Decimal, [1, 1.0, "1"]),
    (datetime, [NOON.replace(tzinfo=ZoneInfo("Europe/Paris")), NOON.replace(fold=1), NOON.date(), "2024-07-01T12:00:00"]),
    (Color, ["red", Level.LOW]),
]  # fmt: skip


def shape(value: Any) -> Any:
    """A value with the types of all that it is made of, as text; two that look the same here are the same."""
    kind = type(value)
    if dataclasses.is_dataclass(kind) or hasattr(kind, "__struct_fields__") or hasattr(kind, "__attrs_attrs__"):
        names = getattr(kind, "__struct_fields__", kind.__match_args__)
        return (kind, [(name, shape(getattr(value, name))) for name in names])
    if isinstance(value, dict):
        return (kind, [(shape(key), shape(item)) for key, item in value.items()])
    if isinstance(value, (set, frozenset)):
        return (kind, sorted(map(repr, map(shape, value))))
    if isinstance(value, (list, tuple)):
        return (kind, [shape(item) for item in value])
    return (kind, repr(value))


def stored(value_type: Any, how: Any, value: Any) -> bytes | None:
    """What is stored of a value; None for nothing."""
    try:
        return Codec(value_type, 0, how).encode(value)
    except (TypeError, ValueError, ArithmeticError, RecursionError):  # as the cache takes them
        return None


# --- what comes back ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("value_type", "values"), KEPT, ids=lambda one: None if isinstance(one, list) else str(one))
def test_a_hit_equals_the_miss_in_type_and_value(value_type: Any, values: list[Any], how: Any) -> None:
    """Values of these types are stored, and come back as themselves, all the way down."""
    codec = Codec(value_type, 0, how)
    for value in values:
        back = codec.decode(codec.encode(value))
        assert shape(back) == shape(value)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("value_type", "values"), REFUSED, ids=lambda one: None if isinstance(one, list) else str(one))
def test_what_would_come_back_as_another_is_not_stored(value_type: Any, values: list[Any], how: Any) -> None:
    """A value that is not of its loader's type, to the last field, raises and leaves nothing to store."""
    assert [value for value in values if stored(value_type, how, value) is not None] == []


def test_floats_that_json_does_not_have_are_stored_as_msgpack_only() -> None:
    """NaN and the infinities come back from MessagePack; JSON would make them null."""
    for value in (math.nan, math.inf, -math.inf):
        for value_type in (float, Any, float | None, list[float], Loose):
            whole = [value] if value_type == list[float] else Loose(value) if value_type is Loose else value
            assert stored(value_type, "json", whole) is None
            codec = Codec(value_type, 0, "msgpack")
            assert shape(codec.decode(codec.encode(whole))) == shape(whole)


atoms = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([2**53, 2**53 + 1, 2**63, 2**64 - 1, 0.0, -0.0, 1, 1.0, True, "1", b"1", "\ud800"])
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.binary(max_size=5)
    | st.decimals(allow_nan=False)
    | st.sampled_from([Decimal("NaN"), Decimal("sNaN")])
    | st.datetimes(timezones=st.sampled_from([None, UTC, PLUS, ZoneInfo("Europe/Paris")]))
    | st.sampled_from([Color.RED, Level.LOW, Text("a"), Number(1), UUID(int=1), timedelta(1)])
)
anything = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.booleans() | st.floats(allow_nan=False), inner, max_size=3)
        | st.builds(User, inner, inner, inner)
        | st.builds(Loose, inner, inner)
        | st.builds(Untyped, inner, inner)
        | st.builds(Post, inner, inner, inner)
        | st.builds(Vote, inner, inner)
    ),
    max_leaves=5,
)
TYPES: list[Any] = [value_type for value_type, _ in KEPT] + [
    list[Any],
    list[list[int]],
    dict[str, Any],
    list[float | None],
]


@given(st.sampled_from(TYPES), st.sampled_from(HOWS), anything)
@settings(max_examples=300)
def test_whatever_is_stored_comes_back_as_it_is(value_type: Any, how: Any, value: Any) -> None:
    """No value of any shape under any type is stored that would come back as another one."""
    data = stored(value_type, how, value)
    if data is not None:
        assert shape(Codec(value_type, 0, how).decode(data)) == shape(value)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(
    "value_type", [int, float, str, bool, bytes, Any, int | None, int | float, User, Loose, Untyped, list[User]]
)
@given(data=st.data())
@settings(max_examples=30)
def test_the_quick_look_is_right(value_type: Any, how: Any, data: st.DataObject) -> None:
    """Where a value is stored without reading it back, reading it back would have found the same."""
    simple = st.sampled_from([None, True, 1, 2**64 - 1, 1.0, -0.0, math.nan, math.inf, "a", "", b"a", (), [1]])
    rows = (
        st.builds(User, simple, simple, simple) | st.builds(Loose, simple, simple) | st.builds(Untyped, simple, simple)
    )
    value = data.draw(simple | rows | st.lists(rows, max_size=2))
    codec = Codec(value_type, 0, how)
    if codec._exact(value):
        assert shape(codec.decode(codec.encode(value))) == shape(value)


@given(anything, anything)
@settings(max_examples=100)
def test_same_tells_values_apart(one: Any, other: Any) -> None:
    """`same` never calls two values the same that differ anywhere in type or value."""
    try:
        found = same(one, other)
    except ArithmeticError:  # a Decimal that signals, and so is not stored
        return
    if found:
        assert shape(one) == shape(other)


# --- errors ---------------------------------------------------------------------------------------------------------


def test_what_would_change_says_what_it_is() -> None:
    """The error of a value that would come back as another one names its type."""
    with pytest.raises(Unfaithful, match="a tuple would not come back"):
        Codec(Any, 0, "msgpack").encode((1,))


@pytest.mark.parametrize("how", HOWS)
@given(st.binary(max_size=40))
def test_strange_bytes_are_no_value(how: Any, data: bytes) -> None:
    """Bytes that somebody else left raise a ValueError, or are a value of the loader's type; never anything else."""
    try:
        value = Codec(User, 0, how).decode(data)
    except ValueError:
        return
    assert type(value) is User
