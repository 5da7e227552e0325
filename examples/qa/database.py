"""What the site asks of a database, whichever it is: SQLite or MySQL.

Rules of this room: the one place that knows how the two differ once they are open, which is how a bound value is
written, and what they raise when they cannot answer. All other SQL of the site is one text for both: `REPLACE INTO`
and no `ON CONFLICT`, `COUNT(CASE ...)` and no `SUM`, which gives decimals in MySQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

import batchio
import batchio.sqlite


class Database(Protocol):
    """`batchio.sqlite.Database` and `batchio.mysql.Database`, as far as the site goes."""

    def row(self, table: str, *, key: Any, **options: Any) -> batchio.Loader[Any, Any]:
        """One row per key."""

    def rows(self, table: str, *, key: Any, **options: Any) -> batchio.Loader[Any, Any]:
        """All rows of a key."""

    def select(self, sql: str, *, key: Any, **options: Any) -> batchio.Loader[Any, Any]:
        """What a SELECT of one's own gives."""

    async def fetch(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """The rows of one statement without a key."""

    async def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """A write."""

    async def close(self) -> None:
        """The end."""


def marked(db: Database, sql: str) -> str:
    """A statement of ours, whose values are written as `?`, with the marks that its database reads."""
    return sql if isinstance(db, batchio.sqlite.Database) else sql.replace("?", "%s")


def failures(db: Database) -> tuple[type[Exception], ...]:
    """What a database raises that cannot answer now, with batchio's own word for too late."""
    ours = (batchio.BatchTimeout, batchio.BatchAborted)
    if isinstance(db, batchio.sqlite.Database):
        return (*ours, sqlite3.Error)
    from . import mysql  # noqa: PLC0415  its driver is not there where nobody uses it

    return (*ours, *mysql.FAILURES)
