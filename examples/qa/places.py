"""Where a site lives: `sqlite:FILE` or `mysql://...`; and where its cache does.

Rules of this room: an address that makes no sense, or where nothing answers, is a `BuildError` of one line. Passwords
are in addresses, so none is shown as it came.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import batchio
import batchio.sqlite

from . import store
from .database import Database
from .store import BuildError, Connection

MEMORY = "memory"  # the cache in this process
ITEMS = 100_000  # of the cache in this process


Count = Callable[[], int]


class Place(Protocol):
    """A database where a site is, or is to be."""

    def check(self) -> None:
        """Raise BuildError where no site is."""

    def building(self) -> AbstractContextManager[sqlite3.Connection]:
        """A SQLite draft with empty tables, which becomes the site here if the block ends well."""

    def database(self, *, counted: bool = False) -> Database:
        """The site, for loaders."""

    def connected(self) -> AbstractContextManager[Connection]:
        """The site, for plain statements, which are counted."""

    def counting(self) -> AbstractContextManager[Count]:
        """Gives what says how many SELECT statements the database was given so far; two of its answers tell a cost."""

    def stamp(self) -> str:
        """What changes when the site is built anew: a cache that outlives a site must not show it in the next one."""


class File:
    """A site in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._statements = 0

    def check(self) -> None:
        """Raise BuildError where no site is; sqlite3 would make an empty one where there is no file."""
        store.check(self.path)

    def building(self) -> AbstractContextManager[sqlite3.Connection]:
        """The draft stands beside the file."""
        return store.building(self.path)

    def database(self, *, counted: bool = False) -> Database:
        """Counted by SQLite's own trace, which costs a call for each statement."""
        return batchio.sqlite.Database(self.path, on_connect=self._watch if counted else None)

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        """A connection of the standard library."""
        with closing(sqlite3.connect(self.path)) as connection:
            self._watch(connection)
            yield connection

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """The statements of this object's own connections."""
        yield lambda: self._statements

    def stamp(self) -> str:
        """The file's number: a new site is a new file, which takes the old one's place while that is still there."""
        try:
            facts = self.path.stat()
        except OSError as error:
            raise BuildError(f"{self.path}: {error.strerror}") from error
        return f"{facts.st_dev:x}.{facts.st_ino:x}"

    def _watch(self, connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(self._ran)

    def _ran(self, _sql: str) -> None:
        self._statements += 1


def place(url: str) -> Place:
    """The place behind an address. Raises BuildError."""
    if not url.startswith("mysql:"):
        return File(store.path_of(url))
    try:
        from . import mysql  # noqa: PLC0415  its driver is there only where somebody installed it
    except ImportError as error:
        raise BuildError(f"a site in MySQL needs batchio[mysql]: no module named {error.name}") from error
    return mysql.Server(url)


def cache(url: str | None, stamp: str) -> Any:
    """The cache behind an address, with keys of its own for each stamp; None for None. Raises BuildError."""
    if url is None:
        return None
    if url == MEMORY:
        return batchio.MemoryCache(max_items=ITEMS)
    kind, _, servers = url.partition("://")
    if kind != "memcached" or not servers:
        raise BuildError(f"{kind}: write the cache as memcached://host:port, or as {MEMORY}")
    try:
        from batchio.memcached import MemcachedCache  # noqa: PLC0415  as in place()
    except ImportError as error:
        raise BuildError(f"a cache in memcached needs batchio[memcached]: no module named {error.name}") from error
    try:
        return MemcachedCache(*servers.rstrip("/").split(","), prefix=f"qa.{stamp}.")
    except ValueError as error:
        raise BuildError(f"{url}: {error}") from error
