"""SQLite, the embedded default: `Database` on the standard library's sqlite3, with one worker thread.

1. One connection and one thread for each Database, whatever number of event loops and threads use it. SQLite runs
   one statement at a time anyway; a second connection would only add locks to wait for.
2. The thread is ours and not an executor's: one hop costs half as much (52 against 106 us for one key), and we know
   which statement runs, so that the statement of a cancelled caller is interrupted, and never its neighbour.
3. Nothing here outlives its use. The thread is a daemon; a Database that nobody closed warns with ResourceWarning
   when it is collected, or when the interpreter ends, and closes itself.
4. Autocommit, always: a connection in a transaction reads a stale snapshot, and makes others wait for its lock.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from batchio._database import BaseDatabase
from batchio._rows import row_class
from batchio._sql import SQLITE, Plan
from batchio._worker import Job, Params, Work, Worker, connected, fetched, read, write

__all__ = ["Database"]

_JOIN = 1.0
"""Seconds that the end of the interpreter waits for the thread: only a function of the user's, called by SQLite, can
take as long, since a statement is interrupted at once."""


class Database(BaseDatabase):
    """A SQLite database whose reads are loaders.

    Made at import; its connection is opened by its first statement, in its own thread. It may be used from any
    number of event loops and threads, at once or one after another; all share the one connection, so that they see
    the same ":memory:" database. After `close()` the next statement opens a new connection.

    The connection has foreign keys on (MySQL enforces them too, and SQLite only when asked). The journal mode is left
    as the file has it: it is written into the file and so its owner's choice. Where several processes share a file,
    choose WAL, by `on_connect` or once and for all by `await db.execute("PRAGMA journal_mode=WAL")`.

    Args:
        path: A file name, ":memory:", or "sqlite:" and one of them. A relative name counts from the directory
            in which the Database is made. A file that does not exist is created by the first statement.
        on_connect: Called with each new connection, in the worker thread, before its first statement: for pragmas,
            functions, `set_trace_callback`. If it raises, the statement fails and the next one tries again.
        busy_timeout: Seconds that a statement waits while another process holds the file's lock, before it fails
            with sqlite3.OperationalError.

    Raises:
        ValueError: The path is empty or a URL.

    Example:
        >>> import asyncio
        >>> from typing import NamedTuple
        >>> from batchio.sqlite import Database
        >>> class Post(NamedTuple):
        ...     id: int
        ...     title: str
        >>> db = Database(":memory:")
        >>> posts = db.row("posts", key="id", into=Post)
        >>> async def main():
        ...     async with db:
        ...         await db.execute("CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT)")
        ...         await db.execute("INSERT INTO posts VALUES (1, 'Bonjour'), (2, 'Salut')")
        ...         return await posts.load_many([2, 1])
        >>> asyncio.run(main())
        [Post(id=2, title='Salut'), Post(id=1, title='Bonjour')]
    """

    _dialect = SQLITE

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        on_connect: Callable[[sqlite3.Connection], object] | None = None,
        busy_timeout: float = 5.0,
    ) -> None:
        self._path = _file_name(path)
        self._on_connect = on_connect
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()  # who makes, or takes away, the worker
        self._worker: Worker | None = None
        self._forgotten: weakref.finalize[Any, Any] | None = None

    def __repr__(self) -> str:
        worker = self._worker
        state = "not open" if worker is None else f"open, {worker.waiting()} waiting"
        return f"<batchio.sqlite.Database {self._path}: {state}>"

    async def _answers(self, plan: Plan, keys: list[Any]) -> dict[Any, Any]:
        found = await self._run(lambda connection: read(connection, plan, keys))
        # Here and not in the thread: there it takes as long, and fights the loop for the interpreter meanwhile
        # (worst turn of a busy loop with 1000 rows a batch: 9.7 ms here, 15.7 there).
        answers: dict[Any, Any] = {}
        for part, (names, rows) in found:  # each statement's rows for its own keys: a neighbour of two comes with both
            answers |= plan.collect(part, names, rows)
        return answers

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement, for writes; it is committed when this returns.

        A caller that is cancelled cannot know whether its write was done: a waiting statement never runs, a running
        one is interrupted and leaves no trace, one that had just ended stays.

        Args:
            sql: One statement, with `?` or `:name` where values are bound.
            params: The values: a sequence, or a mapping for `:name`.

        Returns:
            The number of rows that were inserted, updated or deleted; 0 for other statements.

        Raises:
            sqlite3.Error: The statement is wrong, or fails; the text of the statement is in its notes.
            RuntimeError: It opens a transaction. The connection is shared: it would take in everybody's statements.

        Example:
            >>> import asyncio
            >>> from batchio.sqlite import Database
            >>> async def main():
            ...     async with Database(":memory:") as db:
            ...         await db.execute("CREATE TABLE tags (name TEXT)")
            ...         return await db.execute("INSERT INTO tags VALUES (?), (?)", ("grammaire", "argot"))
            >>> asyncio.run(main())
            2
        """
        count: int = await self._run(lambda connection: write(connection, sql, params))
        return count

    async def fetch(self, sql: str, params: Params = ()) -> list[Any]:
        """Run one SELECT that has no key: a feed, a count, a search.

        Args:
            sql: One statement, with `?` or `:name` where values are bound.
            params: The values: a sequence, or a mapping for `:name`.

        Returns:
            The rows, as named tuples; a column whose name cannot be a field, like count(*), is reached by position.

        Raises:
            sqlite3.Error: The statement is wrong, or fails; the text of the statement is in its notes.

        Example:
            >>> import asyncio
            >>> from batchio.sqlite import Database
            >>> async def main():
            ...     async with Database(":memory:") as db:
            ...         return await db.fetch("SELECT ? AS word, length(?) AS letters", ("été", "été"))
            >>> asyncio.run(main())
            [Row(word='été', letters=3)]
        """
        names, rows = await self._run(lambda connection: fetched(connection, sql, params))
        return list(map(row_class(names)._make, rows))

    async def close(self) -> None:
        """Finish the statements that were given, close the connection and end the thread; nothing if none is open.

        The next statement opens a new connection, so that a Database made at import serves one loop after another.
        What was in ":memory:" is gone.

        Example:
            >>> import asyncio
            >>> from batchio.sqlite import Database
            >>> db = Database(":memory:")
            >>> async def main():
            ...     await db.fetch("SELECT 1")
            ...     await db.close()
            >>> asyncio.run(main())
            >>> db
            <batchio.sqlite.Database :memory:: not open>
        """
        with self._lock:
            worker, self._worker = self._worker, None
            if self._forgotten is not None:
                self._forgotten.detach()
        if worker is None or not worker.alive():
            return
        farewell = Job(lambda _: None)
        worker.end(farewell)
        await farewell.future
        worker.join()

    async def _run(self, work: Work) -> Any:
        job = Job(work)
        while not (worker := self._open()).give(job):
            pass  # it was closed in between, from another thread
        try:
            return await job.future
        except asyncio.CancelledError:
            worker.abandon(job)
            raise

    def _open(self) -> Worker:
        worker = self._worker
        if worker is not None and worker.alive():
            return worker
        with self._lock:
            if self._worker is None or not self._worker.alive():
                if self._forgotten is not None:
                    self._forgotten.detach()
                self._worker = Worker(partial(connected, self._path, self._busy_timeout, self._on_connect))
                self._forgotten = weakref.finalize(self, _forgotten, self._worker, self._path)
            return self._worker


def _forgotten(worker: Worker, path: str) -> None:
    """Close what nobody closed: the Database was collected, or the interpreter ends (before its own teardown)."""
    if not worker.alive():
        return  # a fork's child: to close it is the parent's business
    worker.abort(_JOIN)
    warnings.warn(
        f"unclosed batchio.sqlite.Database {path}: write `await db.close()`, or `async with`",
        ResourceWarning,
        stacklevel=2,
    )


def _file_name(path: str | os.PathLike[str]) -> str:
    name = os.fspath(path).removeprefix("sqlite:")
    if not name or name.startswith("//"):
        raise ValueError(f"Database({path!r}): write a file name, 'sqlite:' and a file name, or ':memory:'")
    return name if name == ":memory:" else str(Path(name).absolute())
