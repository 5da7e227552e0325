"""The libraries' own tests pass on our loaders, but for those named here; the guides say the same, with the reasons.

Rules:
- What is red is compared, not what is green: a test that begins to pass is news, too.
- aiodataloader's tests come with its sdist, strawberry's from GitHub, or from the file that STRAWBERRY_TESTS names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compat import suites

GUIDES = Path(__file__).parents[2] / "docs" / "guides"

RED = {
    "aiodataloader": {
        "test_coalesces_identical_requests",
    },
    "strawberry": {
        "test_caches_by_id",
        "test_caches_by_id_when_loading_many",
        "test_cache_disabled",
        "test_cancelled_future_with_failing_loader",
        "test_partial_cancellation_still_dispatches",
        "test_cancelled_futures_cancel_dispatch_task",
        "test_cancelled_futures_cancel_running_dispatch",
    },
}


def red(found: dict[str, str]) -> set[str]:
    """The tests that did not pass."""
    return {name for name, outcome in found.items() if outcome != "passed"}


@pytest.mark.network
@pytest.mark.patience(500)
def test_aiodataloaders_tests_pass(tmp_path: Path) -> None:
    """All 25 tests of aiodataloader pass, but for those that are named."""
    try:
        tests = suites.aiodataloader_tests(tmp_path)
    except suites.OutOfReach as error:
        pytest.skip(f"aiodataloader's tests cannot be downloaded: {error}")
    found = suites.outcomes("aiodataloader", tests)
    assert len(found) == 25
    assert red(found) == RED["aiodataloader"]


@pytest.mark.network
@pytest.mark.patience(500)
def test_strawberrys_tests_pass(tmp_path: Path) -> None:
    """All 25 tests of strawberry's loader pass, but for those that are named."""
    try:
        tests = suites.strawberry_tests(tmp_path)
    except suites.OutOfReach:
        pytest.skip("STRAWBERRY_TESTS names no file, and GitHub cannot be reached")
    try:
        site = suites.strawberry_installed(tmp_path)
    except suites.OutOfReach as error:
        pytest.skip(f"strawberry cannot be installed: {error}")
    found = suites.outcomes("strawberry", tests, site)
    assert len(found) == 25
    assert red(found) == RED["strawberry"]


@pytest.mark.parametrize("library", RED)
def test_the_guide_names_each_red_test(library: str) -> None:
    """The page of each library tells its users which of its own tests do not pass, and no other."""
    page = (GUIDES / f"migrate-{library}.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(test_\w+)`", page)) == RED[library]
