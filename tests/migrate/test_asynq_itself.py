"""asynq 1.6.0's own tools and tests, migrated and run: the largest program in public that is written for asynq.

The sdist is downloaded, its `tools.py` and tests go through `batchio migrate asynq --write`, and what comes out runs.
A yield counts as converted when the tests that run it pass.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.patience(600), pytest.mark.network]

ROOT = Path(__file__).parents[2]

# Tests that ask about asynq's own objects, which are not there any more. None of them runs a yield that no other runs,
# but for the profiler's.
ABOUT_ASYNQ = {
    "test_debug.py::test_extract_traceback": "compares lines of code with what they were before",
    "test_decorators.py::test_is_pure_async_fn": "asks asynq what kind of function something is",
    "test_decorators.py::test_get_async_fn": "asks asynq what kind of function something is",
    "test_generator.py::test_must_compute": "steps through a generator's tasks by hand",
    "test_generator.py::test_values": "steps through a generator's tasks by hand",
    "test_mock.py::test_cant_set_attribute": "sets an attribute of a mock's .asynq",
    "test_profiler.py::test_collect_perf_stats": "reads the records of asynq's profiler",
    "test_tools.py::TestRetry::test_retry_requires_max_try_at_least_one": "stamina takes zero attempts for none at all",
    "test_utils.py::test_result": "calls result() outside of any function that runs on asynq",
}

# asynq's tests that measure milliseconds of real time, and may fail on a busy machine: they get another try alone.
MEASURE_TIME = {"test_asynq_to_async.py::test_context", "test_tools.py::test_async_timer"}
TRIES = 8

# Yields that are left, or whose test is about asynq: how many, and what the report says of them.
LEFT = {
    ("test_async_task.py", "fn"): (1, "looks at asynq's own task"),
    ("test_yield_result.py", "incr"): (1, "stays asynq and calls it"),
    ("test_yield_result.py", "test_async"): (2, "result() inside a try that catches it"),
}
UNTESTED = {("test_profiler.py", "func"): (2, "asynq.profiler")}


def migrate(folder: Path, *paths: str, code: int) -> dict[str, Any]:
    """Migrate some paths of a folder and give the report."""
    command = [sys.executable, "-m", "batchio.migrate", "asynq", "--write", "--report", "json", *paths]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def environment(*more: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *more]))}


def run_tests(folder: Path, *paths: str, beside: Path) -> dict[str, str]:
    """Run pytest in a folder; outcomes by the test's name."""
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider"]
    command += ["-p", "no:asyncio", "-p", "no:anyio", "-rA", "-q", *paths]
    done = subprocess.run(
        command, cwd=folder, env=environment(beside), capture_output=True, text=True, timeout=300, check=False
    )
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) (?:.*/)?([\w.]+\.py\S*)", done.stdout, re.MULTILINE)
    assert outcomes, done.stdout + done.stderr
    return {name: outcome for outcome, name in outcomes}


@pytest.fixture(scope="module")
def report(sdist: Path) -> dict[str, Any]:
    """The report of a migration of `tools.py` and the tests, in place."""
    return migrate(sdist, "asynq/tools.py", "asynq/tests", code=1)


@pytest.fixture(scope="module")
def migrated(sdist: Path, report: dict[str, Any]) -> Path:
    """The folder of the migrated files."""
    return sdist / "asynq"


def yields(file: Path) -> Iterator[str]:
    """For each yield of a file, the innermost function it stands in."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    owners: dict[ast.AST, str] = {}
    for function in ast.walk(tree):  # from the outside to the inside
        if isinstance(function, ast.FunctionDef):
            owners |= {node: function.name for node in ast.walk(function) if isinstance(node, ast.Yield)}
    yield from owners.values()


def test_at_most_seven_yields_are_left_each_with_its_reason(migrated: Path, report: dict[str, Any]) -> None:
    """What still yields for asynq is known by name, told in the report, and less than eight with what has no test."""
    files = [migrated / "tools.py", *sorted((migrated / "tests").glob("*.py"))]
    found = Counter((file.name, owner) for file in files for owner in yields(file))
    del found["test_tools.py", "gen"]  # a plain generator, not asynq's
    assert found == {spot: count for spot, (count, _) in LEFT.items()}
    told = {Path(file["path"]).name: [spot["reason"] for spot in file["left"]] for file in report["files"]}
    for (file, _), (_, reason) in {**LEFT, **UNTESTED}.items():
        assert any(reason in each for each in told[file]), f"{file}: the report does not say {reason!r}"
    assert sum(count for count, _ in [*LEFT.values(), *UNTESTED.values()]) <= 7


def test_asynqs_own_tests_pass_after_the_migration(migrated: Path, sdist: Path) -> None:
    """All of them, batch counts included, but for those that are about asynq's own objects."""
    outcomes = run_tests(sdist, "asynq/tests", "--ignore=asynq/tests/test_pyright.py", beside=sdist.parent / "beside")
    for _ in range(TRIES):
        late = [name for name in MEASURE_TIME if outcomes[name] != "PASSED"]
        if late:
            again = [f"asynq/tests/{name}" for name in late]
            outcomes |= run_tests(sdist, *again, beside=sdist.parent / "beside")
    failed = {name for name, outcome in outcomes.items() if outcome != "PASSED"}
    assert failed == set(ABOUT_ASYNQ)
    assert len(outcomes) - len(failed) == 94


def test_asynqs_tools_pass_asynqs_tests_of_them_as_anybodys_module(sdist: Path, tmp_path: Path) -> None:
    """`tools.py` itself, migrated under another name, does what its tests want of it."""
    with tarfile.open(sdist.parent / "asynq-1.6.0.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / "asynq-1.6.0" / "asynq"
    tools = re.sub(r"^from \.", "from asynq.", (source / "tools.py").read_text(encoding="utf-8"), flags=re.MULTILINE)
    tests = (source / "tests" / "test_tools.py").read_text(encoding="utf-8").replace("    deduplicate,\n", "")
    tests = tests.replace("from asynq.tools import (", "from asynq.tools import deduplicate\nfrom own_tools import (")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "own_tools.py").write_text(tools, encoding="utf-8")
    (mine / "test_own_tools.py").write_text(tests, encoding="utf-8")
    migrate(mine, ".", code=1)
    assert list(yields(mine / "own_tools.py")) == []
    beside = os.pathsep.join(map(str, [source.parent, sdist.parent / "beside"]))
    command = "test_own_tools.py", "--deselect=test_own_tools.py::test_async_timer"  # of this one the time is asynq's
    outcomes = run_tests(mine, *command, beside=Path(beside))
    assert set(outcomes.values()) == {"PASSED"}
    assert len(outcomes) == 24


def test_a_second_run_changes_nothing(migrated: Path, sdist: Path, report: dict[str, Any]) -> None:
    """And it tells of the same spots."""
    before = {file: file.read_bytes() for file in migrated.rglob("*.py")}
    again = migrate(sdist, "asynq/tools.py", "asynq/tests", code=1)
    assert {file: file.read_bytes() for file in migrated.rglob("*.py")} == before
    assert again["sums"]["files_changed"] == 0

    def spots(of: dict[str, Any]) -> list[tuple[str, int, str]]:
        return [(file["path"], spot["line"], spot["reason"]) for file in of["files"] for spot in file["left"]]

    assert spots(again) == spots(report)
