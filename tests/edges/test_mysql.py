"""`batchio.mysql` on a real server: whose row a key gets, what values and statements may be, what a dsn says.

- `db` is a Database with an address, on aiomysql; for tests marked BOTH once more one with a pool of asyncmy's.
- Property tests run a loop of their own for each example, on a table that is made once for each test.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import aiomysql
import asyncmy
import asyncmy.cursors
import msgspec
import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchio._core.errors import KeyNotFound
from batchio._core.loader import Loader
from batchio.mysql import Database

PLAIN_BACKSLASH = "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'"
FEW = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pool_of(driver: Any, url: str, **options: Any) -> Callable[[], Any]:
    """What a service gives as `pool=`: the driver's pool for a dsn."""
    parts = urlsplit(url)
    name = {aiomysql: "db", asyncmy: "database"}[driver]
    who = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    return lambda: driver.create_pool(**{"autocommit": True, "minsize": 0, name: parts.path[1:], **who, **options})


class Service:
    """A service that has a pool, and closes it."""

    def __init__(self, driver: Any, url: str, **options: Any) -> None:
        self.make = pool_of(driver, url, **options)
        self.pool: Any = None

    async def __call__(self) -> Any:
        assert self.pool is None, "asked for twice in one loop"
        self.pool = await self.make()
        return self.pool

    async def close(self) -> None:
        """Close the pool, if it was ever made."""
        if self.pool is not None:
            self.pool.close()
            await self.pool.wait_closed()


@pytest.fixture
async def db(request: pytest.FixtureRequest, mysql_url: str) -> AsyncIterator[Database]:
    """An empty database, on aiomysql unless a test says otherwise."""
    service = Service(asyncmy, mysql_url)
    async with Database(pool=service) if getattr(request, "param", "") == "asyncmy" else Database(mysql_url) as db:
        yield db
    await service.close()


BOTH = pytest.mark.parametrize("db", ["aiomysql", "asyncmy"], indirect=True)


async def with_posts(db: Database) -> Database:
    """Give it a table of three posts."""
    await db.execute("CREATE TABLE posts (id BIGINT UNSIGNED PRIMARY KEY, title VARCHAR(50), score INT)")
    await db.execute("INSERT INTO posts VALUES (1, 'un', 10), (2, 'deux', 30), (3, 'trois', 20)")
    return db


class Post(NamedTuple):
    id: int
    title: str


@dataclass(frozen=True)
class Scored:
    id: int
    score: int


class Record(msgspec.Struct, frozen=True):
    title: str
    score: int


# --- loaders ------------------------------------------------------------------------------------------------------


@BOTH
async def test_rows_become_what_the_definition_says(db: Database) -> None:
    """A named tuple, an object of the class, the bare value."""
    await with_posts(db)
    assert await db.row("posts", into=Post)(2) == Post(2, "deux")
    assert await db.row("posts", into=Scored)(2) == Scored(2, 30)
    assert await db.row("posts", into=Record)(2) == Record("deux", 30)
    assert await db.row("posts", columns="title")(2) == "deux"
    assert (await db.row("posts")(2))._asdict() == {"id": 2, "title": "deux", "score": 30}
    with pytest.raises(KeyNotFound):
        await db.row("posts", into=Post)(4)


@BOTH
async def test_rows_are_a_list_for_every_key(db: Database) -> None:
    """In their order, cut at their limit, empty where there are none."""
    await db.execute("CREATE TABLE comments (id INT PRIMARY KEY AUTO_INCREMENT, post_id INT, text TEXT)")
    await db.execute("INSERT INTO comments (post_id, text) VALUES (1,'a'), (2,'b'), (1,'c'), (1,'d')")
    newest = db.rows("comments", key="post_id", columns="text", order_by="-id", limit=2)
    everything = db.rows("comments", key="post_id", columns=("id", "text"), order_by="id")
    assert await newest.load_many([1, 2, 3]) == [["d", "c"], ["b"], []]
    assert await everything.load_many([3, 1]) == [[], [(1, "a"), (3, "c"), (4, "d")]]


