"""How each key type is fetched: one definition each, and the only SQL that the pages run.

Rules of this room:

- A definition says what a key is and what it gives; it knows no page.
- Every key type goes through the cache, also what belongs to one viewer (`follow`, `follow_user`, `my_vote`). Nobody
  else asks for these, but the viewer does, on each page again; were they left out, every page that is otherwise warm
  would still make a statement for each of them and level. The viewer is part of the key, so nobody sees another's.
- Whoever writes invalidates what it changed (`app.py`). The ttl bounds what a lost invalidation can do. The feed has a
  short one instead: what changes it are views, and nobody invalidates for a view.
- One text for both databases; `database.py` says what that takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import batchio
from batchio import Cache, Limits, Loader

from .database import Database, marked
from .records import NO_BADGES, NO_VOTES, Avatar, Badge, Badges, Comment, Heading, Link, Post, Tag, User, Votes

TTL = 3600.0  # seconds
FEED_TTL = 30.0  # seconds

Pair = tuple[int, int]


@dataclass(frozen=True)
class Loaders:
    """The thirteen key types of the model page, three more that a user's page asks for, and the feed's questions."""

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

    top: Loader[Pair, list[int]]  # (how many to skip, how many to give): the most viewed questions, by id


def make_loaders(
    db: Database, *, limits: Limits | None = None, memo: bool = True, cache: Cache | None = None
) -> Loaders:
    """Declare the loaders on a database."""
    plain: dict[str, Any] = {"limits": limits, "memo": memo, "cache": cache}
    ours: dict[str, Any] = {**plain, "ttl": TTL if cache else None}
    return Loaders(
        post=db.row("posts", key="id", into=Post, name="post", **ours),
        tags=db.select(_TAGS, key="post_id", into=Tag, many=True, name="tags", **ours),
        votes=db.select(_VOTES, key="post_id", into=Votes, default=NO_VOTES, name="votes", **ours),
        comments_of=db.rows("comments", key="post_id", columns="id", order_by="id", name="comments_of", **ours),
        answers_of=db.select(_ANSWERS, key="parent_id", columns="id", many=True, name="answers_of", **ours),
        links=db.select(_LINKS, key="post_id", into=Link, many=True, name="links", **ours),
        follow=db.row("follows", key=("user_id", "post_id"), columns="post_id", default=0, name="follow", **ours),
        my_vote=db.row("votes", key=("user_id", "post_id"), columns="value", default=0, name="my_vote", **ours),
        user=db.row("users", key="id", into=User, name="user", **ours),
        badges=db.select(_BADGES, key="user_id", into=Badges, default=NO_BADGES, name="badges", **ours),
        follow_user=db.row(
            "user_follows", key=("user_id", "followed_id"), columns="followed_id", default=0, name="follow_user", **ours
        ),
        avatar=db.row("avatars", key="user_id", into=Avatar, name="avatar", **ours),
        comment=db.row("comments", key="id", into=Comment, name="comment", **ours),
        followers=db.select(_FOLLOWERS, key="followed_id", columns="count", default=0, name="followers", **ours),
        badge_list=db.select(_BADGE_LIST, key="user_id", into=Badge, many=True, name="badge_list", **ours),
        written=db.rows(
            "posts", key=("owner_id", "type"), into=Heading, order_by=("-views", "id"), limit=10, name="written", **ours
        ),
        top=_top(db, {**plain, "ttl": FEED_TTL if cache else None}),
    )


def _top(db: Database, options: dict[str, Any]) -> Loader[Pair, list[int]]:
    """The feed: a statement for each part of it that is asked for, and nearly always that is one."""
    sql = marked(db, _FEED)

    async def load_batch(keys: list[Pair]) -> list[list[int]]:
        parts = await batchio.gather([db.fetch(sql, (count, skip)) for skip, count in keys])
        return [[row[0] for row in part] for part in parts]

    return Loader(load_batch, name="top", value_type=list[int], **options)


_FEED = "SELECT id FROM posts WHERE type = 1 ORDER BY views DESC, id LIMIT ? OFFSET ?"

_TAGS = """
    SELECT t.post_id, t.name, COALESCE(g.uses, 0) AS uses
    FROM post_tags t LEFT JOIN tags g ON g.name = t.name
    WHERE t.post_id IN :keys ORDER BY t.position"""

_VOTES = """
    SELECT post_id, COUNT(CASE WHEN value > 0 THEN 1 END) AS ups, COUNT(CASE WHEN value < 0 THEN 1 END) AS downs
    FROM votes WHERE post_id IN :keys GROUP BY post_id"""

_ANSWERS = """
    SELECT a.parent_id, a.id
    FROM posts a JOIN posts q ON q.id = a.parent_id LEFT JOIN votes v ON v.post_id = a.id
    WHERE a.parent_id IN :keys
    GROUP BY a.parent_id, a.id, q.accepted_id
    ORDER BY a.id = q.accepted_id DESC, COALESCE(SUM(v.value), 0) DESC, a.id"""

_LINKS = """
    SELECT l.post_id, l.related_id, p.title, l.kind
    FROM links l JOIN posts p ON p.id = l.related_id AND p.type = 1
    WHERE l.post_id IN :keys ORDER BY l.id"""

_BADGES = """
    SELECT user_id, COUNT(CASE metal WHEN 1 THEN 1 END) AS gold, COUNT(CASE metal WHEN 2 THEN 1 END) AS silver,
        COUNT(CASE metal WHEN 3 THEN 1 END) AS bronze
    FROM badges WHERE user_id IN :keys GROUP BY user_id"""

_BADGE_LIST = """
    SELECT user_id, name, metal, COUNT(*) AS times
    FROM badges WHERE user_id IN :keys GROUP BY user_id, metal, name ORDER BY metal, name"""

_FOLLOWERS = """
    SELECT followed_id, COUNT(*) AS count
    FROM user_follows WHERE followed_id IN :keys GROUP BY followed_id"""
