"""The breaker, as plain data: a clock that the test turns, and chance that is always the same."""

from __future__ import annotations

from typing import Any

import pytest

from batchio.memcached._breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, lambda: 1.0)


def fail(breaker: Breaker, times: int = FAILURES) -> None:
    for _ in range(times):
        breaker.failed()


def test_three_failures_in_a_row_open_it(breaker: Breaker) -> None:
    """Fewer do not, and an answer in between begins the count anew."""
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert (breaker.open, breaker.lets_through()) == (False, True)
    fail(breaker, 1)
    assert (breaker.open, breaker.lets_through()) == (True, False)


def test_an_open_one_lets_one_probe_through_at_a_time(breaker: Breaker, clock: Clock) -> None:
    """After the first pause one may ask; the others wait until that one is answered, or another pause is over."""
    fail(breaker)
    clock.now += FIRST_PAUSE
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
    clock.now += FIRST_PAUSE  # the probe was never heard of again
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]


def test_one_answer_closes_it(breaker: Breaker, clock: Clock) -> None:
    """And the next outage begins with the shortest pause again."""
    fail(breaker)
    for _ in range(4):
        clock.now += LONGEST_PAUSE
        assert breaker.lets_through()
        breaker.failed()
    breaker.succeeded()
    assert (breaker.open, breaker.lets_through()) == (False, True)
    fail(breaker)
    clock.now += FIRST_PAUSE
    assert breaker.lets_through()


def test_pauses_double_up_to_a_bound(breaker: Breaker, clock: Clock) -> None:
    """With every probe that fails, and no further than the longest pause."""
    fail(breaker)
    pauses = []
    for _ in range(9):
        began = clock.now
        while not breaker.lets_through():
            clock.now += FIRST_PAUSE / 16
        pauses.append(clock.now - began)
        breaker.failed()
    expected = [min(LONGEST_PAUSE, FIRST_PAUSE * 2**n) for n in range(9)]
    assert pauses == pytest.approx(expected, abs=FIRST_PAUSE / 8)


def test_requests_that_were_under_way_do_not_make_pauses_longer(breaker: Breaker, clock: Clock) -> None:
    """Twenty that time out together are one outage, as one is."""
    fail(breaker, 20)
    clock.now += FIRST_PAUSE
    assert breaker.lets_through()


def test_pauses_are_spread_by_chance(clock: Clock) -> None:
    """A hundred processes do not come back at the same moment: a pause is between half and whole."""
    for chance, share in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
        breaker = Breaker(clock, lambda chance=chance: chance)  # type: ignore[misc]
        fail(breaker)
        before: Any = clock.now
        clock.now = before + share * FIRST_PAUSE - 1e-6
        assert not breaker.lets_through()
        clock.now = before + share * FIRST_PAUSE + 1e-6
        assert breaker.lets_through()
