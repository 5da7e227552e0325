"""Values as MySQL's text, without a server: what a literal looks like, and which statements and values are refused.

That a real server reads each literal as the value it was made of is tested in test_mysql.py.
"""

from __future__ import annotations

import ast
import datetime as dt
import decimal
import enum
import re
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchio._literals
from batchio._literals import filled, key_statements, text_literal, value_literal
from batchio._sql import MYSQL, select_plan, table_plan

fill = partial(filled, literal=partial(value_literal, plain_backslash=False))

# How the server reads a string in each of its modes.
READ = {
    False: re.compile(r"'(?:[^'\\]|\\.|'')*'", re.DOTALL),
    True: re.compile(r"'(?:[^']|'')*'"),
}


class Colour(enum.StrEnum):
    """An enum as services have them."""

    RED = "r'd"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans(), st.booleans())
def test_no_text_leaves_its_quotes(text: str, told: bool, real: bool) -> None:
    """Whatever the server's mode is, and whatever we were told of it."""
    literal = text_literal(text, plain_backslash=told).removeprefix("_utf8mb4 X")
    assert READ[real].fullmatch(literal)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_read_as_it_was(text: str) -> None:
    """By a server of the mode that we were told of."""
    escaped = text_literal(text, plain_backslash=False)[1:-1]
    assert re.sub(r"\\(.)", r"\1", escaped.replace("''", "'"), flags=re.DOTALL) == text
    plain = text_literal(text, plain_backslash=True)
    if plain.startswith("_utf8mb4 X"):
        assert bytes.fromhex(plain[len("_utf8mb4 X'") : -1]).decode() == text
    else:
        assert plain[1:-1].replace("''", "'") == text


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "NULL"),
        (True, "1"),
        (-7, "-7"),
        (1.5, "1.5e0"),
        (1e300, "1e+300"),
        (decimal.Decimal("1E+2"), "100"),
        ("it's", "'it''s'"),
        (Colour.RED, "'r''d'"),
        (b"'\0", "UNHEX('2700')"),
        (bytearray(b""), "UNHEX('')"),
        (dt.datetime(2026, 3, 1, 12, 0, 0, 5), "'2026-03-01 12:00:00.000005'"),  # noqa: DTZ001
        (dt.date(2026, 3, 1), "'2026-03-01'"),
        (dt.time(1, 2, 3), "'01:02:03'"),
        (dt.timedelta(days=2, seconds=1), "'48:00:01.000000'"),
        (-dt.timedelta(minutes=1, microseconds=1), "'-00:01:00.000001'"),
    ],
)
def test_each_kind_of_value_has_its_text(value: Any, literal: str) -> None:
    """As MySQL writes it."""
    assert value_literal(value, plain_backslash=False) == literal


@pytest.mark.parametrize(
    ("value", "error", "complaint"),
    [
        (float("nan"), ValueError, "nan"),
        (decimal.Decimal("inf"), ValueError, "inf"),
        ("secret\ud800", ValueError, "lone surrogate"),
        (dt.datetime(2026, 3, 1, tzinfo=dt.UTC), TypeError, "with a time zone"),
        (dt.time(1, tzinfo=dt.UTC), TypeError, "with a time zone"),
        (uuid.UUID(int=1), TypeError, "a UUID cannot be sent"),
        (["secret"], TypeError, "a list cannot be sent"),
        ({"secret": 1}, TypeError, "a dict cannot be sent"),
    ],
)
def test_what_the_database_cannot_hold_is_refused(value: Any, error: type[Exception], complaint: str) -> None:
    """With its type and not its value: nothing is guessed."""
    with pytest.raises(error, match=complaint) as caught:
        fill("SELECT %s", (value,))
    assert "secret" not in repr(caught.value)


@pytest.mark.parametrize(
    ("sql", "params", "text"),
    [
        ("SELECT 'a%' LIKE '%s'", (), "SELECT 'a%' LIKE '%s'"),
        ("SELECT %s, 'a%', 'b%%', `c%%`, 7 % 2 -- d%%", (1,), "SELECT 1, 'a%', 'b%', `c%`, 7 % 2 -- d%"),
        ("SELECT %(a)s, %(b)s, %(a)s", {"a": 1, "b": "%(a)s", "c": 3}, "SELECT 1, '%(a)s', 1"),
        ("SELECT %s, %s", ["%s", "%%"], "SELECT '%s', '%%'"),
        (r"SELECT 'it\'s' = %s, '''' = %s", (1, 2), r"SELECT 'it\'s' = 1, '''' = 2"),
    ],
)
def test_values_take_their_places(sql: str, params: Any, text: str) -> None:
    """In turn, or by name; without params a statement stays as it is."""
    assert fill(sql, params) == text


