"""Guarantee 12: a loader works from any number of loops and keeps none of them."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import nullcontext, suppress
from typing import Any

import pytest

import batchio


@batchio.loader
async def doubles(keys: list[int]) -> dict[int, int]:
    await asyncio.sleep(0)
    return {key: 2 * key for key in keys}


@batchio.loader
async def never(keys: list[int]) -> dict[int, int]:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")


async def both(first: int) -> list[int]:
    """Load one by one and many at once."""
    one, many = doubles(first), doubles.load_many([first, first + 1])
    return [await one, *await many]


# --- one after another, and in threads ----------------------------------------------------------------------------


def test_guarantee_12_no_loop_is_held_asyncio_run_may_be_called_again_and_again() -> None:
    """Each asyncio.run brings a loop of its own, and the same loader answers on all of them."""
    for first in range(5):
        assert asyncio.run(both(first)) == [2 * first, 2 * first, 2 * first + 2]


async def test_guarantee_12_a_loader_works_on_another_loop_after_this_one(flavour: Callable[[], Any]) -> None:
    """A loader that has a loop already answers on a second one of the same kind, in another thread."""
    assert await both(1) == [2, 2, 4]
    assert await asyncio.to_thread(run_on, flavour, both(3)) == [6, 6, 8]
    assert await both(5) == [10, 10, 12]


def run_on(make_loop: Callable[[], Any], main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a new loop."""
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(main)


async def test_guarantee_12_loops_in_threads_batch_for_themselves(flavour: Callable[[], Any]) -> None:
    """Four loops that load at the same time get their own answers, and no batch mixes their keys."""
    batches: list[list[tuple[int, int]]] = []
    together = threading.Barrier(4)

    @batchio.loader(limits=batchio.Limits(max_batch_size=7))
    async def echo(keys: list[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, int]]:
        batches.append(keys)
        await asyncio.sleep(0)
        return {key: key for key in keys}

    async def many(thread: int) -> bool:
        together.wait()
        with batchio.scope():
            for turn in range(20):
                keys = [(thread, turn * 10 + n) for n in range(10)]
                if await batchio.gather(*map(echo, keys)) != tuple(keys):
                    return False
        return True

    runs = (asyncio.to_thread(run_on, flavour, many(thread)) for thread in range(4))
    assert await asyncio.gather(*runs) == [True] * 4
    assert all(len({thread for thread, _ in batch}) == 1 for batch in batches)
    assert sum(map(len, batches)) == 4 * 20 * 10


def test_guarantee_12_limits_are_counted_per_loop() -> None:
    """A loader whose slots are all in use on one loop still has them all on another."""
    started = threading.Event()
    done = threading.Event()

    @batchio.loader(limits=batchio.Limits(max_in_flight=1))
    async def slow(keys: list[int]) -> dict[int, int]:
        if keys == [1]:
            started.set()
            await asyncio.get_running_loop().run_in_executor(None, done.wait)
        return {key: key for key in keys}

    async def main(key: int) -> int:
        return await slow(key)

    thread = threading.Thread(target=asyncio.run, args=(main(1),))
    thread.start()
    started.wait()
    assert asyncio.run(main(2)) == 2
    done.set()
    thread.join()


# --- a closed loop is garbage -------------------------------------------------------------------------------------


def left_behind(make_loop: Callable[[], Any], main: Callable[[], Coroutine[Any, Any, None]]) -> weakref.ref[Any]:
    """Run a coroutine function on a loop, close that with whatever is pending, and give a weak reference to it."""
    loop = make_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return weakref.ref(loop)


async def after_batches() -> None:
    """Leave nothing pending."""
    with batchio.scope():
        await both(1)


async def after_errors() -> None:
    """Leave loads behind that have failed."""

    @batchio.loader
    async def failing(keys: list[int]) -> dict[int, int]:
        raise ValueError

    for load in (failing(1), failing.load_many([2, 3])):
        with suppress(ValueError):
            await load


async def with_keys_queued() -> None:
    """Leave keys behind that have not left."""
    asyncio.get_running_loop().set_debug(False)  # where a load that nobody awaits is told so, and these are meant
    doubles(1)
    doubles.load_many([2, 3])
    with batchio.scope():
        doubles(4)


