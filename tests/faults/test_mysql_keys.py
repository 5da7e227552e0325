"""Faults 67 to 73: keys and values that MySQL would take for others, or for SQL, and a server that asks for files.

Rules:
- A key finds the rows that hold it, of its own type, and never a neighbour's; what cannot be a key is a TypeError.
- Whatever text a value is, a statement holds it as that text. Names come from definitions, and are plain or refused.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import math
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomysql
import asyncmy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import batchio
from batchio.mysql import Database
from tests.faults.helpers import answers
from tests.faults.stores import LOCAL_FILES, nobody, result


@pytest.fixture
async def db(mysql_url: str) -> AsyncIterator[Database]:
    """An empty database."""
    async with Database(mysql_url) as db:
        yield db


COLUMNS: dict[str, dict[Any, str]] = {  # what a column holds: the key that finds it, and how it is written
    "VARCHAR(20)": {text: f"'{text}'" for text in ("1", "01", "1abc", "abc", "0", "", "-1", "18446744073709551615")},
    "BIGINT": {n: str(n) for n in (0, 1, -1, 2**63 - 1, -(2**63))},
    "BIGINT UNSIGNED": {n: str(n) for n in (0, 1, 2**63, 2**64 - 1)},
    "VARBINARY(20)": {text: f"'{text.decode()}'" for text in (b"1", b"01", b"abc", b"0", b"")},
}
KEYS = [
    0, 1, -1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, "0", "1", "01", "1abc", "abc", "ABC", "", "-1", "1.0", "18446744073709551615",
    b"0", b"1", b"01", b"abc", b"ABC", b"", b"\xff",
]  # fmt: skip
NO_KEYS = [
    True, False, 1.0, 0.0, math.nan, decimal.Decimal(1), None, 2**64, -(2**63) - 1, dt.date(2020, 1, 1),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC), uuid.UUID(int=1), (1,), "\ud800", bytearray(b"1"),
]  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
async def test_fault_67_a_key_finds_its_own_row_and_never_a_neighbours(column: str, db: Database) -> None:
    """All in one batch and each alone: 0 does not find 'abc', nor 1 '1' or '01'; what is no key is refused at the load."""
    held = COLUMNS[column]
    await db.execute(f"CREATE TABLE t (k {column}, n INT)")
    for n, written in enumerate(held.values()):
        await db.execute(f"INSERT INTO t VALUES ({written}, {n})")
    numbers = db.row("t", key="k", columns="n", default=None)
    right = [[*held].index(key) if type(key) is type(next(iter(held))) and key in held else None for key in KEYS]
    assert await numbers.load_many(KEYS) == right
    assert [await numbers.load_many([key]) for key in KEYS] == [[n] for n in right]
    for key in NO_KEYS:
        with pytest.raises(TypeError):
            numbers(key)


TEXTS = [
    "alice", "ALICE", "Alice", "\xe9", "e", "E", "x", "x ", " x", "\xdf", "ss", "s", "\uff21", "A", "a", "😀", "😁",
    "\u0131", "i", "\u0130", "e\u0301", "\u0301e",
]  # fmt: skip


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_bin", "latin1_swedish_ci"])
async def test_fault_68_texts_that_a_collation_takes_for_one_are_two_keys(collation: str, db: Database) -> None:
    """Case, accents, trailing spaces, widths, emoji: each has its own rows, its own limit, and only its own."""
    character_set = collation.partition("_")[0]
    held = [text for text in dict.fromkeys(TEXTS) if character_set != "latin1" or fits(text)]
    await db.execute(f"CREATE TABLE t (k VARCHAR(20) CHARACTER SET {character_set} COLLATE {collation}, n INT)")
    for n, text in enumerate(held):
        await db.execute("INSERT INTO t VALUES (%s, %s), (%s, %s)", (text, n, text, n + 1000))
    first = db.row("t", key="k", columns="n", order_by="n", default=None)
    newest = db.rows("t", key="k", columns="n", order_by="-n", limit=1, name="newest")
    every = db.rows("t", key="k", columns="n", order_by="n", name="every")
    keys = [*dict.fromkeys(TEXTS)]
    places = [held.index(text) if text in held else None for text in keys]
    assert await first.load_many(keys) == places
    assert await newest.load_many(keys) == [[] if n is None else [n + 1000] for n in places]
    assert await every.load_many(keys) == [[] if n is None else [n, n + 1000] for n in places]


def fits(text: str) -> bool:
    """Whether a text is one of MySQL's latin1."""
    return all(ord(letter) < 256 for letter in text)


