"""Each pattern of asynq code, before and after: a folder of `cases` holds a pair of files, and nothing else.

A new pattern is a new folder. `after.py` is written by hand or read with care; no test writes it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from batchio.migrate._report import Outcome
from batchio.migrate._run import migrate

CASES = sorted(Path(__file__).with_name("cases").iterdir())

# The rows of the inventory of asynq code. The 50th cannot be written: a yield in a comprehension is no Python.
ROWS = {*range(1, 50), 51, 52}


def migrated(folder: Path, text: str) -> Outcome:
    """What becomes of one file."""
    file = folder / "before.py"
    file.write_text(text, encoding="utf-8")
    (outcome,) = migrate("asynq", [file], write_files=False, processes=1)
    return outcome


def test_every_pattern_has_a_case() -> None:
    """The numbers of the cases are the rows of the inventory."""
    assert {int(case.name[:2]) for case in CASES} == ROWS
    assert all({file.name for file in case.iterdir()} == {"before.py", "after.py"} for case in CASES)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_pattern_becomes_what_its_case_says(case: Path, tmp_path: Path) -> None:
    """The text before becomes the text after, which compiles and is not changed again."""
    after = (case / "after.py").read_text(encoding="utf-8")
    outcome = migrated(tmp_path, (case / "before.py").read_text(encoding="utf-8"))
    assert outcome.new == after
    compile(after, case.name, "exec")
    again = migrate("asynq", [rewritten(tmp_path, after)], write_files=False, processes=1)
    assert not any(each.changed for each in again)
    assert [reason for each in again for _, reason in each.left] == [reason for _, reason in outcome.left]


def rewritten(folder: Path, text: str) -> Path:
    file = folder / "before.py"
    file.write_text(text, encoding="utf-8")
    return file
