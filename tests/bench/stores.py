"""What a key costs at a real store: memcached by `aiomcache`, MariaDB by an `aiomysql` cursor, and both by batchio.

Rules:
- Both sides do the same work: the same codec for the same values, the same statement for the same rows.
- The peer's side is written as one would today, with nothing around the driver's own calls.
- Client CPU alone: the servers are processes of their own.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiomcache
import aiomysql
import msgspec

import batchio
import batchio.memcached
from tests.bench.measure import Clock, Way, interleaved

SETS = 100
ROWS = 100
TABLE = "bench_posts"


class Record(NamedTuple):
    """A value of ordinary size: about 150 bytes."""

    id: int
    name: str
    reputation: int
    created: str
    bio: str


def record(key: int) -> Record:
    """The value of a key."""
    return Record(key, f"user {key}", 31 * key, "2019-03-04T08:00:00", f"{key} bakes. " * 8)


# memcached ----------------------------------------------------------------------------------------------------------


async def memcached(address: str, scale: float) -> dict[str, Any]:
    """`get_many` and `set_many`, microseconds per key."""
    host, port = address.rsplit(":", 1)
    cache = batchio.memcached.MemcachedCache(address, timeout=5.0)
    client = aiomcache.Client(host, int(port))
    bound = cache.bind("records", Record, 0)
    found = {}
    try:
        for keys in (100, 1000):
            await bound.set_many({key: record(key) for key in range(keys)}, ttl=None)
            await put(client, range(keys))
            ways = {"batchio": get_many(bound, keys), "aiomcache": multi_get(client, keys)}
            found[f"get_many.{keys}"] = await interleaved(ways, 2 * scale, 2 * keys, least=20)
        ways = {"batchio": set_many(bound), "aiomcache": gathered_sets(client)}
        found[f"set_many.{SETS}"] = await interleaved(ways, 2 * scale, 2 * SETS, least=20)
    finally:
        await cache.close()
        await client.close()
    return found


def name(key: int) -> bytes:
    """A key as one would write it."""
    return b"hand/records/%d" % key


async def put(client: aiomcache.Client, keys: range) -> None:
    """What the peer will find."""
    for key in keys:
        await client.set(name(key), msgspec.msgpack.encode(record(key)))


def get_many(bound: Any, keys: int) -> Way:
    """The cache's own verb."""
    wanted = list(range(keys))

    async def way(clock: Clock) -> None:
        with clock:
            for _ in range(2):
                found = await bound.get_many(wanted)
        assert found.hits[keys - 1] == record(keys - 1), "a key was not found"
        assert len(found.hits) == keys

    return way


def multi_get(client: aiomcache.Client, keys: int) -> Way:
    """The driver's."""
    wanted = list(range(keys))
    decode = msgspec.msgpack.Decoder(Record).decode

    async def way(clock: Clock) -> None:
        with clock:
            for _ in range(2):
                data = await client.multi_get(*[name(key) for key in wanted])
                found = {key: decode(one) for key, one in zip(wanted, data, strict=True) if one is not None}
        assert found[keys - 1] == record(keys - 1), "a key was not found"
        assert len(found) == keys

    return way


def set_many(bound: Any) -> Way:
    """The cache's own verb."""
    values = {key: record(key) for key in range(SETS)}

    async def way(clock: Clock) -> None:
        with clock:
            for _ in range(2):
                await bound.set_many(values, ttl=None)

    return way


def gathered_sets(client: aiomcache.Client) -> Way:
    """The driver's `set`, gathered: it has no other way to set many."""
    values = {key: record(key) for key in range(SETS)}
    encode = msgspec.msgpack.Encoder().encode

    async def way(clock: Clock) -> None:
        with clock:
            for _ in range(2):
                await asyncio.gather(*[client.set(name(key), encode(value)) for key, value in values.items()])

    return way


# MySQL --------------------------------------------------------------------------------------------------------------


async def mysql(url: str, scale: float) -> dict[str, Any]:
    """A hundred rows by key; microseconds per row, of process CPU and, beside it, by the clock on the wall."""
    try:
        from batchio.mysql import Database
    except ImportError:
        return {}
    at = urlsplit(url)
    async with (
        Database(url) as db,
        aiomysql.create_pool(
            host=at.hostname, port=at.port, user=at.username, password=at.password, db=at.path[1:], autocommit=True
        ) as pool,
    ):
        await fill(db)
        posts = db.row(TABLE, key="id", columns=Record._fields, into=Record)
        ways = {
            "batchio": rows(posts),
            "aiomysql": cursor(pool),
            "aiomysql, records": cursor(pool, records=True),
        }
        figures = await interleaved(ways, 2 * scale, ROWS, least=20)
        walls = {way: 1e6 * min([await wall(ways[way]) for _ in range(20)]) / ROWS for way in ways}
    return {f"row.{ROWS}": {way: {**figures[way], "wall": walls[way]} for way in ways}}


async def fill(db: Any) -> None:
    """A table, unless another run has made it."""
    await db.execute(
        f"CREATE TABLE IF NOT EXISTS {TABLE} (id BIGINT PRIMARY KEY, name VARCHAR(80) NOT NULL,"
        " reputation INT NOT NULL, created VARCHAR(40) NOT NULL, bio TEXT NOT NULL)"
    )
    marks = ", ".join(["(%s, %s, %s, %s, %s)"] * 1000)
    values = [value for key in range(1000) for value in record(key)]
    await db.execute(f"REPLACE INTO {TABLE} (id, name, reputation, created, bio) VALUES {marks}", values)


async def wall(way: Way) -> float:
    """Seconds by the clock on the wall."""
    start = time.perf_counter()
    await way(Clock())
    return time.perf_counter() - start


def wanted() -> list[int]:
    """The keys, not in the table's order."""
    return [key * 37 % 1000 for key in range(ROWS)]


def rows(posts: batchio.Loader[Any, Any]) -> Way:
    """A loader."""
    keys = wanted()

    async def way(clock: Clock) -> None:
        with clock:
            found = await posts.load_many(keys)
        assert found[-1] == record(keys[-1])

    return way


def cursor(pool: Any, *, records: bool = False) -> Way:
    """A bare cursor: bare tuples in the order of the server; or the records that a loader gives, by key."""
    keys = wanted()
    sql = f"SELECT id, name, reputation, created, bio FROM {TABLE} WHERE id IN ({', '.join(['%s'] * ROWS)})"

    async def way(clock: Clock) -> None:
        with clock:
            async with pool.acquire() as connection, connection.cursor() as asked:
                await asked.execute(sql, keys)
                found = await asked.fetchall()
            if records:
                by_key = {row[0]: Record._make(row) for row in found}
                found = [by_key[key] for key in keys]
        assert len(found) == ROWS

    return way
