"""What a stranger, a hasty statement or an odd pool could do to `batchio.mysql`, and what keeps them from it.

- `db` has one connection, so that whatever a statement leaves behind meets the next one.
- `shared` makes a Database on a service's pool of one connection, by either driver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import aiomysql
import asyncmy
import pytest

from batchio._charsets import refuse_encoding
from batchio._statements import RefusedError, bare
from batchio.mysql import Database

Shared = Callable[..., Awaitable[Database]]

DRIVERS = pytest.mark.parametrize("driver", [aiomysql, asyncmy], ids=["aiomysql", "asyncmy"])


@pytest.fixture
async def db(mysql_url: str) -> AsyncIterator[Database]:
    async with Database(mysql_url, pool_size=1) as made:
        yield made


def who(driver: Any, url: str) -> dict[str, Any]:
    """What a driver needs for a pool of one connection."""
    parts = urlsplit(url)
    named = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    name = {aiomysql: "db", asyncmy: "database"}[driver]
    return {name: parts.path[1:], "autocommit": True, "minsize": 0, "maxsize": 1, **named}


@pytest.fixture
async def shared(mysql_url: str) -> AsyncIterator[Shared]:
    pools: list[Any] = []

    async def make(driver: Any, **options: Any) -> Database:
        pools.append(await driver.create_pool(**who(driver, mysql_url), **options))
        return Database(pool=lambda: pools[-1])

    yield make
    for pool in pools:
        pool.close()
        await pool.wait_closed()


# --- what a connection must be ------------------------------------------------------------------------------------


@DRIVERS
@pytest.mark.parametrize(
    ("charset", "setting"),
    [
        ("sjis", None),  # Python writes a yen sign as 0x5C there, which the server takes for a backslash
        ("ujis", None),
        ("gbk", None),
        ("utf8mb4", "SET NAMES gbk"),  # the last byte of an ellipsis and a backslash are one sign there
        ("utf8mb4", "SET NAMES sjis"),
    ],
)
async def test_a_charset_in_which_a_value_could_leave_its_quotes_is_refused(
    driver: Any, charset: str, setting: str | None, db: Database, shared: Shared
) -> None:
    """The driver's own or the session's, before any statement: for loads, reads and writes."""
    await db.execute("CREATE TABLE secrets (id INT, name VARCHAR(50))")
    await db.execute("INSERT INTO secrets VALUES (1, 'a'), (2, 'b')")
    odd = await shared(driver, charset=charset, init_command=setting)
    for value in ("\xa5' OR 1=1 -- ", "\u2026\\"):
        for asked in (
            odd.execute("DELETE FROM secrets WHERE name = %s", (value,)),
            odd.fetch("SELECT id FROM secrets WHERE name = %s", (value,)),
            odd.row("secrets", key="name", columns="id", default=None).load(value),
        ):
            with pytest.raises(RuntimeError, match="charset='utf8mb4'"):
                await asked
    assert await db.fetch("SELECT COUNT(*) FROM secrets") == [(2,)]


@DRIVERS
@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "ascii"])
async def test_a_charset_in_which_none_can_is_taken(driver: Any, charset: str, shared: Shared) -> None:
    """Whatever the value, it is a value."""
    for setting in (None, f"SET NAMES {charset.replace('mb4', 'mb3')}"):
        safe = await shared(driver, charset=charset, init_command=setting)
        for value in ("' OR 1=1 -- ", "\\' OR 1=1 -- ", "\\"):
            assert await safe.fetch("SELECT %s", (value,)) == [(value,)]
        await safe.close()


@pytest.mark.parametrize("connection", [object(), type("Odd", (), {"encoding": "no such"})()])
def test_a_connection_that_names_no_known_encoding_is_refused(connection: Any) -> None:
    """Nobody can say how its statements would be read."""
    with pytest.raises(RefusedError, match="the driver encodes statements as"):
        refuse_encoding(connection)


async def test_a_charset_that_changes_under_a_pool_is_noticed(mysql_url: str) -> None:
    """Each connection's encoding is looked at each time, and not only the first one's."""
    async with aiomysql.create_pool(**who(aiomysql, mysql_url)) as pool, Database(pool=lambda: pool) as db:
        assert await db.fetch("SELECT 1") == [(1,)]
        async with pool.acquire() as connection:
            await connection.set_charset("sjis")
        with pytest.raises(RuntimeError, match="the driver encodes statements as sjis"):
            await db.fetch("SELECT 1")


async def test_a_mode_that_pads_texts_is_refused(shared: Shared) -> None:
    """Under PAD_CHAR_TO_FULL_LENGTH no key would find its row by a CHAR column."""
    odd = await shared(aiomysql, init_command="SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'")
    with pytest.raises(RuntimeError, match="no key finds its rows"):
        await odd.fetch("SELECT 1")


@DRIVERS
async def test_a_key_that_the_charset_lacks_harms_no_other_key(driver: Any, db: Database, shared: Shared) -> None:
    """A visitor's emoji is a key without a row, alone and in a batch; its connection is as good as before."""
    await db.execute("CREATE TABLE people (name VARCHAR(50) CHARACTER SET utf8mb4, age INT)")
    await db.execute("INSERT INTO people VALUES ('Ada', 36), ('Zoé', 7)")
    latin = await shared(driver, charset="latin1")
    age = latin.row("people", key="name", columns="age", default=None)
    before = await latin.fetch("SELECT CONNECTION_ID()")
    assert await age.load_many(["Ada", "\U0001f600", "Zoé", "\x81"]) == [36, None, 7, None]
    assert await age("\U0001f40c") is None
    assert await latin.fetch("SELECT CONNECTION_ID()") == before


