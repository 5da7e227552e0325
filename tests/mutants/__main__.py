"""Take each guard away and see that a test turns red: `make mutants`.

Rules:
- Each mutant lives in a copy of the clone, in a temporary folder; the clone is never touched.
- First the tests run without a mutant: a suite that is red already proves nothing.
- Red is exit code 1 of pytest, a test that failed. Another code (nothing collected, a broken command) proves nothing.
- The exit code is 1 when a mutant survived, and 2 when one could not be tried.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.mutants.guards import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PARTS = ("batchio", "tests", "examples", "conftest.py", "pyproject.toml", "README.md")
SECONDS = 600  # for the tests of one mutant
CAUGHT, SURVIVED, UNTRIED = "caught", "SURVIVED", "NOT TRIED"


@contextmanager
def copy() -> Iterator[Path]:
    """A copy of what the tests need."""
    with tempfile.TemporaryDirectory(prefix="batchio-mutant-") as folder:
        for part in PARTS:
            source, target = ROOT / part, Path(folder) / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        yield Path(folder)


def without_guard(root: Path, mutant: Mutant) -> bool:
    """Take the guard away; False when it does not stand there exactly once."""
    file = root / mutant.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        return False
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return True


def pytest(root: Path, tests: str) -> int:
    """Run some tests; pytest's exit code. Tests that hang for good are as red as others."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split()]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, timeout=SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        return 1


def tried(mutant: Mutant) -> str:
    """What became of a mutant."""
    with copy() as root:
        if not without_guard(root, mutant):
            return UNTRIED
        return {0: SURVIVED, 1: CAUGHT}.get(pytest(root, mutant.tests), UNTRIED)


def main() -> int:
    """Try all mutants, or those whose names hold a word."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("word", nargs="?", default="", help="try only mutants whose name holds it")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    given = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if given.word in mutant.name]
    with copy() as root:
        tests = sorted({test for mutant in chosen for test in mutant.tests.split()})
        if pytest(root, " ".join(tests)) != 0:
            print("the tests are red without a mutant, or there are none")
            return 2
    outcomes = []
    with ThreadPoolExecutor(given.jobs) as pool:
        for mutant, outcome in zip(chosen, pool.map(tried, chosen), strict=True):
            print(f"{outcome:<9}  {mutant.name}", flush=True)
            outcomes.append(outcome)
    print(f"{outcomes.count(CAUGHT)} of {len(chosen)} mutants caught")
    return 2 if UNTRIED in outcomes else int(SURVIVED in outcomes)


if __name__ == "__main__":
    sys.exit(main())
