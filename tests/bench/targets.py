"""What each figure may be: the rows of the table, made of what was measured.

Rules:
- A row is a ratio, batchio's figure by a peer's or by the best peer's, and a target for it; `at_least` where more is
  better. Its name says what and against whom.
- Peers are aiodataloader, strawberry, dloader and asynq, as far as each took part. Bare futures and the dict are none.
- Minimum process CPU, and for requests per second the median of the rounds: `measure.py` and `client.py` say why.
- A target that cannot be met stands in FLOORS with the place of the profile that shows it; two at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]

OURS = "batchio"
NO_PEERS = (OURS, "bare futures", "primed by hand")

FLOORS: dict[str, str] = {
    "hit/best": "[what a hit is made of](#what-a-hit-and-a-load-are-made-of)",
    "one/best": "[what one load is made of](#what-a-hit-and-a-load-are-made-of)",
}


@dataclass(frozen=True)
class Combination:
    """A Python and a kind of loop."""

    python: str  # 3.11
    loop: str

    def __str__(self) -> str:
        return f"{self.python}-{self.loop}"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    value: Callable[[Results], float | None]  # None where it was not measured
    target: Callable[[Combination], float | None]  # None where there is none
    at_least: bool = False

    def met(self, value: float, target: float) -> bool:
        """Whether a figure is good enough."""
        return value >= target if self.at_least else value <= target


@dataclass(frozen=True)
class Line:
    """A row with its figure, on one combination."""

    row: Row
    combination: Combination
    value: float
    target: float

    @property
    def verdict(self) -> str:
        """ok, MISS, or floor."""
        if self.row.met(self.value, self.target):
            return "ok"
        return "floor" if self.row.name in FLOORS else "MISS"

    def __str__(self) -> str:
        sign = ">=" if self.row.at_least else "<="
        return f"{self.row.name}[{self.combination}] {self.value:.3f} {sign}{self.target:g} {self.verdict}"


def lines(results: dict[Combination, Results]) -> list[Line]:
    """The table, row by row."""
    found = []
    for row in ROWS:
        for combination, one in results.items():
            value, target = row.value(one), row.target(combination)
            if value is not None and target is not None:
                found.append(Line(row, combination, value, target))
    return found


# How figures are made -----------------------------------------------------------------------------------------------


def against(key: str, *peers: str, part: str = "min") -> Callable[[Results], float | None]:
    """batchio's figure by the least of some peers', or of all."""

    def value(results: Results) -> float | None:
        ways = results.get(key)
        if not ways:
            return None
        theirs = [figure[part] for way, figure in ways.items() if (way in peers if peers else way not in NO_PEERS)]
        return ways[OURS][part] / min(theirs)

    return value


def plain(key: str, part: str, times: float = 1.0) -> Callable[[Results], float | None]:
    """One number."""
    return lambda results: times * results[key][part] if key in results else None


def strangers(results: Results) -> float | None:
    """How many modules `import batchio` brought that are not the standard library's."""
    return len(results["import"]["strangers"]) if "import" in results else None


def batches(results: Results) -> float | None:
    """The most that a case took here, by what it takes in asynq."""
    found = results.get("batches")
    return max(len(sizes) / len(found["asynq"][case]) for case, sizes in found[OURS].items()) if found else None


def memory(results: Results) -> float | None:
    """Bytes by bytes."""
    return results["memory"][OURS] / results["memory"]["aiodataloader"] if "memory" in results else None


def spread(kind: str) -> Callable[[Results], float | None]:
    """The dearest key by the cheapest, over all sizes of a tick."""

    def value(results: Results) -> float | None:
        if "sizes" not in results:
            return None
        costs = [figure["min"] for figure in results["sizes"][kind][OURS].values()]
        return max(costs) / min(costs)

    return value


def always(target: float) -> Callable[[Combination], float]:
    """The same target everywhere."""
    return lambda _: target


def asynq_target(combination: Combination) -> float:
    """asynq lost speed in 3.13."""
    return 0.75 if combination.python == "3.11" else 0.60


def spin_target(combination: Combination) -> float | None:
    """uvloop cannot say that it is idle, so there more passes are waited for. Eager tasks have no target here."""
    return {"asyncio": 1.3, "uvloop": 1.9}.get(combination.loop)


ROWS = [
    Row("page.1/aiodataloader", against("page.1", "aiodataloader"), always(0.55)),
    Row("page.64/aiodataloader", against("page.64", "aiodataloader"), always(0.45)),
    Row("page.1/asynq", against("page.1", "asynq"), asynq_target),
    Row("page.64/asynq", against("page.64", "asynq"), asynq_target),
    Row("load_many.cold/best", against("load_many.cold"), always(0.12)),
    Row("load_many.memo/best", against("load_many.memo"), always(0.12)),
    Row("gathered/best", against("gathered"), always(0.5)),
    Row("tasks/best", against("tasks"), always(0.8)),
    Row("hit/best", against("hit"), always(1.25)),
    Row("one/best", against("one"), always(1.3)),
    Row("spin/aiodataloader", against("spin", "aiodataloader"), spin_target),
    Row("batches/asynq", batches, always(1.0)),
    Row("memory/aiodataloader", memory, always(1.0)),
    Row("sizes.gathered", spread("gathered"), always(1.5)),
    Row("sizes.tasks", spread("tasks"), always(1.5)),
    Row("hold.ms", plain("hold", "min"), always(50)),
    Row("get_many.100/aiomcache", against("get_many.100", "aiomcache"), always(0.45)),
    Row("get_many.1000/aiomcache", against("get_many.1000", "aiomcache"), always(0.45)),
    Row("set_many.100/aiomcache", against("set_many.100", "aiomcache"), always(0.1)),
    Row("row.100/aiomysql", against("row.100", "aiomysql"), always(1.15)),
    Row("feed.1/aiodataloader", against("feed.1", "aiodataloader", part="rate"), always(1.0), at_least=True),
    Row("feed.8/aiodataloader", against("feed.8", "aiodataloader", part="rate"), always(1.0), at_least=True),
    Row("feed.64/aiodataloader", against("feed.64", "aiodataloader", part="rate"), always(1.8), at_least=True),
    Row("feed.1/primed", against("feed.1", "primed", part="rate"), always(0.6), at_least=True),
    Row("feed.8/primed", against("feed.8", "primed", part="rate"), always(0.6), at_least=True),
    Row("feed.64/primed", against("feed.64", "primed", part="rate"), always(0.7), at_least=True),
    Row("import.ms", plain("import", "min", 1000.0), always(15)),
    Row("import.strangers", strangers, always(0)),
]