async def test_fault_69_two_rows_are_an_error_or_the_first_or_all_and_none_is_said(db: Database) -> None:
    """By how the loader was defined; an error is that key's alone, and its neighbours in the batch have their rows."""
    await db.execute("CREATE TABLE t (k INT, n INT)")
    await db.execute("INSERT INTO t VALUES (1, 10), (2, 21), (2, 20), (NULL, 0)")
    one, two, none = await answers(*map(db.row("t", key="k", columns="n"), [1, 2, 3]))
    assert one == 10
    assert isinstance(two, ValueError)
    assert "order_by" in str(two)
    assert isinstance(none, batchio.KeyNotFound)
    assert await db.row("t", key="k", columns="n", order_by="n", default=None).load_many([1, 2, 3]) == [10, 20, None]
    assert await db.rows("t", key="k", columns="n", order_by="n").load_many([1, 2, 3]) == [[10], [20, 21], []]


async def test_fault_70_no_keys_are_no_statement_and_no_connection() -> None:
    """Nor is anything sent for keys whose callers have left in time."""
    async with nobody(lambda sql: result(["id"])) as (server, url), Database(url) as db:
        loaders = [db.row("posts"), db.rows("posts", key="by"), db.row("votes", key=("a", "b"))]
        loaders.append(db.select("SELECT id FROM posts WHERE id IN :keys", key="id"))
        assert [await loader.load_many([]) for loader in loaders] == [[]] * 4
        loaders[0](1).cancel()
        await batchio.drain()
        assert (server.statements, server.flags) == ([], [])


HOSTILE = [
    "x') or 1=1 -- ", "'; DROP TABLE t; -- ", '"; DROP TABLE t; -- ', "\\'; DROP TABLE t; -- ", "\\", "\\\\'", "'", "''", '"', "`",
    "%s", "%(k)s", "%%", "%", ":keys", "?", "/*", "*/", "#", "-- ", "\0", "\x1a", "\n", "\r", "\t", "\b", "é'", "縗' OR 1=1 -- ",
    "\xbf' OR 1=1 -- ", "{0}", "$1", "😀'",
]  # fmt: skip


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"])
async def test_fault_71_a_value_is_never_a_piece_of_sql(mode: str, mariadb_server: Any, mysql_url: str) -> None:
    """As a key, alone and in a batch, and as a value of a write or a search: each comes back as it is, once."""
    pool = pool_of(mysql_url, init_command=f"SET sql_mode = '{mode}'")
    async with pool as opened, Database(pool=lambda: opened) as db:
        await db.execute("CREATE TABLE t (k VARCHAR(50) COLLATE utf8mb4_bin, n INT)")
        numbers = db.row("t", key="k", columns="n", default=None)
        pairs = db.row("t", key=("k", "n"), columns="n", default=None, name="pairs")
        assert await numbers.load_many(HOSTILE) == [None] * len(HOSTILE)
        for n, text in enumerate(HOSTILE):
            assert await db.execute("INSERT INTO t VALUES (%(k)s, %(n)s)", {"k": text, "n": n}) == 1
            assert await numbers(text) == n
            assert await db.fetch("SELECT k, n FROM t WHERE k = %s", (text,)) == [(text, n)]
        everything = [*range(len(HOSTILE))]
        assert await numbers.load_many(HOSTILE) == everything
        assert await pairs.load_many([*zip(HOSTILE, everything, strict=True)]) == everything
        for value in ({"k": 1}, ["x"], ("x",), {1}, object()):
            with pytest.raises(TypeError):
                await db.execute("INSERT INTO t VALUES (%s, 0)", (value,))
        assert await db.fetch("SELECT COUNT(*) FROM t") == [(len(HOSTILE),)]


