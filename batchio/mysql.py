"""MySQL and MariaDB: `Database` on aiomysql, or on a pool of the service's own (aiomysql's, asyncmy's).

1. One pool for each event loop, opened by its first statement: a connection belongs to one loop for life.
2. Loaders read in batchio's own tasks, and so do `execute` and `fetch`: a caller's cancellation never reaches the
   driver. What a time limit cuts off, the server may still finish; its connection is closed and never used again.
3. Autocommit, always: on a connection in a transaction all reads see one old snapshot.
4. The password is in no message, log or repr.

It needs MySQL 8, or MariaDB 10.2 and later: earlier ones have no window functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from batchio._charsets import UnencodableError
from batchio._core.errors import BatchAborted, BatchTimeout
from batchio._database import BaseDatabase
from batchio._literals import Params, filled, key_statements, value_literal
from batchio._local import LoopLocal
from batchio._packets import PacketReader
from batchio._pool import Answer, Connections, Facts, Prepare, own
from batchio._rows import row_class
from batchio._sql import MYSQL, Plan
from batchio._statements import bare, changes_session, only_reads, refuse_session_wide, refuse_several

__all__ = ["Database"]

T = TypeVar("T")

_INTEGERS = {1, 2, 3, 8, 9, 13}
"""The numbers of the protocol's integer types: TINY, SHORT, LONG, LONGLONG, INT24, YEAR."""

_NO_KEYS = {
    0: "DECIMAL", 4: "FLOAT", 5: "DOUBLE", 7: "TIMESTAMP", 10: "DATE", 11: "TIME", 12: "DATETIME", 14: "DATE", 16: "BIT",
    245: "JSON", 246: "DECIMAL", 255: "GEOMETRY",
}  # fmt: skip
"""The protocol's types whose values equal no int, str or bytes, or are not found by them."""

_CANNOT_COMPARE = {(1267,), (1270,), (1271,), (3854,)}
"""How those errors of the server begin which say that a text has no place in a column of that character set."""

_AT_FIRST = 128
"""Keys of several columns in a statement, until an answer has shown their columns' types: with its integers in quotes
the server compares each found row with each key (10 ms for 128, 650 for 1000)."""