@DRIVERS
async def test_a_value_that_the_charset_lacks_is_not_shown(driver: Any, shared: Shared) -> None:
    """The driver's own error would carry the statement, with all its values."""
    latin = await shared(driver, charset="latin1")
    with pytest.raises(ValueError, match="not in its connection's encoding, cp1252") as caught:
        await latin.fetch("SELECT %s, %s", ("hunter2", "\U0001f600"))
    assert "hunter2" not in repr(caught.value) + repr(caught.value.__context__)
    assert not isinstance(caught.value, UnicodeError)


# --- sessions -----------------------------------------------------------------------------------------------------


CHANGES = [
    "/* from: reports */ SET time_zone = '+05:00'",
    "-- reports\n SET time_zone = '+05:00'",
    "# reports\nSET time_zone = '+05:00'",
    "/*!40101 SET time_zone = '+05:00' */",
    "/*!40101 SET /* a word */ time_zone = '+05:00' */;",
    "/*M!100100 SET time_zone = '+05:00' */",
    "EXECUTE IMMEDIATE 'SET time_zone = \"+05:00\"'",
    "BEGIN NOT ATOMIC SET time_zone = '+05:00'; SET @mine = 1; END",
    "SELECT @mine := 1",
    "SELECT 1 INTO @mine",
    "DO @mine := 1",
]


async def test_a_session_that_was_changed_is_changed_for_nobody(db: Database) -> None:
    """However the statement begins, whatever it calls its change."""
    for sql in CHANGES:
        await db.execute(sql)
        assert await db.fetch("SELECT @@time_zone AS zone, @mine AS mine") == [("SYSTEM", None)], sql


async def test_a_comment_costs_no_connection(db: Database) -> None:
    """Words in strings, comments and names change no session."""
    before = await db.fetch("SELECT CONNECTION_ID()")
    await db.execute("/* SET */ SELECT 'a := b' AS `set`, \"INTO @x\" -- := ;\n")
    assert await db.fetch("SELECT CONNECTION_ID()") == before


OF_CONNECTION = [
    "SELECT LAST_INSERT_ID()", "SELECT last_insert_id ( )", "SELECT @@last_insert_id", "SELECT @@session.identity",
    "SELECT GET_LOCK('a job for one', 0)", "SELECT `GET_LOCK`('a', 0)", "SELECT GET_LOCK /* x */ ('a', 0)",
    "SELECT 1 /*! , GET_LOCK('a', 0) */", "DO RELEASE_LOCK('a')", "DO RELEASE_ALL_LOCKS()", "SELECT ROW_COUNT()",
    "SELECT FOUND_ROWS()", "INSERT INTO t (who) VALUES (LAST_INSERT_ID())",
]  # fmt: skip


async def test_what_belongs_to_a_connection_is_refused(db: Database) -> None:
    """Two tasks would both hold the lock, and each be given the other's id."""
    await db.execute("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, who TEXT)")
    for run, sql in product((db.fetch, db.execute), OF_CONNECTION):
        with pytest.raises(RuntimeError, match=r"belongs to a connection.*RETURNING.*connection of your own"):
            await run(sql)
    assert await db.fetch("INSERT INTO t (who) VALUES ('Ada') RETURNING id") == [(1,)]


async def test_such_a_name_is_no_call(db: Database) -> None:
    """In a string, in a comment, as a column, in a routine, whose statements share a connection."""
    await db.execute("CREATE TABLE t (row_count INT, s TEXT) /* GET_LOCK('x', 0) */")
    await db.execute("INSERT INTO t VALUES (1, 'LAST_INSERT_ID()') -- FOUND_ROWS()")
    assert await db.fetch('SELECT row_count, s, "ROW_COUNT()" FROM t # GET_LOCK()') == [
        (1, "LAST_INSERT_ID()", "ROW_COUNT()")
    ]
    await db.execute("CREATE FUNCTION newest() RETURNS BIGINT RETURN LAST_INSERT_ID()")


# --- one statement ------------------------------------------------------------------------------------------------


@DRIVERS
async def test_two_statements_in_one_are_refused(driver: Any, db: Database, shared: Shared) -> None:
    """The second one's outcome would be nobody's, and a text that begins with SELECT is sent twice."""
    await db.execute("CREATE TABLE t (id INT PRIMARY KEY)")
    insert = "; INSERT INTO t VALUES (1)"
    for run, more in product((db.fetch, (await shared(driver)).execute), (insert, f";{insert}", f"/*! {insert} */")):
        with pytest.raises(RuntimeError, match="several statements"):
            await run(f"SELECT 1{more}")
    assert await db.fetch("SELECT * FROM t;") == []


