"""The checker bites: each rule is fed small histories that keep it and that break it."""

from __future__ import annotations

import itertools

import pytest

from tests.soak.checker import CRASH, History, Steps, stalest, violations
from tests.soak.history import (
    FAILED,
    ID,
    NAME,
    OK,
    UNKNOWN,
    Begun,
    Committed,
    Fault,
    Invalidation,
    Read,
    Trouble,
    Write,
)

KEY, ALLOWED, PATIENCE = 7, 5.0, 9.0


class Story:
    """A history in the making, of one key: version n is made by the write "tn"."""

    def __init__(self):
        self.records, self.committed, self.faults = [], [], []
        self.versions = itertools.count(1)
        self.final = {KEY: (0, "")}

    def write(self, start, end, outcome=OK, *, done=True):
        """A write, which makes the next version if it is done; one without an end is of a writer that died."""
        number = next(self.versions)
        token = f"t{number}"
        self.records.append(Begun("w", KEY, start, token))
        if end is not None:
            self.records.append(Write("w", KEY, start, end, token, outcome, ""))
        if done:
            self.committed.append(Committed(number, KEY, number, token))
            self.final[KEY] = (number, token)

    def invalidate(self, start, end, outcome=OK, by=ID):
        """An invalidation."""
        self.records.append(Invalidation("w", by, KEY, start, end, outcome, ""))

    def read(self, start, version, *, end=None, since=None, by=ID, token=None, place=KEY):
        """A read that gives a version."""
        end = start + 0.1 if end is None else end
        token = token if token is not None else f"t{version}" if version else ""
        self.records.append(Read("r", by, KEY, start, start if since is None else since, end, place, version, token))

    def history(self):
        """What the checker gets."""
        return History(self.records, self.committed, self.final, ALLOWED, PATIENCE, self.faults)

    def broken(self):
        """The rules that it breaks."""
        return [violation.rule for violation in violations(self.history())]


@pytest.fixture
def story():
    return Story()


@pytest.fixture
def invalidated(story):
    """Version 1 is written and confirmed by 1.2, its invalidation by 1.4."""
    story.write(1.0, 1.2)
    story.invalidate(1.3, 1.4)
    return story


# --- a: after a confirmed invalidation ----------------------------------------------------------------------------


def test_a_new_version_after_its_invalidation_is_as_it_should_be(invalidated):
    """A read that starts after the invalidation and gives the version breaks nothing."""
    invalidated.read(1.5, 1)
    assert invalidated.broken() == []


def test_an_old_version_after_a_confirmed_invalidation_is_stale(invalidated):
    """A read that starts after the invalidation and gives the version before breaks rule a."""
    invalidated.read(1.41, 0)
    assert invalidated.broken() == ["a"]


def test_an_old_version_is_fine_for_a_read_that_starts_before_the_confirmation(invalidated):
    """A read that starts while the invalidation is under way may give either."""
    invalidated.read(1.39, 0, end=3.0)
    assert invalidated.broken() == []


def test_an_invalidation_obliges_for_writes_of_others(story):
    """A version that a read has shown before an invalidation began is covered by it, whoever wrote it and died."""
    story.write(1.0, None)
    story.read(1.1, 1)
    story.invalidate(1.3, 1.4)
    story.read(1.5, 0)
    assert story.broken() == ["a"]


def test_an_invalidation_that_began_before_the_write_was_confirmed_obliges_to_nothing(story):
    """What was perhaps committed after the deletion may still be hidden by what was cached in between."""
    story.write(1.0, 1.5)
    story.invalidate(1.3, 1.4)
    story.read(1.6, 0)
    assert story.broken() == []


def test_a_later_invalidation_does_not_lift_the_obligation(invalidated):
    """An invalidation that failed takes nothing back from one that was confirmed."""
    invalidated.write(2.0, 2.1)
    invalidated.invalidate(2.2, 2.4, FAILED)
    invalidated.read(2.5, 0)
    invalidated.read(2.5, 1)
    assert invalidated.broken() == ["a"]