class Database(BaseDatabase):
    """A MySQL or MariaDB database whose reads are loaders.

    Made at import; each event loop that uses it gets a pool of its own, opened by its first statement. It may be used
    from any number of loops and threads, at once or one after another. Close it in each of them: `async with`, or
    `await db.close()`. After that the next statement opens a new pool.

    Give it the address of a server, or a function that gives a pool which the service has already. That pool must have
    autocommit on; it is used beside others, and never closed.

    A batch is one statement on one connection, cut if it is longer than the server's `max_allowed_packet`. A read whose
    connection was lost is sent once more on a new one, and a write never: then nobody knows whether it was done. A
    server that has closed idle connections disturbs nobody; a firewall that has cut them in silence is noticed by the
    next statement, and so fails a write.

    Loaders match keys by type and value, not as the server does. Still, it is the server that searches: a str key on a
    column of numbers makes it look for the number that the text begins with, or 0, and send those rows, which are then
    left out. A key of several columns finds no text beyond ASCII in a column whose character set is not Unicode. A key
    column that is no integer, text or bytes (DECIMAL, DOUBLE, DATE, DATETIME, BIT, ...) is a TypeError for the batch: use
    `select` with a CAST.

    A pool's charset is utf8mb4, or else utf8, latin1 or ascii: in others a value could leave its quotes, so they are
    refused. So is the sql_mode PAD_CHAR_TO_FULL_LENGTH, under which no key finds its row by a CHAR column.

    Args:
        dsn: "mysql://user:password@host:3306/name", with special characters percent-encoded, and after it
            "?unix_socket=/path" for a local server.
        pool: Called once in each event loop; it returns a pool with the interface of aiomysql's, or an awaitable of
            one: `lambda: asyncmy.create_pool(..., autocommit=True)`. In place of a dsn.
        pool_size: Connections that a loop opens at most. Whoever finds none waits for one, first come, first served.
        connect_timeout: Seconds that a statement waits for a new connection.
        timeout: Seconds that `execute` and `fetch` may take; a loader has its own, `Limits(timeout=...)`.

    Raises:
        ValueError: The dsn is none, or a number does not fit.
        TypeError: There is not exactly one of dsn and pool, or the dsn is no text.
        ModuleNotFoundError: There is a dsn, and no aiomysql: install batchio[mysql].

    Example:
        >>> import asyncio, os
        >>> from typing import NamedTuple
        >>> from batchio.mysql import Database
        >>> class Post(NamedTuple):
        ...     id: int
        ...     title: str
        >>> db = Database(os.environ["MYSQL_URL"])  # "mysql://user:password@localhost:3306/site"
        >>> posts = db.row("posts", key="id", into=Post)
        >>> async def main():
        ...     async with db:
        ...         await db.execute("CREATE TABLE posts (id BIGINT PRIMARY KEY, title TEXT)")
        ...         await db.execute("INSERT INTO posts VALUES (%s, %s), (%s, %s)", (1, "Bonjour", 2, "Salut"))
        ...         return await posts.load_many([2, 1])
        >>> asyncio.run(main())
        [Post(id=2, title='Salut'), Post(id=1, title='Bonjour')]
    """

    _dialect = MYSQL

    def __init__(
        self,
        dsn: str | None = None,
        *,
        pool: Callable[[], Any] | None = None,
        pool_size: int = 10,
        connect_timeout: float = 5.0,
        timeout: float = 30.0,
    ) -> None:
        if (dsn is None) is (pool is None) or not callable(pool or len):
            raise TypeError("Database takes a dsn, or pool= and a function that gives a pool; exactly one of them")
        times = {type(seconds) in (int, float) and seconds > 0 for seconds in (connect_timeout, timeout)}
        if type(pool_size) is not int or pool_size < 1 or times != {True}:
            raise ValueError("pool_size is a number of connections, 1 or more; both timeouts are seconds, more than 0")
        self._timeout = timeout
        self._shown = "its own pool" if dsn is None else str(server := _server(dsn))
        make = pool if pool is not None else _aiomysql(server, pool_size, connect_timeout)
        self._connections = LoopLocal(
            partial(Connections, make, own=pool is None, connect_timeout=connect_timeout, timeout=timeout)
        )

    def __repr__(self) -> str:
        here = self._connections.get() if asyncio._get_running_loop() else "no loop is running"
        return f"<batchio.mysql.Database {self._shown}: {here}>"

    # ------------------------------------------------------------------------------------------------- loaders

    async def _answers(self, plan: Plan, keys: list[Any]) -> dict[Any, Any]:
        first = _AT_FIRST if len(plan.key) > 1 and not plan.whole else len(keys)
        answers = await self._read(plan, keys[:first])
        return answers | await self._read(plan, keys[first:]) if keys[first:] else answers

    async def _read(self, plan: Plan, keys: list[Any]) -> dict[Any, Any]:
        """Ask for keys. One that the column's character set cannot hold makes the server refuse all of them.

        So does the connection's, where it is not Unicode.
        """
        try:
            return await self._asked(plan, keys)
        except Exception as error:
            plain, odd = _by_ascii(keys)
            if not odd or not (isinstance(error, UnencodableError) or error.args[:1] in _CANNOT_COMPARE):
                raise
        if len(keys) == 1:
            return plan.collect(keys, (), [])
        middle = (len(odd) + 1) // 2
        parts = [part for part in (plain, odd[:middle], odd[middle:]) if part]
        return dict(chain.from_iterable([(await self._read(plan, part)).items() for part in parts]))

    async def _asked(self, plan: Plan, keys: list[Any]) -> dict[Any, Any]:
        statements: list[tuple[str, list[Any]]] = []
        too_long: list[Any] = []

        def prepare(facts: Facts) -> list[str]:
            statements[:], too_long[:] = key_statements(
                plan, keys, max_bytes=facts.max_bytes, plain_backslash=facts.plain_backslash
            )
            return [sql for sql, _ in statements]

        answers = await self._run(prepare, shown=plan.statement(1), again=True)
        found: dict[Any, Any] = {key: _too_long(plan) for key in too_long}
        for (_, asked), answer in zip(statements, answers, strict=True):
            _note_columns(plan, answer)
            # Each statement's rows for its own keys: a neighbour of two of them comes with both.
            found |= plan.collect(asked, _names(answer), answer.rows)
        return found

    # ---------------------------------------------------------------------------------------------- statements

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement, for writes; it is committed when this returns.

        A caller that is cancelled does not stop it: the statement is finished all the same, and `batchio.drain` waits
        for it. If it takes longer than the Database's `timeout`, nobody knows whether it was done.

        A statement that changes its session (SET, USE, CREATE TEMPORARY TABLE) changes it for nobody: its connection is
        not used again. What a stored routine changes there is not noticed. The id of a new row is read by
        `fetch("INSERT ... RETURNING id")` in MariaDB; `LAST_INSERT_ID()` would be asked of another connection.

        Args:
            sql: One statement, with `%s` or `%(name)s` where values go, outside of quotes. Beside values, a percent sign
                of your own is written `%%`.
            params: The values: a sequence, or a mapping for `%(name)s`. They are str, bytes, int, float, bool, Decimal,
                datetime, date, time, timedelta or None.

        Returns:
            The number of rows that were inserted, updated or deleted; 0 for other statements. An UPDATE does not count
            rows that were as it wants them.

        Raises:
            pymysql.err.MySQLError: The statement is wrong, or fails, or its connection was lost; the text of the
                statement is in its notes. With a pool of asyncmy's, it is asyncmy.errors.MySQLError.
            BatchTimeout: It took longer than the Database's `timeout`.
            BatchAborted: `drain()` ran out of time meanwhile.
            RuntimeError: It opens a transaction, which the next statement would not be part of, or asks for what the last
                one left in its connection (LAST_INSERT_ID, GET_LOCK, ...); or there are several statements; or the
                pool's connections have autocommit off, or a charset that is not safe.
            ValueError: Places and values do not fit, or the statement is longer than `max_allowed_packet`, or holds a
                character that the pool's charset lacks.
            TypeError: A value's type is none that MySQL can hold: a datetime with a zone, for one.

        Example:
            >>> import asyncio, os
            >>> from batchio.mysql import Database
            >>> async def main():
            ...     async with Database(os.environ["MYSQL_URL"]) as db:
            ...         await db.execute("CREATE TABLE tags (name VARCHAR(50))")
            ...         return await db.execute("INSERT INTO tags VALUES (%s), (%s)", ("grammaire", "argot"))
            >>> asyncio.run(main())
            2
        """
        answer = await self._statement(sql, params, again=False)
        return 0 if answer.columns else max(answer.affected, 0)

    async def fetch(self, sql: str, params: Params = ()) -> list[Any]:
        """Run one SELECT that has no key: a feed, a count, a search.

        Args:
            sql: One statement, with `%s` or `%(name)s` where values go, as in `execute`.
            params: The values, as in `execute`.

        Returns:
            The rows, as named tuples; a column whose name cannot be a field, like count(*), is reached by position.

        Raises:
            Exception: As `execute`. A SELECT whose connection was lost is sent once more.

        Example:
            >>> import asyncio, os
            >>> from batchio.mysql import Database
            >>> async def main():
            ...     async with Database(os.environ["MYSQL_URL"]) as db:
            ...         return await db.fetch("SELECT %s AS word, char_length(%s) AS letters", ("été", "été"))
            >>> asyncio.run(main())
            [Row(word='été', letters=3)]
        """
        answer = await self._statement(sql, params, again=only_reads(bare(sql)))
        return list(map(row_class(_names(answer))._make, answer.rows))

    async def close(self) -> None:
        """Finish the statements that were given, and close the running loop's pool, unless it is the service's own.

        The next statement opens a new pool, so that a Database made at import serves one loop after another.

        Raises:
            RuntimeError: No event loop is running: a pool is closed in its own.

        Example:
            >>> import asyncio, os
            >>> from batchio.mysql import Database
            >>> db = Database(os.environ["MYSQL_URL"])
            >>> async def main():
            ...     await db.fetch("SELECT 1")
            ...     await db.close()
            ...     return await db.fetch("SELECT 2 AS two")
            >>> async def twice():
            ...     async with db:
            ...         return await main()
            >>> asyncio.run(twice())
            [Row(two=2)]
        """
        connections = self._connections.pop()
        if connections is not None:
            await asyncio.shield(own(connections.close(), "batchio mysql: close"))

    async def _statement(self, sql: str, params: Params, *, again: bool) -> Answer:
        words = bare(sql)
        refuse_session_wide(words)
        refuse_several(words)

        def prepare(facts: Facts) -> list[str]:
            text = filled(sql, params, partial(value_literal, plain_backslash=facts.plain_backslash))
            if len(text) > facts.max_bytes or len(text.encode(errors="replace")) > facts.max_bytes:
                raise ValueError(
                    f"the statement and its values are longer than the {facts.max_bytes} bytes that the server takes at "
                    "once: write in smaller parts, or raise its max_allowed_packet"
                )
            return [text]

        run = self._run(prepare, shown=sql, again=again, spoils=changes_session(words))
        (answer,) = await _finished(own(self._in_time(run, sql), "batchio mysql: statement"))
        return answer

    async def _in_time(self, run: Coroutine[Any, Any, T], shown: str) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await run
        except TimeoutError as error:
            why = str(error) or (
                f"no answer within {self._timeout} seconds; its connection was closed, and nobody knows whether the "
                "server has finished it. Raise Database(timeout=...), or make the statement faster"
            )
            late = BatchTimeout(f"a statement was given up: {why}")
            late.add_note(_note(shown))
            raise late from error

    async def _run(self, prepare: Prepare, *, shown: str, again: bool, spoils: bool = False) -> list[Answer]:
        try:
            return await self._connections.get().run(prepare, again=again, spoils=spoils)
        except Exception as error:
            error.add_note(_note(shown))
            raise


async def _finished(task: asyncio.Task[T]) -> T:
    """Wait for a statement's task; it goes on whatever becomes of who waits."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        me = asyncio.current_task()
        if task.cancelled() and not (me and me.cancelling()):
            raise BatchAborted(
                "a statement was cut short by drain(): nobody knows whether the server has finished it"
            ) from None
        raise