async def test_your_own_sql_is_a_loader(db: Database) -> None:
    """One row per key, or many; what stands in a string stays there, percent signs too."""
    await with_posts(db)
    sql = "SELECT id, CONCAT(title, ':keys %s%') AS title FROM posts WHERE id % 2 = 1 AND id IN :keys # of :keys"
    assert await db.select(sql, key="id", into=Post)(1) == Post(1, "un:keys %s%")
    by_length = db.select(
        "SELECT CHAR_LENGTH(title) AS n, title FROM posts WHERE CHAR_LENGTH(title) IN :keys ORDER BY id",
        key="n", columns="title", many=True,
    )  # fmt: skip
    assert await by_length.load_many([5, 1, 2]) == [["trois"], [], ["un"]]


async def test_two_rows_for_one_key_are_an_error_or_the_first(db: Database) -> None:
    """The error is that key's alone; a stated order makes the first one right."""
    await with_posts(db)
    await db.execute("INSERT INTO posts VALUES (4, 'un', 40)")
    found = await db.row("posts", key="title", columns="score").load_many(["un", "deux"], return_exceptions=True)
    assert isinstance(found[0], ValueError)
    assert found[1] == 30
    best = db.row("posts", key="title", columns="score", order_by="-score")
    assert await best.load_many(["un", "deux"]) == [40, 30]


@BOTH
async def test_a_batch_is_one_select_and_nothing_else_is(db: Database, mariadb_server: Any) -> None:
    """Counted at the server: neither the connection's opening nor its facts are a SELECT; no key is no statement."""
    await with_posts(db)
    titles = db.row("posts", columns="title", default="")
    before = selects(mariadb_server)
    assert await titles.load_many([]) == []
    assert selects(mariadb_server) == before
    assert await titles.load_many(range(1, 1001)) == ["un", "deux", "trois"] + [""] * 997
    assert selects(mariadb_server) == before + 1


def selects(server: Any) -> int:
    """How many SELECTs the server has run."""
    return int(server.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1])


@BOTH
async def test_a_thousand_pairs_are_found(db: Database) -> None:
    """By the first batch, which does not know the columns' types yet, and by the second, which does."""
    await db.execute("CREATE TABLE votes (user_id INT, post_id BIGINT, value INT, PRIMARY KEY (user_id, post_id))")
    await db.execute("INSERT INTO votes SELECT 7, seq, seq * 2 FROM seq_0_to_998")
    votes = db.row("votes", key=("user_id", "post_id"), columns="value", default=0)
    keys = [(7, i) for i in range(999)] + [(8, 1)]
    for _ in range(2):
        assert await votes.load_many(keys) == [*range(0, 1998, 2), 0]