def test_a_loader_is_obliged_by_its_own_invalidations(invalidated):
    """What was invalidated for one loader may be old in another until its ttl is over."""
    invalidated.read(1.5, 0, by=NAME)
    assert invalidated.broken() == []


def test_a_memo_may_answer_as_of_its_first_read(invalidated):
    """A scope that asked before the invalidation may get the same answer again; one that asked after it may not."""
    invalidated.read(1.5, 0, since=1.2)
    assert invalidated.broken() == []
    invalidated.read(3.0, 0, since=1.5)
    assert invalidated.broken() == ["a"]


# --- b: after a failed one ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [1.2, None], ids=["failed invalidation", "dead writer"])
def test_an_old_version_lives_no_longer_than_is_allowed(story, end):
    """Without a confirmed invalidation a read may be old for the ttl and the slack, and not longer."""
    story.write(1.0, end)
    story.read(1.1, 1)  # the sign: it ends at 1.2
    story.invalidate(1.3, 1.5, FAILED)
    story.read(1.2 + ALLOWED - 0.01, 0)
    assert story.broken() == []
    story.read(1.2 + ALLOWED + 0.01, 0)
    assert story.broken() == ["b"]


def test_a_write_that_nobody_has_seen_obliges_to_nothing(story):
    """When a dead writer's commit took place nobody knows until somebody sees it."""
    story.write(1.0, None)
    story.read(90.0, 0)
    assert story.broken() == []


def test_the_stalest_read_is_counted_from_the_first_sign(story):
    """The figure is how long a newer version had been known when the oldest read began."""
    story.write(1.0, 1.2)
    story.read(1.1, 0)
    story.read(3.2, 0)
    story.read(4.0, 1)
    assert stalest(story.history()) == pytest.approx(2.0)


# --- c: writes ----------------------------------------------------------------------------------------------------


def test_a_confirmed_write_that_is_not_in_the_database_is_lost(story):
    """Whoever was told ok finds the write in the list."""
    story.write(1.0, 1.2, done=False)
    assert story.broken() == ["c"]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("end", [2.0, None])
def test_an_unknown_write_may_or_may_not_have_been_done(story, done, end):
    """Of a write whose answer was lost, or whose writer died, either is fine."""
    story.write(1.0, end, UNKNOWN, done=done)
    assert story.broken() == []


def test_a_refused_write_was_not_done(story):
    """A write that was told as not done, and was, is a lie."""
    story.write(1.0, 1.2, FAILED)
    assert story.broken() == ["c"]


def test_no_write_is_done_twice(story):
    """A write that was sent again is found out, also if its outcome is unknown."""
    story.write(1.0, 1.2, UNKNOWN)
    story.committed.append(Committed(2, KEY, 2, "t1"))
    story.final[KEY] = (2, "t1")
    assert story.broken() == ["c"]


def test_no_version_comes_from_nowhere(story):
    """Each write of the list was begun by somebody, to that key."""
    story.committed.append(Committed(1, KEY, 1, "t9"))
    story.final[KEY] = (1, "t9")
    assert story.broken() == ["c"]


def test_versions_do_not_go_back(story):
    """Versions follow one another in the order of their commits."""
    story.write(1.0, 1.2)
    story.write(2.0, 2.2)
    story.committed[:] = [Committed(2, KEY, 1, "t1"), Committed(1, KEY, 2, "t2")]
    assert set(story.broken()) == {"c"}


def test_the_row_has_the_last_version(story):
    """A row that went back after its last write is found out."""
    story.write(1.0, 1.2)
    story.final[KEY] = (0, "")
    assert story.broken() == ["c"]


def test_a_later_write_has_a_later_version(story):
    """A write that began when another was confirmed comes after it; those that overlap come in either order."""
    story.write(1.0, 3.0)
    story.write(0.5, 1.5)
    assert story.broken() == []
    story.write(0.1, 0.2)
    assert story.broken() == ["c", "c"]


# --- d: what reads give -------------------------------------------------------------------------------------------


