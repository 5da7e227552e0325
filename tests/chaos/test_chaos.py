"""Scenarios under chaos: any order of what is ready, and any task cancelled at any of its awaits.

Rules:
- A scenario runs once undisturbed; then once for each task and each of its awaits, with that task cancelled there; then
  with other seeds, each with a victim of its own. All scenarios together take `CHAOS_SEEDS` seeds, 2,000 by default.
- The seed decides everything. A failure names scenario, seed and victim; `CHAOS_RUN=page:17:3:2` runs just that (seed
  17, task 3 cancelled at its await 2; without the last two nobody is).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import ceil
from typing import NamedTuple

import pytest

from tests.chaos.loop import Victim
from tests.chaos.scenarios import SCENARIOS, memcached
from tests.chaos.world import Scenario, objects_left, run

SEEDS = int(os.environ.get("CHAOS_SEEDS", "2000"))
ONLY = os.environ.get("CHAOS_RUN", "")
REAL_SEEDS = max(1, SEEDS // 400)  # of the scenario with a real server, which is waited for really


class Run(NamedTuple):
    seed: int
    victim: Victim | None


class Tally(NamedTuple):
    """What a test ran."""

    runs: int
    seeds: int
    struck: int


def plan(scenario: Scenario, seeds: int, address: str) -> Iterator[Run]:
    """All runs of a scenario: seed 0 with every victim, the other seeds with nobody and with one each."""
    if ONLY:
        name, seed, *victim = ONLY.split(":")
        if name == scenario.__name__:
            yield Run(int(seed), Victim(*map(int, victim)) if victim else None)
        return
    yield Run(0, None)
    victims = run(scenario, 0, None, address)[0].victims()
    yield from (Run(0, victim) for victim in victims)
    for seed in range(1, seeds):
        yield from (Run(seed, None), Run(seed, victims[seed % len(victims)]))


def check(scenario: Scenario, runs: Iterable[Run], address: str = "") -> Tally:
    """Run them all; the first that has a complaint fails the test."""
    count, struck, seeds = 0, 0, set[int]()
    for one in runs:
        loop, complaints = run(scenario, *one, address)
        if complaints:
            pytest.fail(told(scenario, one, loop.names, complaints), pytrace=False)
        count, struck = count + 1, struck + loop.struck
        seeds.add(one.seed)
    return Tally(count, len(seeds), struck)


def told(scenario: Scenario, one: Run, names: list[str], complaints: list[str]) -> str:
    seed, victim = one
    again = ":".join(map(str, (scenario.__name__, seed, *(victim or ()))))
    who = (
        f"task {victim.task} ({names[victim.task]}) cancelled at its await {victim.n}" if victim else "nobody cancelled"
    )
    lines = [f"scenario {scenario.__name__}, seed {seed}, {who}", *(f"  {line}" for line in complaints)]
    return "\n".join([*lines, f"to run just that: CHAOS_RUN={again} python -m pytest tests/chaos/test_chaos.py"])


@pytest.mark.patience(600)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_under_chaos_everyone_is_answered_and_nothing_is_left(scenario: Scenario, record_property) -> None:
    """In any order, whoever is cancelled at whichever await: right answers or declared errors, no hang, no remains."""
    tally = check(scenario, plan(scenario, ceil(SEEDS / len(SCENARIOS)), ""))
    record_property("chaos seeds", tally.seeds)
    record_property("chaos runs", tally.runs)
    record_property("chaos cancellations", tally.struck)
    assert not objects_left()
    assert ONLY or tally.struck


@pytest.mark.patience(600)
def test_under_chaos_a_real_memcached_serves_everyone(memcached_address: str, caplog) -> None:
    """The same with a real server behind the cache, for a few seeds."""
    caplog.set_level("CRITICAL", "batchio")  # a record that is kept holds the error that was logged, and that the batch
    tally = check(memcached, plan(memcached, REAL_SEEDS, memcached_address), memcached_address)
    assert not objects_left()
    assert ONLY or tally.struck
