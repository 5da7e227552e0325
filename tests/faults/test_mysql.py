"""Faults 27, 40, 41 and 61: a MySQL that restarts or kills, sizes that it does not take, and callers that give up.

Rules:
- Servers that are stopped or set otherwise are the test's own, one for the file. What a MariaDB cannot be made to say
  (4031 is MySQL's alone), nobody says: see `stores.Nobody`.
- Statements that must be met while they run wait for a lock that the test holds: see `stores.Watch`.
- A read whose connection was lost is sent once more, a write never.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncmy
import pytest

import batchio
from batchio.mysql import Database
from tests import servers
from tests.faults.helpers import answers
from tests.faults.stores import (
    LOCKED,
    LONG,
    SOAK,
    Packets,
    Passes,
    Watch,
    error,
    nobody,
    result,
    rounds,
    tell,
    through,
    until,
)  # fmt: skip
from tests.proxy import HOST, Proxy

LOST = [1053, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 4031]  # the connection is gone


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.MariaDB]:
    """A server that takes 64 KiB at once, with a table of three posts; it is killed, and keeps what was committed."""
    place = f"--tmpdir={tmp_path_factory.mktemp('mariadb')}"  # at its start, one removes what others have in theirs
    with servers.mariadb("--max-allowed-packet=64K", "--innodb-flush-log-at-trx-commit=1", place) as server:
        server.execute("CREATE TABLE posts (id INT PRIMARY KEY, score INT) ENGINE=InnoDB")
        server.execute("INSERT INTO posts VALUES (1, 10), (2, 20), (3, 30)")
        yield server


# --- storms -------------------------------------------------------------------------------------------------------


@pytest.mark.patience(600 if SOAK else 60)
@pytest.mark.parametrize("driver", ["aiomysql", "asyncmy"])
async def test_fault_27_after_a_storm_of_callers_that_give_up_mysql_is_never_wrong_and_nothing_leaks(
    driver: str, mariadb_server: Any, mysql_url: str, record_property: Any
) -> None:
    """500 rounds of next to no time, whose cancellation closes the connection; after each the next answer is its own."""
    with Watch(mariadb_server, mysql_url) as watch:
        async with opened(driver, mysql_url) as db:
            numbers = db.select("SELECT seq FROM seq_1_to_2000 WHERE seq IN :keys", key="seq", cancel_abandoned=True)
            gave_up = await storm(db, numbers, rounds(500))
            assert "0 in use, 0 waiting" in repr(db)
            await until(lambda: len(watch.others()) <= 3)
        await until(lambda: not watch.others())
    record_property("rounds", rounds(500))
    record_property("gave up", gave_up)
    tell(f"fault 27, {driver}: {rounds(500)} rounds, {gave_up} gave up")


async def storm(db: Database, numbers: Any, count: int) -> int:
    """Callers with next to no time, and after each of them two who have some; gives how many gave up."""
    gave_up = 0
    for number in range(count):
        keys = [number % 2000 + 1, (number + 7) % 2000 + 1]
        try:
            async with asyncio.timeout(0.0003 * (number % 10)):
                assert [row.seq for row in await numbers.load_many(keys)] == keys
        except TimeoutError:
            gave_up += 1
        assert (await numbers(number % 1999 + 2)).seq == number % 1999 + 2
        assert await db.fetch("SELECT %s", (number,)) == [(number,)]
    await batchio.drain(LONG)
    assert gave_up >= count // 10
    return gave_up


@asynccontextmanager
async def opened(driver: str, url: str) -> AsyncIterator[Database]:
    """A Database of three connections, on its own pool, or on a service's of the other driver."""
    if driver == "aiomysql":
        async with Database(url, pool_size=3) as db:
            yield db
        return
    at = urlsplit(url)
    who = {"host": at.hostname, "port": at.port, "user": at.username, "password": at.password, "database": at.path[1:]}
    pool = asyncmy.create_pool(**who, minsize=0, maxsize=3, autocommit=True)
    async with pool as made, Database(pool=lambda: made) as db:
        yield db


# --- sizes --------------------------------------------------------------------------------------------------------


async def test_fault_40_a_batch_that_is_larger_than_a_statement_may_be_is_cut(small: servers.MariaDB) -> None:
    """Every key has its row; one that fits into no statement fails alone, and a write of that size before it is sent."""
    async with Database(small.url) as db:
        await db.execute("CREATE OR REPLACE TABLE words (word VARCHAR(2000), n INT, KEY (word(20)))")
        words = [f"{n:03}" + "é'" * 300 for n in range(150)]
        for n, word in enumerate(words):
            await db.execute("INSERT INTO words VALUES (%s, %s)", (word, n))
        numbers = db.row("words", key="word", columns="n", default=None)
        found = await answers(*map(numbers, [*words, "x" * 66_000, "none"]))
        assert found[:150] == [*range(150)]
        assert found[151] is None
        assert isinstance(found[150], ValueError)
        assert "max_allowed_packet" in str(found[150])
        with pytest.raises(ValueError, match="max_allowed_packet"):
            await db.execute("INSERT INTO words VALUES (%s, 0)", ("x" * 66_000,))
        assert await db.fetch("SELECT COUNT(*) FROM words") == [(150,)]


