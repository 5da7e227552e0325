"""The SQL of loaders as text and plain data: no database is imported here, and none is needed.

- Text is compared whole, so that what a reader sees here is what the database gets.
- What a database would answer is written down as rows.
"""

from __future__ import annotations

import ast
import datetime as dt
import decimal
import enum
import uuid
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchio._rows
import batchio._sql
from batchio._sql import MYSQL, SQLITE, Plan, key_check, key_function, select_plan, table_plan

DIALECTS = pytest.mark.parametrize("dialect", [SQLITE, MYSQL], ids=lambda dialect: dialect.name)


class Post(NamedTuple):
    id: int
    title: str


@dataclass(frozen=True)
class Card:
    id: int
    title: str
    upper: str = field(init=False, default="")


@dataclass(frozen=True, kw_only=True)
class Tag:
    id: int
    name: str = "argot"


class Badge(msgspec.Struct, frozen=True):
    id: int
    title: str


class KeywordBadge(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    title: str


class Colour(enum.IntEnum):
    RED = 1


def posts(**options: Any) -> Plan:
    """The plan of a loader on `posts`."""
    return table_plan(SQLITE, "posts", **{"key": "id", **options})


# --- text ---------------------------------------------------------------------------------------------------------


def test_one_key_is_one_placeholder() -> None:
    """A row loader selects its columns, and its key where that is not one of them."""
    assert posts(columns=("id", "title")).statement(1) == (
        'SELECT "posts"."id", "posts"."title" FROM "posts" WHERE "posts"."id" IN (?)'
    )
    assert posts(columns="title").statement(3) == (
        'SELECT "posts"."title", "posts"."id" AS "batchio_id" FROM "posts" WHERE "posts"."id" IN (?,?,?)'
    )


def test_without_columns_all_are_selected() -> None:
    """The key is selected once more under a name of ours, since nobody knows the names before the result."""
    assert posts().statement(1) == (
        'SELECT "posts".*, "posts"."id" AS "batchio_id" FROM "posts" WHERE "posts"."id" IN (?)'
    )


def test_mysql_has_its_own_quotes_placeholders_and_row_values() -> None:
    """A dialect changes the spelling, and nothing else."""
    plan = table_plan(MYSQL, "site.votes", key=("user_id", "post_id"), columns="value")
    assert plan.statement(2) == (
        "SELECT `votes`.`value`, `votes`.`user_id` AS `batchio_user_id`, `votes`.`post_id` AS `batchio_post_id`"
        " FROM `site`.`votes` WHERE (`votes`.`user_id`, `votes`.`post_id`) IN ((%s,%s),(%s,%s))"
    )


def test_composite_keys_of_sqlite_are_a_list_of_values() -> None:
    """SQLite has no other way to compare several columns with a list."""
    plan = table_plan(SQLITE, "votes", key=("user_id", "post_id"), columns=("user_id", "post_id"))
    assert plan.statement(2) == (
        'SELECT "votes"."user_id", "votes"."post_id" FROM "votes"'
        ' WHERE ("votes"."user_id", "votes"."post_id") IN (VALUES (?,?),(?,?))'
    )


def test_rows_come_in_their_order() -> None:
    """A minus is descending; several columns are a tuple."""
    plan = posts(many=True, columns=("id",), order_by=("-score", "id"))
    assert plan.statement(1).endswith('IN (?) ORDER BY "posts"."score" DESC, "posts"."id"')


def test_a_limit_counts_within_each_exact_key() -> None:
    """Neighbours that the column's collation calls equal must not use up a key's limit."""
    plan = table_plan(SQLITE, "comments", key="post_id", columns=("id",), many=True, order_by="-id", limit=20)
    assert plan.statement(1) == (
        'SELECT * FROM (SELECT "comments"."id", "comments"."post_id" AS "batchio_post_id", ROW_NUMBER() OVER '
        '(PARTITION BY typeof("comments"."post_id"), "comments"."post_id" COLLATE BINARY ORDER BY "comments"."id" DESC)'
        ' AS "batchio_n" FROM "comments" WHERE "comments"."post_id" IN (?)) AS "comments"'
        ' WHERE "batchio_n" <= 20 ORDER BY "batchio_n"'
    )


def test_a_row_with_an_order_is_the_first() -> None:
    """`row(order_by=...)` is a limit of one."""
    assert '"batchio_n" <= 1 ' in posts(order_by="-id").statement(1)


@pytest.mark.parametrize("limit", [0, -1, True, 2.0, "2", "1; DROP TABLE posts"])
def test_a_limit_is_a_number_of_rows(limit: Any) -> None:
    """A limit becomes text, so it must be a positive int."""
    with pytest.raises(ValueError, match="number of rows per key"):
        posts(many=True, order_by="id", limit=limit)


def test_a_limit_needs_an_order() -> None:
    """Nobody can want just any twenty rows."""
    with pytest.raises(ValueError, match="limit=20 without order_by"):
        posts(many=True, limit=20)


# --- your own SQL -------------------------------------------------------------------------------------------------


@DIALECTS
def test_keys_expand_where_they_stand(dialect: Any) -> None:
    """The text around `:keys` stays as it was written."""
    plan = select_plan(dialect, "SELECT a FROM t WHERE a IN :keys AND b = 1", key="a")
    mark = dialect.placeholder
    assert plan.statement(2) == f"SELECT a FROM t WHERE a IN ({mark},{mark}) AND b = 1"


HIDDEN_KEYS = {
    "string": "':keys'",
    "string with a quote": "'it''s :keys'",
    "quoted name": '":keys"',
    "backquoted name": "`:keys`",
    "line comment": "1 -- IN :keys ?\n",
    "block comment": "1 /* IN :keys ? \n 'it' */",
    "last comment": "1 -- :keys",
}


@DIALECTS
@pytest.mark.parametrize("text", HIDDEN_KEYS.values(), ids=HIDDEN_KEYS)
def test_strings_and_comments_are_not_looked_into(dialect: Any, text: str) -> None:
    """`:keys` there is text, and stays text."""
    plan = select_plan(dialect, f"SELECT a FROM t WHERE a IN :keys AND b = {text}", key="a")
    assert plan.statement(1) == f"SELECT a FROM t WHERE a IN ({dialect.placeholder}) AND b = {text}"


def test_each_dialect_has_its_own_strings_and_comments() -> None:
    """MySQL knows backslashes and `#`, SQLite knows brackets."""
    mysql = r"SELECT a FROM t WHERE b = 'it\'s :keys' AND a IN :keys # and :keys"
    assert select_plan(MYSQL, mysql, key="a").tail == " # and :keys"
    assert select_plan(SQLITE, "SELECT [:keys] FROM t WHERE a IN :keys", key="a").tail == ""


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("SELECT a FROM t", "has 0 places for :keys"),
        ("SELECT a FROM t WHERE a IN ':keys'", "has 0 places for :keys"),
        ("SELECT a FROM t WHERE b = 'IN :keys", "has 0 places for :keys"),
        ("SELECT a FROM t WHERE a IN :keys2", "has 0 places for :keys"),
        ("SELECT a FROM t WHERE a IN :keys OR b IN :keys", "has 2 places for :keys"),
        ("SELECT a FROM t WHERE a IN (:keys)", "straight after IN"),
        ("SELECT a FROM t WHERE a = :keys", "straight after IN"),
        ("SELECT a FROM t WHERE a NOT IN :keys", "straight after IN"),
        ("SELECT a FROM t WHERE a IN :keys AND b = :me", "has :me besides :keys"),
        ("SELECT a FROM t WHERE a IN :keys AND b = ?", r"has \? besides :keys"),
    ],
)
@DIALECTS
def test_sql_that_cannot_work_is_refused_at_definition(dialect: Any, sql: str, complaint: str) -> None:
    """Not at the first load, which may be in production."""
    with pytest.raises(ValueError, match=complaint):
        select_plan(dialect, sql, key="a")


