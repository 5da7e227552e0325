"""Moves a finished draft from SQLite into MySQL, all or nothing.

Rules of this room:

- Tables are copied under other names. One `RENAME TABLE` puts them all in place: whoever reads the old site goes on
  reading it until then, and nobody sees half of one. Whatever fails, the other names go.
- One build at a time: a lock of the server's, which ends with its connection, however that ends.
- Strangers' tables are left alone: where some of our names are taken and others are not, somebody else lives there.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol

from . import schema
from .store import BuildError

NEW, OLD = "qa_new_", "qa_old_"  # what tables are called before, and after, they are the site's

# What the server knows of the tables that have our names.
OURS = "information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ({})".format(
    ", ".join(f"'{table}'" for table in schema.TABLES)
)

PATIENCE = 10  # seconds: cleaning up waits so long for a connection that is gone, and a swap for readers


class Server(Protocol):
    """A connection to MySQL."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Sequence[tuple[Any, ...]]:
        """The rows of a statement."""

    def insert(self, sql: str, rows: Iterator[tuple[Any, ...]], /) -> None:
        """Send rows."""


Connect = Callable[[], AbstractContextManager[Server]]


class Busy(BuildError):
    """Somebody else is building."""


def move(draft: sqlite3.Connection, connect: Connect) -> None:
    """Copy a draft, and make it the site. Raises BuildError."""
    try:
        with connect() as server:
            lock(server, 0)
            drop(server, NEW, OLD)  # what a build left that was killed
            copy(draft, server)
            swap(server)
    except Busy:
        raise  # the other names are that other build's
    except BaseException:
        clean(connect)
        raise
    clean(connect)


def clean(connect: Connect) -> None:
    """Drop the other names, on a connection of its own: what stopped a build may be that its connection is gone.

    Where the whole server is gone, the next build does it.
    """
    with suppress(BuildError), connect() as server:
        lock(server, PATIENCE)
        drop(server, NEW, OLD)


def lock(server: Server, wait: int) -> None:
    """Build alone in this database, until the connection ends."""
    ((granted,),) = server.execute("SELECT GET_LOCK(CONCAT('qa build ', MD5(DATABASE())), ?)", (wait,))
    if not granted:
        raise Busy("another build is under way in this database")


def copy(draft: sqlite3.Connection, server: Server) -> None:
    """All rows; indexes come last, as in the draft."""
    mark = secrets.token_hex(8)  # not the time: two builds may be of one second
    for table in schema.TABLES:
        server.execute(f"{schema.create(table, schema.MYSQL, NEW)} COMMENT '{mark}'")
        server.insert(schema.copy_in(table, NEW), draft.execute(f"SELECT * FROM {table}"))  # noqa: S608
    for name in schema.INDEXES:
        server.execute(schema.index(name, NEW))
    server.execute(f"ANALYZE TABLE {', '.join(NEW + table for table in schema.TABLES)}")


def swap(server: Server) -> None:
    """Put the new tables in the place of the old ones, if there are any, in one statement."""
    old = refuse_strangers(server)
    server.execute(f"SET SESSION lock_wait_timeout = {PATIENCE}")
    away = [f"{table} TO {OLD}{table}" for table in old]
    server.execute(f"RENAME TABLE {', '.join(away + [f'{NEW}{table} TO {table}' for table in schema.TABLES])}")


def drop(server: Server, *prefixes: str) -> None:
    """Drop the tables of other names, those that are there."""
    names = ", ".join(prefix + table for prefix in prefixes for table in schema.TABLES)
    server.execute(f"DROP TABLE IF EXISTS {names}")


def settled(server: Server) -> bool:
    """Whether a site is there."""
    return len(taken(server)) == len(schema.TABLES)


def stamp(server: Server) -> str:
    """What is another for each build."""
    ((mark,),) = server.execute(f"SELECT MIN(table_comment) FROM {OURS}")  # noqa: S608  our own names
    return str(mark)


def refuse_strangers(server: Server) -> list[str]:
    """The tables of the site that is there, or none. Raises BuildError where some are somebody else's."""
    found = taken(server)
    if found and len(found) < len(schema.TABLES):
        raise BuildError(f"the tables {', '.join(found)} are there and are no site's; use another database")
    return found


def taken(server: Server) -> list[str]:
    """Which of our names are tables here."""
    found = server.execute(f"SELECT table_name FROM {OURS}")  # noqa: S608  our own names
    return [name for (name,) in found]
