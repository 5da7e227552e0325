"""Reads a Stack Exchange dump: seven XML files of one row per line, however large.

Rules of this room:

- Rows stream: one file's chunk is in memory, and the ids of users and posts.
- What is broken is one `BuildError` that names the file and the line. What real dumps are known to lack is not broken:
  deleted users, comments and votes on deleted posts, posts that are no question and no answer (they are left out).
- expat by hand, and not ElementTree.iterparse: only the parser itself knows the line that a row stands on. A document
  type is refused, so no entity can grow without end.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from . import invented, schema
from .progress import Progress
from .records import NOBODY
from .store import BuildError, add

FILES = ("Users", "Posts", "Tags", "Comments", "Votes", "Badges", "PostLinks")
CHUNK = 1 << 16  # bytes

QUESTION, ANSWER = 1, 2
UPVOTE, DOWNVOTE, BOOKMARK = 2, 3, 5

Attributes = Mapping[str, str]
Row = tuple[object, ...]


@dataclass
class Dump:
    """A folder of XML files on its way into a database."""

    folder: Path
    connection: sqlite3.Connection
    progress: Progress
    users: list[int] = field(default_factory=list)
    accounts: set[int] = field(default_factory=set)  # the same users, to look one up
    posts: set[int] = field(default_factory=set)


def load(connection: sqlite3.Connection, folder: Path) -> None:
    """Fill the tables from a dump. Raises BuildError."""
    dump = Dump(folder, connection, Progress(sum(_size(folder, name) for name in FILES)))
    for step in (_users, _posts, _tags, _comments, _votes, _badges, _links, _invent):
        step(dump)
    dump.progress.done()


# One step per file -----------------------------------------------------------------------------------------------


def _users(dump: Dump) -> None:
    """Accounts, with the one of nobody; and an avatar for each."""
    _copy(dump, "Users", "users", _user)
    dump.connection.execute(schema.insert("users", ignore=True), (NOBODY, "someone", 0, "", "", "", ""))
    rows = dump.connection.execute("SELECT id, name FROM users ORDER BY id").fetchall()
    add(dump.connection, "avatars", (invented.avatar(*row) for row in rows))
    dump.users = [user for user, _ in rows if user != NOBODY]
    dump.accounts = set(dump.users)


def _posts(dump: Dump) -> None:
    """Questions and answers; an answer may stand before its question, so orphans go when all are in."""

    def post(row: Attributes) -> Iterator[Row]:
        kind = _number(row, "PostTypeId")
        if kind in (QUESTION, ANSWER):
            add(dump.connection, "post_tags", _post_tags(row))
            yield _post(row, kind, dump.accounts)

    _copy(dump, "Posts", "posts", post)
    dump.connection.execute(
        "DELETE FROM posts WHERE type = 2 AND parent_id NOT IN (SELECT id FROM posts WHERE type = 1)"
    )
    dump.posts = {post for (post,) in dump.connection.execute("SELECT id FROM posts")}


def _tags(dump: Dump) -> None:
    _copy(dump, "Tags", "tags", lambda row: [(_text(row, "TagName"), _number(row, "Count", 0))])


def _comments(dump: Dump) -> None:
    _copy(dump, "Comments", "comments", lambda row: _comment(row, dump.accounts) if _on(row, dump.posts) else [])


def _votes(dump: Dump) -> None:
    """Votes for and against get a voter; a bookmark, whose user the dump names, is a follow."""
    bookmarks: list[Row] = []

    def cast() -> Iterator[tuple[int, int]]:
        for row in reader:
            kind, known = _number(row, "VoteTypeId"), _on(row, dump.posts)
            if known and kind in (UPVOTE, DOWNVOTE):
                yield _number(row, "PostId"), 1 if kind == UPVOTE else -1
            elif known and kind == BOOKMARK and _account(row, "UserId", dump.accounts):
                bookmarks.append((_number(row, "UserId"), _number(row, "PostId")))

    with Reader(dump, "Votes") as reader:
        add(dump.connection, "votes", invented.voters(cast(), dump.users, invented.SEED))
    add(dump.connection, "follows", bookmarks, ignore=True)


def _badges(dump: Dump) -> None:
    _copy(dump, "Badges", "badges", lambda row: _badge(row) if _account(row, "UserId", dump.accounts) else [])


def _links(dump: Dump) -> None:
    _copy(dump, "PostLinks", "links", lambda row: _link(row) if _on(row, dump.posts) else [])


def _invent(dump: Dump) -> None:
    """Who follows what, for the dump does not say."""
    questions = [post for (post,) in dump.connection.execute("SELECT id FROM posts WHERE type = 1 ORDER BY id")]
    add_follows(dump.connection, dump.users, questions, invented.SEED)


def add_follows(connection: sqlite3.Connection, users: list[int], questions: list[int], seed: int) -> None:
    """Followers of questions and of users, made up from the seed."""
    add(connection, "follows", invented.follows(users, questions, seed, mean=6), ignore=True)
    add(connection, "user_follows", invented.follows(users, users, seed + 1, mean=4))


# One function per kind of row ------------------------------------------------------------------------------------


def _user(row: Attributes) -> list[Row]:
    values = (row.get("Location", ""), row.get("WebsiteUrl", ""), row.get("AboutMe", ""))
    name = row.get("DisplayName") or f"user{row.get('Id')}"
    return [(_number(row, "Id"), name, _number(row, "Reputation", 0), _text(row, "CreationDate"), *values)]


def _post(row: Attributes, kind: int, users: Collection[int]) -> Row:
    owner = _account(row, "OwnerUserId", users)
    parent = _number(row, "ParentId") if kind == ANSWER else 0
    title = _text(row, "Title") if kind == QUESTION else ""
    texts = (title, _text(row, "Body"), _text(row, "CreationDate"))
    who = (owner, row.get("OwnerDisplayName", ""))
    return (
        _number(row, "Id"),
        kind,
        parent,
        *texts,
        _number(row, "ViewCount", 0),
        *who,
        _number(row, "AcceptedAnswerId", 0),
    )


def _post_tags(row: Attributes) -> Iterator[Row]:
    """Tags come as `<a><b>`, in newer dumps as `|a|b|`."""
    for position, name in enumerate(re.findall(r"[^<>|]+", row.get("Tags", ""))):
        yield _number(row, "Id"), position, name


def _comment(row: Attributes, users: Collection[int]) -> list[Row]:
    who = (_account(row, "UserId", users), row.get("UserDisplayName", ""))
    score, created = _number(row, "Score", 0), _text(row, "CreationDate")
    return [(_number(row, "Id"), _number(row, "PostId"), _text(row, "Text"), score, created, *who)]


def _badge(row: Attributes) -> list[Row]:
    return [(_number(row, "Id"), _number(row, "UserId"), _text(row, "Name"), _number(row, "Class", 3))]


def _link(row: Attributes) -> list[Row]:
    return [(_number(row, "Id"), _number(row, "PostId"), _number(row, "RelatedPostId"), _number(row, "LinkTypeId"))]


def _on(row: Attributes, posts: Collection[int]) -> bool:
    """Whether a row belongs to a post that we have."""
    return _number(row, "PostId") in posts


def _account(row: Attributes, name: str, users: Collection[int]) -> int:
    """The user that a row names, or nobody when the account is gone."""
    user = _number(row, name, NOBODY)
    return user if user in users else NOBODY


def _number(row: Attributes, name: str, default: int | None = None) -> int:
    text = row.get(name)
    if text is None and default is not None:
        return default
    if text is None or not re.fullmatch(r"-?[0-9]{1,18}", text):  # what SQLite takes as an integer
        raise ValueError(f"{name} must be a whole number, it is {'missing' if text is None else repr(text[:40])}")
    return int(text)


def _text(row: Attributes, name: str) -> str:
    if name not in row:
        raise ValueError(f"{name} is missing")
    return row[name]


# Reading ---------------------------------------------------------------------------------------------------------


def _copy(dump: Dump, file: str, table: str, convert: Callable[[Attributes], Iterable[Row]]) -> None:
    """Every row of a file into a table."""
    with Reader(dump, file) as reader:
        add(dump.connection, table, (made for row in reader for made in convert(row)))


class Reader:
    """The rows of one file, and the line that the last of them stands on.

    Whatever goes wrong in its block, in the XML, in a row's values or at the table, is told with that line: a
    statement takes rows one at a time, so the row that it stumbles over is the last one given.
    """

    def __init__(self, dump: Dump, name: str) -> None:
        self._path = dump.folder / f"{name}.xml"
        self._root = name.lower()
        self._progress = dump.progress
        self._depth = 0
        self._line = 1
        self._ready: list[tuple[int, dict[str, str]]] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, expat.ExpatError):
            raise self._broken(error.lineno, f"broken XML: {expat.ErrorString(error.code)}") from error
        if isinstance(error, (ValueError, LookupError, sqlite3.IntegrityError)):
            raise self._broken(self._line, str(error)) from error

    def __iter__(self) -> Iterator[Attributes]:
        with self._path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                self._parser.Parse(chunk, False)
                self._progress.advance(len(chunk), self._path.name)
                yield from self._parsed()
            self._parser.Parse(b"", True)

    def _parsed(self) -> Iterator[Attributes]:
        ready, self._ready = self._ready, []
        for self._line, row in ready:
            yield row

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        line = self._parser.CurrentLineNumber
        expected = self._root if self._depth == 0 else "row"
        if tag != expected or self._depth > 1:
            raise self._broken(line, f"<{tag}> where <{expected}> should be")
        if self._depth == 1:
            self._ready.append((line, attributes))
        self._depth += 1

    def _end(self, _tag: str) -> None:
        self._depth -= 1

    def _refuse(self, *_: object) -> None:
        raise self._broken(self._parser.CurrentLineNumber, "a dump has no <!DOCTYPE>")

    def _broken(self, line: int, what: str) -> BuildError:
        return BuildError(f"{self._path}:{line}: {what}")


def _size(folder: Path, name: str) -> int:
    """Bytes of a file; all are looked for before the first is read."""
    path = folder / f"{name}.xml"
    try:
        with path.open("rb"):
            return path.stat().st_size
    except OSError as error:
        raise BuildError(f"{path}: {error.strerror}") from error
