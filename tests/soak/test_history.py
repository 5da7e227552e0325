"""What a soak writes down comes back, and what it prints names the culprit."""

from __future__ import annotations

from tests.soak import report
from tests.soak.checker import History, violations
from tests.soak.history import (
    FAILED,
    ID,
    KINDS,
    NAME,
    OK,
    Begun,
    Committed,
    Found,
    Invalidation,
    Journal,
    Missed,
    Read,
    Trouble,
    Write,
    records,
)


def test_a_journal_is_read_again_but_for_a_torn_line(tmp_path):
    """Every record comes back as it was; a line that a kill cut off is left out."""
    written = [
        Read("w", ID, 1, 0.1, 0.1, 0.2, 1, 3, "t"),
        Missed("w", NAME, 1, 0.1, 0.2, "KeyNotFound"),
        Begun("w", 1, 0.1, "t"),
        Write("w", 1, 0.1, 1 / 3, "t", OK, ""),
        Invalidation("w", ID, 1, 0.1, 0.2, FAILED, "é"),
        Found("w", 1, 2, 3),
        Trouble("w", "said\nso"),
    ]
    journal = Journal(tmp_path / "w.history")
    for record in written:
        journal.note(record)
    with (tmp_path / "w.history").open("ab") as file:
        file.write(b'["Read", "w", "id"')
    assert list(records(tmp_path)) == written


def test_a_broken_promise_is_shown_with_its_neighbours():
    """The culprit is marked, and so is what obliged it; other loaders' reads are not shown."""
    told = [
        Begun("w", 7, 1.0, "t"),
        Read("r", ID, 7, 1.05, 1.05, 1.1, 7, 0, ""),
        Write("w", 7, 1.0, 1.2, "t", OK, ""),
        Invalidation("w", ID, 7, 1.3, 1.4, OK, ""),
        Read("r", ID, 7, 1.5, 1.5, 1.6, 7, 0, ""),
        Read("r", NAME, 7, 1.5, 1.5, 1.55, 7, 0, ""),
    ]
    history = History(told, [Committed(1, 7, 1, "t")], {7: (1, "t")}, allowed=5.0, patience=5.0)
    lines = list(report.shown(history, violations(history)))
    assert lines[0] == "--- rule a: version 0 after version 1 was invalidated and confirmed"
    shown = [(line[0], next(kind for kind in KINDS if f" {kind} " in line)) for line in lines[1:]]
    assert shown == [(" ", "Begun"), (" ", "Read"), (" ", "Write"), ("!", "Invalidation"), (">", "Read")]
    assert report.figures(history)["reads"] == 3
