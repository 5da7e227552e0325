"""What the databases share: a class with the loaders `row`, `rows` and `select`.

1. It knows a dialect and a way to read a plan's rows. Connections, threads and drivers are the edge's.
2. The examples run on SQLite, which needs no server; on MySQL they read the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self, TypeVar, overload

from batchio._core.loader import Loader
from batchio._rows import Names
from batchio._sql import Dialect, Plan, key_function, select_plan, table_plan

T = TypeVar("T")
D = TypeVar("D")


class BaseDatabase(ABC):
    """A database whose reads are loaders; which one it is, its subclass in `batchio.sqlite` or `batchio.mysql` says."""

    _dialect: ClassVar[Dialect]

    @abstractmethod
    async def _answers(self, plan: Plan, keys: list[Any]) -> dict[Any, Any]:
        """Give the values of a batch's keys: the batch function of every loader."""

    @abstractmethod
    async def close(self) -> None:
        """Close what is open."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _loader(self, plan: Plan, convert: Callable[[Any], Any] | None, options: dict[str, Any]) -> Loader[Any, Any]:
        async def load_batch(keys: list[Any]) -> dict[Any, Any]:
            return await self._answers(plan, keys)

        # What the caller knows of a column's type, the definition does not.
        options = {"value_type": plan.value_type, **options}
        return Loader(load_batch, name=plan.name, key=key_function(plan, convert), **options)

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
        type and collation. Keys are int, str or bytes; a key of several columns is a tuple of them.

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
            name: The loader's name. Default: "sqlite:table.key", or "mysql:table.key".
            **options: Options of `Loader`: limits, default, cache, ttl, ... A column that holds more than numbers, text
                and bytes needs `value_type=Decimal`, say, to be kept by a cache outside the process.

        Returns:
            A loader. It raises KeyNotFound for a key without a row, unless it has a `default`, and TypeError at the
            load of a key that is no int, str, bytes, or tuple of them.

        Raises:
            ValueError: A name has other characters than letters, digits and underscores, or the options do not fit.
            TypeError: `into` is not a class with named fields.

        Example:
            >>> import asyncio
            >>> from batchio.sqlite import Database  # or batchio.mysql
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
        plan = table_plan(self._dialect, table, key=key, columns=columns, into=into, order_by=order_by, name=name)
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
            limit: Rows per key at most, the first by `order_by`. The database still reads all rows of the key.
            convert: As in `row`.
            name: The loader's name. Default: "sqlite:table.key", or "mysql:table.key".
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
            self._dialect,
            table,
            key=key,
            columns=columns,
            into=into,
            many=True,
            order_by=order_by,
            limit=limit,
            name=name,
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
            name: The loader's name. Default: "sqlite:select.key", or "mysql:select.key".
            **options: Options of `Loader`.

        Returns:
            A loader.

        Raises:
            ValueError: There is not exactly one `IN :keys`, or another placeholder, or a second statement, or the options
                do not fit.
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
        plan = select_plan(self._dialect, sql, key=key, columns=columns, into=into, many=many, name=name)
        return self._loader(plan, convert, options)
