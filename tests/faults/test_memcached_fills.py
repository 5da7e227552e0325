"""Faults 43, 44 and 58 to 60: who fills a cache, how long a value is believed, and what the cache forgets.

Rules:
- Each `MemcachedCache` is a process of its own, as far as memcached can tell. The herd is of real processes.
- No value is older than the last invalidation that was confirmed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import batchio
from batchio.memcached import MemcachedCache
from tests import servers
from tests.faults.helpers import Source, answers, program
from tests.faults.stores import LONG, NO_ANSWER, cached, tell, until
from tests.proxy import HOST, Proxy

READER = """
    import pathlib
    from batchio.memcached import MemcachedCache

    folder, address, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    calls = 0

    async def until(name):
        while not (folder / name).exists():
            await asyncio.sleep(0.005)

    async def fetch(keys):
        global calls
        calls += 1
        (folder / "called").touch()
        await until("answer")
        return {key: f"value {key}" for key in keys}

    async def one(load):
        with batchio.scope():
            return await load(1)

    async def main():
        async with MemcachedCache(address, timeout=10) as cache:
            limits = batchio.Limits(cache_timeout=10)
            load = batchio.Loader(fetch, name="users", cache=cache, value_type=str, ttl=60, limits=limits)
            await cache.bind("warm", str).get_many([1])
            (folder / f"ready {name}").touch()
            await until("go")
            tasks = [asyncio.create_task(one(load)) for _ in range(25)]
            await asyncio.sleep(0.05)
            (folder / f"asked {name}").touch()
            assert set(await asyncio.gather(*tasks)) == {"value 1"}
            await batchio.drain()
        print(calls)

    run(main())