@BOTH
async def test_a_long_list_with_the_ends_of_the_integers(db: Database) -> None:
    """Each batch finds them: as the first one sends them, and as all others do."""
    ends = [-(2**63), -1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
    await db.execute("CREATE TABLE low (id BIGINT PRIMARY KEY)")
    await db.execute("CREATE TABLE high (id BIGINT UNSIGNED PRIMARY KEY)")
    await db.execute("INSERT INTO low VALUES (%s), (%s), (%s), (%s)", ends[:4])
    await db.execute("INSERT INTO high VALUES (%s), (%s), (%s), (%s)", ends[2:])
    low, high = (db.row(table, columns="id", default=None) for table in ("low", "high"))
    for _ in range(2):
        found = await asyncio.gather(*(table.load_many(ends + list(range(1, 1100))) for table in (low, high)))
        assert found[0][:6] == [*ends[:4], None, None]
        assert found[1][:6] == [None, None, *ends[2:]]


async def test_an_int_does_not_fetch_a_table_of_names(mysql_url: str, mariadb_server: Any) -> None:
    """`name IN (0)` is true for every name that is no number; the server reads one row at most, and sends none."""
    async with Database(mysql_url) as db:
        await db.execute("CREATE TABLE users (id INT PRIMARY KEY, name VARCHAR(50), KEY (name))")
        await db.execute("INSERT INTO users SELECT seq, CONCAT('user ', seq) FROM seq_1_to_5000")
        names = db.row("users", key="name", columns="id", default=None)
        before = rows_read(mariadb_server)
        assert await names.load_many([0, 1, "user 7", 7]) == [None, None, 7, None]
        assert rows_read(mariadb_server) - before < 10


def rows_read(server: Any) -> int:
    """How many rows the server has stepped over."""
    return sum(int(value) for _, value in server.execute("SHOW GLOBAL STATUS LIKE 'Handler_read%next'"))


async def test_an_altered_column_is_found_again(db: Database) -> None:
    """What was learned of its type is learned anew from each answer."""
    await db.execute("CREATE TABLE t (k BIGINT, v INT)")
    await db.execute("INSERT INTO t VALUES (0, 1), (7, 2)")
    values = db.row("t", key="k", columns="v", default=None)
    for kind, expected in [("BIGINT", [1, 2, None]), ("VARCHAR(20)", [None, None, 2]), ("BIGINT", [1, 2, None])]:
        await db.execute(f"ALTER TABLE t MODIFY k {kind}")
        for _ in range(2):
            assert await values.load_many([0, 7, "7"]) == expected


async def test_reads_are_never_of_an_old_snapshot(db: Database, mariadb_server: Any, mysql_url: str) -> None:
    """Another connection's write is seen by the next read."""
    scores = (await with_posts(db)).row("posts", columns="score")
    assert await scores(1) == 10
    mariadb_server.execute(f"UPDATE {urlsplit(mysql_url).path[1:]}.posts SET score = 11 WHERE id = 1")
    assert await scores(1) == 11


async def test_a_pool_of_dicts_gives_rows_all_the_same(mysql_url: str) -> None:
    """Whatever cursor the service's pool has."""
    for driver, option in [(aiomysql, "cursorclass"), (asyncmy, "cursor_cls")]:
        for kind in ("DictCursor", "SSCursor", "SSDictCursor"):
            service = Service(driver, mysql_url, **{option: getattr(driver.cursors, kind)})
            db = Database(pool=service)
            assert await db.fetch("SELECT 1 AS a, 2 AS a") == [(1, 2)]
            await db.close()
            assert not service.pool._closing, "it is the service's to close"
            await service.close()


@BOTH
async def test_the_servers_warnings_are_not_shown(
    db: Database, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    """A driver would fetch them by a second statement, and log them with the values."""
    await with_posts(db)
    assert await db.row("posts", columns="title", default=None).load_many(["x", b"y"]) == [None, None]
    assert await db.fetch("SELECT CAST('secret' AS SIGNED) AS n") == [(0,)]
    assert not recwarn.list
    assert "secret" not in caplog.text


# --- the matrix of keys -------------------------------------------------------------------------------------------

INTS = st.sampled_from([0, 1, -1, 2, 10, 255, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1]) | st.integers(0, 300)
TEXTS = st.sampled_from([
    "", " ", "0", "1", "01", "1 ", " 1", "+1", "1.0", "1e0", "-1", "0x1", "9223372036854775807", "18446744073709551615",
    "x", "X", "x ", "é", "É", "e", "e\u0301", "é" * 200, "a\nb", "a\r\nb", "a\0", "a\0b", "a\0c", "\0", "\ufeffx", "🦆", "🐢",
    "\\", "\\'", "'", "''", "\\\\", '"', "`", "NULL", "x') OR 1=1 -- ", '"; DROP TABLE t; --', "%", "_", "%s", "%%", ":keys",
    "/*", "#", "ß", "ss", "\x1a", "l" * 2000 + "a", "l" * 2000 + "b",
]) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)  # fmt: skip
BLOBS = st.sampled_from([b"", b"0", b"1", b"x", b"X", b"x ", b"\0", b"\xff", b"'", b"\\'", b"\xbf\\", "é".encode()])
EXACT = st.one_of(INTS, TEXTS, BLOBS | st.binary(max_size=3))
REFUSED = st.sampled_from([
    True, False, None, 1.0, float("inf"), 2**64, -(2**63) - 1, decimal.Decimal(1), uuid.UUID(int=1),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.date(2026, 1, 1), "\ud800", "x\udfff", bytearray(b"x"),
])  # fmt: skip
COLUMNS = [
    "INT", "BIGINT", "BIGINT UNSIGNED", "VARCHAR(2100) COLLATE utf8mb4_general_ci", "TEXT COLLATE utf8mb4_unicode_ci",
    "TEXT COLLATE utf8mb4_bin", "TEXT CHARACTER SET latin1", "CHAR(220)", "VARBINARY(2100)", "BLOB", "BINARY(3)",
    "ENUM('x','1','0','é')",
]  # fmt: skip


def own_rows(stored: list[tuple[Any, Any]], key: Any) -> list[Any]:
    """Say which rows are the key's by type and value, from what the table really holds."""
    return [row for row, held in stored if type(held) is type(key) and held == key]


async def loaded_or_refused(loader: Loader[Any, Any], keys: list[Any]) -> list[Any]:
    """Load each key with one batch for all; TypeError where a key is refused at its load."""
    futures: list[Any] = []
    for key in keys:
        try:
            futures.append(loader.load(key))
        except TypeError:
            futures.append(TypeError)
    return [future if future is TypeError else await future for future in futures]


@pytest.mark.parametrize("column", COLUMNS)
def test_every_key_gets_its_own_rows_or_a_type_error(column: str, mysql_url: str) -> None:
    """Whatever the column's type and collation: alone, as half of a pair, under a limit; never a neighbour's."""
    db = Database(mysql_url)
    single = db.rows("t", key="k", columns="row", order_by="row")
    pair = db.rows("t", key=("k", "one"), columns="row", order_by="row", name="pair")
    first = db.rows("t", key="k", columns="row", order_by="row", limit=1, name="first")

    async def make() -> None:
        async with db:
            await db.execute(f"CREATE TABLE t (`row` INT PRIMARY KEY AUTO_INCREMENT, k {column}, one INT DEFAULT 1)")

    async def stored(values: list[Any]) -> list[tuple[Any, Any]]:
        await db.execute("TRUNCATE TABLE t")
        for value in values:
            with suppress(pymysql.err.DataError, pymysql.err.OperationalError, pymysql.err.IntegrityError):
                await db.execute("INSERT INTO t (k) VALUES (%s)", (value,))  # those that the column cannot hold
        return [(row, held) for row, held in await db.fetch("SELECT `row`, k FROM t ORDER BY `row`")]

    async def check_matrix(values: list[Any], keys: list[Any], refused: list[Any]) -> None:
        async with db:
            table = await stored(values)
            expected = [own_rows(table, key) for key in keys]
            assert await loaded_or_refused(single, keys + refused) == expected + [TypeError] * len(refused)
            assert await loaded_or_refused(first, keys) == [rows[:1] for rows in expected]
            if "latin1" not in column:  # whose pairs have a limit, which the Database's docstring tells
                assert await loaded_or_refused(pair, [(key, 1) for key in keys]) == expected

    @FEW
    @given(
        st.lists(EXACT | st.none(), max_size=10), st.lists(EXACT, max_size=6), st.lists(REFUSED, max_size=3), st.data()
    )
    def check(values: list[Any], others: list[Any], refused: list[Any], data: st.DataObject) -> None:
        valid = [value for value in values if value is not None]
        asked = data.draw(st.lists(st.sampled_from(valid), max_size=6)) if valid else []
        asyncio.run(check_matrix(values, asked + others, refused))

    asyncio.run(make())
    check()


@BOTH
async def test_neighbours_do_not_use_up_a_limit(db: Database) -> None:
    """The collation calls them equal; a limit counts within a key, and looks at all of a long one."""
    await db.execute("CREATE TABLE logins (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(2100))")
    long = ["l" * 2000 + "a", "l" * 2000 + "b"]
    await db.execute("INSERT INTO logins (name) VALUES ('Ada'), ('ADA'), ('ada'), ('ada'), (%s), (%s)", long)
    last = db.rows("logins", key="name", columns="id", order_by="id", limit=2)
    assert await last.load_many(["ada", "Ada", *long]) == [[3, 4], [1], [5], [6]]


async def test_bytes_beside_texts_change_nothing(db: Database) -> None:
    """In one list the server would compare all of them as bytes, and find no 'é' in latin1."""
    await db.execute("CREATE TABLE t (k VARCHAR(9) CHARACTER SET latin1, v INT)")
    await db.execute("INSERT INTO t VALUES ('é', 1), ('x', 2)")
    values = db.row("t", key="k", columns="v", default=0)
    assert await values.load_many(["é", b"x", "x", 1, b"\xe9"]) == [1, 0, 2, 0, 0]


@BOTH
async def test_a_text_that_a_column_cannot_hold_is_not_in_it(db: Database) -> None:
    """The server refuses the whole statement; whoever loads with it is served all the same."""
    await db.execute("CREATE TABLE t (k VARCHAR(9) CHARACTER SET latin1, v INT)")
    await db.execute("INSERT INTO t VALUES ('é', 1), ('x', 2), ('è', 3)")
    values = db.row("t", key="k", columns="v", default=0)
    keys = ["é", "🦆", "x", "è", "\x91", "🐢"]
    assert await values.load_many(keys) == [1, 0, 2, 3, 0, 0]
    mixed = "SELECT k, v FROM t WHERE k COLLATE latin1_bin = k COLLATE latin1_general_ci AND k IN :keys"
    with pytest.raises(Exception, match="Illegal mix"):  # the statement's own fault
        await db.select(mixed, key="k")("x")


async def test_a_neighbour_of_two_statements_is_one_row(db: Database) -> None:
    """A number column takes '' and b'' for 0, in the list of texts and in that of bytes."""
    await db.execute("CREATE TABLE t (k INT, v INT)")
    await db.execute("INSERT INTO t VALUES (0, 1)")
    assert await db.rows("t", key="k", columns="v").load_many([0, "", b""]) == [[1], [], []]


# --- hostile values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["backslash escapes", "no backslash escapes"])
@pytest.mark.parametrize("driver", [aiomysql, asyncmy], ids=["aiomysql", "asyncmy"])
def test_hostile_values_are_values(mode: str, driver: Any, mysql_url: str) -> None:
    """They come back as they were, as values and as keys, in either mode of the server; the table stands."""
    options = {"init_command": PLAIN_BACKSLASH} if mode.startswith("no") else {}

    async def check_values(texts: list[str], blobs: list[bytes]) -> None:
        service = Service(driver, mysql_url, **options)
        async with Database(pool=service) as db:
            for text in texts:
                assert await db.execute("REPLACE INTO t VALUES (%(text)s, %(blob)s)", {"text": text, "blob": b""}) >= 1
            for blob in blobs:
                assert await db.fetch("SELECT %s AS blob_, 'a%%' AS text_", (blob,)) == [(blob, "a%")]
            keys = db.row("t", key="text", columns="text")
            assert await keys.load_many(texts) == texts
        await service.close()

    @FEW
    @given(
        st.lists(TEXTS.filter(lambda text: len(text) < 700), min_size=1, max_size=4, unique=True),
        st.lists(BLOBS | st.binary(max_size=5), max_size=3),
    )
    def check(texts: list[str], blobs: list[bytes]) -> None:
        asyncio.run(check_values(texts, blobs))

    name = urlsplit(mysql_url).path[1:]
    with pymysql.connect(**who(mysql_url), autocommit=True) as connection:
        connection.query(f"CREATE TABLE {name}.t (text VARCHAR(750) COLLATE utf8mb4_nopad_bin PRIMARY KEY, b BLOB)")
    check()


def who(url: str) -> dict[str, Any]:
    """A dsn as pymysql takes it."""
    parts = urlsplit(url)
    return {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}


async def test_an_open_door_of_the_drivers_stays_shut(mysql_url: str) -> None:
    """aiomysql escapes bytes by backslashes where they escape nothing: this one would delete all."""
    service = Service(aiomysql, mysql_url, init_command=PLAIN_BACKSLASH)
    async with Database(pool=service) as db:
        await with_posts(db)
        assert await db.execute("DELETE FROM posts WHERE title = %s", (b"' OR 1=1 -- ",)) == 0
        assert await db.row("posts", key="title", columns="id", default=0)(b"') OR 1=1 -- ") == 0
        assert await db.fetch("SELECT COUNT(*) FROM posts") == [(3,)]
    await service.close()


@pytest.mark.parametrize("driver", [aiomysql, asyncmy], ids=["aiomysql", "asyncmy"])
async def test_a_connection_of_another_mode_than_its_pool_is_known(driver: Any, mysql_url: str) -> None:
    """The service has changed the one that it gave back: a backslash is sent as that connection reads it."""
    service = Service(driver, mysql_url, maxsize=1)
    async with Database(pool=service) as db:
        assert await db.fetch("SELECT %s", ("\\'",)) == [("\\'",)]
        async with service.pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(PLAIN_BACKSLASH)
        assert await db.fetch("SELECT %s", ("\\'",)) == [("\\'",)]
    await service.close()


@BOTH
async def test_values_of_all_kinds_come_back(db: Database) -> None:
    """Exactly, microseconds and negative durations too; JSON as its text."""
    row = (
        7, -(2**63), 2**64 - 1, 0.1, 1e300, decimal.Decimal("12345678901234567890.12"), True, None, "é🦆", b"\xff\0",
        dt.datetime(2026, 3, 1, 12, 30, 5, 123456),  # noqa: DTZ001
        dt.date(2026, 3, 1), dt.timedelta(hours=-30, microseconds=5),
        '{"a": "\\\\"}',
    )  # fmt: skip
    await db.execute(
        "CREATE TABLE t (a INT, b BIGINT, c BIGINT UNSIGNED, d DOUBLE, e DOUBLE, f DECIMAL(30,2), g BOOL, h INT, i TEXT,"
        " j BLOB, k DATETIME(6), l DATE, m TIME(6), n JSON)"
    )
    await db.execute(f"INSERT INTO t VALUES ({', '.join(['%s'] * len(row))})", row)
    assert await db.row("t", key="a")(7) == row
    await db.execute("UPDATE t SET m = %s", (dt.time(1, 2, 3, 4),))
    assert await db.row("t", key="a", columns="m")(7) == dt.timedelta(hours=1, minutes=2, seconds=3, microseconds=4)


# --- execute and fetch --------------------------------------------------------------------------------------------


@BOTH
async def test_execute_says_how_many_rows_it_changed(db: Database) -> None:
    """Rows inserted, updated, deleted; nothing for the rest."""
    assert await db.execute("CREATE TABLE t (id INT PRIMARY KEY, n INT)") == 0
    assert await db.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)") == 3
    assert await db.execute("UPDATE t SET n = n + %(by)s WHERE id > %(id)s", {"by": 5, "id": 1}) == 2
    assert await db.execute("DELETE FROM t WHERE id = 7") == 0
    assert await db.execute("SELECT * FROM t") == 0
    assert await db.fetch("SELECT n FROM t ORDER BY id") == [(1,), (7,), (8,)]
    assert await db.fetch("SELECT COUNT(*), id FROM t WHERE id % 2 = 1") == [(2, 1)]
    assert await db.fetch("INSERT INTO t VALUES (4, 4) RETURNING id, n") == [(4, 4)]


