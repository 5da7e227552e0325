"""The suite's own guards: a test that hangs, leaves a task behind or upsets its loop is caught, on every loop."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GUILTY = """
import asyncio
import threading
import pytest

async def test_leaves_a_task(): asyncio.create_task(asyncio.sleep(1000), name="lonely")

async def test_upsets_its_loop():
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)

async def test_forgets_an_error(): asyncio.get_running_loop().create_future().set_exception(ValueError("forgotten"))

@pytest.mark.patience(0.2)
async def test_waits_for_ever(): await asyncio.Event().wait()

@pytest.mark.patience(0.2)
async def test_spins_for_ever():
    while True: pass

@pytest.mark.patience(0.2)
def test_hangs_without_a_loop(): threading.Event().wait()

def test_skips(): pytest.skip("out of the blue")
"""
INNOCENT = """
import asyncio
import pytest

@pytest.fixture
async def server():
    task = asyncio.create_task(asyncio.sleep(1000))
    yield
    task.cancel()

async def test_with_a_tidy_fixture(server): pass

async def test_owns_up(loop_errors):
    asyncio.get_running_loop().call_soon(lambda: 1 / 0)
    await asyncio.sleep(0.001)
    assert "ZeroDivisionError" in loop_errors[0]
    loop_errors.clear()

@pytest.mark.flavours("eager")
async def test_eager_alone(): pass

def test_skips(): pytest.skip("out of the blue")
"""
FLAVOURS = ["asyncio", "eager", "uvloop"] if hasattr(asyncio, "eager_task_factory") else ["asyncio", "uvloop"]


def suite(room: Path, text: str, *, ci: str) -> subprocess.CompletedProcess[str]:
    """Run a file of tests under the suite's own conftest and settings, in an interpreter of its own."""
    for name in ("conftest.py", "allowed_skips.txt"):
        shutil.copy(HERE / name, room)
    (room / "test_it.py").write_text(text)
    settings = ["-c", str(HERE.parent / "pyproject.toml"), "--rootdir", str(room), "-p", "no:cacheprovider"]
    environment = {**os.environ, "CI": ci, "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", *settings, str(room)]
    return subprocess.run(command, cwd=room, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def guilty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of tests that misbehave."""
    return suite(tmp_path_factory.mktemp("guilty"), GUILTY, ci="").stdout


@pytest.mark.parametrize("loop", FLAVOURS)
@pytest.mark.parametrize(
    "line",
    [
        "ERROR test_it.py::test_leaves_a_task[{}] - Failed: the test left tasks pending",
        "ERROR test_it.py::test_upsets_its_loop[{}] - Failed: these reached a loop's exception handler",
        "ERROR test_it.py::test_forgets_an_error[{}] - Failed: these reached a loop's exception handler",
        "FAILED test_it.py::test_waits_for_ever[{}] - Failed: the test hung; waiting were",
        "FAILED test_it.py::test_spins_for_ever[{}] - Failed: the test hung; waiting were",
    ],
    ids=lambda line: line.split("::")[1].split("[")[0].removeprefix("test_"),
)
def test_misbehaviour_fails_on_every_loop(guilty: str, loop: str, line: str) -> None:
    """A pending task, an error that reaches the loop, and a hang each fail their test, whatever the loop."""
    assert line.format(loop) in guilty


def test_a_hang_without_a_loop_fails(guilty: str) -> None:
    """A test that blocks outside any loop fails as well."""
    assert "FAILED test_it.py::test_hangs_without_a_loop - Failed: the test hung" in guilty


def test_the_report_names_names(guilty: str) -> None:
    """The failure names the task that was left, and the line at which another one waited."""
    assert "lonely (sleep)" in guilty
    assert re.search(r"\(test_spins_for_ever\) at .*test_it.py:\d+", guilty)


def test_honest_tests_pass_and_are_counted_by_loop(tmp_path: Path) -> None:
    """What a fixture ends, and an error that a test owns up to, are no misbehaviour; a flavour counts its tests."""
    done = suite(tmp_path, INNOCENT, ci="")
    assert done.returncode == 0, done.stdout
    for loop in FLAVOURS:
        assert f"flavour {loop}: {3 if loop == 'eager' else 2} passed, 0 skipped, 0 failed" in done.stdout
    assert "without a loop: 0 passed, 1 skipped, 0 failed" in done.stdout


def test_with_ci_set_an_unknown_skip_fails_the_run(tmp_path: Path) -> None:
    """Where CI is set, a skip whose reason is not listed fails the run although every test passed."""
    done = suite(tmp_path, INNOCENT, ci="true")
    assert done.returncode == 1
    assert "skip not in allowed_skips.txt, a failure with CI set: out of the blue" in done.stdout
