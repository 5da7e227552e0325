"""The generated site: the same for the same seed, and of the shape of a real one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from examples.qa import __main__ as command


def generated(path: Path, *options: str) -> bytes:
    assert command.main(["generate", "--questions", "30", "--to", f"sqlite:{path}", *options]) == 0
    return path.read_bytes()


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """A seed means one site, to the last byte; another seed means another."""
    first = generated(tmp_path / "a.db", "--seed", "5")
    assert generated(tmp_path / "b.db", "--seed", "5") == first
    assert generated(tmp_path / "c.db", "--seed", "6") != first


def test_the_shape_is_that_of_a_real_site(generated_site: Path) -> None:
    """About two answers to a question and two comments to a post, and a few questions that draw most."""
    with closing(sqlite3.connect(generated_site)) as connection:
        (questions,) = connection.execute("SELECT COUNT(*) FROM posts WHERE type = 1").fetchone()
        (answers,) = connection.execute("SELECT COUNT(*) FROM posts WHERE type = 2").fetchone()
        (comments,) = connection.execute("SELECT COUNT(*) FROM comments").fetchone()
        (votes,) = connection.execute("SELECT COUNT(*) FROM votes").fetchone()
        views = [v for (v,) in connection.execute("SELECT views FROM posts WHERE type = 1 ORDER BY views DESC")]
    assert questions == 200
    assert 1.5 < answers / questions < 2.5
    assert 1.3 < comments / (questions + answers) < 2.5
    assert 8 < votes / questions < 20
    assert views[0] > 5 * views[len(views) // 2]


def test_one_question_is_a_site_too(tmp_path: Path) -> None:
    """The smallest site works."""
    path = tmp_path / "one.db"
    assert command.main(["generate", "--questions", "1", "--to", f"sqlite:{path}"]) == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM posts WHERE type = 1").fetchone() == (1,)
