"""Importing a dump: what enters the database, and that a broken dump leaves nothing behind."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from examples.qa import __main__ as command
from examples.qa import invented, progress

from .conftest import TINY, WriteDump, xml_of


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_questions_and_answers_enter(tiny_site: Path) -> None:
    """Questions and their answers are imported; wikis and answers whose question is gone are not."""
    found = rows(tiny_site, "SELECT id, type, parent_id, title, accepted_id FROM posts ORDER BY id")
    assert found == [
        (1, 1, 0, "How does it loop?", 11),
        (4, 1, 0, "Why does it stop?", 0),
        (10, 2, 1, "", 0),
        (11, 2, 1, "", 0),
    ]


def test_deleted_users_are_nobody(tiny_site: Path) -> None:
    """What a deleted user wrote belongs to nobody, under the name that the dump still has."""
    assert rows(tiny_site, "SELECT owner_id, owner_name FROM posts ORDER BY id") == [
        (2, ""),
        (0, "user22"),
        (3, ""),
        (0, ""),
    ]
    assert rows(tiny_site, "SELECT user_id, user_name FROM comments") == [(3, ""), (0, "user9")]
    assert rows(tiny_site, "SELECT name FROM users WHERE id = 0") == [("someone",)]


def test_tags_of_both_spellings(tiny_site: Path) -> None:
    """Tags are read as older dumps write them and as newer ones do."""
    assert rows(tiny_site, "SELECT * FROM post_tags") == [(1, 0, "loops"), (1, 1, "engines"), (4, 0, "loops")]


def test_votes_get_voters(tiny_site: Path) -> None:
    """Each vote gets a user of its own; a post with more votes than users keeps the rest anonymous."""
    voters = [user for (user,) in rows(tiny_site, "SELECT user_id FROM votes WHERE post_id = 1")]
    assert sorted(voters, key=str) == [-1, 2, 3, None]
    assert rows(tiny_site, "SELECT SUM(value), COUNT(*) FROM votes") == [(3, 5)]


def test_bookmarks_are_follows(tiny_site: Path) -> None:
    """Who bookmarked a question follows it."""
    assert (2, 4) in rows(tiny_site, "SELECT * FROM follows")


def test_what_belongs_to_nothing_stays_out(tiny_site: Path) -> None:
    """Badges of unknown users, and comments and votes on unknown posts, are left out."""
    assert rows(tiny_site, "SELECT user_id, name, metal FROM badges") == [(2, "Teacher", 1)]
    assert rows(tiny_site, "SELECT id FROM comments") == [(1,), (2,)]


def test_the_same_dump_gives_the_same_bytes(tiny_site: Path, tmp_path: Path) -> None:
    """What the import makes up comes from a fixed seed."""
    again = tmp_path / "again.db"
    assert command.main(["import", "--data", str(tmp_path / "dump"), "--to", f"sqlite:{again}"]) == 0
    assert again.read_bytes() == tiny_site.read_bytes()


def test_nobody_follows_himself() -> None:
    """Invented followers are many, and never the one who is followed."""
    pairs = list(invented.follows(range(1, 40), range(1, 40), seed=1, mean=6))
    assert len(pairs) > 100
    assert [pair for pair in pairs if pair[0] == pair[1]] == []
    assert len(set(pairs)) == len(pairs)


def broken(name: str, before: str, after: str) -> dict[str, str]:
    """A dump in which one thing is changed."""
    whole = xml_of(name, TINY[name])
    assert before in whole
    return {name: whole.replace(before, after, 1)}


BROKEN = {
    "cut short": (broken("Posts", "</posts>", ""), "Posts.xml:12: broken XML: no element found"),
    "a tag never closed": (broken("Posts", '" />\n  <row Id="4"', '" >\n  <row Id="4"'), "Posts.xml:5: <row> where"),
    "no XML at all": ({"Users": "hello"}, "Users.xml:1: broken XML: syntax error"),
    "empty": ({"Tags": ""}, "Tags.xml:1: broken XML: no element found"),
    "another file's rows": ({"Badges": xml_of("Users", "")}, "Badges.xml:2: <users> where <badges> should be"),
    "a document type": (
        {"Tags": "<!DOCTYPE x [<!ENTITY a 'b'>]>\n<tags></tags>"},
        "Tags.xml:1: a dump has no <!DOCTYPE>",
    ),
    "an unknown encoding": ({"Tags": '<?xml version="1.0" encoding="klingon"?>\n<tags/>'}, "Tags.xml:1: "),
    "no number": (broken("Comments", 'Id="2"', 'Id="two"'), "Comments.xml:4: Id must be a whole number, it is 'two'"),
    "a number too large": (broken("Votes", 'PostId="10"', f'PostId="{10**30}"'), "Votes.xml:7: PostId must be a whole"),
    "no id": (broken("Users", 'Id="3" ', ""), "Users.xml:6: Id must be a whole number, it is missing"),
    "an id twice": (broken("Users", 'Id="3"', 'Id="2"'), "Users.xml:6: UNIQUE constraint failed: users.id"),
    "no text": (broken("Comments", 'Text="Which one?"', ""), "Comments.xml:3: Text is missing"),
    "no kind": (broken("Votes", 'VoteTypeId="15"', ""), "Votes.xml:10: VoteTypeId must be a whole number"),
    "no title": (broken("Posts", 'Title="Why does it stop?"', ""), "Posts.xml:5: Title is missing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_dump_is_one_line_and_nothing_else(
    case: str, write_dump: WriteDump, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken dump is told in one line with file and line; the site that was there before is untouched."""
    files, expected = BROKEN[case]
    home = tmp_path / "home"
    home.mkdir()
    (home / "site.db").write_bytes(b"the site of yesterday")
    assert command.main(["import", "--data", str(write_dump(**files)), "--to", f"sqlite:{home / 'site.db'}"]) == 2
    told = capsys.readouterr().err
    assert expected in told
    assert told.count("\n") == 1
    assert told.startswith("examples.qa: ")
    assert [one.name for one in home.iterdir()] == ["site.db"]
    assert (home / "site.db").read_bytes() == b"the site of yesterday"