@BOTH
async def test_a_failed_statement_says_which(db: Database) -> None:
    """Its text, never its values; the connection is as good as before."""
    await with_posts(db)
    with pytest.raises(Exception, match="doesn't exist") as caught:
        await db.fetch("SELECT * FROM nowhere WHERE secret = %s", ("hunter2",))
    assert caught.value.__notes__ == ["the statement is: SELECT * FROM nowhere WHERE secret = %s"]
    with pytest.raises(Exception, match="Unknown column") as caught:
        await db.row("posts", columns="titel")(1)
    assert caught.value.__notes__ == [
        "the statement is: SELECT `posts`.`titel`, `posts`.`id` AS `batchio_id` FROM `posts` WHERE `posts`.`id` IN (%s)"
    ]
    (before,) = await db.fetch("SELECT CONNECTION_ID()")
    with pytest.raises(Exception, match="Duplicate"):
        await db.execute("INSERT INTO posts VALUES (1, '', 0)")
    assert await db.fetch("SELECT CONNECTION_ID()") == [before]


OPENERS = [
    "START TRANSACTION", " begin", "SET autocommit = 0", "/* x */ BEGIN", "LOCK TABLES posts WRITE",
    "START TRANSACTION; UPDATE posts SET score = 0", "FLUSH TABLES posts WITH READ LOCK",
]  # fmt: skip