async def after_a_chain() -> None:
    """Leave nothing behind, after batches that asked for batches."""

    @batchio.loader
    async def down(keys: list[int]) -> dict[int, int]:
        return {key: await down(key - 1) if key else await doubles(0) for key in keys}

    await down(5)


async def with_an_invalidation() -> None:
    """Leave a cache behind that was used."""

    @batchio.loader(cache=batchio.MemoryCache())
    async def cached(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    await cached(1)
    await cached.invalidate(1)


async def after_a_timeout() -> None:
    """Leave an alarm behind, and a batch that has timed out."""

    @batchio.loader(limits=batchio.Limits(timeout=0.001))
    async def late(keys: list[int]) -> dict[int, int]:
        await asyncio.Event().wait()
        return {}

    with suppress(batchio.BatchTimeout):
        await late(1)


PENDING = [after_batches, after_errors, with_keys_queued, after_a_chain, with_an_invalidation, after_a_timeout]


@pytest.mark.parametrize("main", PENDING, ids=lambda main: main.__name__)
async def test_guarantee_12_a_closed_loop_is_garbage(
    flavour: Callable[[], Any], main: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Nothing of ours refers to a loop once it is closed, whatever it was doing for us."""
    loops = [await asyncio.to_thread(left_behind, flavour, main) for _ in range(3)]
    for _ in range(3):
        gc.collect()
    assert [loop() for loop in loops] == [None] * 3


@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
async def test_guarantee_12_a_loop_closed_under_a_batch_is_garbage(
    flavour: Callable[[], Any], loop_errors: list[str], debug: bool
) -> None:
    """A batch in flight dies with its loop, without a word, and nothing is kept."""

    async def main() -> None:
        asyncio.get_running_loop().set_debug(debug)
        asyncio.ensure_future(never(1)).add_done_callback(print)
        for _ in range(20):
            await asyncio.sleep(0)
        assert "1 batches in flight" in repr(never)

    loop = await asyncio.to_thread(left_behind, flavour, main)
    for _ in range(3):
        gc.collect()
    assert loop() is None
    assert loop_errors == []
    loop_errors.clear()


def test_a_loader_that_is_done_is_not_kept_alive_by_a_running_loop() -> None:
    """A loop forgets a loader that has nothing to do, so that one made for a request dies with the request."""

    async def request() -> weakref.ref[Any]:
        @batchio.loader
        async def own(keys: list[int]) -> dict[int, int]:
            return {key: key for key in keys}

        assert await own.load_many([1, 2]) == [1, 2]
        assert await own(3) == 3
        return weakref.ref(own)

    async def main() -> None:
        own = await asyncio.create_task(request())
        await asyncio.sleep(0)
        gc.collect()
        assert own() is None

    asyncio.run(main())


async def test_a_loader_whose_load_was_refused_is_not_kept_alive_either() -> None:
    """A key that cannot be hashed leaves nothing behind in the loop."""

    @batchio.loader(name="refusing")
    async def refusing(keys: list[Any]) -> dict[Any, int]:
        return {}

    with pytest.raises(TypeError):
        refusing([])
    with pytest.raises(TypeError):
        refusing.load_many([[]])
    assert repr(refusing) == "<Loader refusing>"


async def test_a_closed_loop_drops_its_answers_quietly(flavour: Callable[[], Any]) -> None:
    """Futures that outlive their loop stay pending, and neither raise nor log when they go."""

    async def main() -> None:
        asyncio.get_running_loop().set_debug(False)  # in debug mode they say that nobody awaited them
        kept.extend((doubles(1), doubles.load_many([2])))

    kept: list[Any] = []
    await asyncio.to_thread(left_behind, flavour, main)
    assert [load.done() for load in kept] == [False, False]


# --- no loop ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", [lambda: doubles(1), lambda: doubles.load(1), lambda: doubles.load_many([1])], ids=["call", "load", "many"]
)
@pytest.mark.parametrize("scoped", [False, True], ids=["no scope", "scope"])
def test_guarantee_12_a_load_without_a_running_loop_is_refused_at_the_call(
    call: Callable[[], Any], scoped: bool
) -> None:
    """RuntimeError at the call, not at the await; its words name the loader and say what to do."""
    with (
        batchio.scope() if scoped else nullcontext(),
        pytest.raises(RuntimeError, match=r"test_loops:doubles: a load needs a running event loop; call it inside"),
    ):
        call()


def test_guarantee_12_a_refused_load_does_not_bind_its_scope() -> None:
    """A scope that met no loop yet still works on the first one that it meets."""

    async def main() -> list[int]:
        doubles.prime(1, -1)
        return [await doubles(1)]

    with batchio.scope():
        with pytest.raises(RuntimeError):
            doubles(1)
        assert asyncio.run(main()) == [-1]


def test_without_a_loop_clear_is_no_error_and_repr_says_the_name() -> None:
    """What needs no loop works without one."""
    doubles.clear(1)
    doubles.clear_many([1, 2])
    doubles.clear_all()
    with batchio.scope():
        doubles.clear_all()
    assert repr(doubles) == f"<Loader {doubles.name}>"


def test_drain_without_a_running_loop_is_refused() -> None:
    """drain is a coroutine of a running loop; stepped outside of one it raises RuntimeError."""
    coroutine = batchio.drain()
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)


async def test_drain_on_a_loop_that_loaded_nothing_returns_at_once() -> None:
    """A service that never loaded may drain all the same."""
    await batchio.drain(timeout=0)


# --- the end of a program -----------------------------------------------------------------------------------------

PROGRAM = """
    import asyncio, gc, sys
    import batchio

    @batchio.loader
    async def never(keys):
        await asyncio.Event().wait()

    @batchio.loader
    async def outer(keys):
        return {{key: await never(key) for key in keys}}

    @batchio.loader
    async def sleepless(keys):
        return {{key: key for key in keys}}

    async def ask(load):
        with batchio.scope():
            await load()

    async def main():
        tasks = [
            asyncio.ensure_future(ask(load))
            for load in (lambda: never(1), lambda: never.load_many([1, 2]), lambda: outer(3), lambda: sleepless(4))
        ]
        await asyncio.sleep({seconds})
        return tasks

    {run}
    gc.collect()
"""
RUNS = {
    "asyncio.run": "asyncio.run(main())",
    "uvloop.run": "import uvloop; uvloop.run(main())",
    "interrupted": """
    def interrupt():
        raise KeyboardInterrupt

    async def interrupted():
        await main()
        asyncio.get_running_loop().call_soon(interrupt)
        await asyncio.sleep(10)

    try:
        asyncio.run(interrupted())
    except KeyboardInterrupt:
        pass
    """,
}


@pytest.mark.parametrize("seconds", ["0", "0.01"], ids=["keys queued", "batches in flight"])
@pytest.mark.parametrize("how", RUNS)
def test_guarantee_12_a_loop_closed_with_pending_loads_prints_nothing(how: str, seconds: str) -> None:
    """A program that ends while loads are pending ends in silence, also in development mode with warnings as errors."""
    program = textwrap.dedent(PROGRAM).format(seconds=seconds, run=textwrap.dedent(RUNS[how]))
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True, text=True, timeout=25, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("passes", [0, 20], ids=["keys queued", "batches in flight"])
def test_guarantee_12_a_loop_closed_by_hand_prints_nothing(passes: int) -> None:
    """Keys that never left, and batches under way, die with their loop in silence."""
    program = f"""
    import asyncio, gc
    import batchio

    @batchio.loader(limits=batchio.Limits(max_delay=1000.0))
    async def numbers(keys):
        await asyncio.Event().wait()

    async def main():
        loads = numbers(1), numbers.load_many([2, 3])
        for load in loads:
            load.add_done_callback(print)
        for _ in range({passes}):
            await asyncio.sleep(0)
        return loads

    loop = asyncio.new_event_loop()
    loads = loop.run_until_complete(main())
    loop.close()
    del loop, loads
    gc.collect()
    """
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=25, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
