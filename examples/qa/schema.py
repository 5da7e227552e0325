"""The tables of the site, and how a row enters them.

Rules of this room: text and plain data only. Nothing here opens a database.

Two choices: a missing number is 0 and a missing text is '', never NULL, because the pages treat both alike; only a
vote of a stranger has no user. And an avatar is a table of its own, so that it is a key type of its own, as on a site
that keeps its photos elsewhere.
"""

from __future__ import annotations

TABLES: dict[str, str] = {
    "users": """id INTEGER PRIMARY KEY, name TEXT NOT NULL, reputation INTEGER NOT NULL, created TEXT NOT NULL,
        location TEXT NOT NULL, website TEXT NOT NULL, bio TEXT NOT NULL""",
    "avatars": "user_id INTEGER PRIMARY KEY, initials TEXT NOT NULL, hue INTEGER NOT NULL",
    "posts": """id INTEGER PRIMARY KEY, type INTEGER NOT NULL, parent_id INTEGER NOT NULL, title TEXT NOT NULL,
        body TEXT NOT NULL, created TEXT NOT NULL, views INTEGER NOT NULL, owner_id INTEGER NOT NULL,
        owner_name TEXT NOT NULL, accepted_id INTEGER NOT NULL""",
    "post_tags": "post_id INTEGER NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL",
    "tags": "name TEXT PRIMARY KEY, uses INTEGER NOT NULL",
    "votes": "user_id INTEGER, post_id INTEGER NOT NULL, value INTEGER NOT NULL, UNIQUE (user_id, post_id)",
    "comments": """id INTEGER PRIMARY KEY, post_id INTEGER NOT NULL, text TEXT NOT NULL, score INTEGER NOT NULL,
        created TEXT NOT NULL, user_id INTEGER NOT NULL, user_name TEXT NOT NULL""",
    "badges": "id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, name TEXT NOT NULL, rank INTEGER NOT NULL",
    "links": "post_id INTEGER NOT NULL, related_id INTEGER NOT NULL, kind INTEGER NOT NULL",
    "follows": "user_id INTEGER NOT NULL, post_id INTEGER NOT NULL, PRIMARY KEY (user_id, post_id)",
    "user_follows": "user_id INTEGER NOT NULL, followed_id INTEGER NOT NULL, PRIMARY KEY (user_id, followed_id)",
}

INDEXES = (
    "CREATE INDEX posts_by_parent ON posts (parent_id)",
    "CREATE INDEX posts_by_views ON posts (type, views DESC, id)",
    "CREATE INDEX posts_by_owner ON posts (owner_id, type, views)",
    "CREATE INDEX post_tags_by_post ON post_tags (post_id, position)",
    "CREATE INDEX votes_by_post ON votes (post_id, value)",
    "CREATE INDEX comments_by_post ON comments (post_id)",
    "CREATE INDEX badges_by_user ON badges (user_id, rank, name)",
    "CREATE INDEX links_by_post ON links (post_id)",
    "CREATE INDEX user_follows_by_followed ON user_follows (followed_id)",
)

COLUMNS = {
    "users": 7, "avatars": 3, "posts": 10, "post_tags": 3, "tags": 2, "votes": 3, "comments": 7, "badges": 4,
    "links": 3, "follows": 2, "user_follows": 2,
}  # fmt: skip


def create(table: str) -> str:
    """The statement that makes a table.

    >>> create("tags")
    'CREATE TABLE tags (name TEXT PRIMARY KEY, uses INTEGER NOT NULL)'
    """
    return f"CREATE TABLE {table} ({TABLES[table]})"


def insert(table: str, *, ignore: bool = False) -> str:
    """The statement that takes one whole row; ``ignore`` skips a row that is there already.

    >>> insert("tags")
    'INSERT INTO tags VALUES (?, ?)'
    """
    marks = ", ".join("?" * COLUMNS[table])
    return f"INSERT {'OR IGNORE ' if ignore else ''}INTO {table} VALUES ({marks})"  # noqa: S608  a name of TABLES
