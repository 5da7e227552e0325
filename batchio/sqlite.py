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
from typing import Any, Literal, Self, TypeVar, overload

from batchio._core.loader import Loader
from batchio._rows import Names, row_class
from batchio._sql import SQLITE, Plan, key_function, select_plan, table_plan
from batchio._worker import Job, Params, Work, Worker, connected, fetched, read, write

__all__ = ["Database"]

T = TypeVar("T")
D = TypeVar("D")

_JOIN = 1.0
"""Seconds that the end of the interpreter waits for the thread: only a function of the user's, called by SQLite, can
take as long, since a statement is interrupted at once."""


class Database:
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

    # ------------------------------------------------------------------------------------------------ loaders

    @overload
    def row(
        self, table: str, *, key: Names = ..., columns: Names | None = ..., into: type[T], default: D, **options: Any
    ) -> Loader[Any, T | D]: ...
    @overload
    def row(
        self, table: str, *, key: Names = ..., columns: Names | None = ..., into: type[T], **options: Any
    ) -> Loader[Any, T]: ...
    @overload
    def row(
        self, table: str, *, key: Names = ..., columns: Names | None = ..., into: None = ..., **options: Any
    ) -> Loader[Any, Any]: ...
    def row(
        self,
        table: str,
        *,
        key: Names = "id",
        columns: Names | None = None,
        into: type[Any] | None = None,
        order_by: Names | None = None,
        convert: Callable[[Any], Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Loader[Any, Any]:
        """Make a loader of one row per key.

        A key is matched by type and value: 1 does not find '1', and 'Ada' does not find 'ada', whatever the column's
        affinity and collation. Keys are int, str or bytes; a key of several columns is a tuple of them.

        Args:
            table: The table's name, or "schema.table".
            key: The column of the key, or a tuple of columns.
            columns: A column for its bare value, or a tuple of columns for named tuples. Default: all columns, or
                the fields of `into`.
            into: A NamedTuple, dataclass or msgspec Struct with fields named as columns; it becomes the value's type.
                Values are shared between readers: make it frozen.
            order_by: Where a key can have several rows: the first by this order is the one ("-created" is descending).
                Without it, two rows for one key are a ValueError for that key.
            convert: A function that is called on each key at the load, before it is checked: `convert=int`.
            name: The loader's name. Default: "sqlite:table.key".
            **options: Options of `Loader`: limits, default, cache, ttl, ...

        Returns:
            A loader. It raises KeyNotFound for a key without a row, unless it has a `default`, and TypeError at the
            load of a key that is no int, str, bytes, or tuple of them.

        Raises:
            ValueError: A name has other characters than letters, digits and underscores, or the options do not fit.
            TypeError: `into` is not a class with named fields.

        Example:
            >>> import asyncio
            >>> from batchio.sqlite import Database
            >>> db = Database(":memory:")
            >>> my_vote = db.row("votes", key=("user_id", "post_id"), columns="value", default=0)
            >>> async def main():
            ...     async with db:
            ...         await db.execute("CREATE TABLE votes (user_id INTEGER, post_id INTEGER, value INTEGER)")
            ...         await db.execute("INSERT INTO votes VALUES (?, ?, ?)", (7, 1, -1))
            ...         return await my_vote.load_many([(7, 1), (7, 2)])
            >>> asyncio.run(main())
            [-1, 0]
        """
        plan = table_plan(SQLITE, table, key=key, columns=columns, into=into, order_by=order_by, name=name)
        return self._loader(plan, convert, options)

    @overload
    def rows(
        self, table: str, *, key: Names, columns: Names | None = ..., into: type[T], **options: Any
    ) -> Loader[Any, list[T]]: ...
    @overload
    def rows(
        self, table: str, *, key: Names, columns: Names | None = ..., into: None = ..., **options: Any
    ) -> Loader[Any, list[Any]]: ...
    def rows(
        self,
        table: str,
        *,
        key: Names,
        columns: Names | None = None,
        into: type[Any] | None = None,
        order_by: Names | None = None,
        limit: int | None = None,
        convert: Callable[[Any], Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Loader[Any, Any]:
        """Make a loader of all rows of a key: a list, `[]` when there are none.

        Args:
            table: The table's name, or "schema.table".
            key: The column of the key, or a tuple of columns.
            columns: As in `row`.
            into: As in `row`.
            order_by: A column or a tuple of columns, "-column" for descending. End it with a unique column: rows that
                are equal in it come in any order.
            limit: Rows per key at most, the first by `order_by`. SQLite still reads all rows of the key.
            convert: As in `row`.
            name: The loader's name. Default: "sqlite:table.key".
            **options: Options of `Loader`.

        Returns:
            A loader of lists.

        Raises:
            ValueError: A name has other characters than letters, digits and underscores, or the options do not fit:
                a limit without an order, for one.
            TypeError: `into` is not a class with named fields.

        Example:
            >>> import asyncio
            >>> from batchio.sqlite import Database
            >>> db = Database(":memory:")
            >>> newest = db.rows("comments", key="post_id", columns="text", order_by="-id", limit=2)
            >>> async def main():
            ...     async with db:
            ...         await db.execute("CREATE TABLE comments (id INTEGER PRIMARY KEY, post_id INTEGER, text TEXT)")
            ...         await db.execute("INSERT INTO comments VALUES (1, 5, 'un'), (2, 5, 'deux'), (3, 5, 'trois')")
            ...         return await newest.load_many([5, 6])
            >>> asyncio.run(main())
            [['trois', 'deux'], []]
        """
        plan = table_plan(
            SQLITE, table, key=key, columns=columns, into=into, many=True, order_by=order_by, limit=limit, name=name
        )
        return self._loader(plan, convert, options)

    @overload
    def select(
        self, sql: str, *, key: Names, into: type[T], many: Literal[True], columns: Names | None = ..., **options: Any
    ) -> Loader[Any, list[T]]: ...
    @overload
    def select(
        self,
        sql: str,
        *,
        key: Names,
        into: type[T],
        many: Literal[False] = ...,
        columns: Names | None = ...,
        **options: Any,
    ) -> Loader[Any, T]: ...
    @overload
    def select(
        self, sql: str, *, key: Names, into: None = ..., many: bool = ..., columns: Names | None = ..., **options: Any
    ) -> Loader[Any, Any]: ...
    def select(
        self,
        sql: str,
        *,
        key: Names,
        columns: Names | None = None,
        into: type[Any] | None = None,
        many: bool = False,
        convert: Callable[[Any], Any] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> Loader[Any, Any]:
        """Make a loader from your own SQL.

        Args:
            sql: One SELECT with one `IN :keys`, where the keys of the batch are bound; its result must hold the key's
                columns. A key of several columns is written `(a, b) IN :keys`. The last key may be bound several
                times, which changes nothing for IN.
            key: The column of the result that holds the key, or a tuple of columns.
            columns: As in `row`; by default all columns of the result.
            into: As in `row`.
            many: True for a list per key, in the statement's order; False for one row, as in `row`.
            convert: As in `row`.
            name: The loader's name. Default: "sqlite:select.key".
            **options: Options of `Loader`.

        Returns:
            A loader.

        Raises:
            ValueError: There is not exactly one `IN :keys`, or another placeholder, or the options do not fit.
            TypeError: `into` is not a class with named fields.

        Example:
            >>> import asyncio
            >>> from batchio.sqlite import Database
            >>> db = Database(":memory:")
            >>> answers = db.select(
            ...     "SELECT post_id, count(*) AS n FROM answers WHERE post_id IN :keys GROUP BY post_id",
            ...     key="post_id", columns="n", default=0)
            >>> async def main():
            ...     async with db:
            ...         await db.execute("CREATE TABLE answers (id INTEGER PRIMARY KEY, post_id INTEGER)")
            ...         await db.execute("INSERT INTO answers (post_id) VALUES (7), (7), (8)")
            ...         return await answers.load_many([7, 8, 9])
            >>> asyncio.run(main())
            [2, 1, 0]
        """
        plan = select_plan(SQLITE, sql, key=key, columns=columns, into=into, many=many, name=name)
        return self._loader(plan, convert, options)

    def _loader(self, plan: Plan, convert: Callable[[Any], Any] | None, options: dict[str, Any]) -> Loader[Any, Any]:
        async def load_batch(keys: list[Any]) -> dict[Any, Any]:
            names, rows = await self._run(lambda connection: read(connection, plan, keys))
            # Here and not in the thread: there it takes as long, and fights the loop for the interpreter meanwhile
            # (worst turn of a busy loop with 1000 rows a batch: 9.7 ms here, 15.7 there).
            return plan.collect(keys, names, rows)

        return Loader(
            load_batch, name=plan.name, key=key_function(plan, convert), value_type=plan.value_type, **options
        )

    # --------------------------------------------------------------------------------------------- statements

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

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
