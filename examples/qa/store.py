"""Builds a SQLite database file, all or nothing.

Rules of this room: the file is built beside its place, under another name, and takes its place in one step at the
end. Whoever reads the old file goes on reading it; whatever fails, nothing half-made is left behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from . import schema

Row = tuple[object, ...]


class Connection(Protocol):
    """sqlite3's, or one that has its ways: what the page that is primed by hand reads from."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Iterable[tuple[Any, ...]]:
        """The rows of a statement, in which values are written as `?`."""


class BuildError(Exception):
    """The site cannot be built; the message is one line that says where to look."""


def path_of(url: str) -> Path:
    """The file behind ``sqlite:FILE``, or behind FILE alone.

    >>> path_of("sqlite:site.db").name
    'site.db'
    """
    kind, _, file = url.partition(":") if ":" in url else ("sqlite", ":", url)
    if kind != "sqlite" or not file:
        raise BuildError(f"{kind}: write the database as sqlite:FILE or mysql://user:password@host:port/name")
    return Path(file)


def check(path: Path) -> None:
    """Raise BuildError where no site is; sqlite3 would make an empty one where there is no file."""
    if not path.is_file():
        raise BuildError(f"{path}: no such file; make it with import or generate")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT 1 FROM avatars LIMIT 1")
    except sqlite3.Error as error:
        raise BuildError(f"{path}: not a site's database ({error})") from error


@contextmanager
def building(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a new file with empty tables, which becomes ``path`` if the block ends well."""
    draft = path.with_name(path.name + ".tmp")
    try:
        _remove(draft)
        with closing(sqlite3.connect(draft)) as connection:
            _prepare(connection)
            yield connection
            _finish(connection)
        _remove_sidecars(path)
        draft.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise BuildError(f"{path}: {error}") from error
    finally:
        with suppress(OSError):  # what stopped the build was told already
            _remove(draft)


def add(connection: sqlite3.Connection, table: str, rows: Iterable[Row], *, ignore: bool = False) -> None:
    """Insert rows as they come; none is held back, so that a large dump streams."""
    connection.executemany(schema.insert(table, ignore=ignore), rows)


def _prepare(connection: sqlite3.Connection) -> None:
    """Empty tables. No journal: a draft that fails is thrown away whole, so there is nothing to roll back to."""
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    for table in schema.TABLES:
        connection.execute(schema.create(table))


def _finish(connection: sqlite3.Connection) -> None:
    """Indexes come last: one sort each, not one search per row."""
    for name in schema.INDEXES:
        connection.execute(schema.index(name))
    connection.execute("ANALYZE")
    connection.commit()


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


def _remove_sidecars(path: Path) -> None:
    """A write-ahead log that a crash left beside the old file must not be played into the new one."""
    for ending in ("-wal", "-shm", "-journal"):
        _remove(path.with_name(path.name + ending))
