"""What the tests of stores share: a memcached that lies, a MySQL that is none, who watches a real one, and a count of the loop's passes.

Rules:
- Servers are real wherever a real one can be made to fail in that way; these two are for what it would never say.
- Sweeps and storms run so many rounds that a run of the suite can pay for them; with SOAK=1 many more.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self
from urllib.parse import urlsplit

import batchio
from batchio.memcached import MemcachedCache
from tests.faults.helpers import Source
from tests.proxy import Proxy

SOAK = bool(os.environ.get("SOAK"))
NO_ANSWER = (OSError, batchio.BatchioError)  # what a writer sees of a cache
LONG = 5.0  # seconds: a limit that must not run out in a test


def rounds(few: int) -> int:
    """How often to repeat."""
    return few * 20 if SOAK else few


async def until(seen: Callable[[], Any]) -> None:
    """Turn the loop until something is so, within the test's patience."""
    while not seen():
        await asyncio.sleep(0.002)


def tell(figure: str) -> None:
    """Say what a test has counted; `pytest -s` shows it."""
    print(figure)  # noqa: T201


def cached(source: Source, cache: MemcachedCache, *, cache_timeout: float = LONG, **options: Any) -> Any:
    """A loader of texts on a source and a cache."""
    return source.loader(cache=cache, value_type=str, cache_timeout=cache_timeout, **options)


def values(keys: Sequence[Any]) -> list[str]:
    """What a `Source` gives for keys."""
    return [f"value {key}" for key in keys]


async def hits(load: Any, source: Source, keys: list[int]) -> None:
    """Load until all are hits, in a bounded number of tries: the cache works, and nobody holds a lease for ever."""
    for _ in range(400):
        before = len(source.calls)
        assert await load.load_many(keys) == values(keys)
        await batchio.drain(LONG)
        if len(source.calls) == before:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the cache never had them")


class Passes:
    """Counts the passes of the running loop for the length of a `with`: what a held loop does not make."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._turn()
        return self

    def __exit__(self, *_: object) -> None:
        self._next.cancel()

    def _turn(self) -> None:
        self.count += 1
        self._next = asyncio.get_running_loop().call_soon(self._turn)


@asynccontextmanager
async def served(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """A server whose connections are each given to `talk`, and closed cleanly after it; gives its port."""
    lives: set[Any] = set()

    async def live(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lives.add(asyncio.current_task())
        with suppress(OSError, EOFError, asyncio.CancelledError):  # a cancelled one, asyncio would report on 3.11
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(live, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        await asyncio.sleep(0)


# --- memcached ----------------------------------------------------------------------------------------------------


class Liar(Proxy):
    """Stands before a memcached and changes its replies to one kind of command; `lie` takes what it said."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port, on_up=self._asked, on_down=self._answered)
        self.verb = b"get "
        self.lie: Callable[[bytes], bytes | None] | None = None  # None from it closes the connection
        self.told = 0
        self._asking: dict[int, bytes] = {}
        self._now = 0

    def _asked(self, connection: int, chunk: bytes) -> None:
        self._asking[connection] = chunk

    def _answered(self, connection: int, _chunk: bytes) -> None:
        self._now = connection

    def _pieces(self, chunk: bytes, sent: int) -> Iterator[bytes]:
        if self.lie is not None and self._asking[self._now].startswith(self.verb):
            self.told += 1
            lie = self.lie(chunk)
            if lie is None:
                raise ConnectionAbortedError("closed by the liar")
            chunk = lie
        return super()._pieces(chunk, sent)


STATS = b"STAT pid 7\r\nSTAT uptime 5\r\nSTAT time 1000\r\nSTAT version 1.6.18\r\nEND\r\n"
WON = b"VA 0 c5 f0 k%b W\r\n\r\n"  # a lease


