"""The tables of the site, and how a row enters them, in SQLite's words and in MySQL's.

Rules of this room: text and plain data only. Nothing here opens a database.

Three choices: a missing number is 0 and a missing text is '', never NULL, because the pages treat both alike; only a
vote of a stranger has no user. An avatar is a table of its own, so that it is a key type of its own, as on a site
that keeps its photos elsewhere. And what a name means is the same in both databases: none is a reserved word in one of
them (`rank` is), and rows have no number but the one they are given (SQLite's rowid).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# INTEGER and TEXT are SQLite's words. SHORT is a text that is part of a key or an index, COUNTED the number that the
# database gives to a new row.
TABLES: dict[str, str] = {
    "users": """id INTEGER PRIMARY KEY, name TEXT NOT NULL, reputation INTEGER NOT NULL, created TEXT NOT NULL,
        location TEXT NOT NULL, website TEXT NOT NULL, bio TEXT NOT NULL""",
    "avatars": "user_id INTEGER PRIMARY KEY, initials TEXT NOT NULL, hue INTEGER NOT NULL",
    "posts": """id INTEGER PRIMARY KEY, type INTEGER NOT NULL, parent_id INTEGER NOT NULL, title TEXT NOT NULL,
        body TEXT NOT NULL, created TEXT NOT NULL, views INTEGER NOT NULL, owner_id INTEGER NOT NULL,
        owner_name TEXT NOT NULL, accepted_id INTEGER NOT NULL""",
    "post_tags": "post_id INTEGER NOT NULL, position INTEGER NOT NULL, name SHORT NOT NULL",
    "tags": "name SHORT PRIMARY KEY, uses INTEGER NOT NULL",
    "votes": "user_id INTEGER, post_id INTEGER NOT NULL, value INTEGER NOT NULL, UNIQUE (user_id, post_id)",
    "comments": """id COUNTED, post_id INTEGER NOT NULL, text TEXT NOT NULL, score INTEGER NOT NULL,
        created TEXT NOT NULL, user_id INTEGER NOT NULL, user_name TEXT NOT NULL""",
    "badges": "id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, name SHORT NOT NULL, metal INTEGER NOT NULL",
    "links": """id INTEGER PRIMARY KEY, post_id INTEGER NOT NULL, related_id INTEGER NOT NULL,
        kind INTEGER NOT NULL""",
    "follows": "user_id INTEGER NOT NULL, post_id INTEGER NOT NULL, PRIMARY KEY (user_id, post_id)",
    "user_follows": "user_id INTEGER NOT NULL, followed_id INTEGER NOT NULL, PRIMARY KEY (user_id, followed_id)",
}

INDEXES = {
    "posts_by_parent": ("posts", "parent_id"),
    "posts_by_views": ("posts", "type, views DESC, id"),
    "posts_by_owner": ("posts", "owner_id, type, views"),
    "post_tags_by_post": ("post_tags", "post_id, position"),
    "votes_by_post": ("votes", "post_id, value"),
    "comments_by_post": ("comments", "post_id"),
    "badges_by_user": ("badges", "user_id, metal, name"),
    "links_by_post": ("links", "post_id"),
    "user_follows_by_followed": ("user_follows", "followed_id"),
}

COLUMNS = {
    "users": 7, "avatars": 3, "posts": 10, "post_tags": 3, "tags": 2, "votes": 3, "comments": 7, "badges": 4,
    "links": 4, "follows": 2, "user_follows": 2,
}  # fmt: skip

SQLITE = {"SHORT": "TEXT", "COUNTED": "INTEGER PRIMARY KEY"}

# An id of a dump may have 18 digits, and a body 16 million bytes; an index takes no such text.
MYSQL = {
    "INTEGER": "BIGINT",
    "TEXT": "MEDIUMTEXT",
    "SHORT": "VARCHAR(255)",
    "COUNTED": "BIGINT PRIMARY KEY AUTO_INCREMENT",
}

# Texts are told apart to the last bit, as SQLite does: no collation of a language, for which é is e and A is a.
MYSQL_TAIL = " ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


def create(table: str, words: Mapping[str, str] = SQLITE, prefix: str = "") -> str:
    """The statement that makes a table; its name may have a prefix.

    >>> create("tags")
    'CREATE TABLE tags (name TEXT PRIMARY KEY, uses INTEGER NOT NULL)'
    >>> create("tags", MYSQL, "new_")[:75]
    'CREATE TABLE new_tags (name VARCHAR(255) PRIMARY KEY, uses BIGINT NOT NULL)'
    """
    columns = re.sub(r"[A-Z]+", lambda word: words.get(word[0], word[0]), TABLES[table])
    return f"CREATE TABLE {prefix}{table} ({columns}){MYSQL_TAIL if words is MYSQL else ''}"


def index(name: str, prefix: str = "") -> str:
    """The statement that makes an index.

    >>> index("links_by_post", "new_")
    'CREATE INDEX links_by_post ON new_links (post_id)'
    """
    table, columns = INDEXES[name]
    return f"CREATE INDEX {name} ON {prefix}{table} ({columns})"


def insert(table: str, *, ignore: bool = False) -> str:
    """SQLite's statement that takes one whole row; ``ignore`` skips a row that is there already.

    >>> insert("tags")
    'INSERT INTO tags VALUES (?, ?)'
    """
    marks = ", ".join("?" * COLUMNS[table])
    return f"INSERT {'OR IGNORE ' if ignore else ''}INTO {table} VALUES ({marks})"  # noqa: S608  a name of TABLES


def copy_in(table: str, prefix: str) -> str:
    """MySQL's statement that takes one whole row.

    >>> copy_in("tags", "new_")
    'INSERT INTO new_tags VALUES (%s, %s)'
    """
    marks = ", ".join(["%s"] * COLUMNS[table])
    return f"INSERT INTO {prefix}{table} VALUES ({marks})"  # noqa: S608  a name of TABLES
