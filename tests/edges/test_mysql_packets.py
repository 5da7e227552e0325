"""MySQL's rows read many at once: the same rows as the driver's own, however they come, and nothing that is no row."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiomysql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchio._packets import PacketReader, take_rows
from batchio.mysql import Database

TEXT_INT_BYTES = [("utf8", None), ("ascii", int), (None, None)]
LONG = 0xFFFFFF

Row = tuple[str | None, int | None, bytes | None]

fields = st.one_of(st.none(), st.text(max_size=5), st.integers(0, 300).map("x".__mul__))
rows = st.tuples(fields, st.none() | st.integers(), st.none() | st.binary(max_size=300))


def field(value: Any) -> bytes:
    """A field as the server writes it: its length, then its bytes."""
    if value is None:
        return b"\xfb"
    data = value if isinstance(value, bytes) else str(value).encode()
    if len(data) < 251:
        return bytes([len(data)]) + data
    return (
        b"\xfc" + struct.pack("<H", len(data)) if len(data) < 65536 else b"\xfd" + struct.pack("<I", len(data))[:3]
    ) + data


def packet(payload: bytes, number: int) -> bytes:
    """A packet: its length, its number, what is in it."""
    return struct.pack("<I", len(payload))[:3] + bytes([number % 256]) + payload


def packets(given: Sequence[Row], number: int) -> list[bytes]:
    """Rows as packets, numbered from a number on."""
    return [packet(b"".join(map(field, row)), number + place) for place, row in enumerate(given)]


def taken(data: bytes, number: int = 0) -> tuple[list[Any], bytes, int]:
    """The rows that stand in some bytes; the bytes behind them; the next packet's number."""
    found: list[Any] = []
    after, number = take_rows(data, 0, found, TEXT_INT_BYTES, number)
    return found, data[after:], number


@given(st.lists(rows, max_size=5), st.integers(0, 255), st.data())
def test_rows_are_taken_as_they_come(some: list[Row], number: int, data: st.DataObject) -> None:
    """Cut anywhere, what is whole is taken, in order, and what is not stays: nothing is lost between two pieces."""
    sent = packets(some, number)
    whole = b"".join(sent)
    cut = data.draw(st.integers(0, len(whole)))
    first, rest, then = taken(whole[:cut], number)
    assert first == some[: len(first)]
    assert len(b"".join(sent[: len(first)])) + len(rest) == cut
    second, nothing, last = taken(rest + whole[cut:], then)
    assert (first + second, nothing, last) == (some, b"", (number + len(some)) % 256)


@pytest.mark.parametrize("size", [0, 1, 250, 251, 252, 65535, 65536, 100_000])
def test_a_field_may_have_any_length(size: int) -> None:
    """Its length takes one byte, or three, or four."""
    row = ("x" * size, 7, b"y" * size)
    assert taken(b"".join(packets([row], 0))) == ([row], b"", 1)


@pytest.mark.parametrize(
    "odd",
    [
        packet(b"\xfe\x00\x00\x02\x00", 1),  # the end
        packet(b"\xff\x15\x04#28000no", 1),  # an error
        packet(b"", 1),
        packet(b"\x01a\x011\x01b", 2),  # out of order
        packet(b"\x01a\x011", 1),  # a column too few
        packet(b"\x01a\x011\x01b\x01c", 1),  # one too many
        packet(b"\x01a\x011\x09b", 1),  # a field that is longer than its packet
        packet(b"\x01\x80\x011\x01b", 1),  # no UTF-8
        packet(b"\x01a\x01x\x01b", 1),  # no number
        packet(b"\x01a\x011\xfdb", 1),  # a length that is not all there
        packet(b"\xfe\x01\x00\x00\x00\x00\x00\x00\x00a\x011\x01b", 1),  # a length that begins like an end
        packet(b"\x01a\xfe1\x01b", 1),  # the same in the middle
        struct.pack("<I", LONG)[:3] + b"\x01" + b"x" * LONG,  # a part of a packet that goes on
    ],
    ids=range(13),
)
def test_what_is_no_plain_row_is_left_to_the_driver(odd: bytes) -> None:
    """It is not taken, nor is what comes after it; and the rows before it are."""
    plain = packets([("a", 1, b"b")], 0)[0]
    for behind in (b"", packet(b"\x01a\x011\x01b", 2), packet(b"\xfe\x00\x00\x02\x00", 2)):
        assert taken(plain + odd + behind) == ([("a", 1, b"b")], odd + behind, 1)


def stream(data: bytes) -> asyncio.StreamReader:
    """A stream that gives some bytes, and ends."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_a_reader_gives_each_byte_once() -> None:
    """By number or by row, small or larger than what is taken from the stream at once; then it says that it ended."""
    large = bytes(range(256)) * 4000
    reader = PacketReader(stream(b"head" + b"".join(packets([("a", 1, b"b")] * 3, 5)) + b"tail" + large))
    assert await reader.readexactly(4) == b"head"
    found: list[Any] = []
    assert reader.take_rows(found, TEXT_INT_BYTES, 5) == 8
    assert found == [("a", 1, b"b")] * 3
    assert await reader.readexactly(4) == b"tail"
    assert not reader.at_eof()
    assert await reader.readexactly(len(large)) == large
    assert reader.at_eof()
    with pytest.raises(asyncio.IncompleteReadError):
        await reader.readexactly(1)


async def test_a_stream_that_ends_too_early_is_no_reply() -> None:
    """What is there is no packet's bytes, if there are fewer than were asked for."""
    for count in (5, 1_000_000):
        with pytest.raises(asyncio.IncompleteReadError):
            await PacketReader(stream(b"head")).readexactly(count)


async def test_a_real_servers_rows_are_those_that_its_driver_reads(mysql_url: str) -> None:
    """Every type, nothing in each of them, and lengths on both sides of each border, up to a row of several packets."""
    at = urlsplit(mysql_url)
    who = {"host": at.hostname, "port": at.port, "user": at.username, "password": at.password, "db": at.path[1:]}
    lengths = [0, 1, 250, 251, 65535, 65536, LONG - 5, LONG - 4, LONG - 3]
    statements = [
        "SELECT 1, -2, 1.5, 2.5e0, 'é', X'00FF', DATE '2020-02-29', TIME '-10:11:12.5', TIMESTAMP '2020-02-29 01:02:03.5'",
        "SELECT CAST(NULL AS SIGNED), CAST(NULL AS CHAR), CAST(NULL AS BINARY), CAST(NULL AS DATE), CAST(NULL AS DECIMAL)",
        "SELECT seq, REPEAT('x', seq) AS text FROM seq_0_to_300",
        *(f"SELECT REPEAT('x', {length})" for length in lengths),
        "SELECT 1 WHERE 1 = 0",
    ]
    connection = await aiomysql.connect(**who, autocommit=True, charset="utf8mb4")
    try:
        async with Database(mysql_url) as db, connection.cursor() as cursor:
            for sql in statements:
                await cursor.execute(sql)
                theirs = [tuple(row) for row in await cursor.fetchall()]
                ours = [tuple(row) for row in await db.fetch(sql)]
                assert ours == theirs, sql[:60]
                assert [list(map(type, row)) for row in ours] == [list(map(type, row)) for row in theirs], sql[:60]
    finally:
        connection.close()
