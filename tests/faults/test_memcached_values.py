"""Faults 53 to 57: what may stand in memcached, under which name, and on which of several servers.

Rules:
- Each `MemcachedCache` is a process of its own, as far as memcached can tell.
- A value is never of another key or another version; what cannot be stored is served all the same.
"""

from __future__ import annotations

from typing import Any

import pytest

import batchio
from batchio.memcached import MemcachedCache
from batchio.memcached._ring import ring
from tests import servers
from tests.faults.helpers import Source
from tests.faults.stores import LONG, cached, hits, values
from tests.proxy import HOST, MemcachedCounter, Proxy

# --- what is stored -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["ours", "the server's"])
async def test_fault_53_a_value_that_is_too_large_is_served_and_holds_nobody_up(
    refusal: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its neighbours in the batch are stored, its key is free for the next reader, and no connection is lost."""
    calls: list[list[int]] = []

    async def fetch(keys: list[int]) -> dict[int, str]:
        calls.append(keys)
        return {key: "x" * (1_200_000 if key < 2 else 10) for key in keys}

    options: Any = {} if refusal == "ours" else {"max_value_size": 2_000_000}
    with servers.memcached() as server:
        async with Proxy(HOST, server.port) as line:
            for _ in range(3):
                async with MemcachedCache(line.address, timeout=LONG, **options) as cache:
                    limits = batchio.Limits(cache_timeout=LONG)
                    load = batchio.Loader(fetch, name="texts", cache=cache, value_type=str, limits=limits)
                    opened = line.connections
                    for _ in range(2):
                        assert [len(text) for text in await load.load_many(range(4))] == [1_200_000] * 2 + [10] * 2
                        await batchio.drain(LONG)
                    assert line.connections - opened <= 2
            assert refusal != "ours" or line.bytes_up < 100_000, "it was sent"
    assert calls == [[0, 1, 2, 3], *[[0, 1]] * 5]
    assert len([line for line in caplog.messages if "does not answer" in line]) == 0


NASTY = [
    "", " ", "a b", "a_b", "a%20b", "a\tb", "\r\n", "x\r\nset users/1 0 0 1\r\n1\r\n", "x 0 0 1 noreply", "\0", "\x7f",
    "é" * 250, "é" * 251, "😀" * 100, "x" * 250, "x" * 251, "x" * 100_000, "#", "users/1", "'1", "1", 1, True, 1.5, None,
    b"", b"1", b"\xff", b"\xff\r\nflush_all\r\n", b"\xc3\xa9", "\xc3\xa9", -1, 2**64, ("1", 1), (1, "1"), ("1,1",), "(1,1)",
]  # fmt: skip


async def test_fault_54_whatever_a_key_is_it_has_its_own_value_and_makes_no_command(
    memcached_server: Any, memcached_address: str
) -> None:
    """Line breaks, spaces, zeros, no UTF-8, 100,000 letters: a second process has a hit for each, and it is the right one."""
    counter = MemcachedCounter()
    keys = [repr(key) for key in NASTY]
    assert len(set(keys)) == len(NASTY)
    async with Proxy(HOST, memcached_server.port, on_up=counter) as line:
        for calls in (len(NASTY), 0):
            source = Source()
            async with MemcachedCache(line.address, timeout=LONG) as cache:
                load = cached(source, cache)
                for key in NASTY:  # one by one: in one batch 1 and True are one key, as in a dict
                    with batchio.scope():
                        assert await load(key) == f"value {key}"
                    await batchio.drain(LONG)
            assert len(source.calls) == calls
    assert set(counter.commands) == {"stats", "get", "mg", "ms"}
    assert max(map(len, counter.lines)) < 300


async def test_fault_55_what_another_version_wrote_is_a_miss_on_both_sides(
    memcached_server: Any, memcached_address: str
) -> None:
    """While two versions of a service run, each is given what it can read, whoever wrote last; so with rubbish."""

    async def numbers(keys: list[int]) -> dict[int, int]:
        return {key: key * 10 for key in keys}

    async def texts(keys: list[int]) -> dict[int, str]:
        return {key: f"text {key}" for key in keys}

    async def cents(keys: list[int]) -> dict[int, int]:
        return {key: key * 1000 for key in keys}

    limits = batchio.Limits(cache_timeout=LONG)
    deployed = [(numbers, int, 0, 10), (cents, int, 1, 1000), (texts, str, 0, "text 1")]
    async with (
        MemcachedCache(memcached_address, timeout=LONG) as one,
        MemcachedCache(memcached_address, timeout=LONG) as two,
        MemcachedCache(memcached_address, timeout=LONG) as three,
    ):
        loads = [
            (batchio.Loader(fetch, name="prices", cache=cache, value_type=kind, version=version, limits=limits), value)
            for cache, (fetch, kind, version, value) in zip((one, two, three), deployed, strict=True)
        ]
        for _ in range(3):
            for load, value in loads:
                for _ in range(2):
                    assert await load(1) == value
                    await batchio.drain(LONG)
            assert memcached_server.ask("ms prices/1 3 T0\r\nabc") == b"HD\r\n"
        for load, value in loads:
            assert await load(1) == value
            await batchio.drain(LONG)
            flags = memcached_server.ask("mg prices/1 f").split(b"f")[1].strip().decode()
            assert memcached_server.ask(f"ms prices/1 4 T0 F{flags}\r\nÿÿ") == b"HD\r\n"
            assert await load(1) == value
        await batchio.drain(LONG)  # what is still being filled


# --- several servers ----------------------------------------------------------------------------------------------


async def test_fault_56_of_three_servers_one_is_killed_and_only_its_keys_are_misses() -> None:
    """In one batch: the others' keys are hits, its own come from the source and go nowhere else; then it is back, empty."""
    with servers.memcached() as one, servers.memcached() as two, servers.memcached() as three:
        async with MemcachedCache(one.address, two.address, three.address, timeout=LONG) as cache:
            source, keys = Source(), [*range(300)]
            load = cached(source, cache)
            await load.load_many(keys)
            await batchio.drain(LONG)
            held = [int(server.stats()["curr_items"]) for server in (one, two, three)]
            assert sum(held) == 300
            assert min(held) > 30
            two.kill()
            source.calls.clear()
            for _ in range(5):
                assert await load.load_many(keys) == values(keys)
                await batchio.drain(LONG)
            assert [len(call) for call in source.calls] == [held[1]] * 5
            assert [int(server.stats()["curr_items"]) for server in (one, three)] == [held[0], held[2]]
            two.start()
            await hits(load, source, keys)
            assert int(two.stats()["curr_items"]) == held[1]


def test_fault_57_a_change_of_the_list_moves_few_keys_and_a_change_of_its_order_none() -> None:
    """A fifth server takes about a fifth of the keys and moves no other; one that goes gives its own away, and no other."""
    listed = [("10.0.0.1", 11211), ("10.0.0.2", 11211), ("10.0.0.3", 11211), ("10.0.0.4", 11311), ("10.0.0.5", 11211)]
    keys = [f"users/{number}".encode() for number in range(5000)]

    def owners(servers: list[tuple[str, int]]) -> list[tuple[str, int]]:
        place = ring(servers)
        return [servers[place(key)] for key in keys]

    four, five = owners(listed[:4]), owners(listed)
    assert owners(listed[::-1]) == five
    moved = [after for before, after in zip(four, five, strict=True) if before != after]
    assert set(moved) == {listed[4]}
    assert 0.1 < len(moved) / len(keys) < 0.3


async def test_fault_57_after_a_change_of_the_list_everything_is_found_or_fetched() -> None:
    """With a server more, its keys are misses once and the others hits; processes of the old list go on as they did."""
    with servers.memcached() as one, servers.memcached() as two:
        async with (
            MemcachedCache(one.address, timeout=LONG) as old,
            MemcachedCache(two.address, one.address, timeout=LONG) as new,
        ):
            before, after, keys = Source(), Source(), [*range(200)]
            await hits(cached(before, old), before, keys)
            await hits(cached(after, new), after, keys)
            assert 0 < sum(map(len, after.calls)) < 200
            assert [len(call) for call in before.calls] == [200]