def pool_of(url: str, **options: Any) -> Any:
    """A service's own pool of one connection."""
    parts = urlsplit(url)
    who = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    return aiomysql.create_pool(
        **who, db=parts.path[1:], charset="utf8mb4", minsize=0, maxsize=1, autocommit=True, **options
    )


PLAIN = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


@settings(deadline=None, max_examples=200)
@given(name=st.text(max_size=12) | st.sampled_from(["a b", "a`b", "a;b", "posts", "p.posts"]))
@example(name="posts` WHERE 1=1 -- ")
@example(name="posts.id.x")
@example(name="é")
@example(name="_batchio_")
@example(name="")
def test_fault_72_a_name_is_plain_or_refused(name: str) -> None:
    """As a table, a key, a column or an order: what is no plain name is an error when the loader is defined."""
    db = Database("mysql://me:secret@127.0.0.1:1/name")
    places: list[tuple[dict[str, Any], str]] = [
        ({"table": name}, name.replace(".", "", 1)),
        ({"table": "t", "key": name}, name),
        ({"table": "t", "key": ("a", name)}, name),
        ({"table": "t", "columns": name}, name),
        ({"table": "t", "order_by": name}, name.removeprefix("-")),
    ]
    for options, bare in places:
        try:
            db.row(**options)
        except ValueError:
            continue
        assert PLAIN.fullmatch(bare), f"{options} was taken"


async def test_fault_72_a_plain_name_may_be_a_word_of_sql(db: Database) -> None:
    """Names are quoted: a table `order` with the columns `select`, `group` and `1`."""
    await db.execute("CREATE TABLE `order` (`select` INT PRIMARY KEY, `group` INT, `1` INT)")
    await db.execute("INSERT INTO `order` VALUES (1, 2, 3)")
    assert await db.row("order", key="select", columns=("group", "1"), order_by="-group").load(1) == (2, 3)
    assert await db.rows("order", key=("select", "group"), columns="1", order_by="1", limit=1).load((1, 2)) == [3]


@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
async def test_fault_73_a_server_that_asks_for_a_file_is_sent_none(driver: str, tmp_path: Path) -> None:
    """Whatever it was asked itself: it hears nothing more on that connection, and its reader has an error."""
    secret = tmp_path / "secret"
    secret.write_text("for your eyes only")

    async with nobody(lambda sql: [b"\xfb" + str(secret).encode()]) as (server, url):
        pools = [] if driver == "aiomysql" else [await asyncmys(url)]
        async with Database(url) if not pools else Database(pool=lambda: pools[0]) as db:
            for ask in (db.fetch("SELECT 1"), db.execute("DELETE FROM posts"), db.row("posts").load(1)):
                with pytest.raises(Exception, match=r"local_infile|LOAD_LOCAL|Lost connection|read packet"):
                    await asyncio.wait_for(ask, 10)
            assert server.statements.count("DELETE FROM posts") == 1
            assert server.heard == b""
            assert not any(flags & LOCAL_FILES for flags in server.flags)
            before = len(server.flags)
            server.answer = lambda sql: result(["word"], ["fine"])
            assert await db.fetch("SELECT 2") == [("fine",)]
            assert len(server.flags) == before + 1, "a connection was used again on which a file was asked for"
        for pool in pools:
            pool.close()
            await pool.wait_closed()


async def asyncmys(url: str) -> Any:
    """A pool of the other driver."""
    port = urlsplit(url).port
    return await asyncmy.create_pool(
        host="127.0.0.1",
        port=port,
        user="me",
        password="secret",
        database="name",
        minsize=0,
        maxsize=2,
        autocommit=True,
    )
