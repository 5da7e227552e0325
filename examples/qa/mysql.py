"""A site in MySQL or MariaDB: its address, its plain connections, and the `Place` that it is.

Rules of this room: the only file that imports the driver. What that raises becomes a `BuildError` of one line; the
password is in none of them, nor in what an address shows of itself.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pymysql  # type: ignore[import-untyped]

import batchio.mysql

from . import store, transfer
from .database import Database
from .store import BuildError

Values = tuple[Any, ...]

FAILURES: tuple[type[Exception], ...] = (pymysql.MySQLError, ConnectionError, EOFError, TimeoutError)

SPELLING = "write the database as mysql://user:password@host:port/name"
PATIENCE = 10  # seconds to connect

# A text that is too long is an error and not cut; and a user may have the number 0.
MODE = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'"


@dataclass(frozen=True)
class Address:
    """Where a database is, and who asks.

    >>> str(Address.of("mysql://ada:s%40fe@db.example:3307/qa"))
    'mysql://ada@db.example:3307/qa'
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str
    socket: str | None = None

    @classmethod
    def of(cls, url: str) -> Address:
        """Read an address. Raises BuildError, which does not repeat it: somewhere in it is a password."""
        try:
            parts = urlsplit(url)
            found = cls(
                host=parts.hostname or "",
                port=parts.port or 3306,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                name=unquote(parts.path[1:]),
                socket=_options(parts.query).get("unix_socket"),
            )
        except ValueError as error:  # a port that is none
            raise BuildError(SPELLING) from error
        if parts.scheme != "mysql" or not found.host or not found.name:
            raise BuildError(SPELLING)
        return found

    def __str__(self) -> str:
        return f"mysql://{self.user}@{self.host}:{self.port}/{self.name}"


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options.keys() - {"charset", "unix_socket"}:
        raise BuildError(f"an address has no {name}; {SPELLING}")
    return options


class Server:
    """A site in a database of a server."""

    def __init__(self, url: str) -> None:
        self.address = Address.of(url)
        self._url = url

    def check(self) -> None:
        """Raise BuildError where no site is."""
        with self.connected() as connection:
            if not transfer.settled(connection):
                raise BuildError("no site there; make it with import or generate")

    @contextmanager
    def building(self) -> Iterator[sqlite3.Connection]:
        """The draft is a file in a temporary folder. Whether the server would take it is asked before the work begins."""
        with self.connected() as connection:
            transfer.refuse_strangers(connection)
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "draft.db"
            with store.building(draft) as connection:
                yield connection
            with closing(sqlite3.connect(draft)) as finished:
                transfer.move(finished, self.connected)

    def database(self, *, counted: bool = False) -> Database:
        """Never counted here: the server counts."""
        try:
            return batchio.mysql.Database(self._url)
        except ValueError as error:
            raise BuildError(f"{self.address}: {error}") from error

    @contextmanager
    def connected(self) -> Iterator[Plain]:
        """A connection of the driver's; what goes wrong in the block is told with the address."""
        try:
            with closing(_connect(self.address)) as connection:
                yield Plain(connection)
        except (pymysql.MySQLError, OSError, sqlite3.Error) as error:
            raise BuildError(f"{self.address}: {_told(error)}") from error
        except BuildError as error:
            raise type(error)(f"{self.address}: {error}") from error

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        """Com_select of the whole server, since connections are many: nobody else should ask it meanwhile."""
        with self.connected() as connection:

            def count() -> int:
                ((_, number),) = connection.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")
                return int(number)

            yield count

    def stamp(self) -> str:
        """What the build left in the tables' comments."""
        with self.connected() as connection:
            return transfer.stamp(connection)


class Plain:
    """A connection with sqlite3's ways: values are written as `?`, and rows come from `execute`."""

    def __init__(self, connection: Any) -> None:
        self._cursor = connection.cursor()

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Sequence[Values]:
        """The rows of a statement."""
        if values:
            self._cursor.execute(sql.replace("?", "%s"), values)
        else:
            self._cursor.execute(sql)
        rows: Sequence[Values] = self._cursor.fetchall()
        return rows

    def insert(self, sql: str, rows: Iterator[Values], /) -> None:
        """Send rows as they come, in statements of a megabyte: the driver puts them together, and holds no more."""
        first = next(rows, None)
        if first is not None:
            self._cursor.executemany(sql, _chained(first, rows))


def _chained(first: Values, rows: Iterator[Values]) -> Iterator[Values]:
    yield first
    yield from rows


def _connect(address: Address) -> Any:
    try:
        return pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.name,
            unix_socket=address.socket,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=PATIENCE,
            init_command=MODE,
        )
    except RuntimeError as error:  # the way in which this server asks for passwords wants one more package
        raise BuildError(str(error)) from error


def _told(error: BaseException) -> str:
    """What the server says, in one line and without its number."""
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    return " ".join(text.split()) or type(error).__name__
