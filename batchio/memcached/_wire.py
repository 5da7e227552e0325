"""memcached's protocol as bytes: requests out, replies in. Pure; knows no socket.

1. A reader is fed what comes, in pieces cut anywhere, and says when its reply is whole. It takes exactly its reply: a
   byte too many, a key that nobody asked for, a line that is no reply are a `WireError`, and whoever reads throws the
   connection away, for nobody can know whose bytes come next.
2. Values are read by `get` with many keys, one command for all of them. What takes part in a lease is a meta command
   (memcached 1.6), many in one write. Each gets its reply, in order: a refusal in quiet mode does not say of whom.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
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


def get_request(line: bytes) -> bytes:
    """The commands that ask for the keys of a line, with a space between two: one command, unless they are very many."""
    if line.count(b" ") < KEYS_PER_GET:
        return b"get %b\r\n" % line
    keys = line.split(b" ")
    starts = range(0, len(keys), KEYS_PER_GET)
    return b"".join([b"get %b\r\n" % b" ".join(keys[start : start + KEYS_PER_GET]) for start in starts])


def hit_heads(line: bytes, flags: bytes) -> bytes:
    """What stands above the values when all keys of a line are hits, in their order: with %d for the length of each."""
    return b"VALUE %b %b %%d" % (line.replace(b"%", b"%%").replace(b" ", b" %b %%d\r\nVALUE " % flags), flags)


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
    """Reads the replies of `get` commands: into `values` when each key came under the flags that were expected, else
    into `found`, what came under which key.

    Args:
        line: The keys that were asked for, with a space between two.
        heads: What is expected above their values, as `hit_heads` gives it.
    """

    def __init__(self, line: bytes, heads: bytes = b"") -> None:
        self.values: list[bytes] | None = None
        self.found: dict[bytes, Item] = {}
        self._line = line
        self._count = line.count(b" ") + 1
        self._heads = b"" if self._count > KEYS_PER_GET else heads  # else there are several ENDs
        self._pieces: list[bytes] = []
        self._begun = False  # its first line was seen, and is one

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the reply; True when it is whole.

        A reply is looked at when its last bytes may be the end, and then as a whole: it comes in one piece nearly
        always, and C splits it in a third of the time that a loop of ours takes to find its way.
        """
        self._pieces.append(piece)
        end = piece if len(piece) >= len(_END) else b"".join(self._pieces[-len(_END) :])
        if end.endswith(_END):
            reply = b"".join(self._pieces)
            lines = reply.split(b"\r\n")
            if self._as_expected(lines) or self._found_in(reply, lines):
                return True
            self._pieces = [reply]
        self._begun = self._begun or _check_start(b"".join(self._pieces))
        return False

    def _as_expected(self, lines: list[bytes]) -> bool:
        """Read a reply of nothing but hits, with no line break in a value: it is what we would have written ourselves."""
        if not self._heads or len(lines) != 2 * self._count + 2 or lines[-2] != b"END":
            return False
        values = lines[1:-2:2]
        if b"\r\n".join(lines[:-2:2]) != self._heads % tuple(map(len, values)):
            return False
        self.values = values
        return True

    def _found_in(self, reply: bytes, lines: list[bytes]) -> bool:
        """Read any reply; False when it is not whole."""
        self._begun = self._begun or _check_start(reply)
        if not (self._split(lines) or self._walk(reply)):
            return False
        if not self.found.keys() <= set(self._line.split(b" ")):
            raise WireError("a value came for a key that nobody asked for")
        return True

    def _split(self, lines: list[bytes]) -> bool:
        """Read a reply that has no line break in a value: the length of each one proves it."""
        if self._count > KEYS_PER_GET or lines[-2] != b"END":
            return False
        found: dict[bytes, Item] = {}
        try:
            for head, data in zip(lines[:-2:2], lines[1:-2:2], strict=True):
                word, key, flags, length = head.split(b" ")
                if int(length) != len(data) or word != b"VALUE":
                    return False
                found[key] = (flags, data)
        except ValueError:
            return False
        self.found = found
        return True

    def _walk(self, reply: bytes) -> bool:
        """Read any reply, value by value; False when it is not whole."""
        ends, position = -(-self._count // KEYS_PER_GET), 0
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
    start = reply[: _LONGEST_LINE + 2]
    line, newline, _ = start.partition(b"\r\n")
    fits = any(line.startswith(word) or word.startswith(start) for word in (_VALUE, _END[:3]))
    if not fits or (newline and line != _END[:3] and not _HEAD.match(start)) or len(line) > _LONGEST_LINE:
        raise WireError(f"came {line[:80]!r}, where a value or END was expected")
    return bool(newline)


_DONE = b"HD\r\n"
_HD = Reply(b"HD", [])


class RepliesReader:
    """Reads the replies of a number of meta commands."""

    def __init__(self, count: int) -> None:
        self.replies: list[Reply] = []
        self._count = count
        self._rest = b""

    def feed(self, piece: bytes) -> bool:
        """Take a piece of the replies; True when all are there."""
        rest = self._rest + piece
        position = self._take_done(rest)
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

    def _take_done(self, rest: bytes) -> int:
        """Take replies of which each says that it was done, as nearly all to stores and deletions are; gives their end."""
        count = len(rest) // len(_DONE)
        end = count * len(_DONE)
        if len(self.replies) + count > self._count or rest[:end] != _DONE * count:
            return 0
        self.replies += [_HD] * count
        return end


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