@BOTH
async def test_a_left_open_transaction_is_refused(db: Database) -> None:
    """It would take in the statements of whoever gets the connection next, and hold locks; it is rolled back."""
    await with_posts(db)
    for statement in OPENERS:
        with pytest.raises(RuntimeError, match="connection of your own"):
            await db.execute(statement)
        assert await db.execute("UPDATE posts SET score = score + 1") == 3
        assert await db.fetch("SELECT @@autocommit") == [(1,)]
    assert await db.fetch("SELECT SUM(score) FROM posts") == [(60 + 3 * len(OPENERS),)]


async def test_a_session_is_changed_for_nobody(db: Database) -> None:
    """What a SET or a USE leaves behind goes with its connection."""
    await db.execute("SET NAMES latin1")
    await db.execute("SET @mine = 1")
    await db.execute("USE information_schema")
    await db.execute("CREATE TEMPORARY TABLE t (i INT)")
    assert await db.fetch("SELECT @mine, @@character_set_client, DATABASE() LIKE 't%%' AS mine") == [
        (None, "utf8mb4", 1)
    ]
    with pytest.raises(Exception, match="doesn't exist"):
        await db.fetch("SELECT * FROM t")


async def test_a_server_is_sent_no_file(db: Database) -> None:
    """Not even when a statement asks for one: `local_infile` is off."""
    await db.execute("CREATE TABLE lines_ (line TEXT)")
    with pytest.raises(Exception, match=r"not allowed|local_infile"):
        await db.execute(f"LOAD DATA LOCAL INFILE '{__file__}' INTO TABLE lines_")
    assert await db.fetch("SELECT COUNT(*) FROM lines_") == [(0,)]


