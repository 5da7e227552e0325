"""Runs a library's own tests on batchio's drop-in loader, in a process of its own.

    python -m tests.compat.suites aiodataloader FILE        prints each test's name and outcome, as JSON
    python -m tests.compat.suites strawberry FILE [FOLDER]  FOLDER: where strawberry and pytest-mock are installed

Rules:
- The tests are not changed: they import the library by its name, and find ours under it.
- Versions stand in pyproject.toml, where the benchmarks have them too; strawberry's tests, which no package brings, here.
- What cannot be downloaded is `OutOfReach`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 120  # for one download

# Its last version whose tests we have; those of a later one may want something else.
STRAWBERRY_TESTS = "https://raw.githubusercontent.com/strawberry-graphql/strawberry/0.324.0/tests/test_dataloaders.py"
STRAWBERRY_TESTS_SHA256 = "77e25e845f34fd52d556ac12d8b23a32e6ba5e6df0d1b668e781f4ad09f14403"
PYTEST_MOCK = "pytest-mock>=3.14"


class OutOfReach(Exception):
    """There is no network, or it does not have this."""


# --- what is run --------------------------------------------------------------------------------------------------


def pinned(name: str) -> str:
    """A peer as pyproject.toml pins it."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return next(one for one in groups["bench"] if isinstance(one, str) and one.startswith(f"{name}=="))


def aiodataloader_tests(folder: Path) -> Path:
    """aiodataloader's tests, out of its sdist."""
    pip("download", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), pinned("aiodataloader"))
    (sdist,) = folder.glob("aiodataloader-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tests,) = folder.glob("*/test_aiodataloader.py")
    return tests


def strawberry_tests(folder: Path) -> Path:
    """strawberry's tests of its loader: the file that STRAWBERRY_TESTS names, else the one on GitHub."""
    named = os.environ.get("STRAWBERRY_TESTS")
    content = Path(named).read_bytes() if named else fetched(STRAWBERRY_TESTS)
    assert hashlib.sha256(content).hexdigest() == STRAWBERRY_TESTS_SHA256, f"not the file of {STRAWBERRY_TESTS}"
    tests = folder / "test_dataloaders.py"
    tests.write_bytes(content)
    return tests


def strawberry_installed(folder: Path) -> Path:
    """A folder with strawberry, whose exceptions its tests import, and what else they need."""
    pip("install", "--target", str(folder / "site"), pinned("strawberry-graphql"), PYTEST_MOCK)
    return folder / "site"


def pip(*arguments: str) -> None:
    """Run pip.

    Raises:
        OutOfReach: it failed.
    """
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.CalledProcessError as error:
        raise OutOfReach(f"pip {arguments[0]}: {error.stderr.strip()[-300:]}") from None
    except subprocess.TimeoutExpired as error:
        raise OutOfReach(f"pip {arguments[0]} took more than {SECONDS} seconds") from error


def fetched(url: str) -> bytes:
    """A file of the web.

    Raises:
        OutOfReach: it cannot be had.
    """
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            content: bytes = answer.read()
    except OSError as error:
        raise OutOfReach(f"{url}: {error}") from error
    return content


# --- how it is run ------------------------------------------------------------------------------------------------


def outcomes(library: str, tests: Path, *folders: Path) -> dict[str, str]:
    """Each test's outcome on our loader, by name."""
    command = [sys.executable, "-m", __spec__.name, library, str(tests), *map(str, folders)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


class Outcomes:
    """A pytest plugin that keeps how tests ended."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.when == "call" or report.outcome != "passed":
            self.found[name] = report.outcome


def stand_in(library: str) -> None:
    """Put our loader in the place of the library's."""
    ours = importlib.import_module(f"batchio.compat.{library}")
    if library == "strawberry":
        importlib.import_module("strawberry.exceptions")
        sys.modules["strawberry.dataloader"] = ours
    else:
        sys.modules[library] = ours


def main() -> int:
    """Run the tests, and print."""
    library, tests, *folders = sys.argv[1:]
    sys.path += folders  # last: what the suite's own venv has it keeps
    stand_in(library)
    plugin = Outcomes()
    own = ["-c", os.devnull, "--rootdir", str(Path(tests).parent), "--noconftest", "-p", "no:cacheprovider"]
    loop = ["-p", "no:anyio", "-o", "asyncio_default_fixture_loop_scope=function"]
    mocks = ["-p", "pytest_mock"] if folders else []
    code = pytest.main([*own, *loop, *mocks, "-q", tests], plugins=[plugin])
    sys.stdout.write(f"\n{json.dumps(plugin.found)}\n")
    return 0 if code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else int(code)


if __name__ == "__main__":
    sys.exit(main())
