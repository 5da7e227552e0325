"""Loaders in front of memcached: herds, writes that overtake fetches, batches inside batches, loops that come and go.

- Two caches on one server stand for two processes.
- `Gate` is a batch function that says it was called, and answers when the test opens it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import batchio
from batchio.memcached import MemcachedCache

PATIENT = batchio.Limits(cache_timeout=5.0)


class Gate:
    """A batch function that reads `store` when it is called, and answers once it is opened."""

    def __init__(self, *, opened: bool = False) -> None:
        self.store: dict[Any, str] = {}
        self.batches: list[list[Any]] = []
        self.called, self.opened = asyncio.Event(), asyncio.Event()
        if opened:
            self.opened.set()

    async def __call__(self, keys: list[Any]) -> dict[Any, str]:
        self.batches.append(keys)
        read = {key: self.store.get(key, "first") for key in keys}
        self.called.set()
        await self.opened.wait()
        return read

    def loader(self, cache: MemcachedCache, **options: Any) -> Any:
        return batchio.Loader(self, name="names", cache=cache, **{"value_type": str, "limits": PATIENT, **options})


@pytest.fixture
async def mc(memcached_address: str) -> AsyncIterator[MemcachedCache]:
    """This process's cache, on an empty server."""
    async with MemcachedCache(memcached_address, timeout=2.0) as cache:
        yield cache


@pytest.fixture
async def other(memcached_address: str) -> AsyncIterator[MemcachedCache]:
    """Another process's cache, on the same server."""
    async with MemcachedCache(memcached_address, timeout=2.0) as cache:
        yield cache


# --- reading --------------------------------------------------------------------------------------------------------


async def test_what_one_process_fetched_another_finds(mc: MemcachedCache, other: MemcachedCache) -> None:
    """A miss is fetched and filled; the next reader, here or there, fetches only what nobody did."""
    here, there = Gate(opened=True), Gate(opened=True)
    await here.loader(mc)(1)
    await batchio.drain(5)
    load = there.loader(other)
    assert await asyncio.gather(load(1), load(2)) == ["first", "first"]
    assert (here.batches, there.batches) == ([[1]], [[2]])


async def test_a_herd_over_two_processes_makes_one_fetch(mc: MemcachedCache, other: MemcachedCache) -> None:
    """Of a hundred readers of one cold key, each in a request of its own, one fetches and the others wait for it."""
    here, there = Gate(), Gate(opened=True)
    first, second = here.loader(mc), there.loader(other)

    async def read(load: Any) -> str:
        with batchio.scope():
            return str(await load(1))

    readers = [asyncio.create_task(read(first)) for _ in range(50)]
    await here.called.wait()
    readers += [asyncio.create_task(read(load)) for load in (first, second) for _ in range(25)]
    missed = (await other.bind("probe", str).get_many([1])).leases  # a round trip: they have looked by now
    assert missed
    here.opened.set()
    assert set(await asyncio.gather(*readers)) == {"first"}
    assert here.batches + there.batches == [[1]]


async def test_a_source_that_fails_frees_the_key(mc: MemcachedCache, other: MemcachedCache) -> None:
    """An error gives the lease back: the next reader fetches at once, and what it gets is cached."""

    async def broken(_: list[int]) -> dict[int, str]:
        raise OSError("the source is away")

    with pytest.raises(OSError, match="away"):
        await batchio.Loader(broken, name="names", cache=mc, value_type=str, limits=PATIENT)(1)
    await batchio.drain(5)
    there = Gate(opened=True)
    load = there.loader(other)
    before = asyncio.get_running_loop().time()
    assert [await load(1), await batchio.drain(5), await load(1)][::2] == ["first", "first"]
    assert asyncio.get_running_loop().time() - before < 1.0
    assert there.batches == [[1]]