def _note(sql: str) -> str:
    return f"the statement is: {sql[:500]}"  # the text alone: values may be secret


def _names(answer: Answer) -> tuple[str, ...]:
    return tuple(column[0] for column in answer.columns)


def _note_columns(plan: Plan, answer: Answer) -> None:
    """Remember which columns of the key hold integers.

    Raises:
        TypeError: One is of a type that no key matches; else each of its rows would seem not to be there.
    """
    names = _names(answer)
    for place, name in enumerate(plan.reader.key):
        kind = answer.columns[plan.reader.place(names, name)][1]
        if kind in _NO_KEYS:
            raise TypeError(
                f"{plan.name}: column {plan.key[place]} is a {_NO_KEYS[kind]}, and no key is: keys are int, str or bytes. Use "
                "another column, or select(...) with CAST(... AS CHAR), or AS SIGNED, in its result and before IN"
            )
        plan.whole[place] = kind in _INTEGERS


def _by_ascii(keys: list[Any]) -> tuple[list[Any], list[Any]]:
    """Part keys into those that every character set can hold, and the others."""
    odd = {key for key in keys if any(type(part) is str and not part.isascii() for part in _parts(key))}
    return [key for key in keys if key not in odd], list(odd)


def _parts(key: Any) -> tuple[Any, ...]:
    return key if type(key) is tuple else (key,)