async def test_a_semicolon_is_not_yet_a_second_statement(db: Database) -> None:
    """At the end, in a string, in a name, in a comment, in a routine."""
    assert await db.fetch("SELECT ';a', \"';\" AS `a;b` /* ; x */ ; -- ; x\n ; ") == [(";a", "';")]
    await db.execute("CREATE OR REPLACE DEFINER = CURRENT_USER PROCEDURE p() BEGIN DO 1; DO 2; END")
    await db.execute("CALL p()")


def test_a_loader_of_two_statements_is_refused() -> None:
    """When it is defined; a semicolon at its end is none."""
    db = Database("mysql://me@127.0.0.1:1/name")
    db.select("SELECT ';x' AS s, `a;b` AS id FROM t WHERE id IN :keys ; -- ; x", key="id")
    with pytest.raises(ValueError, match="several statements"):
        db.select("SELECT id FROM t WHERE id IN :keys; DELETE FROM t", key="id")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ('SELECT \'a\\\'b;\', "c""d"', 'SELECT \'\', """"'),
        ("a/* b */c-- d\ne #f", "a c \ne  "),
        ("a--b", "a--b"),
        ("2*/*c*/3 `d` `e;f`", "2* 3 d ``"),
        ("/*!50000 a '*/' /* b */ c */ d", "   a ''   c   d"),
        ("/*!1*/*2; a /*!", "    *2; a   "),
        ("'open; a", "''"),
    ],
)
def test_words_are_what_the_server_reads(sql: str, words: str) -> None:
    """Strings are empty, comments a space; what is conditional is no comment."""
    assert bare(sql).split() == words.split()


# --- columns that no key equals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "key"),
    [
        ("DECIMAL(10,0)", "5", 5), ("DECIMAL(10,2)", "'5.50'", "5.50"), ("DOUBLE", "5", 5), ("FLOAT", "5", 5),
        ("DATE", "'2026-01-02'", "2026-01-02"), ("DATETIME", "'2026-01-02 03:04:05'", "2026-01-02 03:04:05"),
        ("TIMESTAMP", "'2026-01-02 03:04:05'", "2026-01-02 03:04:05"), ("TIME", "'03:04:05'", "03:04:05"),
        ("BIT(8)", "5", 5), ("POINT", "POINT(1, 1)", b"x"),
    ],
)  # fmt: skip
async def test_a_column_that_no_key_equals_is_refused(db: Database, column: str, value: str, key: Any) -> None:
    """With its rows there or not: else they would be a default, an empty list or KeyNotFound."""
    await db.execute(f"CREATE TABLE t (k {column}, one INT, v INT)")
    kind = column.partition("(")[0].replace("POINT", "GEOMETRY")
    for _ in range(2):
        for loader, asked in (
            (db.row("t", key="k", columns="v", default=0), key),
            (db.rows("t", key=("one", "k"), columns="v"), (1, key)),
            (db.select("SELECT k AS mine, v FROM t WHERE k IN :keys", key="mine", many=True), key),
        ):
            with pytest.raises(TypeError, match=rf"column (k|mine) is a {kind}, and no key is.*CAST"):
                await loader(asked)
        await db.execute(f"INSERT INTO t VALUES ({value}, 1, 9)")


KEYS: list[tuple[str, str, Any]] = [
    ("TINYINT", "5", 5), ("YEAR", "2026", 2026), ("BOOL", "1", 1), ("CHAR(5)", "'x'", "x"), ("LONGTEXT", "'x'", "x"),
    ("ENUM('x','y')", "'y'", "y"), ("SET('x','y')", "'x,y'", "x,y"), ("VARBINARY(9)", "'x'", b"x"),
    ("LONGBLOB", "'x'", b"x"),
]  # fmt: skip


async def test_integers_texts_and_bytes_are_keys(db: Database) -> None:
    """Of all sizes, enumerations too."""
    for column, value, key in KEYS:
        await db.execute(f"CREATE OR REPLACE TABLE t (k {column}, v INT)")
        await db.execute(f"INSERT INTO t VALUES ({value}, 9)")
        assert await db.row("t", key="k", columns="v", default=0)(key) == 9, column


async def test_a_cast_makes_any_column_a_key(db: Database) -> None:
    """As the error says."""
    await db.execute("CREATE TABLE t (day DATE, v INT)")
    await db.execute("INSERT INTO t VALUES ('2026-01-02', 9)")
    sql = "SELECT CAST(day AS CHAR) AS day, v FROM t WHERE CAST(day AS CHAR) IN :keys"
    assert await db.select(sql, key="day", columns="v")("2026-01-02") == 9


# --- params -------------------------------------------------------------------------------------------------------


async def test_params_that_are_no_sequence_are_refused(db: Database) -> None:
    """Not taken for none, nor in an order that nobody chose."""
    odd: list[Any] = [1, 0, None, {1}, "x", b"x"]
    for params in odd:
        with pytest.raises(TypeError, match=rf"params is a {type(params).__name__}: write a tuple"):
            await db.fetch("SELECT %s", params)
