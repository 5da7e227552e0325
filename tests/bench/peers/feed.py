"""The feed of `examples/qa` on the drivers: what its hand-written handlers share. No batchio in here.

Rules:
- Values are the site's own records, in MessagePack; keys read like `post:5`, or `my_vote:7:5` for what is a viewer's own.
- SQL and templates are those of `examples/qa`, so that the page is the same to the byte.
- Misses are read by an aiomysql cursor and stored by gathered `set`s, before the page is answered.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiomcache
import aiomysql
import msgspec

from examples.qa.primed import SQL, VIEWERS_OWN
from examples.qa.records import NO_BADGES, NO_VOTES, Avatar, Badges, Comment, Link, Post, Tag, User, Votes

TTL = 3600  # seconds
CONNECTIONS = 8  # to memcached; its default of 2 would make 64 requests wait

# To MySQL, all opened before the first request: aiodataloader keeps no reference to a batch's task, and a task that waits
# for a connection to be opened is referenced by nobody else, so that the collector ends it, and its request never.
DATABASE_CONNECTIONS = 10

Rows = Sequence[tuple[Any, ...]]


class Kind(NamedTuple):
    """One key type."""

    value_type: Any
    read: Callable[[Rows], Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def kind(value_type: Any, read: Callable[[Rows], Any]) -> Kind:
    """A key type with its codec."""
    return Kind(value_type, read, msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(value_type).decode)


def one(record: Any, default: Any = None) -> Kind:
    """A key that has one row."""
    return kind(record, lambda rows: record._make(rows[0]) if rows else default)


def many(record: Any) -> Kind:
    """A key that has any number of rows."""
    return kind(list[record], lambda rows: [record._make(row) for row in rows])


def ids() -> Kind:
    """A key that has any number of ids."""
    return kind(list[int], lambda rows: [row[0] for row in rows])


def flag() -> Kind:
    """A number, 0 where there is none."""
    return kind(int, lambda rows: rows[0][0] if rows else 0)


KINDS = {
    "post": one(Post),
    "tags": many(Tag),
    "votes": one(Votes, NO_VOTES),
    "comments_of": ids(),
    "answers_of": ids(),
    "links": many(Link),
    "follow": flag(),
    "my_vote": flag(),
    "user": one(User),
    "badges": one(Badges, NO_BADGES),
    "follow_user": flag(),
    "avatar": one(Avatar),
    "comment": one(Comment),
}


def name(kind: str, key: int, me: int, prefix: str) -> bytes:
    """A key in memcached."""
    if kind in VIEWERS_OWN:
        return f"{prefix}{kind}:{me}:{key}".encode()
    return f"{prefix}{kind}:{key}".encode()


class Stores:
    """The two drivers, opened on the server's loop."""

    def __init__(self, memcached: str, mysql: str, prefix: str) -> None:
        self._address, self._url, self.prefix = memcached, mysql, prefix

    async def __aenter__(self) -> Stores:
        host, port = self._address.rsplit(":", 1)
        at = urlsplit(self._url)
        self.memcached = aiomcache.Client(host, int(port), pool_size=CONNECTIONS)
        self.mysql = await aiomysql.create_pool(
            host=at.hostname,
            port=at.port,
            user=at.username,
            password=at.password,
            db=at.path[1:],
            autocommit=True,
            charset="utf8mb4",
            minsize=DATABASE_CONNECTIONS,
            maxsize=DATABASE_CONNECTIONS,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.memcached.close()
        self.mysql.close()
        await self.mysql.wait_closed()

    async def fetch(self, kind: str, keys: Sequence[int], me: int) -> dict[int, Any]:
        """Read some keys from the database, in one statement."""
        viewer = (me,) if kind in VIEWERS_OWN else ()
        sql = SQL[kind].replace("?", "%s").format(", ".join(["%s"] * len(keys)))
        found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        async with self.mysql.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(sql, (*keys, *viewer))
            for row in await cursor.fetchall():
                found[row[0]].append(row[1:])
        read = KINDS[kind].read
        return {key: read(found[key]) for key in keys}

    async def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Store what was read."""
        await asyncio.gather(*[self.memcached.set(key, value, TTL) for key, value in values])
