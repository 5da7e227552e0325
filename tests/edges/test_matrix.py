"""Keys of every type, on both databases and in front of both caches: each has its own row or a clear TypeError.

Rules:
- A table has keys of one type. Every key of the matrix is asked for in each of them, in one batch and once more, when
  the cache knows it.
- What is expected comes from the rows that the test wrote, compared by type and value, and from no database.
- Columns are as unhelpful as users make them: no case, no accents, no trailing space.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import batchio
from batchio.memcached import MemcachedCache
from batchio.mysql import Database as MySQL
from batchio.sqlite import Database as SQLite

TEXTS = ["1", "", "alice", "ALICE", "x", "x ", "x\n", "e", "é", "é" * 200, "k" * 250, "a\r\nb", "\U0001f375", "0", "01",
         "1.0", "True", "None", "'; DROP TABLE t; --", "\\", "%s", "\t", "1e0"]  # fmt: skip
NUMBERS = [0, 1, -1, 2**63 - 1, -(2**63), 2]
BYTES = [b"1", b"", b"alice", b"ALICE", b"x ", b"\x00\xff", b"k" * 250]
UNSIGNED = 2**64 - 1
STRANGE = [
    True,
    False,
    1.0,
    0.0,
    None,
    UUID(int=1),
    Decimal(1),
    datetime(2026, 1, 1, tzinfo=UTC),
    ("1",),
    frozenset({1}),
]

COLUMNS = {  # by database: how a column of each key type is declared
    "sqlite": {str: "TEXT COLLATE NOCASE", bytes: "BLOB"},
    "mysql": {str: "VARCHAR(300) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", bytes: "VARBINARY(300)"},
}
INTEGERS = {"mysql": ("BIGINT UNSIGNED", "BIGINT"), "sqlite": ("INTEGER", "INTEGER")}  # without and with a sign

KEYS = st.lists(
    st.one_of(
        st.sampled_from([*TEXTS, *NUMBERS, UNSIGNED, *BYTES, *STRANGE]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        st.integers(-(2**63), 2**64 - 1),
        st.binary(max_size=250),
    ),
    max_size=20,
)


def typed(key: Any) -> tuple[type, Any]:
    return type(key), key


def refused(key: Any, database: str) -> bool:
    """Whether a key has a type, or a size, that the database cannot compare exactly."""
    if type(key) is int:
        return key > (2**64 if database == "mysql" else 2**63) - 1
    return type(key) not in (str, bytes)


class Table:
    """A table of keys of one type, and the loader in front of it."""

    def __init__(self, database: str, kind: type, stored: list[Any]) -> None:
        self.name = f"t_{kind.__name__}"
        if kind is int:
            self.column = INTEGERS[database][any(number < 0 for number in stored)]
            stored = [number for number in stored if self.column != "BIGINT" or number < 2**63]
        else:
            self.column = COLUMNS[database][kind]
        self.rows = {typed(key): f"row {place}" for place, key in enumerate(stored)}

    async def write(self, db: Any, mark: str) -> None:
        await db.execute(f"DROP TABLE IF EXISTS {self.name}")
        await db.execute(f"CREATE TABLE {self.name} (k {self.column}, label VARCHAR(20))")
        for (_, key), label in self.rows.items():
            await db.execute(f"INSERT INTO {self.name} VALUES ({mark}, {mark})", (key, label))

    def loader(self, db: Any, cache: batchio.Cache) -> batchio.Loader[Any, str | None]:
        return db.row(self.name, key="k", columns="label", default=None, cache=cache, value_type=str | None, ttl=60)


async def answers(loader: Callable[[Any], Any], keys: Iterable[Any]) -> list[Any]:
    """What each key is answered, all of them asked for at once: a label, None, or the type of an error."""

    def ask(key: Any) -> Any:
        try:
            return loader(key)
        except TypeError:
            return TypeError

    return list(await batchio.gather(list(map(ask, keys))))


async def check(database: str, db: Any, cache: batchio.Cache, keys: list[Any]) -> None:
    """Ask for all keys in all tables, twice."""
    mark = "?" if database == "sqlite" else "%s"
    for kind in (str, int, bytes):
        stored = list({typed(key): key for key in keys if type(key) is kind and not refused(key, database)}.values())
        table = Table(database, kind, stored)
        await table.write(db, mark)
        loader = table.loader(db, cache)
        own = [TypeError if refused(key, database) else table.rows.get(typed(key)) for key in keys]
        assert await answers(loader, keys) == own
        await batchio.drain()
        assert await answers(loader, keys) == own
        del loader


async def check_all(
    database: str, make_database: Callable[[], Any], make_cache: Callable[[], Any], keys: list[Any]
) -> None:
    """The same with a database and a cache of one's own."""
    cache = make_cache()
    async with make_database() as db:
        await check(database, db, cache, keys)
    if isinstance(cache, MemcachedCache):
        await cache.close()


@pytest.fixture(params=["memory", "memcached"])
def make_cache(request: pytest.FixtureRequest) -> Callable[[], Any]:
    """Makes an empty cache of one kind."""
    if request.param == "memory":
        return batchio.MemoryCache
    server = request.getfixturevalue("memcached_server")

    def make() -> MemcachedCache:
        server.flush()
        return MemcachedCache(server.address, timeout=5.0)

    return make


@pytest.fixture(params=["sqlite", "mysql"])
def make_database(request: pytest.FixtureRequest) -> tuple[str, Callable[[], Any]]:
    """Makes a database of one kind."""
    if request.param == "sqlite":
        return "sqlite", lambda: SQLite(":memory:")
    url = request.getfixturevalue("mysql_url")
    return "mysql", lambda: MySQL(url)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=KEYS)
def test_every_key_has_its_own_row_or_a_clear_type_error(
    make_database: tuple[str, Callable[[], Any]], make_cache: Callable[[], Any], keys: list[Any]
) -> None:
    """Never a neighbour's: not by the database's comparison, not by a dict's, and not by the cache's."""
    asyncio.run(check_all(*make_database, make_cache, keys))


@pytest.mark.parametrize("numbers", [NUMBERS, [0, 1, UNSIGNED]], ids=["signed", "unsigned"])
def test_the_whole_matrix_at_once(
    make_database: tuple[str, Callable[[], Any]], make_cache: Callable[[], Any], numbers: list[int]
) -> None:
    """Every key of the list, next to all others, in one batch."""
    asyncio.run(check_all(*make_database, make_cache, [*TEXTS, *numbers, *BYTES, *STRANGE]))
