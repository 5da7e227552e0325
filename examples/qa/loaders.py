"""How each key type is fetched: one definition each, and the only SQL that the pages run.

Rules of this room: a definition says what a key is and what it gives; it knows no page. What belongs to one viewer
(`follow`, `follow_user`, `my_vote`) is never put in a shared cache: nobody else would ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchio import Cache, Limits, Loader
from batchio.sqlite import Database

from .records import NO_BADGES, NO_VOTES, Avatar, Badge, Badges, Comment, Heading, Link, Post, Tag, User, Votes

Pair = tuple[int, int]


@dataclass(frozen=True)
class Loaders:
    """The thirteen key types of the model page, then three more that a user's page asks for."""

    post: Loader[int, Post]
    tags: Loader[int, list[Tag]]  # of a question
    votes: Loader[int, Votes]  # of a post
    comments_of: Loader[int, list[int]]  # a post's comments, by id
    answers_of: Loader[int, list[int]]  # a question's answers, the accepted one first, then the best
    links: Loader[int, list[Link]]  # what a question points to
    follow: Loader[Pair, int]  # (viewer, question): not 0 when followed
    my_vote: Loader[Pair, int]  # (viewer, post): 1, -1, or 0
    user: Loader[int, User]
    badges: Loader[int, Badges]  # of a user
    follow_user: Loader[Pair, int]  # (viewer, user): not 0 when followed
    avatar: Loader[int, Avatar]  # of a user
    comment: Loader[int, Comment]

    followers: Loader[int, int]  # of a user: how many
    badge_list: Loader[int, list[Badge]]  # of a user
    written: Loader[Pair, list[Heading]]  # (user, post type): the most viewed


def make_loaders(
    db: Database, *, limits: Limits | None = None, memo: bool = True, cache: Cache | None = None
) -> Loaders:
    """Declare the loaders on a database."""
    mine: dict[str, Any] = {"limits": limits, "memo": memo}
    ours: dict[str, Any] = {**mine, "cache": cache}
    return Loaders(
        post=db.row("posts", key="id", into=Post, name="post", **ours),
        tags=db.select(_TAGS, key="post_id", into=Tag, many=True, name="tags", **ours),
        votes=db.select(_VOTES, key="post_id", into=Votes, default=NO_VOTES, name="votes", **ours),
        comments_of=db.rows("comments", key="post_id", columns="id", order_by="id", name="comments_of", **ours),
        answers_of=db.select(_ANSWERS, key="parent_id", columns="id", many=True, name="answers_of", **ours),
        links=db.select(_LINKS, key="post_id", into=Link, many=True, name="links", **ours),
        follow=db.row("follows", key=("user_id", "post_id"), columns="post_id", default=0, name="follow", **mine),
        my_vote=db.row("votes", key=("user_id", "post_id"), columns="value", default=0, name="my_vote", **mine),
        user=db.row("users", key="id", into=User, name="user", **ours),
        badges=db.select(_BADGES, key="user_id", into=Badges, default=NO_BADGES, name="badges", **ours),
        follow_user=db.row(
            "user_follows", key=("user_id", "followed_id"), columns="followed_id", default=0, name="follow_user", **mine
        ),
        avatar=db.row("avatars", key="user_id", into=Avatar, name="avatar", **ours),
        comment=db.row("comments", key="id", into=Comment, name="comment", **ours),
        followers=db.select(_FOLLOWERS, key="followed_id", columns="count", default=0, name="followers", **ours),
        badge_list=db.select(_BADGE_LIST, key="user_id", into=Badge, many=True, name="badge_list", **ours),
        written=db.rows(
            "posts", key=("owner_id", "type"), into=Heading, order_by=("-views", "id"), limit=10, name="written", **ours
        ),
    )


async def feed(db: Database, count: int, skip: int = 0) -> list[int]:
    """The most viewed questions, by id. Not keyed by anything, so it is no load but a read of its own."""
    return [row[0] for row in await db.fetch(_FEED, (count, skip))]


_FEED = "SELECT id FROM posts WHERE type = 1 ORDER BY views DESC, id LIMIT ? OFFSET ?"

_TAGS = """
    SELECT t.post_id, t.name, COALESCE(g.uses, 0) AS uses
    FROM post_tags t LEFT JOIN tags g ON g.name = t.name
    WHERE t.post_id IN :keys ORDER BY t.position"""

_VOTES = """
    SELECT post_id, SUM(value > 0) AS ups, SUM(value < 0) AS downs
    FROM votes WHERE post_id IN :keys GROUP BY post_id"""

_ANSWERS = """
    SELECT a.parent_id, a.id
    FROM posts a JOIN posts q ON q.id = a.parent_id LEFT JOIN votes v ON v.post_id = a.id
    WHERE a.parent_id IN :keys
    GROUP BY a.id ORDER BY a.id = q.accepted_id DESC, TOTAL(v.value) DESC, a.id"""

_LINKS = """
    SELECT l.post_id, l.related_id, p.title, l.kind
    FROM links l JOIN posts p ON p.id = l.related_id AND p.type = 1
    WHERE l.post_id IN :keys ORDER BY l.rowid"""

_BADGES = """
    SELECT user_id, SUM(rank = 1) AS gold, SUM(rank = 2) AS silver, SUM(rank = 3) AS bronze
    FROM badges WHERE user_id IN :keys GROUP BY user_id"""

_BADGE_LIST = """
    SELECT user_id, name, rank, COUNT(*) AS times
    FROM badges WHERE user_id IN :keys GROUP BY user_id, rank, name ORDER BY rank, name"""

_FOLLOWERS = """
    SELECT followed_id, COUNT(*) AS count
    FROM user_follows WHERE followed_id IN :keys GROUP BY followed_id"""
