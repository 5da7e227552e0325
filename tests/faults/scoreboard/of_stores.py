"""Programs: loaders over a real memcached and a real MariaDB, behind a line that can be bad.

Rules:
- All libraries are given the same server, the same line and the same fault. batchio reads through its own edges, the
  peers through aiomcache and aiomysql in their batch functions.
- Time limits are the libraries' and drivers' own. `PATIENT` turns are several times what they add up to.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.bench.peers.face_stores import Cached, cached, rows
from tests.faults.scoreboard.source import Case, Source, Values, ask, turn, value
from tests.faults.scoreboard.verdict import PAUSE, Broken, at_most, due, program, refused, settled
from tests.proxy import HOST, Proxy

PATIENT = int(3 / PAUSE)  # turns: three seconds at least
LIMIT = 0.8  # seconds for a statement, where a library lets one say that
ROUNDS = 5
NAMES = 20


# --- memcached ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def behind(case: Case, source: Any, **how: Any) -> AsyncIterator[tuple[Proxy, Cached]]:
    """A cached loader on a line to the program's memcached."""
    async with (
        Proxy(HOST, case.memcached.port, **how) as line,
        cached(case.face, line.address, source) as service,
    ):
        yield line, service


async def read(service: Cached, *keys: Any) -> list[Any]:
    """What a request of its own reads."""
    async with service.request() as loader:
        return await settled(*map(loader.load, keys), turns=PATIENT)


async def hit(service: Cached, *keys: Any) -> None:
    """Read, and read again: then it is in the cache."""
    for _ in range(2):
        for key, got in zip(keys, await read(service, *keys), strict=True):
            due(got, value(key))
        await turn()


@program(48, needs="memcached")
async def cache_down(case: Case) -> None:
    """memcached is down: what the source has is read all the same."""
    async with behind(case, Source().fetch) as (line, service):
        await line.down()
        for key, got in zip((1, 2), await read(service, 1, 2), strict=True):
            due(got, value(key))
        line.up()


@program(50, needs="memcached")
async def cache_silent(case: Case) -> None:
    """memcached takes requests and says nothing: what the source has is read all the same."""
    async with behind(case, Source().fetch) as (line, service):
        await hit(service, 1)
        line.black_hole = True
        due((await read(service, 1))[0], value(1))


@program(51, needs="memcached")
async def cache_cut(case: Case) -> None:
    """A reply breaks off in the middle: what the source has is read all the same."""
    async with behind(case, Source().fetch) as (line, service):
        await hit(service, 1)
        line.cut_after = 20
        await line.reset()
        for _ in range(4):
            due((await read(service, 1))[0], value(1))


@program(51, needs="memcached")
async def cache_leaves_at_a_fill(case: Case) -> None:
    """memcached closes the connection when a value is to be stored: the value is read all the same."""

    def leave(_: int, chunk: bytes) -> None:
        if chunk.startswith((b"set ", b"ms ")):
            raise ConnectionAbortedError

    async with behind(case, Source().fetch, on_up=leave) as (_, service):
        due((await read(service, 1))[0], value(1))


@program(51, 59, needs="memcached")
async def cache_leaves_at_an_invalidation(case: Case) -> None:
    """memcached closes the connection when a value is to be invalidated: the writer gets an error."""

    def leave(_: int, chunk: bytes) -> None:
        if chunk.startswith((b"delete ", b"md ")):
            raise ConnectionAbortedError

    async with behind(case, Source().fetch, on_up=leave) as (_, service):
        await hit(service, 1)
        [got] = await settled(service.invalidate(1), turns=PATIENT)
        refused(got, "silent")


@program(50, 51, needs="memcached")
async def cache_lost_by_many(case: Case) -> None:
    """memcached dies under ten requests, and comes back: all ten are answered, if only by an error, and the next has its value."""
    async with behind(case, Source().fetch) as (line, service):
        await hit(service, 1)
        line.black_hole = True
        reading = [asyncio.create_task(read(service, 1)) for _ in range(10)]
        await asyncio.sleep(0.05)
        await line.down()
        line.black_hole = False
        line.up()
        for got in await settled(*reading, turns=PATIENT):
            if isinstance(got, Broken):
                raise got
        due((await read(service, 1))[0], value(1))


