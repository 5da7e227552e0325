"""asynq itself, for tests that compare with it: its sdist, downloaded once a run. Nothing is installed.

Tests that ask for `sdist` are marked `network`, and skip where it cannot be had; with CI set that is a failure.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

SECONDS = 120  # for one download


def pip(*arguments: str) -> None:
    """Run pip; what it cannot get skips the test."""
    command = [sys.executable, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"asynq's sdist cannot be downloaded: {error.stderr.strip()[-300:]}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"asynq's sdist cannot be downloaded: pip took more than {SECONDS} seconds")


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """asynq's sdist, unpacked, with what asynq imports beside it."""
    folder = tmp_path_factory.mktemp("asynq")
    pip("download", "--no-deps", "--no-binary", "asynq", "-d", str(folder), "asynq==1.6.0")
    pip("install", "--target", str(folder / "beside"), "qcore", "pygments", "typing_extensions")
    with tarfile.open(folder / "asynq-1.6.0.tar.gz") as archive:
        archive.extractall(folder, filter="data")
        archive.extractall(folder / "untouched", filter="data")
    return folder / "asynq-1.6.0"
