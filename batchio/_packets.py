"""MySQL's rows as they come over the wire: many at once, out of the bytes that are there.

The driver awaits each packet's head and each packet, and reads each field by three calls: that is two thirds of what a
read costs its process. This room reads what is there in one loop, and leaves to the driver whatever is not plain.

1. It stops before what is no whole row as it should be: the end, an error, a packet that is not all there, too large
   for one, out of order, or cut wrongly. The driver reads that one itself, and says what it says.
2. Values become what the driver makes of them, by its own converters.
3. It knows no driver by name, and no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

PIECE = 256 * 1024  # bytes that are taken from a stream at once

_HEAD = 4  # bytes: three of a packet's length, and its number, which counts up to 255 and on from 0
_LARGEST = 0xFFFFFF  # bytes; a packet of so many goes on in the next one
_NULL = 251
_WIDTHS = {252: 2, 253: 3}  # bytes of a length that has no place in one. With 254 the end begins, with 255 an error

Converters: TypeAlias = Sequence[tuple[str | None, Callable[[Any], Any] | None]]
"""For each column the encoding of its bytes, if they are text, and what makes its value of that."""


class PacketReader:
    """A stream whose bytes are taken as they come, and then given as they are asked for.

    Args:
        stream: What it reads from: nobody else does from now on.
    """

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0

    async def readexactly(self, count: int) -> bytes:
        """Give the next bytes.

        Raises:
            asyncio.IncompleteReadError: The stream ended before them.
        """
        while len(self._data) - self._at < count:
            rest, self._data, self._at = self._data[self._at :], b"", 0
            if count > PIECE:
                return rest + await self._stream.readexactly(count - len(rest))
            piece = await self._stream.read(PIECE)
            if not piece:
                raise asyncio.IncompleteReadError(rest, count)
            self._data = rest + piece
        start, self._at = self._at, self._at + count
        return self._data[start : self._at]

    def take_rows(self, rows: list[Any], converters: Converters, number: int) -> int:
        """Take the rows that are there.

        Args:
            rows: Where to put them.
            converters: What makes their values.
            number: The next packet's.

        Returns:
            The number of the packet after them.
        """
        self._at, number = take_rows(self._data, self._at, rows, converters, number)
        return number

    def at_eof(self) -> bool:
        """Whether the stream has ended, and all of it was given."""
        return self._stream.at_eof() and self._at == len(self._data)

    def exception(self) -> BaseException | None:
        """What the stream failed with."""
        return self._stream.exception()

    @property
    def eof_received(self) -> bool:
        """Whether the stream has ended."""
        return getattr(self._stream, "eof_received", False)


def take_rows(data: bytes, start: int, rows: list[Any], converters: Converters, number: int) -> tuple[int, int]:
    """Read the whole rows that stand in some bytes, from `start` on; see `PacketReader.take_rows`.

    Returns:
        Where the first packet stands that was not read, and its number.
    """
    while start + _HEAD < len(data):
        length = data[start] | data[start + 1] << 8 | data[start + 2] << 16
        begin, end = start + _HEAD, start + _HEAD + length
        if end > len(data) or data[start + 3] != number or not 0 < length < _LARGEST:
            break
        try:
            row, after = _row(data, begin, converters)
        except (IndexError, KeyError, ValueError, ArithmeticError):
            break
        if after != end:
            break
        rows.append(row)
        start, number = end, (number + 1) % 256
    return start, number


def _row(data: bytes, place: int, converters: Converters) -> tuple[tuple[Any, ...], int]:
    """Read a row; gives it, and where it ends."""
    row: list[Any] = []
    for encoding, convert in converters:
        length = data[place]
        place += 1
        if length >= _NULL:
            if length == _NULL:
                row.append(None)
                continue
            width = _WIDTHS[length]
            length = int.from_bytes(data[place : place + width], "little")
            place += width
        value: Any = data[place : place + length]
        place += length
        if encoding is not None:
            value = value.decode(encoding)
        row.append(value if convert is None else convert(value))
    return tuple(row), place