def test_the_answer_of_another_key_is_found_out(invalidated):
    """A row of another key breaks rule d alone, whatever its version."""
    invalidated.read(1.5, 1, place=8)
    assert invalidated.broken() == ["d"]


def test_half_an_answer_is_found_out(invalidated):
    """A row whose parts do not fit together breaks rule d."""
    invalidated.read(1.5, 1, place=-1)
    assert invalidated.broken() == ["d"]


@pytest.mark.parametrize(("version", "token"), [(2, "t9"), (2, "t1"), (1, "")])
def test_a_version_that_nobody_wrote_is_found_out(invalidated, version, token):
    """A version that no write made, or another, or none under that name, breaks rule d."""
    invalidated.read(1.5, version, token=token)
    assert invalidated.broken() == ["d"]


def test_no_read_knows_the_future(story):
    """A read that had ended before the write began cannot give its version."""
    story.write(5.0, 5.2)
    story.read(1.0, 1)
    assert story.broken() == ["d"]


@pytest.fixture
def crashed(story):
    """A write without an answer that a read has seen, and a crash; the version is then made again."""
    story.write(1.0, 1.5, UNKNOWN, done=False)
    story.read(1.1, 1, token="t1")
    story.faults.append(Fault(CRASH, 1.2, 1.4))
    story.versions = itertools.count(2)
    story.records.append(Begun("w", KEY, 2.0, "again"))
    story.records.append(Write("w", KEY, 2.0, 2.1, "again", OK, ""))
    story.committed.append(Committed(1, KEY, 1, "again"))
    story.final[KEY] = (1, "again")
    return story


def test_a_crash_may_lose_what_was_never_confirmed(crashed):
    """What a read saw just before a crash may be gone after it, and obliges to nothing."""
    crashed.read(1.6, 0)
    assert crashed.broken() == []


def test_without_a_crash_nothing_is_lost(crashed):
    """A version that was seen, and is not in the list, broke rule d if the database never crashed."""
    crashed.faults.clear()
    assert crashed.broken() == ["d"]


def test_a_lost_version_is_older_than_the_one_in_its_place(crashed):
    """A read that gives a lost write after its successor's invalidation is stale, though the versions are equal."""
    crashed.invalidate(2.2, 2.3)
    crashed.read(2.4, 1, token="t1")
    assert crashed.broken() == ["a"]


# --- e, and the tools ---------------------------------------------------------------------------------------------


def test_trouble_is_a_violation(story):
    """Whatever a worker says that should not be breaks rule e."""
    story.records.append(Trouble("w", "task hangs"))
    assert story.broken() == ["e"]


@pytest.mark.parametrize("outcome", [OK, FAILED])
def test_nothing_takes_for_ever(story, outcome):
    """An operation that outlasts all time limits breaks rule e, however it ends."""
    story.invalidate(1.0, 1.0 + PATIENCE, outcome)
    story.read(1.0, 0, end=1.0 + PATIENCE)
    assert story.broken() == []
    story.invalidate(1.0, 1.1 + PATIENCE, outcome)
    story.read(1.0, 0, end=1.1 + PATIENCE)
    assert story.broken() == ["e", "e"]


def test_violations_come_in_the_order_of_time(invalidated):
    """What was broken first is told first."""
    invalidated.read(3.0, 0)
    invalidated.read(2.0, 1, place=8)
    invalidated.read(1.5, 0)
    assert [(one.rule, one.culprit.start) for one in violations(invalidated.history())] == [
        ("a", 1.5),
        ("d", 2.0),
        ("a", 3.0),
    ]


def test_steps_keep_only_what_grows():
    """A later but lower point says nothing."""
    steps = Steps([(1.0, 2, None), (2.0, 1, None), (3.0, 4, None)])
    assert [steps.before(time)[0] for time in (1.0, 1.1, 2.5, 3.0, 3.1)] == [0, 2, 2, 2, 4]
    assert [steps.above(height) for height in (0, 2, 4)] == [1.0, 3.0, float("inf")]
