"""Which server holds a key: the same as for other clients, fairly shared, and hardly moved by a server that goes."""

from __future__ import annotations

from collections import Counter

import pytest
import uhashring

from batchio.memcached._ring import ring

KEYS = [f"names/{number}".encode() for number in range(5000)]
SETS = [
    [("127.0.0.1", 11211)],
    [("127.0.0.1", 11211), ("127.0.0.1", 11212)],
    [("10.0.0.1", 11211), ("10.0.0.2", 11211), ("10.0.0.3", 11211)],
    [("cache-a.example", 11211), ("cache-b.example", 20000), ("10.0.0.3", 11212), ("::1", 11211)],
    [(f"10.0.{number // 250}.{number % 250}", 11211 + number % 3) for number in range(40)],
]


def name(host: str, port: int) -> str:
    """A server as ketama's points are named."""
    return host if port == 11211 else f"{host}:{port}"


@pytest.mark.parametrize("servers", SETS, ids=len)
def test_keys_are_where_other_ketama_clients_look(servers: list[tuple[str, int]]) -> None:
    """Each key's server is the one that another implementation of ketama finds."""
    other = uhashring.HashRing([name(*server) for server in servers], hash_fn="ketama")
    place = ring(servers)
    assert [name(*servers[place(key)]) for key in KEYS] == [other.get_node(key.decode()) for key in KEYS]


@pytest.mark.parametrize("servers", SETS, ids=len)
def test_the_order_in_which_servers_are_named_is_nothing(servers: list[tuple[str, int]]) -> None:
    """Processes that name the same servers in another order look in the same places."""
    place, turned = ring(servers), ring(servers[::-1])
    assert [servers[place(key)] for key in KEYS] == [servers[::-1][turned(key)] for key in KEYS]


@pytest.mark.parametrize("servers", SETS[1:], ids=len)
def test_servers_share_fairly(servers: list[tuple[str, int]]) -> None:
    """No server has more than 1.7 times its share of keys, nor less than 0.4 of it."""
    counts = Counter(map(ring(servers), KEYS))
    shares = [counts[number] * len(servers) / len(KEYS) for number in range(len(servers))]
    assert max(shares) < 1.7
    assert min(shares) > 0.4


@pytest.mark.parametrize("servers", SETS[1:], ids=len)
def test_a_server_that_goes_moves_only_its_own_keys(servers: list[tuple[str, int]]) -> None:
    """What the others hold stays where it is; and so what comes back to a server that is added is all that moves."""
    for gone in servers[:3]:
        left = [server for server in servers if server != gone]
        before, after = ring(servers), ring(left)
        moved = [key for key in KEYS if servers[before(key)] != left[after(key)]]
        assert moved == [key for key in KEYS if servers[before(key)] == gone]
