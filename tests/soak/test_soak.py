"""A short soak is part of the suite; `make soak` runs the long one. The checker's own tests stand in test_checker.py."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.soak.nemesis import LANES, LONGEST, Nemesis, plan

ROOT = Path(__file__).parents[2]
ENOUGH = 1000  # operations, of some ten thousand: a soak in which nothing happens proves nothing


@pytest.mark.patience(120)
def test_promises_hold_for_ten_seconds_under_fire():
    """Three processes on three kinds of loop read, write and invalidate while servers and workers die: nothing breaks."""
    command = [sys.executable, "-m", "tests.soak", "--seconds", "10", "--processes", "3", "--seed", "4"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        try:
            said, _ = run.communicate(timeout=110)
        except BaseException:
            run.send_signal(signal.SIGKILL)  # its servers and workers end with it
            raise
    assert run.returncode == 0, said
    figures = dict(line.split(": ", 1) for line in said.splitlines())
    assert figures["violations"] == "0"
    assert int(figures["operations"]) > ENOUGH, said
    assert min(int(figures[name]) for name in ("reads", "hits", "writes", "invalidations")) > 0, said
    assert "kill" in figures["faults"], said


def test_a_plan_of_faults_comes_from_its_seed_alone():
    """The same seed gives the same plan, and another seed another."""
    plans = [list(itertools.islice(plan(seed, "cache"), 20)) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize("lane", LANES)
def test_a_plan_goes_round_the_kinds_of_its_lane(lane):
    """Kinds come up in rounds; each is one that the nemesis can do, and is over in time."""
    _, kinds = LANES[lane]
    steps = list(itertools.islice(plan(3, lane), 3 * len(kinds)))
    assert Counter(step.kind for step in steps[: len(kinds)]) == Counter(kinds)
    assert Counter(step.kind for step in steps) == Counter([*kinds] * 3)
    assert all(callable(getattr(Nemesis, step.kind.replace(" ", "_"))) for step in steps)
    assert all(0 <= step.length <= LONGEST and 0 <= step.pick < 1 for step in steps)
