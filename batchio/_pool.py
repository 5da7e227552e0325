"""One event loop's connections to MySQL, through a pool of aiomysql's interface: whose turn it is, and what may return.

This room knows no driver by name: a pool has `acquire`, `release` and `maxsize`, a connection `cursor`, `close`,
`get_autocommit`, `get_transaction_status`, `server_status`, and `encoding` or `_encoding`. One of ours has `idle`, too,
which gives an open connection at once, or None.

1. Nobody waits inside the pool: a semaphore of its size stands in front. aiomysql's `release` wakes nobody when the
   connection was closed meanwhile, and whoever waits inside then waits for ever.
2. A connection returns to the pool as it left, or closed: after a cancellation, a lost answer, an error that is not the
   server's own, or a statement that changed the session.
3. A connection on which a value could become SQL, or a read give what is not so, is refused before its first statement.
4. A lost connection is replaced, and a read asked once more. A write is not: nobody knows whether it was done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

from batchio._charsets import refuse_encoding, refuse_session, refuse_unencodable
from batchio._core.enqueue import dispatcher_on
from batchio._core.errors import separate
from batchio._statements import RefusedError

T = TypeVar("T")

NO_BACKSLASH_ESCAPES = 512  # the bit of a connection's server_status

# What a driver or the server says of a connection that is gone: 1053 the server shuts down, 1152 and 1158 to 1161 the
# line was cut, 1927 and 4031 killed and idle for too long, 2006, 2013 and 2055 the client's own words for it.
# Not 1317: KILL QUERY ends a statement that somebody wanted to end, and leaves the connection.
LOST = {1053, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031}


@dataclass(frozen=True)
class Facts:
    """What must be known of a connection before a statement can be written."""

    max_bytes: int
    """How long a statement may be: max_allowed_packet, less some for what the protocol adds."""
    plain_backslash: bool
    """Whether the sql_mode has NO_BACKSLASH_ESCAPES."""
    cursor: type[Any]
    """The driver's plain cursor, whatever the pool's own is: rows as tuples, no second round trip for warnings."""


class Answer(NamedTuple):
    """What a statement gave."""

    affected: int
    """Rows that it found or changed."""
    columns: Sequence[tuple[Any, ...]]
    """Of each column its name, its type's number, and more."""
    rows: list[tuple[Any, ...]]


Make = Callable[[], Any]
Prepare = Callable[[Facts], Sequence[str]]