def test_percent_is_doubled_only_where_the_driver_formats() -> None:
    """With `%s` the driver reads every `%` of the text."""
    sql = "SELECT a FROM t WHERE b LIKE 'x%' AND a IN :keys AND a % 2 = 0"
    assert select_plan(SQLITE, sql, key="a").statement(1) == sql.replace(":keys", "(?)")
    text = select_plan(MYSQL, sql, key="a").statement(2)
    assert text % (1, 2) == sql.replace(":keys", "(1,2)")


# --- identifiers --------------------------------------------------------------------------------------------------

PLAIN = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
HOSTILE = [
    "", " ", "a b", "a-b", "a;b", 'a"b', "a`b", "a'b", "a]b", "a\n", "a\0", "a--", "é", "\uff41", "*", "posts.*", "a,b",
    "id) OR 1=1 --", '"; DROP TABLE posts; --', "a.b.c", ".", "a.", "batchio_n", None, 1, b"id",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
@pytest.mark.parametrize("place", ["table", "key", "second key", "columns", "several columns", "order_by"])
@DIALECTS
def test_a_name_that_is_not_plain_is_refused(dialect: Any, name: Any, place: str) -> None:
    """Hostile names never become text, whichever option they come by."""
    if name is None and place in ("columns", "order_by"):
        return  # None is the absence of the option
    table = name if place == "table" else "posts"
    key = name if place == "key" else ("id", name) if place == "second key" else "id"
    options = {"columns": name, "several columns": ("id", name), "order_by": name}.get(place)
    given_as = {} if options is None else {place.removeprefix("several "): options}
    with pytest.raises(ValueError, match=r"ASCII letters|column's name|schema\.table"):
        table_plan(dialect, table, key=key, **given_as)


@given(st.text(max_size=12))
def test_every_name_is_refused_or_stands_in_quotes(name: str) -> None:
    """Whatever the name: the text around it does not depend on it."""
    try:
        text = table_plan(SQLITE, name, key=name, columns=name, order_by=name).statement(1)
    except ValueError:
        return
    assert all(set(part) <= PLAIN for part in name.split("."))
    plain = table_plan(SQLITE, "x", key="x", columns="x", order_by="x").statement(1)
    assert text.replace(f'"{name}"', '"x"') == plain


def test_a_column_is_named_once() -> None:
    """A list that names a column twice is a slip."""
    with pytest.raises(ValueError, match="twice"):
        posts(columns=("id", "id"))


# --- into ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("into", [Post, Card, Badge, KeywordBadge])
def test_into_reads_its_fields_by_name(into: Any) -> None:
    """NamedTuple, dataclass and Struct are all known by their fields; those that cannot be given are left out."""
    plan = posts(into=into)
    assert plan.statement(1) == 'SELECT "posts"."id", "posts"."title" FROM "posts" WHERE "posts"."id" IN (?)'
    (value,) = plan.collect([1], ("id", "title"), [(1, "Salut")]).values()
    assert type(value) is into
    assert (value.id, value.title) == (1, "Salut")
    assert plan.value_type is into


def test_columns_may_leave_out_fields_with_a_default() -> None:
    """The rest is built by keyword."""
    plan = table_plan(SQLITE, "tags", key="id", into=Tag, columns=("id",))
    assert plan.collect([1], ("id",), [(1,)]) == {1: Tag(id=1)}


@pytest.mark.parametrize("columns", ["title", ("title",), ("id", "title", "score")])
def test_columns_that_do_not_fit_into_are_refused(columns: Any) -> None:
    """A field without a default, a column that is no field, one bare column."""
    with pytest.raises(ValueError, match="does not fit into=Post"):
        posts(into=Post, columns=columns)


@pytest.mark.parametrize("into", [int, dict, object(), Post(1, "a"), Card(1, "a"), "Post"])
def test_into_is_a_class_with_fields(into: Any) -> None:
    """Nothing else says which columns it wants."""
    with pytest.raises(TypeError, match="give a NamedTuple, a dataclass or a msgspec Struct"):
        posts(into=into)


def test_into_with_a_field_that_is_no_plain_name_is_refused() -> None:
    """Python allows letters in a name that SQL text here does not."""
    accented = make_dataclass("accented", ["id", "été"])
    with pytest.raises(ValueError, match="'été'"):
        posts(into=accented)


# --- keys ---------------------------------------------------------------------------------------------------------

GOOD = [0, 1, -1, 2**63 - 1, -(2**63), "", "1", "é" * 200, "a\nb", "a\0b", "🦆", "x ", b"", b"\xff\x00"]
BAD = [
    True, False, None, 1.0, float("nan"), decimal.Decimal(1), uuid.UUID(int=1), dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.date(2026, 1, 1), "\ud800", bytearray(b"a"), memoryview(b"a"), (1,), [1], Colour.RED, 1j, object(), 2**64,
    -(2**63) - 1,
]  # fmt: skip


@DIALECTS
@pytest.mark.parametrize("key", GOOD, ids=lambda key: repr(key)[:12])
def test_exact_keys_pass_as_they_are(dialect: Any, key: Any) -> None:
    """An int of the database's range, text, bytes."""
    assert key_check(dialect, "posts", 1)(key) is key
    pair = (key, 1)
    assert key_check(dialect, "posts", 2)(pair) is pair


@DIALECTS
@pytest.mark.parametrize("key", BAD, ids=lambda key: f"{type(key).__name__} {str(key)[:4]!a}")
def test_any_other_key_is_a_type_error_that_teaches(dialect: Any, key: Any) -> None:
    """It names the loader, the type, and what to do."""
    for check, asked in ((key_check(dialect, "users", 1), key), (key_check(dialect, "users", 2), (1, key))):
        with pytest.raises(TypeError, match=rf"^users: this {type(key).__name__} cannot be a key: .* convert=str"):
            check(asked)


def test_unsigned_keys_are_a_matter_of_the_database() -> None:
    """MySQL has integers up to 2^64 - 1, SQLite has not."""
    assert key_check(MYSQL, "users", 1)(2**64 - 1) == 2**64 - 1
    with pytest.raises(TypeError, match="end at"):
        key_check(SQLITE, "users", 1)(2**63)


@pytest.mark.parametrize("key", [1, (1,), (1, 2, 3), [1, 2], "ab", None, Post(1, "a")])
def test_a_composite_key_is_a_tuple_of_its_length(key: Any) -> None:
    """A string of two letters is no pair."""
    with pytest.raises(TypeError, match="not a tuple of exactly 2"):
        key_check(SQLITE, "votes", 2)(key)


def test_an_error_about_a_key_does_not_show_it() -> None:
    """A loader may have show_keys=False; its messages end in logs."""
    with pytest.raises(TypeError) as caught:
        key_check(SQLITE, "users", 1)(decimal.Decimal(12345))
    assert "12345" not in str(caught.value)


def test_the_users_own_function_comes_first() -> None:
    """What it gives is checked like any key."""
    assert key_function(posts(), str)(uuid.UUID(int=0)) == "00000000-0000-0000-0000-000000000000"
    with pytest.raises(TypeError, match=r"sqlite:posts\.id: this float"):
        key_function(posts(), float)("1")


# --- statements for many keys -------------------------------------------------------------------------------------


@given(st.integers(0, 300), st.integers(1, 3), st.integers(1, 100))
def test_every_key_is_bound_and_no_statement_is_too_long(count: int, width: int, most: int) -> None:
    """Cut by the number of values; the fewest statements that can be."""
    keys = [key if width == 1 else (key,) * width for key in range(count)]
    plan = table_plan(SQLITE, "t", key=tuple("abc"[:width]), columns="x")
    statements = list(plan.statements(keys, most))
    fit = max(1, most // width)
    assert len(statements) == -(-count // fit)
    assert list(dict.fromkeys(value for _, values in statements for value in values)) == list(range(count))
    for text, values in statements:
        assert text.count("?") == len(values) <= fit * width


def test_a_batch_of_a_thousand_is_one_statement() -> None:
    """Statements are what our users count."""
    assert len(list(posts().statements(range(1000)))) == 1


@DIALECTS
def test_no_key_is_no_statement(dialect: Any) -> None:
    """`IN ()` is an error in MySQL, and a waste in SQLite."""
    assert list(table_plan(dialect, "t", key="a").statements([])) == []


def test_padding_gives_few_texts_and_repeats_the_last_key() -> None:
    """SQLite keeps prepared statements by their text; where nothing is kept, nothing is padded."""
    assert len({next(posts().statements(range(n)))[0] for n in range(1, 1001)}) == 11
    assert next(posts().statements([7, 8, 9]))[1] == [7, 8, 9, 9]
    assert next(table_plan(MYSQL, "t", key="a").statements([7, 8, 9]))[1] == [7, 8, 9]


@given(st.lists(st.one_of(st.text(), st.binary(), st.integers(-(2**63), 2**63 - 1)), min_size=1, unique=True))
def test_values_are_never_text(keys: list[Any]) -> None:
    """The text depends on how many keys there are, and on nothing in them."""
    ((text, values),) = posts().statements(keys)
    assert values[: len(keys)] == keys
    assert text == posts().statement(len(values))


# --- from rows to keys --------------------------------------------------------------------------------------------


def test_a_row_goes_to_the_key_of_its_type() -> None:
    """The database finds 1 for '1', and Python finds 1 for 1.0: neither is believed."""
    plan = posts(columns=("id", "title"))
    rows = [(1, "int"), ("1", "str"), (2.0, "float"), (b"3", "bytes"), (None, "null"), ("Ada", "neighbour")]
    assert plan.collect([1, 2, "3", "ada"], ("id", "title"), rows) == {1: (1, "int")}


def test_parts_of_a_composite_key_are_matched_by_type() -> None:
    """(1, 2.0) equals (1, 2) in Python, and is another key."""
    plan = table_plan(SQLITE, "votes", key=("a", "b"), columns="value")
    names = ("value", "batchio_a", "batchio_b")
    assert plan.collect([(1, 2), ("1", 2)], names, [(7, 1, 2.0), (8, "1", 2), (9, 1, "2")]) == {("1", 2): 8}


def test_rows_of_many_are_grouped_in_their_order() -> None:
    """Each key has a list of its own, those without rows too, and strangers' rows are in none."""
    plan = posts(columns="title", many=True)
    keys = [3, 1, 2, 4]
    rows = [("c", 1), ("b", 2), ("stranger", 1.0), ("a", 1)]
    answer = plan.collect(keys, ("title", "batchio_id"), rows)
    assert answer == {3: [], 1: ["c", "a"], 2: ["b"], 4: []}
    assert answer[3] is not answer[4]
    empty = plan.collect(keys, (), [])
    assert empty == {3: [], 1: [], 2: [], 4: []}
    assert empty[3] is not empty[4]


def test_two_rows_for_one_key_fail_that_key_only() -> None:
    """A loader of one row promises one: without an order, either could be the wrong one."""
    plan = posts(columns="title", name="titles")
    answer = plan.collect([1, 2], ("title", "batchio_id"), [("a", 1), ("b", 1), ("c", 2)])
    assert answer[2] == "c"
    assert isinstance(answer[1], ValueError)
    assert str(answer[1]).startswith("titles: the statement gives 2 rows for one key, where this loader promises one")


def test_a_neighbours_row_is_no_second_row() -> None:
    """Duplicates are counted among a key's own rows."""
    plan = posts(columns="title")
    assert plan.collect(["x"], ("title", "batchio_id"), [("own", "x"), ("neighbour", "X")]) == {"x": "own"}


def test_rows_without_a_class_are_named_tuples() -> None:
    """All columns when none are named; ours are not among them, and a name that cannot be a field has a number."""
    answer = posts().collect([1], ("id", "title", "count(*)", "batchio_id"), [(1, "a", 5, 1)])
    assert answer[1]._asdict() == {"id": 1, "title": "a", "_2": 5}
    assert posts(columns=("title",)).collect([1], ("title", "batchio_id"), [("a", 1)])[1]._asdict() == {"title": "a"}
    assert posts().collect([1], ("id", "batchio_id"), [(1, 1)])[1]._asdict() == {"id": 1}


def test_columns_of_your_own_sql_are_found_by_name() -> None:
    """In any place, and in the spelling that the table has."""
    plan = select_plan(SQLITE, "SELECT * FROM posts WHERE id IN :keys", key="id", into=Post)
    assert plan.collect([1], ("score", "Title", "ID"), [(9, "Salut", 1)]) == {1: Post(1, "Salut")}


@pytest.mark.parametrize(
    ("names", "complaint"), [(("title",), "no columns named id"), (("id", "ID", "id"), "2 columns named id")]
)
def test_a_result_without_its_key_says_so(names: tuple[str, ...], complaint: str) -> None:
    """Once, and by name: or rows would be matched by the wrong column."""
    plan = select_plan(SQLITE, "SELECT ... WHERE id IN :keys", key="id", name="mine")
    with pytest.raises(ValueError, match=f"^mine: the statement gives {complaint}; it gives {', '.join(names)}"):
        plan.collect([1], names, [(1,) * len(names)])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"into": Post}, Post),
        ({"into": Post, "many": True}, list[Post]),
        ({"columns": "title"}, Any),
        ({"columns": "title", "many": True}, list[Any]),
        ({}, Any),
    ],
)
def test_a_cache_is_told_the_type_of_values(options: Any, expected: Any) -> None:
    """As far as the definition knows it."""
    assert posts(**options).value_type == expected
    row = posts(columns=("id", "title")).value_type
    assert row._fields == ("id", "title")


def test_the_default_name_says_table_and_key() -> None:
    """It stands in errors and events, and can be another."""
    assert posts().name == "sqlite:posts.id"
    assert table_plan(MYSQL, "s.votes", key=("a", "b")).name == "mysql:s.votes.a,b"
    assert select_plan(SQLITE, "SELECT a FROM t WHERE a IN :keys", key="a").name == "sqlite:select.a"
    assert posts(name="mine").name == "mine"


@pytest.mark.parametrize("module", [batchio._sql, batchio._rows], ids=lambda module: module.__name__)
def test_the_pure_files_import_no_database(module: Any) -> None:
    """Nor asyncio, nor anything third-party: what two databases share knows neither."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    origins = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert plain | origins <= {
        "__future__", "batchio._rows", "collections", "collections.abc", "dataclasses", "functools", "inspect",
        "itertools", "operator", "re", "types", "typing",
    }  # fmt: skip
