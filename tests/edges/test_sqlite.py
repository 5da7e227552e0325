"""`batchio.sqlite` on real databases: whose row a key gets, what cancellation leaves behind, and how it all ends.

- Statements that must be met while they run call `hold()`, an SQL function that says it was reached and waits for the
  test; `ENDLESS` runs until it is interrupted.
- Property tests run a loop of their own for each example.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import gc
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchio.sqlite
from batchio._core.errors import BatchTimeout, KeyNotFound
from batchio._core.options import Limits
from batchio._worker import Job, Worker
from batchio.sqlite import Database

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT hold() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


class Hold:
    """The SQL function `hold()`: tells that it was reached, then waits until it is released."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> int:
        self.reached.set()
        assert self.released.wait(20), "the test released nobody"
        return 1

    def connect(self, connection: sqlite3.Connection) -> None:
        """Be known to a connection; for `on_connect`."""
        connection.create_function("hold", 0, self)

    async def until_reached(self) -> None:
        """Wait, in a loop, until a statement runs that holds."""
        while not self.reached.is_set():
            await asyncio.sleep(0)


@pytest.fixture
def hold() -> Hold:
    """A statement that waits for the test."""
    return Hold()


@pytest.fixture
async def db(hold: Hold) -> AsyncIterator[Database]:
    """An empty database in memory that knows `hold()`."""
    async with Database(":memory:", on_connect=hold.connect) as db:
        yield db
        hold.released.set()


async def with_posts(db: Database) -> Database:
    """Give it a table of three posts."""
    await db.execute("CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT, score INTEGER)")
    await db.execute("INSERT INTO posts VALUES (1, 'un', 10), (2, 'deux', 30), (3, 'trois', 20)")
    return db


class Post(NamedTuple):
    id: int
    title: str


@dataclass(frozen=True)
class Scored:
    id: int
    score: int


# --- loaders ------------------------------------------------------------------------------------------------------


async def test_rows_become_what_the_definition_says(db: Database) -> None:
    """A named tuple, an object of the class, the bare value."""
    await with_posts(db)
    assert await db.row("posts", into=Post)(2) == Post(2, "deux")
    assert await db.row("posts", into=Scored)(2) == Scored(2, 30)
    assert await db.row("posts", columns="title")(2) == "deux"
    assert (await db.row("main.posts")(2))._asdict() == {"id": 2, "title": "deux", "score": 30}


async def test_a_missing_row_is_key_not_found_or_the_default(db: Database) -> None:
    """Absence is the core's business: an edge gives only what is there."""
    await with_posts(db)
    with pytest.raises(KeyNotFound):
        await db.row("posts", into=Post)(4)
    assert await db.row("posts", into=Post, default=None)(4) is None


async def test_rows_are_a_list_for_every_key(db: Database) -> None:
    """In their order, cut at their limit, empty where there are none."""
    await db.execute("CREATE TABLE comments (id INTEGER PRIMARY KEY, post_id INTEGER, text TEXT)")
    await db.execute("INSERT INTO comments (post_id, text) VALUES (1,'a'), (2,'b'), (1,'c'), (1,'d')")
    newest = db.rows("comments", key="post_id", columns="text", order_by="-id", limit=2)
    everything = db.rows("comments", key="post_id", columns=("id", "text"), order_by="id")
    assert await newest.load_many([1, 2, 3]) == [["d", "c"], ["b"], []]
    assert await everything.load_many([3, 1]) == [[], [(1, "a"), (3, "c"), (4, "d")]]


async def test_a_key_of_several_columns_is_a_tuple(db: Database) -> None:
    """A thousand pairs are one statement, too."""
    await db.execute("CREATE TABLE votes (user_id INTEGER, post_id INTEGER, value INTEGER)")
    await db.execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) "
                     "INSERT INTO votes SELECT 7, i, i * 2 FROM n")  # fmt: skip
    votes = db.row("votes", key=("user_id", "post_id"), columns="value", default=0)
    assert await votes.load_many([(7, i) for i in range(999)] + [(8, 1)]) == [*range(0, 1998, 2), 0]