class Connections:
    """The pool of one loop, opened by its first statement.

    Args:
        make: Gives the pool, or an awaitable of it.
        own: Whether it is ours to close.
        connect_timeout: Seconds for a connection to be opened.
        timeout: Seconds for the pool to be made and to tell its facts.
    """

    def __init__(self, make: Make, *, own: bool, connect_timeout: float, timeout: float) -> None:
        self._make = make
        self._own = own
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._pool: Any = None
        self._facts: Facts | None = None
        self._opening: asyncio.Task[None] | None = None
        self._turns: asyncio.Semaphore | None = None
        self._known: WeakSet[Any] = WeakSet()  # connections that were in use before
        self._using = 0
        self._waiting = 0

    def __str__(self) -> str:
        return f"{self._using} in use, {self._waiting} waiting" if self._pool is not None else "not open"

    async def run(self, prepare: Prepare, *, again: bool, spoils: bool = False) -> list[Answer]:
        """Run statements on one connection, one after another, when it is our turn.

        Args:
            prepare: Writes the statements for such a connection.
            again: Whether they only read, and may be sent again when the connection was lost.
            spoils: Whether they leave the connection's session other than it was.
        """
        await self._opened()
        await self._turn()
        try:
            try:
                return await self._once(prepare, spoils=spoils)
            except Exception as error:
                if not (again and is_lost(error)):
                    raise
            return await self._once(prepare, spoils=spoils, fresh=True)
        finally:
            if self._turns is not None:
                self._turns.release()

    async def close(self) -> None:
        """Let everybody finish who has a turn or waits for one, then close the pool, if it is ours."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        for _ in range(self._pool.maxsize if self._turns is not None else 0):
            await self._turn()
        if self._own and self._pool is not None:
            with suppress(Exception):
                await self._say_goodbye()
            self._pool.close()
            await self._pool.wait_closed()
            await asyncio.sleep(0)  # the transports close their sockets in the loop's next pass

    async def _say_goodbye(self) -> None:
        """Tell the server, which else would log each connection as aborted. A silent one may have gone away."""
        async with asyncio.timeout(self._connect_timeout):
            while self._pool.freesize:
                connection = await self._pool.acquire()
                try:
                    await connection.ensure_closed()
                finally:
                    connection.close()
                    self._pool.release(connection)

    # -- opening ---------------------------------------------------------------------------------------------------

    async def _opened(self) -> None:
        """Have the pool and its facts: found out for all who come, in a task that none of them can cancel."""
        if self._facts is not None:
            return
        if self._opening is None or self._opening.done():
            self._opening = own(self._open(), "batchio mysql: open")
            self._opening.add_done_callback(_retrieve)
        opening = self._opening
        await asyncio.wait([opening])
        if opening.cancelled():
            raise ConnectionAbortedError("the database was not opened: who makes its pool was cancelled")
        if error := opening.exception():
            raise separate(error)

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                if self._pool is None:
                    self._pool = await self._made()
                await self._once(_nothing)
        except TimeoutError as error:
            why = str(error) or f"nothing within {self._timeout} seconds"
            raise TimeoutError(f"the database was not opened: {why}") from error

    async def _made(self) -> Any:
        pool = self._make()
        if hasattr(pool, "__await__") and not hasattr(pool, "acquire"):  # aiomysql's pool itself has both
            pool = await pool
        for name in ("acquire", "release", "maxsize"):
            if not hasattr(pool, name):
                raise TypeError(
                    f"pool= gave a {type(pool).__name__}, which has no {name}: give a function that returns a pool of "
                    "aiomysql or asyncmy, or an awaitable of one, as lambda: aiomysql.create_pool(...)"
                )
        self._turns = asyncio.Semaphore(pool.maxsize) if pool.maxsize else None  # aiomysql: 0 is no limit
        return pool

    # -- connections -----------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        if self._turns is not None:
            self._waiting += 1
            try:
                await self._turns.acquire()
            finally:
                self._waiting -= 1

    async def _once(self, prepare: Prepare, *, spoils: bool = False, fresh: bool = False) -> list[Answer]:
        connection = await (self._fresh() if fresh else self._acquired())
        self._using += 1
        try:
            refuse_without_autocommit(connection)
            encoding = refuse_encoding(connection)
            if fresh or self._facts is None:  # it may be another server by now
                self._facts = await _asked_facts(connection)
            facts = self._facts
            if connection.server_status & NO_BACKSLASH_ESCAPES and not facts.plain_backslash:
                facts = replace(facts, plain_backslash=True)
            statements = prepare(facts)
            refuse_unencodable(encoding, statements)
            answers = await _asked(connection, facts.cursor, statements)
            if spoils:
                connection.close()
            return answers
        finally:
            self._using -= 1
            self._release(connection)

    async def _fresh(self) -> Any:
        """Take a connection that nobody has used: the others may have been lost together with one, unnoticed yet."""
        while (connection := await self._acquired()) in self._known:
            connection.close()
            self._release(connection)
        return connection

    async def _acquired(self) -> Any:
        """Take a connection. In a pool of the service's own others wait too: look again, should a wake-up be lost."""
        if self._own and (idle := self._pool.idle()) is not None:
            return idle
        while True:
            try:
                async with asyncio.timeout(self._connect_timeout):
                    return await self._pool.acquire()
            except TimeoutError as error:
                if self._own:
                    raise TimeoutError(f"no connection to the server within {self._connect_timeout} seconds") from error

    def _release(self, connection: Any) -> None:
        self._known.add(connection)
        released = self._pool.release(connection)
        if asyncio.iscoroutine(released):
            own(released, "batchio mysql: release")
        if not self._own and getattr(self._pool, "freesize", 1) == 0 and hasattr(self._pool, "clear"):
            # Others may wait inside, and the release of a closed connection has woken none: clear() does, and there is
            # nothing to clear.
            own(self._pool.clear(), "batchio mysql: wake")