@BOTH
async def test_several_answers_at_once_leave_nothing_unread(db: Database) -> None:
    """A procedure may give many; the first is the statement's, and the next statement gets its own."""
    await db.execute("CREATE PROCEDURE three() BEGIN SELECT 1; SELECT 2; SELECT 3; END")
    await db.execute("CREATE PROCEDURE half() BEGIN SELECT 1; SELECT * FROM nowhere; END")
    assert await db.fetch("CALL three()") == [(1,)]
    with pytest.raises(Exception, match="doesn't exist"):
        await db.fetch("CALL half()")
    assert await db.fetch("SELECT 4") == [(4,)]


# --- the database itself ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dsn", "complaint"),
    [
        ("", "does not begin with mysql://"),
        ("mysql:/name", "does not begin with mysql://"),
        ("me:hunter2@host/name", "does not begin with mysql://"),
        ("postgres://me:hunter2@host/name", "does not begin with mysql://"),
        ("mysql://", "has no host"),
        ("mysql://me:hunter2@/name", "has no host"),
        ("mysql://me:hunter2@host:x/name", "port is no number"),
        ("mysql://me:hunter2@host:99999/name", "port is no number"),
        ("mysql://me:hunter2@host:0/name", "port of 0"),
        ("mysql://me:1/hunter2@host/name", "unencoded"),
        ("mysql://me:1?hunter2=hunter2@host/name", "unencoded"),
        ("mysql://me:1#hunter2@host/name", "unencoded"),
        ("mysql://me:hunter2@host/name/more", "more than a name"),
        ("mysql://me:hunter2@host/name?ssl=1&charset=utf8mb4&a=2", "unknown options, a, ssl"),
        ("mysql://me:hunter2@host/name?charset=gbk", "not utf8mb4"),
    ],
)
def test_a_wrong_dsn_says_what_is_wrong(dsn: str, complaint: str) -> None:
    """And never shows the password, nor does what lies behind the error."""
    with pytest.raises(ValueError, match=complaint) as caught:
        Database(dsn)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_database_needs_a_dsn_or_a_pool() -> None:
    """Exactly one, and numbers that fit."""
    for arguments in ({}, {"dsn": "mysql://h/d", "pool": lambda: None}, {"pool": object()}):
        with pytest.raises(TypeError, match="exactly one of them"):
            Database(**arguments)
    for numbers in ({"pool_size": 0}, {"pool_size": True}, {"timeout": 0}, {"connect_timeout": -1.0}, {"timeout": "5"}):
        with pytest.raises(ValueError, match="1 or more"):
            Database("mysql://h/d", **numbers)


