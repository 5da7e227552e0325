"""Faults 62, 63, 65 and 66: a MySQL that refuses, locks or is full, and whose turn it is when connections are not well.

Rules:
- An error of the server is the caller's, and is not asked again; its connection is as good as before.
- Whoever waits for a connection gets one or an error, within its own limits, whatever becomes of those in use.
- Statements that must be met while they run wait for a lock that the test holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from batchio import BatchTimeout, Limits
from batchio.mysql import Database
from tests import servers
from tests.faults.helpers import answers
from tests.faults.stores import LOCKED, LONG, Watch, error, nobody, result, through, until
from tests.proxy import HOST, Proxy

WAITS = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
SAID = [1205, 1213, 1317, 1040, 1226]  # the statement was refused, and the connection is as good as before


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.MariaDB]:
    """A server that takes ten connections."""
    with servers.mariadb("--max-connections=10", f"--tmpdir={tmp_path_factory.mktemp('mariadb')}") as server:
        yield server


# --- refused statements -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", SAID)
async def test_fault_62_an_error_of_the_server_is_the_callers_and_is_asked_once(code: int) -> None:
    """A lock, a deadlock, an interruption: nobody repeats it, since a batch is not the whole of what the caller does."""
    async with nobody(lambda sql: error(code) if "posts" in sql else result(["n"], ["1"])) as (server, url):
        async with Database(url) as db:
            posts = db.row("posts")
            for ask in (
                lambda: db.fetch("SELECT * FROM posts"),
                lambda: db.execute("DELETE FROM posts"),
                lambda: posts(1),
            ):
                with pytest.raises(Exception, match="as told") as caught:
                    await ask()
                assert caught.value.args[0] == code
            assert await db.fetch("SELECT 1") == [("1",)]
        assert len(server.statements) == 4
        assert len(server.flags) == 1, "one connection served all of them"


async def test_fault_62_a_lock_that_is_not_given_and_a_deadlock_are_told_and_leave_a_good_connection(
    mariadb_server: Any, mysql_url: str
) -> None:
    """1205 and 1213 of a real server, in a write; nothing of it is done, and the same connection goes on."""
    name = urlsplit(mysql_url).path[1:]
    with mariadb_server.connect(name) as other, other.cursor() as cursor:
        async with Database(mysql_url, pool_size=1) as db:
            await db.execute("CREATE TABLE posts (id INT PRIMARY KEY, score INT) ENGINE=InnoDB")
            await db.execute("INSERT INTO posts SELECT seq, 10 FROM seq_1_to_100")
            ((before,),) = await db.fetch("SELECT CONNECTION_ID()")
            cursor.execute("BEGIN")
            cursor.execute("UPDATE posts SET score = 20 WHERE id > 1")
            with pytest.raises(Exception, match="Lock wait timeout exceeded") as caught:
                await db.execute("SELECT * FROM posts WHERE id = 2 FOR UPDATE NOWAIT")
            assert caught.value.args[0] == 1205
            writing = asyncio.create_task(db.execute("UPDATE posts SET score = 30 WHERE id IN (1, 2) ORDER BY id"))
            await until(lambda: "0" not in dict(mariadb_server.execute(WAITS)).values())
            cursor.execute("UPDATE posts SET score = 20 WHERE id = 1")  # closes the circle; the other has done less
            with pytest.raises(Exception, match="Deadlock found") as caught:
                await writing
            assert caught.value.args[0] == 1213
            cursor.execute("COMMIT")
            assert await db.fetch("SELECT DISTINCT score, CONNECTION_ID() FROM posts") == [(20, before)]


def fill_up(others: ExitStack, server: servers.MariaDB) -> None:
    """Open connections until the server refuses one."""
    while True:
        others.enter_context(server.connect())


async def test_fault_63_a_server_without_room_is_an_error_at_once_and_everybody_is_served_when_there_is_some(
    full: servers.MariaDB,
) -> None:
    """1040 for those who need a new connection, each an error of their own; who has a connection goes on; none hangs."""
    with ExitStack() as others:
        async with Database(full.url, pool_size=8) as db:
            assert await db.fetch("SELECT 1") == [(1,)]  # has one
            with pytest.raises(Exception, match="Too many connections"):
                fill_up(others, full)
            slow = [asyncio.create_task(db.fetch("SELECT SLEEP(0.05), %s", (n,))) for n in range(30)]
            found = await answers(*slow)
            refused = [error for error in found if isinstance(error, Exception)]
            assert len({id(error) for error in refused}) == len(refused) > 0
            assert {error.args[0] for error in refused} == {1040}
            assert len(refused) < 30
            assert [row for row in found if isinstance(row, list)] == [
                [(0, n)] for n, row in enumerate(found) if isinstance(row, list)
            ]
            others.close()
            assert await asyncio.gather(*(db.fetch("SELECT %s", (n,)) for n in range(30))) == [
                [(n,)] for n in range(30)
            ]


# --- whose turn it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2])
async def test_fault_65_who_waits_for_a_connection_is_served_when_those_in_use_are_lost(
    size: int, mariadb_server: Any, mysql_url: str
) -> None:
    """Twenty wait while every connection of the pool is reset, again and again: each is answered, none is forgotten."""
    async with (
        Proxy(HOST, mariadb_server.port) as line,
        Database(through(mariadb_server, line, mysql_url), pool_size=size) as db,
    ):
        for _ in range(5):
            with Watch(mariadb_server, mysql_url) as watch:
                watch.hold()
                reading = [asyncio.create_task(db.fetch(f"SELECT {LOCKED}, %s", (n,))) for n in range(20)]
                await until(lambda: len(watch.waiting()) == size)
                await line.reset()
                watch.let_go()
                assert await asyncio.gather(*reading) == [[(1, n)] for n in range(20)]
        assert "0 in use, 0 waiting" in repr(db)
        assert line.open <= size


async def test_fault_65_a_slow_connect_holds_up_nobody_for_whom_there_is_a_connection(
    mariadb_server: Any, mysql_url: str
) -> None:
    """One waits for a connection that does not open; others take turns on the one that is there, and do not wait for it."""
    async with Proxy(HOST, mariadb_server.port) as line:
        url = through(mariadb_server, line, mysql_url)
        async with Database(url, pool_size=2, connect_timeout=3600.0) as db:
            with Watch(mariadb_server, mysql_url) as watch:
                watch.hold()
                first = asyncio.create_task(db.fetch(f"SELECT {LOCKED}, 1"))
                await until(watch.waiting)
                carry, line._carry = line._carry, silent  # type: ignore[method-assign]
                stuck = asyncio.create_task(db.fetch("SELECT 2"))
                await until(lambda: line.connections == 2)
                line._carry = carry  # type: ignore[method-assign]
                watch.let_go()
                assert await first == [(1, 1)]
                others = asyncio.gather(*(db.fetch("SELECT %s", (number,)) for number in range(5)))
                done, _ = await asyncio.wait([others], timeout=LONG)
                await line.reset()
                await answers(stuck, others)
                assert done, f"with a connection free, five waited {LONG} seconds for one that did not open"


async def silent(client: Any, number: int) -> None:
    """A line on which nothing travels."""
    with client:
        await asyncio.Event().wait()


async def test_fault_65_a_connect_that_never_ends_is_given_up_and_who_waits_behind_it_is_told(
    mariadb_server: Any, mysql_url: str
) -> None:
    """Each within its own limits, with an error of its own; once the line is good, all are served."""
    async with Proxy(HOST, mariadb_server.port) as line:
        url = through(mariadb_server, line, mysql_url)
        async with Database(url, pool_size=1, connect_timeout=0.1, timeout=2.0) as db:
            line.black_hole = True
            found = await answers(*(db.fetch("SELECT %s", (n,)) for n in range(5)))
            assert [type(one) for one in found] == [BatchTimeout] * 5
            assert len({id(one) for one in found}) == 5
            line.black_hole = False
            await line.reset()
            assert await asyncio.gather(*(db.fetch("SELECT %s", (n,)) for n in range(5))) == [[(n,)] for n in range(5)]


OPENERS = [
    "BEGIN",
    "START TRANSACTION READ ONLY",
    "/* x */ BEGIN",
    "BEGIN; UPDATE posts SET score = 0",
    "SET autocommit = 0",
]


@pytest.mark.parametrize("statement", OPENERS)
async def test_fault_66_an_open_transaction_reaches_nobody_else(
    statement: str, mariadb_server: Any, mysql_url: str
) -> None:
    """It is refused and rolled back; five who wait for the one connection are served, see what is committed, and commit."""
    async with Database(mysql_url, pool_size=1) as db:
        await db.execute("CREATE TABLE posts (id INT PRIMARY KEY, score INT) ENGINE=InnoDB")
        await db.execute("INSERT INTO posts VALUES (1, 10)")
        opening = asyncio.create_task(db.execute(statement))
        waiting = [asyncio.create_task(db.execute("UPDATE posts SET score = score + 1")) for _ in range(5)]
        with pytest.raises(RuntimeError, match="connection of your own"):
            await opening
        assert await asyncio.gather(*waiting) == [1] * 5
        name = urlsplit(mysql_url).path[1:]
        assert mariadb_server.execute(f"SELECT score FROM {name}.posts") == [(15,)]
        mariadb_server.execute(f"UPDATE {name}.posts SET score = 99")
        assert await db.row("posts", columns="score", limits=Limits(timeout=LONG)).load(1) == 99
