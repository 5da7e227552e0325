"""`batchio.mysql` when things go wrong: connections that die, time that runs out, callers who leave, pools that forget.

- Statements that must be met while they run wait for a named lock, `HELD`, which the test holds and lets go; the test
  sees them at the server, in its list of processes.
- `harmed` is a MariaDB of this file's own, for tests that stop it or change its settings.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiomysql
import asyncmy
import pymysql
import pytest

import batchio
from batchio._core.errors import BatchAborted, BatchTimeout
from batchio._core.options import Limits
from batchio._local import LoopLocal
from batchio.mysql import Database
from tests import servers

HELD = "SELECT id, CONNECTION_ID() AS connection FROM posts WHERE GET_LOCK('{lock}', 60) AND id IN :keys"
LONG_AGO = 0.05  # seconds: a time limit that runs out while the test holds what is waited for


class Hold:
    """A named lock at the server: statements that ask for it wait until the test lets go."""

    def __init__(self, server: Any, url: str) -> None:
        self.lock = urlsplit(url).path[1:]
        self.connection = server.connect()
        assert self.ask(f"SELECT GET_LOCK('{self.lock}', 0)") == [(1,)]

    def ask(self, sql: str) -> list[Any]:
        """Run a statement on the connection that holds the lock."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def waiting(self) -> list[int]:
        """The connections whose statements wait for the lock."""
        found = self.ask("SELECT ID FROM information_schema.processlist WHERE STATE = 'User lock'")
        return [number for (number,) in found]

    async def until_waiting(self, count: int = 1) -> list[int]:
        """Wait, in a loop, until so many statements wait."""
        while len(found := self.waiting()) != count:
            await asyncio.sleep(0.001)
        return found

    def let_go(self) -> None:
        """Let all of them go on, one after another."""
        self.ask(f"SELECT RELEASE_LOCK('{self.lock}')")


@pytest.fixture
def hold(mariadb_server: Any, mysql_url: str) -> Iterator[Hold]:
    """A held lock, and `posts` with three rows."""
    name = urlsplit(mysql_url).path[1:]
    mariadb_server.execute(f"CREATE TABLE {name}.posts (id INT PRIMARY KEY, score INT)")
    mariadb_server.execute(f"INSERT INTO {name}.posts VALUES (1, 10), (2, 20), (3, 30)")
    hold = Hold(mariadb_server, mysql_url)
    # By name, `execute` and `fetch` refuse locks.
    mariadb_server.execute(f"CREATE FUNCTION {name}.held() RETURNS INT RETURN GET_LOCK('{hold.lock}', 60)")
    mariadb_server.execute(f"CREATE FUNCTION {name}.freed() RETURNS INT RETURN RELEASE_LOCK('{hold.lock}')")
    yield hold
    hold.connection.close()  # and so lets go
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT ID FROM information_schema.processlist WHERE DB = '{name}'")
        for (number,) in cursor.fetchall():  # what a time limit left running
            with suppress(pymysql.err.OperationalError):  # it has ended by itself meanwhile
                cursor.execute(f"KILL {number}")


@pytest.fixture(scope="module")
def harmed() -> Iterator[Any]:
    """A server to be stopped and changed."""
    with servers.mariadb("--max-allowed-packet=64K", "--innodb-flush-log-at-trx-commit=1") as server:
        server.execute("CREATE TABLE posts (id INT PRIMARY KEY, score INT)")
        server.execute("INSERT INTO posts VALUES (1, 10), (2, 20), (3, 30)")
        yield server


Open = Callable[..., Database]