async def test_fault_41_a_row_that_is_larger_than_a_packet_comes_whole_or_as_an_error(small: servers.MariaDB) -> None:
    """A row of three times that size has all its bytes; what the server itself cuts to NULL is its NULL, and no neighbour's."""
    async with Database(small.url) as db:
        await db.execute("CREATE OR REPLACE TABLE texts (id INT PRIMARY KEY, a LONGTEXT, b LONGTEXT, c LONGTEXT)")
        part = "x" * 60_000
        await db.execute("INSERT INTO texts (id) VALUES (1)")
        for column in "abc":
            await db.execute(f"UPDATE texts SET {column} = %s WHERE id = 1", (part,))
        await db.execute("INSERT INTO texts VALUES (2, 'two', '', '')")
        texts = db.row("texts", columns=("a", "b", "c"))
        assert await texts.load_many([1, 2]) == [(part, part, part), ("two", "", "")]
        sql = "SELECT id, REPEAT(a, 3) AS long_ FROM texts WHERE id IN :keys"
        long = db.select(sql, key="id", columns="long_")
        assert await long.load_many([1, 2]) == [None, "twotwotwo"]


# --- lost connections ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", LOST)
async def test_fault_61_a_lost_connection_costs_a_read_one_more_try_and_a_write_its_answer(code: int) -> None:
    """Whatever the number by which it is told; a write is sent once and no more."""
    refused: list[str] = []

    def answer(sql: str) -> Packets | None:
        if sql not in refused:
            refused.append(sql)
            return None if code in (2006, 2013) else error(code)
        return result(["word"], ["fine"])

    async with nobody(answer) as (server, url), Database(url) as db:
        assert await db.fetch("SELECT 1") == [("fine",)]
        with pytest.raises(Exception, match=r"as told|Lost connection|gone away") as caught:
            await db.execute("UPDATE posts SET score = 1")
        assert type(caught.value).__name__ in ("OperationalError", "InternalError", "InterfaceError")
        assert server.statements == ["SELECT 1", "SELECT 1", "UPDATE posts SET score = 1"]
        assert await db.fetch("SELECT 2; -- again") == [("fine",)]


@pytest.mark.parametrize("how", ["KILL", "kill -9"])
async def test_fault_61_a_kill_in_the_middle_of_a_query_is_never_a_hang(how: str, small: servers.MariaDB) -> None:
    """Readers are answered from a new connection, or told that there is no server; a writer is told; then all is well."""
    async with Database(small.url, pool_size=4) as db:
        with Watch(small, small.url) as watch:
            watch.hold()
            held = db.select(f"SELECT id, score, {LOCKED} FROM posts WHERE {LOCKED} AND id IN :keys", key="id")
            reading = held.load_many([1, 2])
            writing = asyncio.create_task(db.execute(f"UPDATE posts SET score = score + {LOCKED} WHERE id = 3"))
            await until(lambda: len(watch.waiting()) == 2)
            if how == "KILL":
                for number in watch.waiting():
                    watch.ask(f"KILL {number}")
            else:
                small.kill()
            with pytest.raises(Exception, match=r"Lost connection|killed|gone away"):
                await writing
        if how == "KILL":
            assert [(row.id, row.score) for row in await reading] == [(1, 10), (2, 20)]
        else:
            with pytest.raises(Exception, match=r"Lost connection|Can't connect|gone away"):
                await reading
            small.start()
        assert await db.fetch("SELECT score FROM posts ORDER BY id") == [(10,), (20,), (30,)]


@pytest.mark.flavours("asyncio")
@pytest.mark.patience(120)
async def test_fault_61_an_answer_that_is_cut_after_any_byte_is_an_error_or_right(
    mariadb_server: Any, mysql_url: str, record_property: Any
) -> None:
    """From the server's greeting to the last byte of the rows: never a wrong row, never a hang, and the loop goes on."""
    async with Proxy(HOST, mariadb_server.port) as line:
        url = through(mariadb_server, line, mysql_url)
        sql, right, failed = "SELECT seq, 'abc' AS word FROM seq_1_to_3", [(1, "abc"), (2, "abc"), (3, "abc")], 0
        async with Database(url) as db:
            assert await db.fetch(sql) == right
        cuts = range(line.bytes_down + 20)
        with Passes() as passes:
            for cut in cuts:
                line.cut_after, before = cut, passes.count
                async with Database(url, connect_timeout=LONG) as db:
                    (found,) = await answers(db.fetch(sql))
                assert found == right or isinstance(found, Exception), found
                failed += found != right
                assert passes.count > before
        assert 0 < failed < len(cuts)
        line.cut_after = None
    with Watch(mariadb_server, mysql_url) as watch:
        await until(lambda: not watch.others())
    record_property("cuts of a statement", len(cuts))
    tell(f"fault 61: an answer cut at {len(cuts)} places, {failed} were errors")