async def test_parameters_are_part_of_the_key(mc: MemcachedCache) -> None:
    """A key in French and in English are two keys, read, filled and invalidated apart."""
    asked = []

    @batchio.loader(name="titles", cache=mc, value_type=str, limits=PATIENT)
    async def title(keys: list[int], *, locale: str) -> dict[int, str]:
        asked.append((keys, locale))
        return {key: f"{key} {locale}" for key in keys}

    for _ in range(2):
        assert await asyncio.gather(title(1, locale="fr"), title(1, locale="en")) == ["1 fr", "1 en"]
        await batchio.drain(5)
    assert sorted(asked) == [([1], "en"), ([1], "fr")]
    await title.invalidate(1, locale="fr")
    await asyncio.gather(title(1, locale="fr"), title(1, locale="en"))
    assert asked[2:] == [([1], "fr")]


# --- writing --------------------------------------------------------------------------------------------------------


async def test_a_write_is_seen_by_the_next_reader_of_both_processes(mc: MemcachedCache, other: MemcachedCache) -> None:
    """After an invalidation neither process reads the old value again."""
    here, there = Gate(opened=True), Gate(opened=True)
    first, second = here.loader(mc), there.loader(other)
    assert [await first(1), await batchio.drain(5), await second(1)][::2] == ["first", "first"]
    here.store[1] = there.store[1] = "second"
    await first.invalidate(1)
    assert [await second(1), await batchio.drain(5), await first(1)][::2] == ["second", "second"]
    assert (here.batches, there.batches) == ([[1]], [[1]])


@pytest.mark.parametrize("writer", ["same process", "other process"])
async def test_a_fetch_that_a_write_overtook_does_not_bring_the_old_value_back(
    mc: MemcachedCache, other: MemcachedCache, writer: str
) -> None:
    """Read, then written and invalidated elsewhere, then answered: the old answer is not stored."""
    here, there = Gate(), Gate(opened=True)
    reading, elsewhere = here.loader(mc), there.loader(other)
    late = reading(1)
    await here.called.wait()
    here.store[1] = there.store[1] = "second"
    await (reading if writer == "same process" else elsewhere).invalidate(1)
    here.opened.set()
    assert await late == "first"
    await batchio.drain(5)
    assert [await elsewhere(1), await batchio.drain(5), await reading(1)][::2] == ["second", "second"]


async def test_a_fill_that_another_fill_overtook_does_not_replace_it(
    mc: MemcachedCache, other: MemcachedCache, memcached_server: Any
) -> None:
    """Read, invalidated, read anew and filled elsewhere, then answered: the newer value stays."""
    here, there = Gate(), Gate(opened=True)
    reading, elsewhere = here.loader(mc), there.loader(other)
    late = reading(1)
    await here.called.wait()
    there.store[1] = "second"
    await elsewhere.invalidate(1)
    assert await elsewhere(1) == "second"
    while memcached_server.ask("mg names/1 s") != b"HD s7\r\n":  # filled: "second" has 7 bytes as MessagePack
        await asyncio.sleep(0)
    here.opened.set()
    assert await late == "first"
    await batchio.drain(5)
    assert await elsewhere(1) == "second"
    assert there.batches == [[1]]


# --- slots and chains -----------------------------------------------------------------------------------------------


async def test_loaders_that_load_from_cached_loaders_do_not_lock(mc: MemcachedCache) -> None:
    """A batch function that loads from another cached loader, each with one slot, answers all, cold and warm."""
    one_slot = batchio.Limits(max_in_flight=1, max_batch_size=2, cache_timeout=5.0)
    inner = Gate(opened=True)
    names = inner.loader(mc, limits=one_slot)

    @batchio.loader(name="greetings", cache=mc, value_type=str, limits=one_slot)
    async def greeting(keys: list[int]) -> dict[int, str]:
        return {key: f"hello {name}" for key, name in zip(keys, await names.load_many(keys), strict=True)}

    for _ in range(2):
        assert set(await asyncio.gather(*map(greeting, range(9)), *map(names, range(9)))) == {"hello first", "first"}
        await batchio.drain(5)
    assert sorted(key for keys in inner.batches for key in keys) == list(range(9))