def test_a_dsn_is_a_text() -> None:
    """What is none is not shown: it may hold a password."""
    with pytest.raises(TypeError, match="the dsn is of type bytes: write a str") as caught:
        Database(b"mysql://me:hunter2@host/name")  # type: ignore[arg-type]
    assert "hunter2" not in repr(caught.value)


async def test_a_pool_that_is_none_says_so() -> None:
    """A function that gives something else is found out by the first statement."""
    with pytest.raises(TypeError, match="pool= gave a list, which has no acquire"):
        await Database(pool=list).fetch("SELECT 1")


async def test_the_password_is_nowhere(mysql_url: str, mariadb_server: Any) -> None:
    """Percent-encoded it may be anything; a wrong one is the server's to refuse."""
    password = "p@ss:/wörd#?%"
    name = urlsplit(mysql_url).path[1:]
    mariadb_server.execute(f"CREATE OR REPLACE USER 'é'@'127.0.0.1' IDENTIFIED BY '{password}'")
    mariadb_server.execute(f"GRANT ALL ON {name}.* TO 'é'@'127.0.0.1'")
    address = urlsplit(mysql_url).netloc.rpartition("@")[2]
    async with Database(f"mysql://{quote('é')}:{quote(password, safe='')}@{address}/{name}?charset=utf8mb4") as db:
        assert (await db.fetch("SELECT CURRENT_USER()"))[0][0] == "é@127.0.0.1"
        assert "wörd" not in repr(db) + repr(vars(db))
    wrong = Database(f"mysql://{quote('é')}:hunter2@{address}/{name}")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied") as caught:
        await wrong.fetch("SELECT 1")
    assert "hunter2" not in repr(caught.value) + repr(caught.value.__cause__) + repr(wrong)
    mariadb_server.execute("DROP USER 'é'@'127.0.0.1'")