async def test_your_own_sql_is_a_loader(db: Database) -> None:
    """One row per key, or many; what stands in a string stays there."""
    await with_posts(db)
    sql = "SELECT id, title || ':keys' AS title FROM posts WHERE id IN :keys -- of :keys"
    assert await db.select(sql, key="id", into=Post)(1) == Post(1, "un:keys")
    by_length = db.select(
        "SELECT length(title) AS n, title FROM posts WHERE length(title) IN :keys ORDER BY id",
        key="n", columns="title", many=True,
    )  # fmt: skip
    assert await by_length.load_many([5, 1, 2]) == [["trois"], [], ["un"]]


async def test_two_rows_for_one_key_are_an_error_or_the_first(db: Database) -> None:
    """The error is that key's alone; a stated order makes the first one right."""
    await with_posts(db)
    await db.execute("INSERT INTO posts VALUES (4, 'un', 40)")
    scores = db.row("posts", key="title", columns="score")
    found = await scores.load_many(["un", "deux"], return_exceptions=True)
    assert isinstance(found[0], ValueError)
    assert found[1] == 30
    best = db.row("posts", key="title", columns="score", order_by="-score")
    assert await best.load_many(["un", "deux"]) == [40, 30]


async def test_a_batch_is_one_statement_and_no_key_is_none() -> None:
    """Counted at the database; a batch that is too long for SQLite is cut, and complete."""
    seen: list[str] = []
    limits = iter([250_000, 100])

    def connect(connection: sqlite3.Connection) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, next(limits))
        connection.set_trace_callback(seen.append)

    async with Database(":memory:", on_connect=connect) as db:
        texts = db.row("t", columns="text")
        for expected in (1, 10):
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
            await db.execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) "
                             "INSERT INTO t SELECT i, 'text ' || i FROM n")  # fmt: skip
            seen.clear()
            assert await texts.load_many([]) == []
            assert await texts.load_many(range(1000)) == [f"text {i}" for i in range(1000)]
            assert len(seen) == expected
            await db.close()


async def test_a_misspelled_column_is_an_error_and_not_a_string(db: Database) -> None:
    """SQLite takes a lone "titel" for the string 'titel'."""
    await with_posts(db)
    with pytest.raises(sqlite3.OperationalError, match=r"no such column: posts\.titel") as caught:
        await db.row("posts", columns="titel")(1)
    assert caught.value.__notes__[0].startswith('the statement is: SELECT "posts"."titel"')


async def test_convert_runs_before_the_check(db: Database) -> None:
    """Keys of another type are the user's to translate."""
    await with_posts(db)
    assert await db.row("posts", columns="title", convert=int)("2") == "deux"
    with pytest.raises(TypeError, match=r"^sqlite:posts\.id: this str cannot be a key|^titles: this UUID"):
        db.row("posts", name="titles").load(uuid.UUID(int=1))


async def test_an_altered_table_shows_its_new_columns(db: Database) -> None:
    """`SELECT *` is read by what each result says of itself."""
    await with_posts(db)
    everything = db.row("posts")
    assert (await everything(1))._fields == ("id", "title", "score")
    await db.execute("ALTER TABLE posts ADD COLUMN views INTEGER DEFAULT 0")
    assert (await everything(1))._fields == ("id", "title", "score", "views")


# --- the matrix of keys -------------------------------------------------------------------------------------------

