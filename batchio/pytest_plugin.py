"""pytest's fixtures for code that loads. Enabled by hand: ``pytest_plugins = ["batchio.pytest_plugin"]``.

Rules of this room:

- The only file that imports pytest. No entry point: a test run gets these fixtures when its ``conftest.py`` says so.
- No fixture makes a loop; that is pytest-asyncio's business (or anyio's). For virtual time, in ``conftest.py``::

      from batchio.testing import VirtualLoop

      def pytest_asyncio_loop_factories(config, item):
          return {"virtual": VirtualLoop}

  With more names in that dict each test runs on all of them; ``@pytest.mark.asyncio(loop_factories=["virtual"])``
  chooses.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from batchio._core.scope import Scope, scope
from batchio.testing._record import Recorded, record

__all__ = ["batchio_scope", "recorded"]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """What the loaders do during the test: ``assert recorded.batches("user_name") == [[1, 2]]``.

    Returns:
        A ``batchio.testing.Recorded``. It hears the fixtures that are set up after it, too.

    Example:
        >>> from batchio.pytest_plugin import recorded
        >>> recorded.__name__
        'recorded'
    """
    with record() as record_of_the_test:
        yield record_of_the_test


@pytest.fixture
def batchio_scope(request: pytest.FixtureRequest) -> Scope:
    """Run the test in a scope, so that its loads are remembered as those of one request.

    The scope is entered around the test function itself, async or not: which context variables a test inherits from
    its fixtures differs from plugin to plugin and from version to version. Fixtures run outside of it.

    Args:
        request: pytest's.

    Returns:
        The scope.

    Raises:
        pytest.UsageError: for a Hypothesis test, whose examples would share one scope: write ``with batchio.scope():``
            in it.

    Example:
        >>> from batchio.pytest_plugin import batchio_scope
        >>> batchio_scope.__name__
        'batchio_scope'
    """
    item = request.node
    if hasattr(item.obj, "hypothesis"):
        raise pytest.UsageError(f"{item.nodeid}: its examples would share one scope; write `with batchio.scope():`")
    test_scope = scope()
    item.obj = _inside(test_scope, item.obj)
    return test_scope


def _inside(test_scope: Scope, test: Callable[..., Any]) -> Callable[..., Any]:
    """A test function that enters the scope first."""

    @functools.wraps(test)
    async def run_async(*args: Any, **kwargs: Any) -> None:
        with test_scope:
            await test(*args, **kwargs)

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> Any:
        with test_scope:
            return test(*args, **kwargs)

    return run_async if inspect.iscoroutinefunction(test) else run