@pytest.mark.parametrize(
    ("sql", "params", "error", "complaint"),
    [
        ("SELECT %s", (1, 2), ValueError, "1 places for values, which do not fit the 2 params"),
        ("SELECT %s, %s", (1,), ValueError, "2 places"),
        ("SELECT %(a)s", {"b": 1}, ValueError, "1 places"),
        ("SELECT %(a)s", (1,), ValueError, "1 places"),
        ("SELECT %s", {"a": 1}, ValueError, "1 places"),
        ("SELECT '%s'", (1,), ValueError, "in quotes or in a comment"),
        ("SELECT 1 -- %s", (1,), ValueError, "in quotes or in a comment"),
        ("SELECT /* %(a)s */ 1", {"a": 1}, ValueError, "in quotes or in a comment"),
        ("SELECT `%s`", ("id",), ValueError, "in quotes or in a comment"),
        ("SELECT %s", "x", TypeError, "params is a str"),
        ("SELECT %s", b"x", TypeError, "params is a bytes"),
    ],
)
def test_places_that_do_not_fit_are_refused(sql: str, params: Any, error: type[Exception], complaint: str) -> None:
    """A value between quotes would leave them."""
    with pytest.raises(error, match=complaint):
        fill(sql, params)


# --- the statements of a loader -----------------------------------------------------------------------------------


def test_an_int_is_in_quotes_until_its_column_is_known() -> None:
    """Beside a text column a bare 0 would be equal to every name."""
    plan = select_plan(MYSQL, "SELECT a, b FROM t WHERE (a, b) IN :keys AND c LIKE 'x%'", key=("a", "b"))
    write = partial(key_statements, plan, max_bytes=1000, plain_backslash=False)
    (sql, asked), = write([(1, "x"), (2, "y")])[0]  # fmt: skip
    assert sql == "SELECT a, b FROM t WHERE (a, b) IN (('1','x'),('2','y')) AND c LIKE 'x%'"
    assert asked == [(1, "x"), (2, "y")]
    plan.whole[0] = True
    assert "((1,'x'))" in write([(1, "x")])[0][0][0]


@given(
    st.lists(st.integers(0, 10**6) | st.text("aé🦆'\\", max_size=30) | st.binary(max_size=20), unique=True),
    st.integers(60, 200),
)
def test_statements_are_short_enough_and_ask_for_every_key_once(keys: list[Any], room: int) -> None:
    """Or the key is said to be too long; texts and bytes are never in one list."""
    plan = table_plan(MYSQL, "t", key="k", columns="v")
    statements, too_long = key_statements(plan, keys, max_bytes=room, plain_backslash=False)
    asked = [key for _, part in statements for key in part]
    assert sorted(map(repr, asked + too_long)) == sorted(map(repr, keys))
    for sql, part in statements:
        assert part
        assert len(sql.encode()) <= room
        assert len({type(key) is bytes for key in part}) == 1
    alone = [key_statements(plan, [key], max_bytes=room, plain_backslash=False)[1] for key in keys]
    assert sorted(map(repr, (key for found in alone for key in found))) == sorted(map(repr, too_long))


def test_a_long_batch_is_cut_by_count_too() -> None:
    """An optimizer gives up indexes for lists without end."""
    plan = table_plan(MYSQL, "t", key=("a", "b"))
    statements, _ = key_statements(plan, [(i, i) for i in range(12_000)], max_bytes=10**9, plain_backslash=False)
    assert [len(part) for _, part in statements] == [5000, 5000, 2000]


def test_this_file_imports_no_driver() -> None:
    """Nor asyncio: it is text and plain data."""
    tree = ast.parse(Path(batchio._literals.__file__).read_text(encoding="utf-8"))
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    origins = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert plain | origins <= {
        "__future__", "batchio._sql", "collections.abc", "datetime", "decimal", "itertools", "math", "re", "typing",
    }  # fmt: skip