@asynccontextmanager
async def leaving_at(verb: bytes) -> AsyncIterator[MemcachedCache]:
    """A memcached that is empty, and that closes a connection, cleanly, as soon as a command of that kind comes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            word, *words = line.split()
            if word == b"ms":
                await reader.readline()  # its data: what is unread at the end makes it no clean close
            if word == verb:
                return
            writer.write(
                {b"stats": STATS, b"get": b"END\r\n"}.get(word, b"HD\r\n") if word != b"mg" else WON % words[0]
            )

    async with served(talk) as port, MemcachedCache(f"127.0.0.1:{port}", timeout=LONG) as cache:
        yield cache


# --- MySQL --------------------------------------------------------------------------------------------------------

Packets = list[bytes]
GREETING = (
    b"\x0a10.11.0-nobody\0" + struct.pack("<I", 1) + b"12345678\0" + struct.pack("<HBHH", 0x8208, 45, 2, 8)
    + b"\x15" + b"\0" * 10 + b"123456789012\0mysql_native_password\0"
)  # fmt: skip
OK = b"\0\0\0\2\0\0\0"  # status 2: autocommit is on
LOCAL_FILES = 0x80  # the bit with which a client says that it would send files


def error(code: int, words: str = "as told") -> Packets:
    """An error as the server says it."""
    return [b"\xff" + struct.pack("<H", code) + b"#HY000" + words.encode()]


def result(names: Sequence[str], *rows: Sequence[str], kind: int = 253) -> Packets:
    """A result of texts, or of the protocol's type `kind`."""

    def text(word: str) -> bytes:
        return bytes([len(word)]) + word.encode()

    end = b"\xfe\0\0\2\0"
    tail = struct.pack("<BHIBHB2s", 12, 45, 255, kind, 0, 0, b"")
    columns = [text("def") + text("") * 3 + text(name) * 2 + tail for name in names]
    return [bytes([len(names)]), *columns, end, *(b"".join(map(text, row)) for row in rows), end]


class Nobody:
    """A MySQL that lets everybody in; statements are answered by `answer`, and None closes the connection.

    What a pool asks before its first statement is answered as a MariaDB would.
    """

    def __init__(self, answer: Callable[[str], Packets | None]) -> None:
        self.answer = answer
        self.statements: list[str] = []
        self.flags: list[int] = []  # what each client said that it can
        self.heard = b""  # what clients sent outside of statements

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._send(writer, [GREETING], 0)
        hello = await self._read(reader)
        self.flags.append(int.from_bytes(hello[:4], "little"))
        self._send(writer, [OK], 2)
        while (asked := await self._read(reader))[:1] != b"\x01":  # COM_QUIT
            if asked[:1] != b"\x03":  # COM_QUERY
                self.heard += asked
                continue
            said = self._answered(asked[1:].decode())
            if said is None:
                return
            self._send(writer, said, 1)

    def _answered(self, sql: str) -> Packets | None:
        if sql.startswith("SHOW VARIABLES"):
            return result(("Variable_name", "Value"), ("max_allowed_packet", "65536"), ("sql_mode", ""))
        self.statements.append(sql)
        return self.answer(sql)

    def _send(self, writer: asyncio.StreamWriter, packets: Packets, first: int) -> None:
        for number, packet in enumerate(packets, first):
            writer.write(struct.pack("<I", len(packet))[:3] + bytes([number % 256]) + packet)

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readexactly(4)
        return await reader.readexactly(int.from_bytes(head[:3], "little"))


@asynccontextmanager
async def nobody(answer: Callable[[str], Packets | None]) -> AsyncIterator[tuple[Nobody, str]]:
    """Start one; gives it and its URL."""
    server = Nobody(answer)
    async with served(server) as port:
        yield server, f"mysql://me:secret@127.0.0.1:{port}/name"


LOCKED = "held()"  # an expression that waits for a `Watch` to let go; `execute` and `fetch` refuse locks by name


def through(server: Any, line: Proxy, url: str | None = None) -> str:
    """The URL of a server, by way of a line."""
    return (url or server.url).replace(f":{server.port}/", f":{line.port}/")


class Watch:
    """A connection of the test's own: it sees who is there, and holds a lock for which statements wait."""

    def __init__(self, server: Any, url: str) -> None:
        self.name = urlsplit(url).path[1:]
        self.connection = server.connect(self.name)
        self.ask("CREATE OR REPLACE FUNCTION held() RETURNS INT RETURN GET_LOCK('held', 60) AND RELEASE_LOCK('held')")

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, sql: str) -> list[Any]:
        """The rows of a statement."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def hold(self) -> None:
        """Take the lock."""
        assert self.ask("SELECT GET_LOCK('held', 10)") == [(1,)]

    def let_go(self) -> None:
        """Give the lock to those who wait."""
        assert self.ask("SELECT RELEASE_LOCK('held')") == [(1,)]

    def others(self, condition: str = "TRUE") -> list[int]:
        """The other connections to the database."""
        where = f"DB = '{self.name}' AND ID != CONNECTION_ID() AND {condition}"
        return [number for (number,) in self.ask(f"SELECT ID FROM information_schema.processlist WHERE {where}")]

    def waiting(self) -> list[int]:
        """Those that wait for the lock."""
        return self.others("STATE = 'User lock'")

    def sleeping(self) -> list[int]:
        """Those that sleep in a statement."""
        return self.others("STATE = 'User sleep'")
