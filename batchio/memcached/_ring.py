"""Which servers there are, and which one holds a key: a ring of points, as libmemcached's ketama lays them. Pure.

1. A key belongs to the first point at or after its own hash. A server that is added or taken away moves only the keys
   between its points and the ones before: about one in n.
2. The points are ketama's (four for each MD5 of "host:port-0" to "-39"; the port is left out when it is 11211), so
   that other clients with the same servers look in the same places.
3. A server that is down keeps its keys: they are misses until it is back. To give them to its neighbours would bring
   back old values from there when the ring changes again.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from hashlib import md5

_DIGESTS = 40  # per server, of four points each


def ring(servers: Sequence[tuple[str, int]]) -> Callable[[bytes], int]:
    """Make the function that gives the number of a key's server.

    Args:
        servers: Host and port of each.

    Returns:
        A function of a key, as it is sent: the server's place in `servers`.
    """
    if len(servers) == 1:
        return lambda _: 0
    points = sorted(
        (point, place)
        for place, (host, port) in enumerate(servers)
        for number in range(_DIGESTS)
        for point in _points(f"{host}-{number}" if port == 11211 else f"{host}:{port}-{number}")
    )
    hashes = [point for point, _ in points]
    owners = [place for _, place in points]

    def place_of(key: bytes) -> int:
        found = bisect_left(hashes, _points_of(key))
        return owners[found] if found < len(owners) else owners[0]

    return place_of


def _points(text: str) -> list[int]:
    digest = md5(text.encode(), usedforsecurity=False).digest()
    return [int.from_bytes(digest[start : start + 4], "little") for start in (0, 4, 8, 12)]


def _points_of(key: bytes) -> int:
    return int.from_bytes(md5(key, usedforsecurity=False).digest()[:4], "little")


def address(server: str) -> tuple[str, int]:
    """Read "host:port", "host" or "[::1]:port", with "memcached://" in front or not.

    Raises:
        ValueError: It cannot be read.
    """
    found = _ADDRESS.fullmatch(server) if type(server) is str else None
    port = int(found["port"] or found["port6"] or 11211) if found else 0
    if found is None or not 0 < port < 65536:
        shown = "" if "@" in str(server) else f" {server!r}"  # a password, maybe, which this protocol has not
        raise ValueError(
            f"MemcachedCache: the address{shown} cannot be read; write '127.0.0.1:11211', each server by itself"
        )
    return (found["host"] or found["six"] or found["bare"]), port


_ADDRESS = re.compile(
    r"(memcached://)?((?P<host>[\w.-]+)(:(?P<port>\d{1,5}))?|\[(?P<six>[\da-fA-F:.]+)\](:(?P<port6>\d{1,5}))?"
    r"|(?P<bare>[\da-fA-F]*::?[\da-fA-F:.]*:[\da-fA-F:.]*))/?",
    re.ASCII,
)