@program(27, needs="memcached")
async def gave_up_then_read(case: Case) -> None:
    """Requests that gave up while memcached was slow: what others read after an invalidation is never the old value."""
    written = Versions()
    async with (
        behind(case, written.fetch) as (line, service),
        cached(case.face, case.memcached.address, written.fetch) as elsewhere,  # as another process would
    ):
        for number in range(ROUNDS):
            for _ in range(3):
                await read(service, number)
            line.latency = 0.05
            for _ in range(2):
                await give_up(service, number)
            await asyncio.sleep(0.12)  # the late replies have come
            line.latency = 0.0
            written.version[number] = 1
            await settled(elsewhere.invalidate(number), turns=PATIENT)
            for _ in range(4):
                due((await read(service, number))[0], f"value {number} version 1")


class Versions:
    """A source that can be written."""

    def __init__(self) -> None:
        self.version: dict[Any, int] = {}

    async def fetch(self, keys: Sequence[Any]) -> Values:
        return [f"value {key} version {self.version.get(key, 0)}" for key in keys]


async def give_up(service: Cached, key: Any) -> None:
    """A request whose client has 10 ms."""

    async def request() -> None:
        async with service.request() as loader:
            await loader.load(key)

    try:
        await asyncio.wait_for(request(), 0.01)
    except Exception:
        return


@program(58, needs="memcached")
async def stale_fill(case: Case) -> None:
    """A value is written and invalidated between another request's read and its fill: later requests see what was written."""
    now, read_old, written = ["old"], asyncio.Event(), asyncio.Event()

    async def fetch(keys: Sequence[Any]) -> Values:
        found = now[0]
        read_old.set()
        await written.wait()
        return [found for _ in keys]

    async with behind(case, fetch) as (_, service):
        slow = asyncio.create_task(read(service, 1))
        await read_old.wait()
        now[0] = "new"
        await settled(service.invalidate(1), turns=PATIENT)
        written.set()
        await settled(slow, turns=PATIENT)
        await asyncio.sleep(0.1)  # a fill may come behind its answer
        due((await read(service, 1))[0], "new")


@program(43, 42, needs="memcached")
async def herd_behind_a_cache(case: Case) -> None:
    """A hundred requests, one shortly after another, want what is not in memcached: the source is asked once."""
    source = Source(opened=False)
    async with behind(case, source.fetch) as (_, service):
        reading = []
        for _ in range(100):
            reading.append(asyncio.create_task(read(service, 1)))
            await asyncio.sleep(0.001)
        source.gate.set()
        for got in await settled(*reading, turns=PATIENT):
            if isinstance(got, Broken):
                raise got
            due(got, [value(1)])
    at_most(len(source.calls), 1, "more calls", "calls")


@program(53, needs="memcached")
async def large_value(case: Case) -> None:
    """A value that is larger than memcached takes is read all the same."""
    large = "x" * 2_000_000

    async def fetch(keys: Sequence[Any]) -> Values:
        return [large for _ in keys]

    async with behind(case, fetch) as (_, service):
        [got] = await read(service, 1)
        if not isinstance(got, BaseException) and got != large:
            raise Broken("wrong answer", f"{len(got)} characters came")
        due(got, large)


@program(54, needs="memcached")
async def odd_key(case: Case) -> None:
    """Keys with a space, of 300 letters, or beyond ASCII are read like others."""
    keys = ["a b", "k" * 300, "\u00e9" * 200]
    async with behind(case, Source().fetch) as (_, service):
        for key in keys:
            due((await read(service, key))[0], value(key))


# --- MySQL --------------------------------------------------------------------------------------------------------


def connected(url: str) -> Any:
    """A plain connection, for a program's own statements."""
    import pymysql

    at = urlsplit(url)
    who = {"user": at.username, "password": at.password or "", "database": at.path[1:]}
    return pymysql.connect(host=at.hostname, port=at.port or 3306, autocommit=True, **who)


