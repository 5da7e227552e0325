"""What the core's own tests reach of the core: a pytest plugin, `-p tests.measured`, as `make test` has it.

Rules:
- Measured are imports and the tests of `MEASURED`, but for those that take long: every line of the core has a test
  there, beside it. With MEASURED="" in the environment it is tests of all folders. (Not taken: that always. It makes
  the suite half as long again, and shows no more of the core.)
- It begins before anything imports the package, hence `-p` and no conftest. Each process that runs tests writes a data
  file of its own, which `coverage combine` puts together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from coverage import Coverage

MEASURED = os.environ.get("MEASURED", "tests/core/")  # where the names of measured tests begin


class Measure:
    """The measuring of this process, which goes on and off between tests."""

    def __init__(self) -> None:
        self.coverage = Coverage(data_suffix=True)
        self.on = False

    def switch(self, on: bool) -> None:
        """Switch it, if it is not so already: what counts is done once for many tests."""
        if on != self.on:
            self.on = on
            (self.coverage.start if on else self.coverage.stop)()


measure = Measure()
measure.switch(on=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure a test of the core; the modules that are imported on the way have been measured by now."""
    measure.switch(measured(item))
    return (yield)


def measured(item: pytest.Item) -> bool:
    """Whether a test is measured: not one that takes long as it is, and so has a `patience` of its own."""
    return item.nodeid.startswith(MEASURED) and not item.get_closest_marker("patience")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write down what was reached, unless others run the tests."""
    measure.switch(on=False)
    if not config.getoption("numprocesses", None):
        measure.coverage.save()