@pytest.fixture(params=["address", "asyncmy"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    """Make Databases on aiomysql, or on a pool of asyncmy's; whatever they opened is closed in the end."""
    pools: list[Any] = []
    made: list[Database] = []

    def make(url: str, *, pool_size: int = 10, **options: Any) -> Database:
        if request.param == "address":
            made.append(Database(url, pool_size=pool_size, **options))
        else:
            made.append(Database(pool=lambda: service_pool(url, pool_size), **options))
        return made[-1]

    async def service_pool(url: str, maxsize: int) -> Any:
        pools.append(await asyncmy.create_pool(**who(asyncmy, url), minsize=0, maxsize=maxsize, autocommit=True))
        return pools[-1]

    yield make
    for database in made:
        await database.close()
    for pool in pools:
        pool.close()
        await pool.wait_closed()


def who(driver: Any, url: str) -> dict[str, Any]:
    """A dsn as a driver takes it."""
    parts = urlsplit(url)
    name = {aiomysql: "db", asyncmy: "database"}[driver]
    address = {"host": parts.hostname, "port": parts.port, name: parts.path[1:]}
    return {**address, "user": parts.username, "password": parts.password}


# --- whose turn it is ---------------------------------------------------------------------------------------------


async def test_all_who_wait_are_served_when_the_holder_runs_out_of_time(
    opened: Open, mysql_url: str, hold: Hold
) -> None:
    """One connection, closed under the statement that had it; five wait for it, and a sixth gives up."""
    db = opened(mysql_url, pool_size=1)
    held = db.select(HELD.format(lock=hold.lock), key="id", limits=Limits(timeout=0.2))
    scores = [db.row("posts", columns="score", name=f"score {i}") for i in range(4)]
    holder = held.load(1)
    await hold.until_waiting()
    five = [*(loader.load(i % 3 + 1) for i, loader in enumerate(scores)), asyncio.ensure_future(db.fetch("SELECT 1"))]
    leaver = asyncio.ensure_future(db.fetch("SELECT 2"))
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(BatchTimeout):
        await holder
    assert await asyncio.gather(*five) == [10, 20, 30, 10, [(1,)]]
    assert "0 in use, 0 waiting" in repr(db)


async def test_statements_take_their_turns_in_order(opened: Open, mysql_url: str, hold: Hold) -> None:
    """First come, first served; more than the pool's size never run at once."""
    db = opened(mysql_url, pool_size=1)
    await db.execute("CREATE TABLE log (i INT PRIMARY KEY AUTO_INCREMENT, n INT)")
    first = asyncio.create_task(db.execute("INSERT INTO log (n) SELECT 0 FROM DUAL WHERE held() AND freed()"))
    await hold.until_waiting(1)
    rest = [asyncio.create_task(db.execute("INSERT INTO log (n) VALUES (%s)", (i,))) for i in range(1, 9)]
    while "1 in use, 8 waiting" not in repr(db):
        await asyncio.sleep(0)
    hold.let_go()
    await asyncio.gather(first, *rest)
    order = [n for (n,) in await db.fetch("SELECT n FROM log WHERE n > 0 ORDER BY i")]
    assert order == list(range(1, 9))


async def test_whoever_waits_inside_a_shared_pool_is_woken(mysql_url: str, hold: Hold) -> None:
    """aiomysql forgets it when we give back a connection that had to be closed."""
    async with aiomysql.create_pool(**who(aiomysql, mysql_url), minsize=0, maxsize=1, autocommit=True) as pool:
        db = Database(pool=lambda: pool)
        held = db.select(HELD.format(lock=hold.lock), key="id", limits=Limits(timeout=0.2))
        holder = held.load(1)
        await hold.until_waiting()
        stranger = asyncio.ensure_future(pool.acquire())
        with pytest.raises(BatchTimeout):
            await holder
        pool.release(await stranger)
        assert await db.fetch("SELECT 1") == [(1,)]
        await db.close()


async def test_a_wake_up_that_others_lose_is_made_up_for(mysql_url: str) -> None:
    """A stranger has the pool's one connection, and gives it back closed: nobody tells us, so we look again."""
    async with aiomysql.create_pool(**who(aiomysql, mysql_url), minsize=0, maxsize=1, autocommit=True) as pool:
        db = Database(pool=lambda: pool, connect_timeout=0.1)
        assert await db.fetch("SELECT 1") == [(1,)]
        stranger = await pool.acquire()
        waiting = asyncio.ensure_future(db.fetch("SELECT 2"))
        while not pool._cond._waiters:
            await asyncio.sleep(0)
        stranger.close()
        pool.release(stranger)
        assert await waiting == [(2,)]
        await db.close()


async def test_a_hundred_time_limits_leave_no_dirty_connection(opened: Open, mysql_url: str, hold: Hold) -> None:
    """After each the next answer is its own; the pool has its size, and the server no more connections."""
    db = opened(mysql_url, pool_size=2)
    slow = "SELECT seq FROM seq_1_to_200 WHERE SLEEP(0.0001) = 0 AND seq IN :keys"
    late = 0
    for i in range(100):
        loader = db.select(slow, key="seq", name=f"round {i}", limits=Limits(timeout=0.0004 * (i % 10 + 1)))
        found = await loader.load_many(range(1, 3 + i % 10), return_exceptions=True)
        late += isinstance(found[0], BatchTimeout)
        assert await db.fetch("SELECT %s", (i,)) == [(i,)]
    assert late > 0, "no time limit ran out: the test tests nothing"
    assert await asyncio.gather(*(db.fetch("SELECT %s", (i,)) for i in range(5))) == [[(i,)] for i in range(5)]
    assert "0 in use, 0 waiting" in repr(db)


class Others:
    """A pool of somebody else's making, around aiomysql's: its release is a coroutine, and it has nothing more."""

    def __init__(self, pool: Any) -> None:
        self.pool, self.maxsize = pool, pool.maxsize

    async def acquire(self) -> Any:
        return await self.pool.acquire()

    async def release(self, connection: Any) -> None:
        await self.pool.release(connection)


@pytest.mark.parametrize("maxsize", [0, 2])
async def test_a_pool_of_another_making_will_do(maxsize: int, mysql_url: str) -> None:
    """If it has the interface: without a limit, or with a release that must be awaited."""
    async with aiomysql.create_pool(**who(aiomysql, mysql_url), minsize=0, maxsize=maxsize, autocommit=True) as pool:
        async with Database(pool=lambda: Others(pool)) as db:
            await db.close()  # before it was opened there is nothing to close
            assert await asyncio.gather(*(db.fetch("SELECT %s", (i,)) for i in range(5))) == [[(i,)] for i in range(5)]
            assert "0 waiting" in repr(db)
        assert pool.size <= (maxsize or 5)


async def test_a_pool_that_cannot_be_made_is_tried_again(mysql_url: str) -> None:
    """By the next statement; those who waited for it each have an error of their own."""
    troubles: list[BaseException] = [asyncio.CancelledError(), ValueError("no settings yet")]
    async with aiomysql.create_pool(**who(aiomysql, mysql_url), minsize=0, autocommit=True) as pool:

        async def make() -> Any:
            await asyncio.sleep(0)
            if troubles:
                raise troubles.pop()
            return pool

        db = Database(pool=make)
        found = await asyncio.gather(*(db.fetch("SELECT 1") for _ in range(2)), return_exceptions=True)
        assert [type(error) for error in found] == [ValueError, ValueError]
        assert found[0] is not found[1]
        with pytest.raises(ConnectionAbortedError, match="not opened"):
            await db.fetch("SELECT 1")
        assert await db.fetch("SELECT 1") == [(1,)]
        await db.close()


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", [aiomysql, asyncmy], ids=["aiomysql", "asyncmy"])
async def test_autocommit_off_is_refused_before_the_first_statement(driver: Any, mysql_url: str) -> None:
    """It is each driver's default. Nothing was sent, and the pool is as it was."""
    async with driver.create_pool(**who(driver, mysql_url), minsize=1, maxsize=1) as pool:
        db = Database(pool=lambda: pool)
        before = await statements_sent(pool)
        for statement in (db.fetch("SELECT 1"), db.execute("DELETE FROM posts"), db.row("posts").load(1)):
            with pytest.raises(RuntimeError, match=r"create_pool\(\.\.\., autocommit=True\)"):
                await statement
        assert await statements_sent(pool) == before + 1  # the one that asked
        await db.close()


async def statements_sent(pool: Any) -> int:
    """How many statements the pool's one connection has sent."""
    async with pool.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute("SHOW SESSION STATUS LIKE 'Questions'")
        return int((await cursor.fetchone())[1])


# --- connections that die -----------------------------------------------------------------------------------------


async def test_a_read_whose_connection_was_killed_is_asked_again(opened: Open, mysql_url: str, hold: Hold) -> None:
    """On a new connection, once; nobody notices."""
    db = opened(mysql_url)
    idle = asyncio.gather(*(db.fetch("SELECT SLEEP(0.01)") for _ in range(3)))
    await idle
    held = db.select(HELD.format(lock=hold.lock), key="id", columns="connection")
    reading = held.load(1)
    (killed,) = await hold.until_waiting()
    hold.ask(f"KILL CONNECTION {killed}")
    while killed in hold.waiting():
        await asyncio.sleep(0)
    (second,) = await hold.until_waiting()
    assert second != killed
    hold.let_go()
    assert await reading == second


async def test_a_read_is_not_asked_a_third_time(opened: Open, mysql_url: str, hold: Hold) -> None:
    """Whatever kills it would kill it for ever."""
    db = opened(mysql_url)
    reading = asyncio.ensure_future(db.fetch("SELECT held()"))
    seen: set[int] = set()
    for _ in range(2):
        while not (new := set(hold.waiting()) - seen):
            await asyncio.sleep(0.001)
        seen |= new
        hold.ask(f"KILL CONNECTION {new.pop()}")
    with pytest.raises(Exception, match=r"Lost connection|killed|gone away") as caught:
        await reading
    assert caught.value.__notes__ == ["the statement is: SELECT held()"]
    assert await db.fetch("SELECT 1") == [(1,)]


async def test_a_killed_write_is_not_asked_again(opened: Open, mysql_url: str, hold: Hold) -> None:
    """Its caller is told; it was done once at most."""
    db = opened(mysql_url)
    writing = asyncio.ensure_future(db.execute("UPDATE posts SET score = score + held()"))
    (killed,) = await hold.until_waiting()
    hold.ask(f"KILL CONNECTION {killed}")
    with pytest.raises(Exception, match=r"Lost connection|killed|gone away"):
        await writing
    hold.let_go()
    assert await db.fetch("SELECT score FROM posts ORDER BY id") == [(10,), (20,), (30,)]


async def test_a_query_that_somebody_killed_is_not_asked_again(opened: Open, mysql_url: str, hold: Hold) -> None:
    """KILL QUERY means the statement, and leaves the connection; for a lock that is an answer of NULL."""
    db = opened(mysql_url)
    reading = asyncio.ensure_future(db.fetch("SELECT 1 FROM posts WHERE SLEEP(60) OR held()"))
    while not (found := hold.ask("SELECT ID FROM information_schema.processlist WHERE STATE = 'User sleep'")):
        await asyncio.sleep(0.001)
    hold.ask(f"KILL QUERY {found[0][0]}")
    with pytest.raises(Exception, match="interrupted"):
        await reading
    assert await db.fetch("SELECT CONNECTION_ID()") == found


async def test_a_restarted_server_fails_nobody_who_comes_after(opened: Open, harmed: Any) -> None:
    """Idle connections are dead, three of them: a read is answered, known or not; a write once the loop has seen it."""
    db = opened(harmed.url)
    scores = db.row("posts", columns="score")

    async def idle_connections() -> None:
        await asyncio.gather(*(db.fetch("SELECT SLEEP(0.01)") for _ in range(3)))

    await idle_connections()
    harmed.kill()
    harmed.start()
    assert await scores.load_many([1, 2]) == [10, 20]
    await idle_connections()
    harmed.stop()
    harmed.start()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await db.execute("UPDATE posts SET score = score + 0 WHERE id = 1") == 0
    assert await db.fetch("SELECT score FROM posts WHERE id = 1") == [(10,)]


async def test_a_stopped_server_is_an_error_until_it_is_back(opened: Open, harmed: Any) -> None:
    """A clear one, at once; after it the same Database serves again."""
    db = opened(harmed.url)
    scores = db.row("posts", columns="score")
    assert await scores(1) == 10
    harmed.kill()
    for _ in range(2):
        with pytest.raises(Exception, match=r"Can't connect|Lost connection|gone away"):
            await scores(2)
    harmed.start()
    assert await scores.load_many([2, 3]) == [20, 30]


async def test_a_server_that_never_speaks_is_given_up(opened: Open) -> None:
    """The kernel takes the connection and nobody reads it: the limit is for all of the opening, not for the socket."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"mysql://me:hunter2@127.0.0.1:{silent.getsockname()[1]}/name"
        db = opened(dsn, connect_timeout=LONG_AGO, timeout=4 * LONG_AGO)
        found = await asyncio.gather(*(db.fetch("SELECT 1") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [BatchTimeout] * 3
    assert all("not opened" in str(error) or "no answer" in str(error) for error in found)
    assert len({id(error) for error in found}) == 3, "each caller has an error of its own"


# --- statements that are too long ---------------------------------------------------------------------------------


async def test_statements_are_cut_to_what_the_server_takes(opened: Open, harmed: Any) -> None:
    """64 KiB here: the batch is complete, and a key that is longer than that fails alone."""
    db = opened(harmed.url)
    await db.execute("CREATE OR REPLACE TABLE names (name VARCHAR(1000), n INT, KEY (name(20)))")
    names = [f"{i:04}" + "é'" * 400 for i in range(200)]
    for name in names:
        await db.execute("INSERT INTO names VALUES (%s, %s)", (name, int(name[:4])))
    numbers = db.row("names", key="name", columns="n", default=None)
    before = int(harmed.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1])
    found = await numbers.load_many(["x" * 70_000, *names, "é" * 40_000], return_exceptions=True)
    assert found[1:-1] == list(range(200))
    assert [type(error) for error in (found[0], found[-1])] == [ValueError, ValueError]
    assert "max_allowed_packet" in str(found[0])
    assert int(harmed.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")[0][1]) - before == -(-200 * 1615 // 65_000)
    with pytest.raises(ValueError, match="max_allowed_packet"):
        await db.execute("INSERT INTO names VALUES (%s, 0)", ("x" * 70_000,))
    longest = db.rows("names", key=("name", "n"), columns="n", name="pairs")
    assert await longest.load_many([(name, int(name[:4])) for name in names]) == [[i] for i in range(200)]


# --- time limits and callers who leave ----------------------------------------------------------------------------


async def test_a_caller_who_leaves_does_not_stop_a_write(opened: Open, mysql_url: str, hold: Hold) -> None:
    """The driver never hears of it; `drain` waits for the statement."""
    db = opened(mysql_url)
    writing = asyncio.create_task(db.execute("UPDATE posts SET score = score + held()"))
    await hold.until_waiting()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    hold.let_go()
    await batchio.drain(10)
    assert await db.fetch("SELECT score FROM posts ORDER BY id") == [(11,), (21,), (31,)]


async def test_a_write_ends_with_its_time(opened: Open, mysql_url: str, hold: Hold) -> None:
    """Its connection is closed; the error says that nobody knows what became of it."""
    db = opened(mysql_url, timeout=0.2)
    with pytest.raises(BatchTimeout, match=r"no answer within 0\.2 seconds.*nobody knows") as caught:
        await db.execute("UPDATE posts SET score = held() WHERE %s", (1,))
    assert caught.value.__notes__ == ["the statement is: UPDATE posts SET score = held() WHERE %s"]
    assert await db.fetch("SELECT 1") == [(1,)]


async def test_drain_cuts_a_statement_short_when_its_time_is_over(opened: Open, mysql_url: str, hold: Hold) -> None:
    """Whoever waits for it is told, and is not cancelled."""
    db = opened(mysql_url)
    reading = asyncio.create_task(db.fetch("SELECT held()"))
    await hold.until_waiting()
    await batchio.drain(0.01)
    with pytest.raises(BatchAborted, match="cut short by drain"):
        await reading
    assert await db.fetch("SELECT 1") == [(1,)]


async def test_close_lets_everybody_finish(opened: Open, mysql_url: str, hold: Hold) -> None:
    """Those who run and those who wait; who comes meanwhile has a new pool."""
    db = opened(mysql_url, pool_size=1)
    held = db.select(HELD.format(lock=hold.lock), key="id")
    running = held.load(1)
    await hold.until_waiting()
    waiting = asyncio.create_task(db.fetch("SELECT 1"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(db.close())
    await asyncio.sleep(0)
    assert await db.fetch("SELECT 2") == [(2,)]
    assert not closing.done()
    hold.let_go()
    assert (await running).id == 1
    assert await waiting == [(1,)]
    await closing


async def test_a_closed_database_has_no_connection_left(mysql_url: str, hold: Hold) -> None:
    """At the server neither; nor does it count them as aborted."""
    name = urlsplit(mysql_url).path[1:]
    before = hold.ask("SHOW GLOBAL STATUS LIKE 'Aborted_clients'")
    async with Database(mysql_url, pool_size=4) as db:
        await asyncio.gather(*(db.fetch("SELECT SLEEP(0.01)") for _ in range(8)))
        sql = f"SELECT COUNT(*) FROM information_schema.processlist WHERE DB = '{name}'"
        assert hold.ask(sql) == [(4,)]
    while hold.ask(sql) != [(0,)]:
        await asyncio.sleep(0.001)
    assert hold.ask("SHOW GLOBAL STATUS LIKE 'Aborted_clients'") == before


async def test_a_dropped_database_is_collected(mysql_url: str) -> None:
    """Though its loop runs on: the loop holds it weakly."""
    import gc
    import weakref

    db = Database(mysql_url)
    await db.fetch("SELECT 1")
    await db.close()
    gone = weakref.ref(db._connections)
    assert isinstance(gone(), LoopLocal)
    del db
    gc.collect()
    assert gone() is None