def execute(url: str, *statements: str) -> None:
    """Run some statements."""
    with connected(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def database(url: str) -> Iterator[str]:
    """A database of a program's own, with a table of names."""
    name = f"scoreboard_{os.getpid()}"
    own = url.rsplit("/", 1)[0] + f"/{name}"
    execute(url, f"CREATE DATABASE {name}")
    values = ", ".join(f"({key}, 'name {key}')" for key in range(NAMES))
    execute(
        own,
        "CREATE TABLE posts (id INT PRIMARY KEY, name VARCHAR(50) NOT NULL) ENGINE=InnoDB",
        f"INSERT INTO posts VALUES {values}",
    )
    yield own
    execute(url, f"DROP DATABASE {name}")


@asynccontextmanager
async def table(case: Case, size: int = 2) -> AsyncIterator[tuple[Proxy, Any]]:
    """A loader of names, on a line to the server; gives the line and a request's way in."""
    at = urlsplit(case.mysql)
    async with Proxy(str(at.hostname), at.port or 3306) as line:
        url = case.mysql.replace(f":{at.port}/", f":{line.port}/")
        async with rows(case.face, url, size, LIMIT) as request:
            yield line, request


async def name_of(request: Any, key: int) -> Any:
    """What a request of its own reads."""
    async with request() as loader:
        return await ask(loader, key)


@program(61, needs="mysql")
async def connection_lost(case: Case) -> None:
    """Connections are reset under three statements: all three callers have their rows."""
    async with table(case, size=3) as (line, request):
        due((await settled(name_of(request, 1), turns=PATIENT))[0], "name 1")
        line.latency = 0.3
        reading = [asyncio.create_task(name_of(request, key)) for key in range(3)]
        await asyncio.sleep(0.1)
        await line.reset()
        line.latency = 0.0
        for key, got in enumerate(await settled(*reading, turns=PATIENT)):
            due(got, f"name {key}")


@program(65, needs="mysql")
async def gave_up_on_a_pool(case: Case) -> None:
    """On a pool of one, a request gives up in the middle of its statement: those who wait behind it have their rows."""
    async with table(case, size=1) as (line, request):
        due((await settled(name_of(request, 1), turns=PATIENT))[0], "name 1")
        line.latency = 0.3
        leaving = asyncio.create_task(name_of(request, 2))
        await asyncio.sleep(0.05)
        reading = [asyncio.create_task(name_of(request, key)) for key in range(3, 6)]
        await asyncio.sleep(0.05)
        leaving.cancel()
        line.latency = 0.0
        for key, got in enumerate(await settled(*reading, turns=PATIENT), 3):
            due(got, f"name {key}")


@program(27, needs="mysql")
async def gave_up_on_mysql(case: Case) -> None:
    """Requests that gave up while the database was slow: each that follows has its own row."""
    async with table(case, size=2) as (line, request):
        due((await settled(name_of(request, 1), turns=PATIENT))[0], "name 1")
        for number in range(ROUNDS):
            line.latency = 0.05
            for leaving in [asyncio.create_task(name_of(request, key)) for key in (number, number + 1)]:
                await asyncio.wait([leaving], timeout=0.01)
                leaving.cancel()
            line.latency = 0.0
            key = number + 2
            due((await settled(name_of(request, key), turns=PATIENT))[0], f"name {key}")


@program(8, 65, needs="mysql")
async def database_silent(case: Case) -> None:
    """The database takes statements and says nothing: every caller gets an error within a time limit."""
    async with table(case) as (line, request):
        due((await settled(name_of(request, 1), turns=PATIENT))[0], "name 1")
        line.black_hole = True
        for got in await settled(*(name_of(request, key) for key in range(3)), turns=PATIENT):
            refused(got)


@program(66, needs="mysql")
async def old_snapshot(case: Case) -> None:
    """A row is written and committed elsewhere: on a pool as the driver's example makes it, the next request reads what was written."""
    async with table(case, size=1) as (_, request):
        due((await settled(name_of(request, 1), turns=PATIENT))[0], "name 1")
        execute(case.mysql, "UPDATE posts SET name = 'renamed' WHERE id = 1")
        due((await settled(name_of(request, 1), turns=PATIENT))[0], "renamed")
