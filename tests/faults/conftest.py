"""Fixtures that several files of the fault table share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers


@pytest.fixture
def own() -> Iterator[servers.Memcached]:
    """A memcached to be harmed."""
    with servers.memcached() as server:
        yield server


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Misses of a harmed store are logged, and here expected."""
    caplog.set_level("ERROR", "batchio")