INTS = st.sampled_from([0, 1, -1, 2, 10, 255, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
TEXTS = st.sampled_from([
    "", " ", "0", "1", "01", "1 ", " 1", "+1", "1.0", "1e0", "-1", "0x1", "9223372036854775807", "9223372036854775808",
    "x", "X", "x ", "é", "É", "e\u0301", "é" * 200, "a\nb", "a\r\nb", "a\0", "a\0b", "a\0c", "\0", "\ufeffx", "🦆",
    "NULL", "x') OR 1=1 -- ", '"; DROP TABLE t; --', "%", "_", "l" * 10_000,
]) | st.text(max_size=5)  # fmt: skip
BLOBS = st.sampled_from([b"", b"1", b"x", b"X", b"x ", b"\x00", b"\xff", "é".encode()]) | st.binary(max_size=3)
EXACT = st.one_of(INTS, TEXTS, BLOBS)
REFUSED = st.sampled_from([
    True, False, None, 1.0, 0.0, float("inf"), 2**63, 2**64 - 1, -(2**63) - 1, decimal.Decimal(1), uuid.UUID(int=1),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.date(2026, 1, 1), "\ud800", "x\udfff", bytearray(b"x"),
])  # fmt: skip
STORED = st.one_of(EXACT, st.sampled_from([1.0, 2.0**53, -1.0, 0.5, None]))
COLUMNS = ["INTEGER", "TEXT", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "BLOB", "REAL", "NUMERIC", ""]


def own_rows(stored: list[tuple[Any, Any]], key: Any) -> list[Any]:
    """Say which rows are the key's by type and value, from what the table really holds."""
    return [row for row, held in stored if type(held) is type(key) and held == key]


async def loaded_or_refused(loader: Any, keys: list[Any]) -> list[Any]:
    """Load each key with one batch for all; TypeError where a key is refused at its load."""
    futures: list[Any] = []
    for key in keys:
        try:
            futures.append(loader.load(key))
        except TypeError:
            futures.append(TypeError)
    return [future if future is TypeError else await future for future in futures]


async def check_matrix(column: str, values: list[Any], keys: list[Any], refused: list[Any]) -> None:
    """Every key gets the rows that hold exactly it, alone, as half of a pair, and under a limit."""
    async with Database(":memory:") as db:
        await db.execute(f"CREATE TABLE t (row INTEGER PRIMARY KEY, k {column}, one INTEGER DEFAULT 1)")
        for value in values:
            await db.execute("INSERT INTO t (k) VALUES (?)", (value,))
        stored = [(row, held) for row, held in await db.fetch("SELECT row, k FROM t ORDER BY row")]
        expected = [own_rows(stored, key) for key in keys]
        single = db.rows("t", key="k", columns="row", order_by="row")
        assert await loaded_or_refused(single, keys + refused) == expected + [TypeError] * len(refused)
        pair = db.rows("t", key=("k", "one"), columns="row", order_by="row", name="pair")
        pairs = [(key, 1) for key in keys + refused]
        assert await loaded_or_refused(pair, pairs) == expected + [TypeError] * len(refused)
        first = db.rows("t", key="k", columns="row", order_by="row", limit=1, name="first")
        assert await loaded_or_refused(first, keys) == [rows[:1] for rows in expected]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column or "untyped")
def test_every_key_gets_its_own_rows_or_a_type_error(column: str) -> None:
    """Whatever the column's affinity and collation, never a neighbour's."""

    @settings(deadline=None)
    @given(st.lists(STORED, max_size=12), st.lists(EXACT, max_size=6), st.lists(REFUSED, max_size=3), st.data())
    def check(values: list[Any], others: list[Any], refused: list[Any], data: st.DataObject) -> None:
        valid = [value for value in values if type(value) in (int, str, bytes)]
        asked = data.draw(st.lists(st.sampled_from(valid), max_size=6)) if valid else []
        asyncio.run(check_matrix(column, values, asked + others, refused))

    check()


async def test_neighbours_do_not_use_up_a_limit(db: Database) -> None:
    """A NOCASE column calls them equal; a limit counts within a key."""
    await db.execute("CREATE TABLE logins (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE)")
    await db.execute("INSERT INTO logins (name) VALUES ('Ada'), ('ADA'), ('ada'), ('ada')")
    last = db.rows("logins", key="name", columns="id", order_by="id", limit=2)
    assert await last.load_many(["ada", "Ada"]) == [[3, 4], [1]]


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_hostile_values_are_values(texts: list[str]) -> None:
    """They are bound: the table stands, and holds them as they were."""

    async def main() -> None:
        async with Database(":memory:") as db:
            await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")
            for number, text in enumerate(texts):
                assert await db.execute("INSERT INTO t VALUES (?, ?)", (number, text)) == 1
            assert await db.row("t", columns="text").load_many(range(len(texts))) == texts
            assert [text for (text,) in await db.fetch("SELECT text FROM t ORDER BY id")] == texts

    asyncio.run(main())


# --- execute and fetch --------------------------------------------------------------------------------------------


async def test_execute_says_how_many_rows_it_changed(db: Database) -> None:
    """Rows inserted, updated, deleted; nothing for the rest."""
    assert await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)") == 0
    assert await db.execute("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)") == 3
    assert await db.execute("UPDATE t SET n = n + :by WHERE id > :id", {"by": 5, "id": 1}) == 2
    assert await db.execute("INSERT INTO t VALUES (1, 1) ON CONFLICT DO UPDATE SET n = 9 RETURNING n") == 1
    assert await db.execute("DELETE FROM t WHERE id = 7") == 0
    assert await db.execute("SELECT * FROM t") == 0
    assert await db.fetch("SELECT n FROM t ORDER BY id") == [(9,), (7,), (8,)]


