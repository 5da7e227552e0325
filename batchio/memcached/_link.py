"""A connection to memcached: one request at a time, and its reply read where it arrives. Knows no server and no pool.

1. It was opened as a pair of streams, and takes the place of their protocol: whoever waits for a reply is woken once,
   when the reply is whole.
2. What comes when nothing is expected, or makes no sense, or ends too early, ends its use: `usable` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from batchio.memcached._wire import Feed, WireError

PIECE = 256 * 1024  # bytes that are written before we wait for the server to take them

ServerId: TypeAlias = tuple[bytes | None, int]
"""A server's process: its number, and the second of its start."""

Done: TypeAlias = Callable[[Exception | None], None]
"""Called when a reply is whole, or with the error by which it never will be."""


class Link(asyncio.Protocol):
    """An open connection, and the process that it leads to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer  # held, for a writer that nobody holds closes its connection
        self._transport = writer.transport
        self._streams: Any = self._transport.get_protocol()
        self._transport.set_protocol(self)
        unasked = getattr(reader, "_buffer", b"")
        self.usable = not (unasked or reader.at_eof() or reader.exception() or self._transport.is_closing())
        """Whether it is open as far as this side knows, and nothing came that nobody asked for."""
        self.server: ServerId = (None, 0)
        self._feed: Feed = _unasked
        self._done: Done = _nobody

    def ask(self, request: bytes, feed: Feed, done: Done) -> None:
        """Send a short request; its reply is fed to `feed`, to the last byte, and then `done` is called."""
        self._feed, self._done = feed, done
        self._transport.write(request)

    async def talk(self, request: bytes, feed: Feed) -> None:
        """Send a request and read its reply, to the last byte."""
        if not self.usable:
            raise ConnectionResetError(_CLOSED)
        reply = asyncio.get_running_loop().create_future()
        self.ask(request[:PIECE], feed, lambda error: _settle(reply, error))
        for start in range(PIECE, len(request), PIECE):
            await self._writer.drain()
            self._writer.write(request[start : start + PIECE])
        await reply

    def drop(self) -> None:
        """Close it at once; what is still to be sent is not sent, and nobody is told."""
        self.usable = False
        self._feed, self._done = _unasked, _nobody
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            whole = self._feed(data)
        except WireError as error:
            self._end(error)
            return
        if whole:
            self._feed, done, self._done = _unasked, self._done, _nobody
            done(None)

    def eof_received(self) -> None:
        self._end(ConnectionResetError(_CLOSED))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionResetError(_CLOSED))
        self._streams.connection_lost(exc)

    def pause_writing(self) -> None:
        self._streams.pause_writing()

    def resume_writing(self) -> None:
        self._streams.resume_writing()

    def _end(self, error: Exception) -> None:
        self.usable = False
        self._feed, done, self._done = _unasked, self._done, _nobody
        done(error)


_CLOSED = "the server closed the connection"


def _unasked(data: bytes) -> bool:
    raise WireError(f"came {data[:80]!r}, where nothing was asked")


def _nobody(_error: Exception | None) -> None:
    pass


def _settle(reply: asyncio.Future[None], error: Exception | None) -> None:
    if reply.done():
        return
    if error is None:
        reply.set_result(None)
    else:
        reply.set_exception(error)
        reply.exception()  # seen, should sending fail before it is waited for
