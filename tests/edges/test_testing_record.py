"""record() and the fixtures of batchio.pytest_plugin: what a test of loading code sees of its loaders."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import batchio
from batchio.testing import record, run


@batchio.loader
async def doubles(keys: list[int]) -> dict[int, int]:
    return {key: 2 * key for key in keys}


@batchio.loader(name="shop:Carts.items")
async def items(keys: list[int]) -> dict[int, int]:
    return dict.fromkeys(keys, 0)


@batchio.loader(name="depot:items")
async def depot_items(keys: list[int]) -> dict[int, int]:
    return dict.fromkeys(keys, 0)


async def load(*loads: Callable[[], Any]) -> None:
    """Make loads in a scope, one after another."""
    with batchio.scope():
        for one in loads:
            await one()


def test_a_record_holds_the_keys_of_each_batch() -> None:
    """batches() gives the keys of each batch, in the order in which they left."""
    with record() as recorded:
        run(load(lambda: doubles.load_many([1, 2]), lambda: doubles(3)))
    assert recorded.batches("doubles") == [[1, 2], [3]]


def test_a_record_holds_each_load() -> None:
    """loads() gives the key of each load, those that the memo answered included."""
    with record() as recorded:
        run(load(lambda: doubles(1), lambda: doubles(1)))
    assert recorded.loads("doubles") == [1, 1]
    assert recorded.batches("doubles") == [[1]]


def test_a_record_ends_with_its_block() -> None:
    """What happens after the block is not recorded, and what was recorded can still be read."""
    with record() as recorded:
        run(load(lambda: doubles(1)))
    run(load(lambda: doubles(2)))
    assert recorded.batches("doubles") == [[1]]


def test_records_do_not_disturb_each_other() -> None:
    """A record inside a record sees its own part, and the outer one all."""
    with record() as outer:
        run(load(lambda: doubles(1)))
        with record() as inner:
            run(load(lambda: doubles(2)))
    assert (outer.batches(doubles), inner.batches(doubles)) == ([[1], [2]], [[2]])


def test_events_come_in_order() -> None:
    """events are the core's own: a load, the batch that left with it, the answer, the end of the batch."""
    with record() as recorded:
        run(load(lambda: doubles(1)))
    names = [type(event).__name__ for event in recorded.events]
    assert names == ["Load", "BatchDispatched", "KeyAnswered", "BatchDone"]
    assert repr(recorded) == f"<Recorded 4 events, 1 batches of {doubles.name}>"


@pytest.mark.parametrize("name", ["shop:Carts.items", "Carts.items", items])
def test_a_loader_goes_by_its_full_name_by_the_end_of_it_or_by_itself(name: Any) -> None:
    """A loader is found by its full name, by the words at its end, and by the Loader itself."""
    with record() as recorded:
        run(load(lambda: items(1), lambda: depot_items(2)))
    assert recorded.batches(name) == [[1]]
    assert recorded.names() == ["shop:Carts.items", "depot:items"]


def test_a_name_that_two_loaders_share_is_refused() -> None:
    """A name that may mean two loaders is an error that gives both full names."""
    with record() as recorded:
        run(load(lambda: items(1), lambda: depot_items(2)))
    with pytest.raises(LookupError, match=r"'items' may be shop:Carts.items or depot:items; give the full name"):
        recorded.batches("items")


def test_a_misspelt_name_is_refused() -> None:
    """A name that no loader has is an error that lists those that did something, never an empty answer."""
    with record() as recorded:
        run(load(lambda: items(1)))
    with pytest.raises(LookupError, match=r"no loader 'doubels' did anything here; those that did: shop:Carts.items"):
        recorded.loads("doubels")


def test_half_a_word_is_no_name() -> None:
    """The end of a name means whole words of it."""
    with record() as recorded:
        run(load(lambda: items(1)))
    with pytest.raises(LookupError, match="no loader 'tems'"):
        recorded.batches("tems")


def test_a_loader_that_did_nothing_has_no_batches() -> None:
    """A loader of an imported module that loaded nothing gives an empty list, and so does any Loader itself."""
    local: batchio.Loader[int, int] = batchio.Loader(depot_items.load_batch, name="local")
    with record() as recorded:
        pass
    assert recorded.batches("test_testing_record:doubles") == []
    assert recorded.batches(local) == []
    assert recorded.names() == []


# -- the fixtures --------------------------------------------------------------------------------------------------------

