"""The examples in the docstrings of examples/qa run."""

from __future__ import annotations

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["html", "invented", "mysql", "schema", "session", "store"])
def test_the_docstrings_are_true(name: str) -> None:
    """What a docstring says a function gives, it gives."""
    failed, tried = doctest.testmod(importlib.import_module(f"examples.qa.{name}"))
    assert tried > 0
    assert failed == 0