async def test_fetch_gives_named_tuples(db: Database) -> None:
    """Whatever row factory a connection has; a name that cannot be a field is reached by position."""
    (row,) = await db.fetch("SELECT 1 AS one, count(*) FROM (SELECT 1)")
    assert row.one == row[1] == 1


async def test_a_failed_statement_says_which(db: Database) -> None:
    """Its text, never its values; the next statement is right."""
    with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere") as caught:
        await db.fetch("SELECT * FROM nowhere WHERE secret = ?", ("hunter2",))
    assert caught.value.__notes__ == ["the statement is: SELECT * FROM nowhere WHERE secret = ?"]
    assert await db.fetch("SELECT 1") == [(1,)]


async def test_a_left_open_transaction_is_refused(db: Database) -> None:
    """It would take in the statements of everybody who shares the connection."""
    await with_posts(db)
    with pytest.raises(RuntimeError, match="shares one connection"):
        await db.execute("BEGIN IMMEDIATE")
    await db.execute("DELETE FROM posts WHERE id = 1")
    with pytest.raises(sqlite3.OperationalError, match="no transaction is active"):
        await db.execute("ROLLBACK")
    assert await db.fetch("SELECT count(*) FROM posts") == [(2,)]


async def test_foreign_keys_are_enforced(db: Database) -> None:
    """As MySQL does; SQLite only when asked."""
    await with_posts(db)
    await db.execute("CREATE TABLE comments (post_id INTEGER REFERENCES posts)")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await db.execute("INSERT INTO comments VALUES (99)")


async def test_another_process_writes_are_seen_at_once(tmp_path: Path) -> None:
    """Autocommit: no read is in a snapshot of before."""
    async with Database(tmp_path / "site.db") as db:
        posts = (await with_posts(db)).row("posts", columns="score")
        assert await posts(1) == 10
        with sqlite3.connect(tmp_path / "site.db") as other:
            other.execute("UPDATE posts SET score = 11 WHERE id = 1")
        other.close()
        assert await posts(1) == 11


# --- cancellation -------------------------------------------------------------------------------------------------


async def test_a_cancelled_statement_is_interrupted(db: Database, hold: Hold) -> None:
    """It would run for ever; the next one is right."""
    endless = asyncio.create_task(db.fetch(ENDLESS))
    await hold.until_reached()
    hold.released.set()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    assert await db.fetch("SELECT 1") == [(1,)]


async def test_an_interrupted_write_leaves_no_trace(db: Database, hold: Hold) -> None:
    """A statement is done whole or not at all."""
    await db.execute("CREATE TABLE t (i INTEGER)")
    write = asyncio.create_task(db.execute(f"INSERT INTO t {ENDLESS.replace('count(*)', 'i')}"))
    await hold.until_reached()
    hold.released.set()
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert await db.fetch("SELECT count(*) FROM t") == [(0,)]