CONFTEST = """
    pytest_plugins = ["batchio.pytest_plugin"]

    from batchio.testing import VirtualLoop

    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": VirtualLoop}
"""


def pytest_run(where: Path, tests: str, *options: str, conftest: str = CONFTEST) -> str:
    """Run pytest as a user would, in a directory and a process of its own, and give what it printed."""
    (where / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    (where / "conftest.py").write_text(textwrap.dedent(conftest))
    (where / "test_it.py").write_text(textwrap.dedent(tests))
    root = str(Path(batchio.__file__).parents[1])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:anyio", *options]
    done = subprocess.run(
        command, cwd=where, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


LOADER = """
    import asyncio, batchio, pytest

    @batchio.loader
    async def doubles(keys: list[int]) -> dict[int, int]:
        return {key: 2 * key for key in keys}
"""


def test_the_fixtures_work_under_pytest_asyncio(tmp_path: Path) -> None:
    """recorded records the test, batchio_scope is the test's scope, and the loop has virtual time."""
    tests = """
    async def test_recorded(recorded):
        await batchio.gather(doubles(1), doubles(2))
        assert recorded.batches("doubles") == [[1, 2]]

    async def test_a_record_is_fresh(recorded):
        assert recorded.batches("doubles") == []

    async def test_scope(batchio_scope, recorded):
        assert await doubles(1) + await doubles(1) == 4
        assert recorded.batches("doubles") == [[1]]

    async def test_tasks_see_the_scope(batchio_scope, recorded):
        await doubles(1)
        await asyncio.create_task(doubles_twice())
        assert recorded.batches("doubles") == [[1]]

    async def doubles_twice():
        await doubles(1)

    @pytest.fixture
    async def warmed(batchio_scope):
        return await doubles(1)

    async def test_fixtures_run_outside_of_the_scope(warmed, batchio_scope, recorded):
        await doubles(1)
        assert recorded.batches("doubles") == [[1]]

    @pytest.mark.parametrize("key", [1, 1, 2])
    async def test_each_test_has_a_scope_of_its_own(key, batchio_scope, recorded):
        await doubles(key)
        assert recorded.batches("doubles") == [[key]]

    class TestMethods:
        async def test_scope(self, batchio_scope, recorded):
            await doubles(1)
            await doubles(1)
            assert recorded.batches("doubles") == [[1]]

    def test_scope_without_a_loop(batchio_scope, recorded):
        async def main():
            await doubles(1)
            await doubles(1)
        asyncio.run(main())
        assert recorded.batches("doubles") == [[1]]

    async def test_no_scope(recorded):
        await doubles(1)
        await doubles(1)
        assert recorded.batches("doubles") == [[1], [1]]

    async def test_virtual_time(event_loop_policy):
        await asyncio.sleep(100_000)
        assert asyncio.get_running_loop().time() == 100_000
    """
    assert "12 passed" in (printed := pytest_run(tmp_path, LOADER + tests)), printed


def test_a_hang_fails_the_test_with_names(tmp_path: Path) -> None:
    """Under pytest-asyncio a hang fails its own test at once, naming who waits, and the next test runs."""
    tests = """
    async def test_hangs():
        await asyncio.Event().wait()

    async def test_next():
        pass
    """
    printed = pytest_run(tmp_path, LOADER + tests)
    assert "1 failed, 1 passed" in printed, printed
    assert "1 task waits" in printed
    assert "test_it.py:9 in test_hangs: await asyncio.Event().wait()" in printed


def test_hypothesis_tests_take_no_scope_fixture(tmp_path: Path) -> None:
    """A Hypothesis test that asks for batchio_scope is told to write the scope inside."""
    tests = """
    from hypothesis import HealthCheck, given, settings, strategies

    @settings(suppress_health_check=list(HealthCheck))
    @given(key=strategies.integers())
    async def test_many(batchio_scope, key):
        await doubles(key)
    """
    printed = pytest_run(tmp_path, LOADER + tests)
    assert "its examples would share one scope; write `with batchio.scope():`" in printed, printed


def test_nothing_is_enabled_unasked(tmp_path: Path) -> None:
    """Without the line in conftest.py no fixture of batchio exists."""
    printed = pytest_run(tmp_path, LOADER + "\n    def test_it(recorded): pass\n", conftest="")
    assert "fixture 'recorded' not found" in printed, printed