async def test_many_ticks_at_once_share_few_connections(memcached_address: str, memcached_server: Any) -> None:
    """Two hundred readers that come one after another use at most as many connections as they may."""
    async with MemcachedCache(memcached_address, timeout=2.0, connections=2) as mc:
        load = Gate(opened=True).loader(mc)
        before = int(memcached_server.stats()["total_connections"])

        async def read(number: int) -> None:
            for _ in range(number % 7):
                await asyncio.sleep(0)
            assert await load(number % 50) == "first"

        await asyncio.gather(*map(read, range(200)))
        await batchio.drain(5)
        assert int(memcached_server.stats()["total_connections"]) - before <= 4 + 1  # the statistics', too


async def test_drain_waits_for_fills(mc: MemcachedCache, other: MemcachedCache) -> None:
    """When drain returns, what was fetched is in memcached."""
    load = Gate(opened=True).loader(mc)
    await asyncio.gather(*map(load, range(100)))
    await batchio.drain(5)
    assert len((await other.bind("names", str).get_many(range(100))).hits) == 100


# --- loops ----------------------------------------------------------------------------------------------------------


async def test_after_close_it_opens_again(mc: MemcachedCache, memcached_server: Any) -> None:
    """`close` ends the loop's connections; the next lookup makes new ones, and closing twice is no error."""
    keys = mc.bind("names", str)
    await keys.set_many({1: "a"}, None)
    await mc.close()
    await mc.close()
    assert (await keys.get_many([1])).hits == {1: "a"}


def test_loops_in_turn_and_in_threads_each_have_their_own(memcached_address: str, flavour_factory: Any) -> None:
    """One cache serves four threads with three loops each; a loop that is closed is garbage."""
    mc = MemcachedCache(memcached_address, timeout=2.0)
    asked: list[int] = []
    dead: list[weakref.ref[Any]] = []

    @batchio.loader(name="names", cache=mc, value_type=str, limits=PATIENT)
    async def names(keys: list[int]) -> dict[int, str]:
        asked.extend(keys)
        return {key: str(key) for key in keys}

    async def main() -> None:
        async with mc:
            assert await asyncio.gather(*map(names, range(30))) == [str(number) for number in range(30)]
            await batchio.drain(5)

    def work() -> None:
        for _ in range(3):
            loop = flavour_factory()
            loop.run_until_complete(main())
            loop.close()
            dead.append(weakref.ref(loop))
            del loop

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert [one() for one in dead] == [None] * 12
    assert len(asked) < 30 * 12


@pytest.fixture(params=["asyncio", "uvloop"])
def flavour_factory(request: pytest.FixtureRequest) -> Any:
    """What makes a loop, for a test that runs its own."""
    import uvloop

    return asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop


PROGRAM = """
    import asyncio, os, sys
    import batchio
    from batchio.memcached import MemcachedCache

    mc = MemcachedCache(os.environ["ADDRESS"], "127.0.0.1:1", timeout=2.0)

    @batchio.loader(name="names", cache=mc, value_type=str)
    async def names(keys: list[int]) -> dict[int, str]:
        return {key: str(key) for key in keys}

    async def main():
        async with mc:
            loads = [names(number) for number in range(100)]
            await loads[0]
            late = names(500)
        assert len(await asyncio.gather(*loads, late)) == 101
        await names.load_many(list(range(100)))
        await mc.close()

    if sys.argv[1] == "uvloop":
        import uvloop
        uvloop.run(main())
    else:
        asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_program_that_closes_it_ends_without_a_word(memcached_address: str, kind: str) -> None:
    """In Python's development mode, warnings being errors, nothing is said of what was left open or pending."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(PROGRAM), kind],
        env={**os.environ, "ADDRESS": memcached_address, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "127.0.0.1:1 does not answer" not in line]
    assert (done.returncode, said) == (0, [])