def _too_long(plan: Plan) -> ValueError:
    return ValueError(
        f"{plan.name}: this key is longer than the server takes in one statement: its max_allowed_packet says how much"
    )


# ------------------------------------------------------------------------------------------------- servers


@dataclass(frozen=True)
class _Server:
    """What a dsn says."""

    host: str
    port: int
    user: str | None
    password: str = field(repr=False)
    name: str | None
    unix_socket: str | None

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        socket = f"?unix_socket={self.unix_socket}" if self.unix_socket else ""
        return f"mysql://{user}{self.host}:{self.port}/{self.name or ''}{socket}"


def _aiomysql(server: _Server, pool_size: int, connect_timeout: float) -> Callable[[], Any]:
    """Give the function that makes a loop's pool; it opens nothing before it is asked for a connection."""
    import aiomysql  # type: ignore[import-untyped]  # noqa: PLC0415 - who brings a pool of asyncmy's need not have it
    from aiomysql.connection import MySQLResult  # type: ignore[import-untyped]  # noqa: PLC0415

    class Result(MySQLResult):  # type: ignore[misc]
        """aiomysql's, but that it reads the rows that have come by one loop of ours: see `_packets`."""

        async def _read_rowdata_packet(self) -> None:
            connection: Any = self.connection  # type: ignore[has-type]  # the driver sets it
            rows: list[Any] = []
            while True:
                number = connection._next_seq_id
                connection._next_seq_id = connection._reader.take_rows(rows, self.converters, number)
                packet = await connection._read_packet()
                if self._check_packet_is_eof(packet):
                    break
                rows.append(self._read_row_from_packet(packet))
            self.connection = None
            self.affected_rows, self.rows = len(rows), rows

    class Connection(aiomysql.Connection):  # type: ignore[misc]
        """aiomysql's, with results of ours."""

        async def _connect(self) -> None:
            await super()._connect()
            self._reader: Any = PacketReader(self._reader)

        async def _read_query_result(self, unbuffered: bool = False) -> None:
            if unbuffered or not isinstance(self._reader, PacketReader):
                await super()._read_query_result(unbuffered)
                return
            self._result = None
            result = Result(self)
            await result.read()
            self._result, self._affected_rows = result, result.affected_rows
            if result.server_status is not None:
                self.server_status = result.server_status

    class Pool(aiomysql.Pool):  # type: ignore[misc]
        """aiomysql's, but that it opens connections outside its lock: a slow one holds up nobody for whom there is another.

        Nobody waits in here (rule 1 of `_pool`), so that there is nobody to wake and nothing to guard.
        """

        def idle(self) -> Any:
            """Take a connection that is open already; None when there is none."""
            while self._free:
                connection = self._free.pop()
                reader = connection._reader
                if not (reader.at_eof() or reader.exception() or reader.eof_received):
                    self._used.add(connection)
                    return connection
                connection.close()
            return None

        async def _acquire(self) -> Any:
            if (connection := self.idle()) is None:
                connection = Connection(echo=False, loop=self._loop, **self._conn_kwargs)
                await connection._connect()
                self._used.add(connection)
            return connection

        def release(self, connection: Any) -> Any:
            if self._closing or connection.closed or connection.get_transaction_status():
                return super().release(connection)
            self._used.remove(connection)
            self._free.append(connection)
            return None  # and no task to wake those who do not wait

    def make() -> Any:
        return Pool(
            minsize=0, maxsize=pool_size, echo=False, pool_recycle=-1, loop=asyncio.get_running_loop(),
            host=server.host, port=server.port, user=server.user, db=server.name, unix_socket=server.unix_socket,
            password=server.password.encode().decode("latin1"),  # the driver encodes it so; the server wants UTF-8
            charset="utf8mb4", autocommit=True, connect_timeout=connect_timeout, local_infile=False,
        )  # fmt: skip

    return make