"""


@pytest.mark.flavours("asyncio", "uvloop")
async def test_fault_43_a_herd_of_four_processes_makes_one_call(
    flavour: Any, memcached_address: str, tmp_path: Path
) -> None:
    """25 requests in each of them want the same key at the same moment: one of the hundred fetches it, 99 wait."""
    herd = [asyncio.create_task(program(flavour, READER, str(tmp_path), memcached_address, name)) for name in "abcd"]
    for steps, then in (
        (("ready a", "ready b", "ready c", "ready d"), "go"),
        (("called", *(f"asked {n}" for n in "abcd")), "answer"),
    ):
        await until(lambda: all((tmp_path / step).exists() for step in steps) or any(one.done() for one in herd))  # noqa: B023
        (tmp_path / then).touch()
    ended = await asyncio.gather(*herd)
    assert [(code, errors) for code, _, errors in ended] == [(0, "")] * 4
    calls = sum(int(output) for _, output, _ in ended)
    tell(f"fault 43: 4 processes, 100 requests, {calls} call")
    assert calls == 1


async def test_fault_44_values_that_were_filled_together_do_not_end_together(
    memcached_server: Any, memcached_address: str
) -> None:
    """Their ends are spread over a tenth of their ttl, and none lives longer than was said."""
    async with MemcachedCache(memcached_address, timeout=LONG) as cache:
        load = cached(Source(), cache, ttl=1000.0)
        await load.load_many(range(300))
        await batchio.drain(LONG)
    left = Counter(int(memcached_server.ask(f"mg users/{key} t").split(b"t")[1]) for key in range(300))
    assert left.total() == 300
    assert 890 <= min(left) < 910
    assert 990 < max(left) <= 1000
    assert max(left.values()) <= 20


# --- old values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["here", "in another process"])
@pytest.mark.parametrize("answered", ["before the next reader", "after the next reader"])
async def test_fault_58_a_value_that_a_write_overtook_does_not_enter_the_cache(
    where: str, answered: str, memcached_address: str
) -> None:
    """A fetch is under way, somebody writes and invalidates, then the old answer comes: later readers have the new one."""
    table = {1: "old"}
    gates = [asyncio.Event(), asyncio.Event()]
    started = [asyncio.Event(), asyncio.Event()]
    calls = 0

    async def fetch(keys: list[int]) -> dict[int, str]:
        nonlocal calls
        mine, calls = min(calls, 1), calls + 1
        found = {key: table[key] for key in keys}
        started[mine].set()
        await gates[mine].wait()
        return found

    async with (
        MemcachedCache(memcached_address, timeout=LONG) as one,
        MemcachedCache(memcached_address, timeout=LONG) as two,
    ):
        limits = batchio.Limits(cache_timeout=LONG)
        here, there = (batchio.Loader(fetch, name="users", cache=c, value_type=str, limits=limits) for c in (one, two))
        slow = here(1)
        await started[0].wait()
        table[1] = "new"
        await (here if where == "here" else there).invalidate(1)
        if answered == "before the next reader":
            gates[0].set()
            assert await slow == "old"  # it was asked before the write was done
            await batchio.drain(LONG)
        fresh = [load(1) for load in (here, there)]
        await started[1].wait()
        gates[1].set()
        assert await answers(*fresh) == ["new", "new"]
        gates[0].set()
        assert await slow == "old"
        await batchio.drain(LONG)
        before = calls
        assert await answers(here(1), there(1)) == ["new", "new"]
        assert calls == before


@pytest.mark.flavours("asyncio")
async def test_fault_59_an_invalidation_that_does_not_arrive_is_an_error_and_the_ttl_bounds_the_harm(
    memcached_server: Any, memcached_address: str
) -> None:
    """The writer is told, and which server it was; the old value is read until its ttl ends, and not longer."""
    table = {1: "old"}

    async def fetch(keys: list[int]) -> dict[int, str]:
        return {key: table[key] for key in keys}

    async with Proxy(HOST, memcached_server.port) as line, MemcachedCache(line.address, timeout=0.5) as cache:
        limits = batchio.Limits(cache_timeout=LONG)
        load = batchio.Loader(fetch, name="users", cache=cache, value_type=str, ttl=2.0, limits=limits)
        assert await load(1) == "old"
        await batchio.drain(LONG)
        table[1] = "new"
        await line.down()
        with pytest.raises(OSError) as caught:
            await load.invalidate(1)
        assert f"memcached {line.address} was asked" in caught.value.__notes__
        line.up()
        while (found := await load(1)) == "old":  # for two seconds at most; the test's patience is thirty
            await asyncio.sleep(0.01)
        assert found == "new"
        await line.down()
        with pytest.raises(NO_ANSWER):
            await load.invalidate(1)
        line.up()
        await load.invalidate(1)  # tried again by the writer: the server is asked though it is taken for down


@pytest.mark.parametrize("how", ["flushed", "restarted", "too small"])
async def test_fault_60_a_cache_that_forgets_makes_misses_and_nothing_else(how: str) -> None:
    """Values, leases and whole servers go at any time: between a lease and its fill, too. Every answer is right."""
    with servers.memcached(*(["-m", "2"] if how == "too small" else [])) as server:
        async with MemcachedCache(server.address, timeout=LONG) as cache:
            calls = 0

            async def fetch(keys: list[int]) -> dict[int, str]:
                nonlocal calls
                calls += 1
                if how == "flushed":
                    server.flush()
                elif how == "restarted":
                    server.stop()
                    server.start()
                return {key: f"{key} " * 2000 for key in keys}

            limits = batchio.Limits(cache_timeout=LONG, max_batch_size=200)
            load = batchio.Loader(fetch, name="texts", cache=cache, value_type=str, limits=limits)
            for start in range(0, 2000, 400) if how == "too small" else [0] * 5:
                keys = [*range(start, start + 400)]
                assert await load.load_many(keys) == [f"{key} " * 2000 for key in keys]
                await batchio.drain(LONG)
            assert calls >= 5
            if how == "too small":
                assert int(server.stats()["evictions"]) > 100
