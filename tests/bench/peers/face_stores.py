"""Loaders over memcached and MySQL: batchio by its own edges, its peers by aiomcache and aiomysql in the batch function.

Rules:
- The peers' batch functions are what the drivers' documentation shows, with nothing around the calls: a user of these
  libraries has no more than that.
- A cached loader asks memcached, then a source for what is missing, and stores that. Both stores hold texts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.bench.peers.faces import BatchFunction, Request

TTL = 60  # seconds
SLOW = 1.0  # seconds; by default batchio has less patience with a cache than a machine may need that is busy otherwise


class Cached(NamedTuple):
    """A loader of texts behind memcached, and how one writes."""

    request: Request
    invalidate: Callable[[Any], Awaitable[Any]]


@asynccontextmanager
async def cached(face: Any, address: str, source: BatchFunction) -> AsyncIterator[Cached]:
    """A loader that asks a memcached first."""
    made = batchio_cached if face.name == "batchio" else peer_cached
    async with made(face, address, source) as service:
        yield service


@asynccontextmanager
async def batchio_cached(face: Any, address: str, source: BatchFunction) -> AsyncIterator[Cached]:
    """`MemcachedCache` in front of a loader."""
    from batchio.memcached import MemcachedCache

    limits = face.batchio.Limits(cache_timeout=SLOW)
    async with MemcachedCache(address, timeout=SLOW) as cache:
        loader = face.batchio.Loader(source, name="users", cache=cache, ttl=TTL, value_type=str, limits=limits)
        yield Cached(face.entering(loader), loader.invalidate)


@asynccontextmanager
async def peer_cached(face: Any, address: str, source: BatchFunction) -> AsyncIterator[Cached]:
    """aiomcache's client, made as its README does."""
    import aiomcache

    host, port = address.split(":")
    client = aiomcache.Client(host, int(port))

    async def fetch(keys: Sequence[Any]) -> list[str]:
        words = [str(key).encode() for key in keys]
        found = dict(zip(keys, await client.multi_get(*words), strict=True))
        missing = [key for key, value in found.items() if value is None]
        if missing:
            for key, value in zip(missing, await source(missing), strict=True):
                found[key] = value.encode()
                await client.set(str(key).encode(), found[key], exptime=TTL)
        return [found[key].decode() for key in keys]

    async def invalidate(key: Any) -> None:
        await client.delete(str(key).encode())

    yield Cached(face.service(fetch), invalidate)


@asynccontextmanager
async def rows(face: Any, url: str, size: int, timeout: float) -> AsyncIterator[Request]:
    """A loader of names from the table `posts`, on a pool of so many connections; seconds, where one can say them."""
    made = batchio_rows if face.name == "batchio" else peer_rows
    async with made(face, url, size, timeout) as request:
        yield request


@asynccontextmanager
async def batchio_rows(face: Any, url: str, size: int, timeout: float) -> AsyncIterator[Request]:
    """`db.row`."""
    from batchio.mysql import Database

    async with Database(url, pool_size=size, timeout=timeout) as db:
        limits = face.batchio.Limits(timeout=timeout)
        yield face.entering(db.row("posts", key="id", columns="name", limits=limits))


@asynccontextmanager
async def peer_rows(face: Any, url: str, size: int, timeout: float) -> AsyncIterator[Request]:
    """aiomysql's pool, made as its README does; PyMySQL expands no lists, so the placeholders are written out."""
    import aiomysql

    at = urlsplit(url)
    who = {"host": at.hostname, "port": at.port, "user": at.username, "password": at.password, "db": at.path[1:]}
    pool = await aiomysql.create_pool(**who, maxsize=size, connect_timeout=timeout)

    async def fetch(keys: Sequence[Any]) -> list[Any]:
        places = ", ".join(["%s"] * len(keys))
        async with pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(f"SELECT id, name FROM posts WHERE id IN ({places})", tuple(keys))
            found = dict(await cursor.fetchall())
        return [found[key] for key in keys]

    yield face.service(fetch)
    pool.terminate()