def _server(dsn: str) -> _Server:
    """Read a dsn.

    Raises:
        ValueError: It is none. Neither it nor its cause shows the dsn, which holds a password.
        TypeError: It is no text.
    """
    if not isinstance(dsn, str):
        raise TypeError(f"the dsn is of type {type(dsn).__name__}: write a str, mysql://user:password@host:3306/name")
    wrong = _complaint(dsn)
    if wrong:
        raise ValueError(f"the dsn {wrong}: write mysql://user:password@host:3306/name, special characters as %XX")
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    return _Server(
        host=parts.hostname or "localhost",
        port=parts.port or 3306,
        user=None if parts.username is None else unquote(parts.username),
        password=unquote(parts.password or ""),
        name=unquote(parts.path[1:]) or None,
        unix_socket=query.get("unix_socket"),
    )


def _complaint(dsn: str) -> str:
    """Say what is wrong with a dsn, or nothing; what urllib says may quote the password."""
    if not dsn.startswith("mysql://"):
        return "does not begin with mysql://"
    try:
        parts = urlsplit(dsn)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        known = parts.port is None or parts.port > 0
    except ValueError:
        return "cannot be read, or its port is no number"
    if "@" in parts.path + parts.query + parts.fragment:
        return "has an unencoded character in its user or password"
    unknown = sorted({name for name, _ in query} - {"charset", "unix_socket"})
    complaints = {
        "has no host": not parts.hostname and "unix_socket" not in dict(query),
        "has a port of 0": not known,
        "has more than a name after its host": "/" in parts.path[1:] or bool(parts.fragment),
        f"has unknown options, {', '.join(unknown)}": bool(unknown),
        "has a charset that is not utf8mb4": dict(query).get("charset", "utf8mb4") != "utf8mb4",
    }
    return next((complaint for complaint, met in complaints.items() if met), "")
