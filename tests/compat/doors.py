"""What the tests of drop-in loaders share: both libraries' constructors, and a source that answers in their form.

Rules:
- A promise of both is tested on both: `make` is each of them in turn.
- A `Listed` holds its calls at a gate, as the fault table's `Source` does, and returns a list in the order of the keys.
"""

from __future__ import annotations

from typing import Any

import pytest

from batchio.compat import aiodataloader, strawberry
from tests.faults.helpers import Source

both = pytest.mark.parametrize(
    "make", [aiodataloader.DataLoader, strawberry.DataLoader], ids=["aiodataloader", "strawberry"]
)


class Listed(Source):
    """Gives `value K` for each key K, or what `answers` has for it."""

    def __init__(self, answers: dict[Any, Any] | None = None, *, opened: bool = True) -> None:
        super().__init__(opened=opened)
        self.answers = answers or {}

    async def __call__(self, keys: list[Any]) -> Any:
        self.calls.append(keys)
        await self.gate.wait()
        return [next((answer for k, answer in self.answers.items() if k == key), f"value {key}") for key in keys]