async def test_a_socket_is_an_address_too(mysql_url: str, mariadb_server: Any) -> None:
    """For a server on the same machine."""
    user = urlsplit(mysql_url)
    dsn = (
        f"mysql://{user.username}:{user.password}@{user.path}?unix_socket={quote(str(mariadb_server.socket), safe='')}"
    )
    async with Database(dsn) as db:
        assert await db.fetch("SELECT SUBSTRING_INDEX(USER(), '@', -1) AS host") == [("localhost",)]


async def test_a_repr_says_how_busy_it_is(mysql_url: str) -> None:
    """On this loop, and where its server is."""
    db = Database(mysql_url)
    shown = urlsplit(mysql_url)
    address = f"mysql://{shown.username}@{shown.hostname}:{shown.port}{shown.path}"
    assert repr(db) == f"<batchio.mysql.Database {address}: not open>"
    await db.close()  # nothing is open: nothing happens
    await db.fetch("SELECT 1")
    assert repr(db) == f"<batchio.mysql.Database {address}: 0 in use, 0 waiting>"
    await db.close()
    assert repr(db) == f"<batchio.mysql.Database {address}: not open>"


def test_a_database_serves_loops_one_after_another_and_at_once(mysql_url: str) -> None:
    """Each has a pool of its own, which its own close ends; without a loop there is nothing to say or close."""
    db = Database(mysql_url)
    squares = db.select("SELECT seq AS k, seq * seq AS n FROM seq_1_to_9 WHERE seq IN :keys", key="k", columns="n")
    assert "no loop is running" in repr(db)

    async def main() -> list[Any]:
        async with db:
            return await squares.load_many([2, 3])

    found: list[Any] = [asyncio.run(main()) for _ in range(2)]
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(main()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[4, 9]] * 6