def test_a_missing_file_is_named(write_dump: WriteDump, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dump that lacks a file is refused before anything is made."""
    folder = write_dump()
    (folder / "Votes.xml").unlink()
    assert command.main(["import", "--data", str(folder), "--to", f"sqlite:{tmp_path / 'site.db'}"]) == 2
    assert capsys.readouterr().err == f"examples.qa: {folder / 'Votes.xml'}: No such file or directory\n"
    assert [one.name for one in tmp_path.iterdir()] == ["dump"]


@pytest.mark.parametrize("to", ["sqlite:", "postgres://localhost/qa", "sqlite:/no/such/folder/site.db"])
def test_a_wrong_target_is_one_line(to: str, write_dump: WriteDump, capsys: pytest.CaptureFixture[str]) -> None:
    """A place where no site can be made is told in one line."""
    assert command.main(["import", "--data", str(write_dump()), "--to", to]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_stale_log_beside_the_old_file_goes(write_dump: WriteDump, tmp_path: Path) -> None:
    """A write-ahead log of the file that was replaced does not stay beside the new one."""
    (tmp_path / "site.db-wal").write_bytes(b"pages of the old file")
    assert command.main(["import", "--data", str(write_dump()), "--to", f"sqlite:{tmp_path / 'site.db'}"]) == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dump", "site.db"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_large_import_shows_progress() -> None:
    """A large dump tells how far it is, a line for every few percent."""
    stream = io.StringIO()
    shown = progress.Progress(progress.LARGE, stream)
    for _ in range(64):
        shown.advance(progress.LARGE // 64, "Posts.xml")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "  1 % Posts.xml"
    assert lines[-1] == "100 % Posts.xml"
    assert 15 <= len(lines) <= 20


def test_a_small_import_is_quiet_in_a_file_and_not_at_a_terminal() -> None:
    """A small dump says nothing in a log; a terminal is told, and left clean."""
    for stream, expected in ((io.StringIO(), ""), (Terminal(), "\r\x1b[K100 % Tags.xml\r\x1b[K")):
        shown = progress.Progress(10, stream)
        shown.advance(10, "Tags.xml")
        shown.done()
        assert stream.getvalue() == expected