def _nothing(_facts: Facts) -> list[str]:
    return []


def _retrieve(opening: asyncio.Task[None]) -> None:
    """Whoever waited for it has been told, or has gone."""
    if not opening.cancelled():
        opening.exception()


def own(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Run something in a task that batchio owns and no caller cancels; `drain` waits for it."""
    return dispatcher_on(asyncio.get_running_loop()).own(work, Context(), name)


# ------------------------------------------------------------------------------------ what is known of a connection


async def _asked_facts(connection: Any) -> Facts:
    """Ask a connection what its pool's have in common; not by SELECT, which people count."""
    cursor = plain_cursor(type(await connection.cursor()))
    sql = "SHOW VARIABLES WHERE Variable_name IN ('max_allowed_packet', 'sql_mode', 'character_set_client')"
    ((_, _, rows),) = await _asked(connection, cursor, [sql])
    said = dict(rows)
    refuse_session(said.get("character_set_client", "utf8mb4"), said["sql_mode"])
    return Facts(int(said["max_allowed_packet"]) - 256, "NO_BACKSLASH_ESCAPES" in said["sql_mode"], cursor)


async def _asked(connection: Any, cursor: type[Any], statements: Sequence[str]) -> list[Answer]:
    """Run statements; whatever comes of it, the connection is afterwards as it was, or closed."""
    try:
        answers = [await _answer(connection, cursor, sql) for sql in statements]
        refuse_transaction(connection)
    except BaseException as error:
        if not is_harmless(connection, error):
            connection.close()
        raise
    return answers


async def _answer(connection: Any, plain: type[Any], sql: str) -> Answer:
    async with connection.cursor(plain) as cursor:
        await cursor.execute(sql)
        rows = list(await cursor.fetchall()) if cursor.description else []
        return Answer(cursor.rowcount, cursor.description or (), rows)


def plain_cursor(given: type[Any]) -> type[Any]:
    """Find the driver's plain cursor below the pool's own, and keep it from asking for warnings.

    A driver asks for them by a second statement, and then logs them, values and all.
    """
    plain = [base for base in given.__mro__ if "execute" in vars(base)][-1]
    return type(plain.__name__, (plain,), {"_show_warnings": _no_warnings})


async def _no_warnings(_cursor: Any, _connection: Any) -> None:
    pass


def is_lost(error: BaseException) -> bool:
    """Whether an error means that the connection is gone, and says nothing of the statement."""
    code = error.args[0] if error.args else None
    return (
        isinstance(error, ConnectionError | EOFError)
        or code in LOST
        or type(error).__name__ == "InterfaceError"  # used when it was closed already
        or (isinstance(error, RuntimeError) and "handler is closed" in str(error))  # uvloop's word for it
    )


def is_harmless(connection: Any, error: BaseException) -> bool:
    """Whether the server itself has refused a statement, so that the connection is as good as before."""
    code = error.args[0] if isinstance(error, getattr(connection, "Error", ())) and error.args else None
    return type(code) is int and not 2000 <= code < 3000 and code not in LOST


def refuse_without_autocommit(connection: Any) -> None:
    """Refuse a connection on which each read opens a transaction, and every later one sees its old snapshot.

    Raises:
        RefusedError: Autocommit is off.
    """
    if not connection.get_autocommit():
        raise RefusedError(
            "the pool's connections have autocommit off, so that their reads would give an old snapshot for ever, and "
            "their writes be lost: make it with create_pool(..., autocommit=True)"
        )


def refuse_transaction(connection: Any) -> None:
    """Refuse what was left open: it would take in the statements of whoever gets this connection next.

    Raises:
        RuntimeError: A transaction is open; it is rolled back, since its connection is closed.
    """
    if connection.get_transaction_status() or not connection.get_autocommit():
        raise RuntimeError(
            "a transaction was left open and is rolled back: the next statement has another connection, so it would not "
            "be part of it. Write one statement, or use a connection of your own for the transaction"
        )
