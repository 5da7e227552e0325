"""memcached's protocol as bytes: requests out, replies in. Pure; knows no socket.

1. A reader is fed what comes, in pieces cut anywhere, and says when its reply is whole. It takes exactly its reply: a
   byte too many, a key that nobody asked for, a line that is no reply are a `WireError`, and whoever reads throws the
   connection away, for nobody can know whose bytes come next.
2. Values are read by `get` with many keys, one command for all of them. What takes part in a lease is a meta command
   (memcached 1.6), many in one write. Each gets its reply, in order: a refusal in quiet mode does not say of whom.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple, TypeAlias

KEYS_PER_GET = 10_000  # a command's line is buffered whole by the server: 250 bytes a key at most

_END = b"END\r\n"
_VALUE = b"VALUE "
_HEAD = re.compile(rb"VALUE ([^ \r\n]+) (\d{1,10}) (\d{1,10})\r\n")
_LONGEST_LINE = 2048  # bytes; a reply's line has a key of 250 and a few numbers

Item: TypeAlias = tuple[bytes, bytes]
"""What `get` found under a key: its flags and its data."""


class WireError(ConnectionError):
    """What came is no reply to what was asked; the connection cannot be used any more."""


class Reply(NamedTuple):
    """What a meta command was answered: its code, its flags, and its data when the code is VA."""

    code: bytes
    flags: Sequence[bytes] = ()
    data: bytes = b""

    def flag(self, letter: bytes) -> bytes | None:
        """The value of a flag, b"" for one that has none; None when it did not come."""
        return next((flag[1:] for flag in self.flags if flag[:1] == letter), None)


# ------------------------------------------------------------------------------------------------ requests


def get_requests(keys: Collection[bytes]) -> Iterator[bytes]:
    """The commands that ask for keys: one, unless they are very many."""
    if len(keys) <= KEYS_PER_GET:
        yield b"get %b\r\n" % b" ".join(keys)
        return
    listed = list(keys)
    for start in range(0, len(keys), KEYS_PER_GET):
        yield b"get %b\r\n" % b" ".join(listed[start : start + KEYS_PER_GET])


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
    """Reads the replies of `get` commands into `found`: what came under which key.

    Args:
        asked: The keys that were asked for.
    """

    def __init__(self, asked: Collection[bytes]) -> None:
        self.found: dict[bytes, Item] = {}
        self._asked = asked
        self._pieces: list[bytes] = []
        self._begun = False  # its first line was seen, and is one

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the reply; True when it is whole.

        A reply is looked at when its last bytes may be the end, and then as a whole: it comes in one piece nearly
        always, and C splits it in a third of the time that a loop of ours takes to find its way.
        """
        self._pieces.append(piece)
        if not self._begun:
            self._begun = _check_start(b"".join(self._pieces))
        end = piece if len(piece) >= len(_END) else b"".join(self._pieces[-len(_END) :])
        if not end.endswith(_END):
            return False
        reply = b"".join(self._pieces)
        if not (self._split(reply) or self._walk(reply)):
            self._pieces = [reply]
            return False
        if not self.found.keys() <= set(self._asked):
            raise WireError("a value came for a key that nobody asked for")
        return True

    def _split(self, reply: bytes) -> bool:
        """Read a reply whose values hold nothing that looks like protocol: the length of each one proves it."""
        if len(self._asked) > KEYS_PER_GET:  # several ENDs
            return False
        if reply == _END:
            return True
        if not reply.endswith(b"\r\n" + _END):
            return False
        found: dict[bytes, Item] = {}
        try:
            for part in reply[len(_VALUE) : -len(_END) - 2].split(b"\r\n" + _VALUE):
                head, _, data = part.partition(b"\r\n")
                key, flags, length = head.split(b" ")
                if int(length) != len(data):
                    return False
                found[key] = (flags, data)
        except ValueError:
            return False
        self.found = found
        return True

    def _walk(self, reply: bytes) -> bool:
        """Read any reply, value by value; False when it is not whole."""
        ends, position = -(-len(self._asked) // KEYS_PER_GET), 0
        while ends:
            if reply.startswith(_END, position):
                ends -= 1
                position += len(_END)
                continue
            head = _HEAD.match(reply, position)
            if head is None:
                _check_start(reply[position:])
                return False
            end = head.end() + int(head[3])
            if len(reply) < end + 2:
                return False
            if reply[end : end + 2] != b"\r\n":
                raise WireError("a value has another length than announced")
            self.found[head[1]] = (head[2], reply[head.end() : end])
            position = end + 2
        if position < len(reply):
            raise WireError(f"{len(reply) - position} bytes came after the reply")
        return True


def _check_start(reply: bytes) -> bool:
    """Refuse what no more bytes could make values of, or an end; True when a line is there."""
    line, newline, _ = reply.partition(b"\r\n")
    fits = any(line.startswith(start) or start.startswith(reply) for start in (_VALUE, _END[:3]))
    if not fits or (newline and line != _END[:3] and not _HEAD.match(reply)) or len(line) > _LONGEST_LINE:
        raise WireError(f"came {line[:80]!r}, where a value or END was expected")
    return bool(newline)


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
        for number, line in enumerate(lines, 1):
            if line == b"END":
                if self._rest or number < len(lines):
                    raise WireError("bytes came after the stats")
                return True
            kind, _, stat = line.partition(b" ")
            if kind != b"STAT":
                raise WireError(f"came {line[:80]!r}, where a line of stats was expected")
            name, _, value = stat.partition(b" ")
            self.stats[name] = value
        if len(self._rest) > _LONGEST_LINE:
            raise WireError(f"came {self._rest[:80]!r}, where a line of stats was expected")
        return False


Feed: TypeAlias = Callable[[bytes], bool]
