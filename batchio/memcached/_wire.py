"""memcached's protocol as bytes: requests out, replies in. Pure; knows no socket.

1. A reader is fed what comes, in pieces cut anywhere, and says when its reply is whole. It takes exactly its reply: a
   byte too many, a key that nobody asked for, a line that is no reply are a `WireError`, and whoever reads throws the
   connection away, for nobody can know whose bytes come next.
2. Values are read by `get` with many keys, one command for all of them. What takes part in a lease is a meta command
   (memcached 1.6), many in one write. Each gets its reply, in order: a refusal in quiet mode does not say of whom.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

KEYS_PER_GET = 1000  # so that one command's line stays below what the server buffers at once

_VALUE = re.compile(rb"VALUE ([^ \r\n]+) (\d{1,10}) (\d{1,10})\r\n")
_ENDS = (b"END\r\n", b"VALUE ")
_LONGEST_LINE = 2048  # bytes; a reply's line has a key of 250 and a few numbers


class WireError(ConnectionError):
    """What came is no reply to what was asked; the connection cannot be used any more."""


class Item(NamedTuple):
    """What `get` found under a key."""

    flags: bytes
    data: bytes


class Reply(NamedTuple):
    """What a meta command was answered: its code, its flags, and its data when the code is VA."""

    code: bytes
    flags: Sequence[bytes] = ()
    data: bytes = b""

    def flag(self, letter: bytes) -> bytes | None:
        """The value of a flag, b"" for one that has none; None when it did not come."""
        return next((flag[1:] for flag in self.flags if flag[:1] == letter), None)


# ------------------------------------------------------------------------------------------------ requests


def get_requests(keys: Sequence[bytes]) -> Iterator[bytes]:
    """The commands that ask for keys: one, unless they are very many."""
    for start in range(0, len(keys), KEYS_PER_GET):
        yield b"get " + b" ".join(keys[start : start + KEYS_PER_GET]) + b"\r\n"


def lease(key: bytes, seconds: int) -> bytes:
    """Ask for a key once more; if it is not there, leave a placeholder for so long, and say who may fill it."""
    return b"mg %b c f k v N%d\r\n" % (key, seconds)


def store(key: bytes, data: bytes, flags: bytes, seconds: int, cas: bytes | None = None) -> bytes:
    """Store a value; with a `cas`, only where it still is what the server has. 0 seconds: for ever."""
    condition = b"" if cas is None else b" C" + cas
    return b"ms %b %d T%d F%b%b\r\n%b\r\n" % (key, len(data), seconds, flags, condition, data)


def delete(key: bytes, cas: bytes | None = None) -> bytes:
    """Delete a key; with a `cas`, only where it still is what the server has."""
    return b"md %b%b\r\n" % (key, b"" if cas is None else b" C" + cas)


# ------------------------------------------------------------------------------------------------- replies


class ItemsReader:
    """Reads the replies of `get` commands."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.found: dict[bytes, Item] = {}
        self._asked = set(keys)
        self._ends = -(-len(keys) // KEYS_PER_GET)  # how many END lines are still to come
        self._pieces: list[bytes] = []  # what has come and is not read yet
        self._here = 0  # their bytes
        self._needed = 0  # bytes without which a look at them would find nothing new

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the reply; True when it is whole."""
        self._pieces.append(piece)
        self._here += len(piece)
        if self._here < self._needed:
            return False
        rest = b"".join(self._pieces)
        position = self._items(rest)
        self._pieces = [rest[position:]]
        self._here -= position
        self._needed -= position
        if self._ends == 0 and self._here:
            raise WireError(f"{self._here} bytes came after the reply")
        return self._ends == 0

    def _items(self, rest: bytes) -> int:
        """Read whole items from the start of the rest; gives how far. Written for speed: it runs once per key."""
        match, found, asked, size = _VALUE.match, self.found, self._asked, len(rest)
        position = self._needed = 0
        while self._ends:
            head = match(rest, position)
            if head is None:
                if not rest.startswith(b"END\r\n", position):
                    _check_start(rest[position:], _ENDS)
                    return position
                self._ends -= 1
                position += 5
                continue
            key, flags, length = head.groups()
            start = head.end()
            end = start + int(length)
            if size < end + 2:
                self._needed = end + 2
                return position
            if rest[end : end + 2] != b"\r\n" or key not in asked:
                raise WireError("a value has another length than announced, or a key that nobody asked for")
            found[key] = Item(flags, rest[start:end])
            position = end + 2
        return position


def _check_start(rest: bytes, starts: Sequence[bytes]) -> None:
    """Whether more bytes could still make a reply of it."""
    line, newline, _ = rest.partition(b"\r\n")
    if newline or len(line) > _LONGEST_LINE or not any(start.startswith(line[: len(start)]) for start in starts):
        raise WireError(f"came {line[:80]!r}, where a value or END was expected")


class RepliesReader:
    """Reads the replies of a number of meta commands."""

    def __init__(self, count: int) -> None:
        self.replies: list[Reply] = []
        self._count = count
        self._rest = b""

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the replies; True when all are there."""
        rest, position = self._rest + piece, 0
        while len(self.replies) < self._count:
            reply, position = _reply(rest, position)
            if reply is None:
                break
            self.replies.append(reply)
        self._rest = rest[position:]
        whole = len(self.replies) == self._count
        if whole and self._rest:
            raise WireError(f"{len(self._rest)} bytes came after the replies")
        return whole


_REFUSALS = (b"SERVER_ERROR", b"CLIENT_ERROR", b"ERROR")
_CODES = {b"HD", b"EN", b"NS", b"EX", b"NF", b"MN", *_REFUSALS}


def _reply(rest: bytes, start: int) -> tuple[Reply | None, int]:
    """The reply that begins at `start`, and where the next one does; None and `start` while it is not whole."""
    eol = rest.find(b"\r\n", start)
    line = rest[start : start + _LONGEST_LINE] if eol < 0 else rest[start:eol]
    code, *flags = line.split(b" ")
    if eol < 0:
        if len(line) == _LONGEST_LINE:
            raise WireError(f"came {line[:80]!r}, where a reply was expected")
        return None, start
    if code != b"VA":
        if code not in _CODES:
            raise WireError(f"came {line[:80]!r}, where a reply was expected")
        return Reply(code, flags), eol + 2
    if not flags or not re.fullmatch(rb"\d{1,10}", flags[0]):
        raise WireError(f"came {line[:80]!r}, a value without a length")
    end = eol + 2 + int(flags[0])
    if len(rest) < end + 2:
        return None, start
    if rest[end : end + 2] != b"\r\n":
        raise WireError("a value has another length than announced")
    return Reply(code, flags[1:], rest[eol + 2 : end]), end + 2


class StatsReader:
    """Reads the reply of `stats`."""

    def __init__(self) -> None:
        self.stats: dict[bytes, bytes] = {}
        self._rest = b""

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the reply; True when it is whole."""
        self._rest += piece
        *lines, self._rest = self._rest.split(b"\r\n")
        for line in lines:
            if line == b"END":
                return True
            kind, _, stat = line.partition(b" ")
            if kind != b"STAT":
                raise WireError(f"came {line[:80]!r}, where a line of stats was expected")
            name, _, value = stat.partition(b" ")
            self.stats[name] = value
        return False


Feed = Callable[[bytes], bool]