async def test_a_statement_cancelled_while_it_waits_never_runs(db: Database, hold: Hold) -> None:
    """And the one that runs meanwhile is not interrupted in its place."""
    await db.execute("CREATE TABLE t (i INTEGER)")
    running = asyncio.create_task(db.fetch("SELECT hold()"))
    await hold.until_reached()
    waiting = asyncio.create_task(db.execute("INSERT INTO t VALUES (1)"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hold.released.set()
    assert await running == [(1,)]
    assert await db.fetch("SELECT count(*) FROM t") == [(0,)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=25))
def test_no_cancellation_touches_another_statement(plan: list[tuple[int, bool]]) -> None:
    """Some are cancelled after some turns of the loop; the others get their own answers."""

    async def main() -> None:
        async with Database(":memory:") as db:
            tasks = []
            for number, (turns, cancelled) in enumerate(plan):
                tasks.append(asyncio.create_task(db.fetch("SELECT ? AS n", (number,))))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if cancelled:
                    tasks[-1].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for number, (answer, (_, cancelled)) in enumerate(zip(answers, plan, strict=True)):
                assert answer == [(number,)] or (cancelled and isinstance(answer, asyncio.CancelledError))

    asyncio.run(main())


async def test_a_batch_that_times_out_is_interrupted(db: Database, hold: Hold) -> None:
    """Its loads get BatchTimeout, and the next batch is right."""
    await with_posts(db)
    hold.released.set()
    endless = ENDLESS.removesuffix("SELECT count(*) FROM n")
    slow = db.select(f"{endless} SELECT count(*) AS id FROM n WHERE i IN :keys", key="id", limits=Limits(timeout=0.05))
    with pytest.raises(BatchTimeout):
        await slow(1)
    assert hold.reached.is_set()
    assert await db.row("posts", into=Post)(1) == Post(1, "un")


# --- loops and threads --------------------------------------------------------------------------------------------


def test_loops_one_after_another_share_a_database(tmp_path: Path) -> None:
    """Made once, at import; with and without closing in between."""
    db = Database(tmp_path / "site.db")
    posts = db.row("posts", into=Post)

    async def first() -> None:
        await with_posts(db)

    async def then(close: bool) -> Post:
        found = await posts(2)
        if close:
            await db.close()
        return found

    asyncio.run(first())
    assert [asyncio.run(then(close)) for close in (False, True, False, True)] == [Post(2, "deux")] * 4


def test_loops_in_two_threads_share_what_is_in_memory() -> None:
    """One connection for all: what one thread's loop writes, the other's reads."""
    db = Database(":memory:")
    counts = db.row("counts", key="name", columns="n")
    asyncio.run(db.execute("CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER)"))
    asyncio.run(db.execute("INSERT INTO counts VALUES ('a', 0), ('b', 0)"))
    together = threading.Barrier(2)
    seen: dict[str, int] = {}

    async def visit(name: str) -> None:
        together.wait(10)
        for _ in range(4):  # a fifth load from one line would be a beginner's error, in asyncio's debug mode
            await asyncio.gather(*(db.execute("UPDATE counts SET n = n + 1") for _ in range(10)))
            assert min(await counts.load_many(["a", "b"])) >= 10
        together.wait(10)
        seen[name] = await counts(name)

    threads = [threading.Thread(target=asyncio.run, args=(visit(name),)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    asyncio.run(db.close())
    assert seen == {"a": 80, "b": 80}


def test_a_loop_that_closed_under_its_statement_hurts_nobody() -> None:
    """The answer finds nobody, and the next loop's statement is right."""
    hold = Hold()
    db = Database(":memory:", on_connect=hold.connect)

    async def leave() -> Any:
        statement = db.fetch("SELECT hold()")
        statement.send(None)  # started, and never awaited to its end
        await hold.until_reached()
        return statement

    left = asyncio.run(leave())
    hold.released.set()

    async def next_one() -> list[Any]:
        async with db:
            return await db.fetch("SELECT 2")

    assert asyncio.run(next_one()) == [(2,)]
    left.close()


# --- opening and closing ------------------------------------------------------------------------------------------


async def test_nothing_is_opened_before_the_first_statement(tmp_path: Path) -> None:
    """A Database and its loaders are made at import."""
    threads = threading.active_count()
    db = Database(tmp_path / "site.db")
    db.row("posts")
    await db.close()
    assert threading.active_count() == threads
    assert not os.listdir(tmp_path)  # noqa: PTH208 - nothing else runs here


async def test_close_ends_the_thread_and_may_be_repeated() -> None:
    """Statements that were given before are finished first; the next one opens anew."""
    threads = threading.active_count()
    db = Database(":memory:")
    assert repr(db) == "<batchio.sqlite.Database :memory:: not open>"
    statements = [asyncio.create_task(db.fetch("SELECT ?", (number,))) for number in range(5)]
    await asyncio.sleep(0)
    assert "open, " in repr(db)
    await asyncio.gather(db.close(), db.close())
    await db.close()
    assert threading.active_count() == threads
    assert await asyncio.gather(*statements) == [[(number,)] for number in range(5)]
    assert await db.fetch("SELECT 6") == [(6,)]
    await db.close()


async def test_a_statement_that_meets_the_end_is_given_to_the_next_thread() -> None:
    """A closing thread takes no more jobs, or their callers would wait for ever."""
    worker = Worker(partial(sqlite3.connect, ":memory:", check_same_thread=False))
    before, after = Job(lambda _: "before"), Job(lambda _: "after")
    assert worker.give(before)
    worker.end()
    assert not worker.give(after)
    assert await before.future == "before"
    worker.join()


async def test_on_connect_prepares_each_connection() -> None:
    """It is called in the worker thread; after a failure the next statement tries again."""
    names: list[str] = []

    def connect(connection: sqlite3.Connection) -> None:
        names.append(threading.current_thread().name)
        if len(names) == 1:
            raise ValueError("not yet")
        connection.row_factory = lambda _cursor, _row: None
        connection.executescript("CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (7)")

    async with Database("sqlite::memory:", on_connect=connect) as db:
        with pytest.raises(ValueError, match="not yet"):
            await db.fetch("SELECT id FROM t")
        assert await db.fetch("SELECT id FROM t") == [(7,)]
        assert await db.row("t", columns="id")(7) == 7
    assert names == ["batchio-sqlite"] * 2


@pytest.mark.parametrize("error", [StopIteration("enough"), asyncio.CancelledError(), GeneratorExit()])
async def test_whatever_is_raised_in_the_thread_its_caller_is_answered(error: BaseException) -> None:
    """Some exceptions no future takes; nobody waits for ever."""

    def connect(connection: sqlite3.Connection) -> None:
        raise error

    async with Database(":memory:", on_connect=connect) as db:
        with pytest.raises((RuntimeError, asyncio.CancelledError, GeneratorExit)):
            await db.fetch("SELECT 1")


async def test_on_connect_may_not_leave_a_transaction() -> None:
    """Or the first statement would be in it."""
    async with Database(":memory:", on_connect=lambda connection: connection.execute("BEGIN")) as db:
        with pytest.raises(RuntimeError, match="a transaction was left open"):
            await db.fetch("SELECT 1")


async def test_a_failed_statement_leaves_no_transaction_to_the_next() -> None:
    """Not even where on_connect has taken autocommit away."""

    def connect(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE t (i INTEGER CHECK (i > 0))")
        connection.isolation_level = "DEFERRED"

    async with Database(":memory:", on_connect=connect) as db:
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            await db.execute("INSERT INTO t VALUES (-1)")
        assert await db.fetch("SELECT count(*) FROM t") == [(0,)]
        with pytest.raises(RuntimeError, match="a transaction was left open"):
            await db.execute("INSERT INTO t VALUES (1)")


async def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """SQLite says only that it is unable."""
    async with Database(tmp_path / "nowhere" / "site.db") as db:
        with pytest.raises(sqlite3.OperationalError, match="unable to open") as caught:
            await db.fetch("SELECT 1")
    assert caught.value.__notes__ == [f"the database is {tmp_path / 'nowhere' / 'site.db'}"]


@pytest.mark.parametrize("path", ["", "sqlite:", "sqlite:///site.db", "sqlite://"])
def test_a_url_is_no_file_name(path: str) -> None:
    """Other libraries count the slashes; here is none to count."""
    with pytest.raises(ValueError, match="write a file name"):
        Database(path)


def test_a_relative_name_counts_from_where_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its directory does not change its database."""
    monkeypatch.chdir(tmp_path)
    db = Database("sqlite:site.db")
    monkeypatch.chdir(tmp_path.parent)
    asyncio.run(db.execute("CREATE TABLE t (i)"))
    asyncio.run(db.close())
    assert [file.name for file in tmp_path.iterdir()] == ["site.db"]


async def test_a_busy_file_is_waited_for_only_so_long(tmp_path: Path) -> None:
    """Then the statement fails, and the next one is right."""
    other = sqlite3.connect(tmp_path / "site.db", isolation_level=None)
    async with Database(tmp_path / "site.db", busy_timeout=0.01) as db:
        await with_posts(db)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await db.fetch("SELECT * FROM posts")
        other.close()
        assert len(await db.fetch("SELECT * FROM posts")) == 3


# --- forgotten ----------------------------------------------------------------------------------------------------


def test_a_database_that_is_collected_open_warns_and_closes() -> None:
    """It never hangs, and its thread ends."""
    threads = threading.active_count()

    def forget() -> None:
        asyncio.run(Database(":memory:").fetch("SELECT 1"))
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"unclosed batchio\.sqlite\.Database :memory:"):
        forget()
    assert threading.active_count() == threads


def run_python(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own."""
    package = Path(batchio.sqlite.__file__).parents[1]
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )


SLOW_START = pytest.mark.patience(90)  # an interpreter takes 0.3 s to start, and many times that on a busy machine
UNCLOSED = """
    import asyncio, batchio.sqlite
    db = batchio.sqlite.Database(":memory:")
    posts = db.row("posts")
    asyncio.run(db.execute("CREATE TABLE posts (id INTEGER)"))
    """


@SLOW_START
@pytest.mark.parametrize("action", ["error", "default"])
def test_an_interpreter_that_ends_unclosed_says_so_and_nothing_else(action: str) -> None:
    """One ResourceWarning, exit code 0."""
    ended = run_python(UNCLOSED, "-X", "dev", "-W", action)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.count("Warning:") == 1, ended.stderr
    assert "ResourceWarning: unclosed batchio.sqlite.Database :memory:" in ended.stderr


@SLOW_START
def test_an_interpreter_that_ends_closed_says_nothing() -> None:
    """Not in development mode, not with warnings as errors."""
    ended = run_python(UNCLOSED + "asyncio.run(db.close())", "-X", "dev", "-W", "error")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@SLOW_START
def test_an_interpreter_ends_under_an_endless_statement() -> None:
    """Its loop is in a thread that nobody waits for; the statement is interrupted."""
    program = f"""
    import asyncio, threading, batchio.sqlite
    reached = threading.Event()
    def connect(connection):
        connection.create_function("hold", 0, lambda: reached.set() or 1)
    db = batchio.sqlite.Database(":memory:", on_connect=connect)
    threading.Thread(target=asyncio.run, args=(db.fetch({ENDLESS!r}),), daemon=True).start()
    reached.wait()
    """
    assert run_python(program).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@SLOW_START
def test_a_fork_opens_a_connection_of_its_own(tmp_path: Path) -> None:
    """A child has no thread of its parent's, and would wait for it for ever."""
    program = f"""
    import asyncio, os, sys, batchio.sqlite
    db = batchio.sqlite.Database({str(tmp_path / "site.db")!r})
    asyncio.run(db.execute("CREATE TABLE t AS SELECT 42 AS n"))
    child = os.fork()
    async def main():
        async with db:
            return await db.fetch("SELECT n FROM t")
    assert asyncio.run(main()) == [(42,)]
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    ended = run_python(program, "-W", "ignore::DeprecationWarning")
    assert (ended.returncode, ended.stderr) == (0, "")


@SLOW_START
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_that_reads_nothing_has_nothing_to_close() -> None:
    """The connection is its parent's business: one of the two warns."""
    program = (
        UNCLOSED
        + """
    import os
    if child := os.fork():
        os.waitpid(child, 0)
    """
    )
    ended = run_python(program, "-W", "default", "-W", "ignore::DeprecationWarning")
    assert (ended.returncode, ended.stderr.count("unclosed batchio.sqlite.Database")) == (0, 1)


async def test_a_neighbour_in_another_statement_is_nobodys_second_row() -> None:
    """Keys that a collation takes for one, asked for in two statements of one batch, have their own row each."""

    def allow_two(connection: sqlite3.Connection) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 2)

    async with Database(":memory:", on_connect=allow_two) as db:
        await db.execute("CREATE TABLE names (name TEXT COLLATE NOCASE, n INTEGER)")
        await db.execute("INSERT INTO names VALUES ('a', 1)")
        await db.execute("INSERT INTO names VALUES ('A', 2)")
        numbers = db.row("names", key="name", columns="n", default=0)
        assert await numbers.load_many(["a", "b", "A"]) == [1, 0, 2]
