"""The model page once more, primed by hand: what its authors had to write before loads could batch themselves.

Rules of this room: a plain connection, and nothing of batchio. Level by level, at most one statement for each key type
and level; then the page is put together from what was fetched. The templates are those of `pages.py`, so the HTML is
too.

Compare it with `pages.py`, and see what one more thing on the page would cost in each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from . import people, templates
from .html import Html
from .records import NO_BADGES, NO_VOTES, Avatar, Badges, Comment, Link, Post, Tag, User, Votes
from .store import Connection

SQL = {
    "post": "SELECT id, posts.* FROM posts WHERE id IN ({})",
    "tags": """SELECT t.post_id, t.name, COALESCE(g.uses, 0) FROM post_tags t LEFT JOIN tags g ON g.name = t.name
        WHERE t.post_id IN ({}) ORDER BY t.position""",
    "votes": """SELECT post_id, COUNT(CASE WHEN value > 0 THEN 1 END), COUNT(CASE WHEN value < 0 THEN 1 END)
        FROM votes WHERE post_id IN ({}) GROUP BY post_id""",
    "comments_of": "SELECT post_id, id FROM comments WHERE post_id IN ({}) ORDER BY id",
    "answers_of": """SELECT a.parent_id, a.id FROM posts a JOIN posts q ON q.id = a.parent_id
        LEFT JOIN votes v ON v.post_id = a.id WHERE a.parent_id IN ({})
        GROUP BY a.parent_id, a.id, q.accepted_id
        ORDER BY a.id = q.accepted_id DESC, COALESCE(SUM(v.value), 0) DESC, a.id""",
    "links": """SELECT l.post_id, l.related_id, p.title, l.kind FROM links l JOIN posts p
        ON p.id = l.related_id AND p.type = 1 WHERE l.post_id IN ({}) ORDER BY l.id""",
    "follow": "SELECT post_id, post_id FROM follows WHERE post_id IN ({}) AND user_id = ?",
    "my_vote": "SELECT post_id, value FROM votes WHERE post_id IN ({}) AND user_id = ?",
    "user": "SELECT id, users.* FROM users WHERE id IN ({})",
    "badges": """SELECT user_id, COUNT(CASE metal WHEN 1 THEN 1 END), COUNT(CASE metal WHEN 2 THEN 1 END),
        COUNT(CASE metal WHEN 3 THEN 1 END) FROM badges WHERE user_id IN ({}) GROUP BY user_id""",
    "follow_user": "SELECT followed_id, followed_id FROM user_follows WHERE followed_id IN ({}) AND user_id = ?",
    "avatar": "SELECT user_id, initials, hue FROM avatars WHERE user_id IN ({})",
    "comment": "SELECT id, comments.* FROM comments WHERE id IN ({})",
}


VIEWERS_OWN = ("follow", "my_vote", "follow_user")
FEED = "SELECT id FROM posts WHERE type = 1 ORDER BY views DESC, id LIMIT ?"

Values = tuple[Any, ...]


class Primed(NamedTuple):
    """The page, and what it took."""

    html: Html
    loads: int  # keys that the page needed, repeated ones counted again
    keys: int  # different ones
    levels: int  # rounds, each of which needed the answers of the one before


class Primer:
    """Everything fetched so far, by key type and key."""

    def __init__(self, connection: Connection, me: int) -> None:
        self.me = me
        self.loads = 0
        self._connection = connection
        self._rows: dict[str, dict[int, list[Values]]] = defaultdict(dict)

    @property
    def keys(self) -> int:
        """How many different keys were fetched."""
        return sum(map(len, self._rows.values()))

    def prime(self, kind: str, keys: Sequence[int]) -> None:
        """Fetch those of the keys that are not here yet, in one statement at most."""
        self.loads += len(keys)
        rows = self._rows[kind]
        wanted = [key for key in dict.fromkeys(keys) if key not in rows]
        rows.update((key, []) for key in wanted)
        if wanted:
            viewer = (self.me,) if kind in VIEWERS_OWN else ()
            sql = SQL[kind].format(", ".join("?" * len(wanted)))
            for key, *values in self._connection.execute(sql, (*wanted, *viewer)):
                rows[key].append(tuple(values))

    def all(self, kind: str, key: int) -> list[Values]:
        """The rows of a key. One that was never primed is a KeyError: the usual bug of such a page."""
        return self._rows[kind][key]

    def ids(self, kind: str, key: int) -> list[int]:
        """The rows of a key that are ids."""
        return [values[0] for values in self.all(kind, key)]

    def one(self, kind: str, key: int) -> Values:
        """The only row of a key."""
        return self.all(kind, key)[0]

    def post(self, key: int) -> Post:
        """A post."""
        return Post(*self.one("post", key))

    def votes(self, key: int) -> Votes:
        """The votes on a post."""
        return Votes(*next(iter(self.all("votes", key)), NO_VOTES))

    def flag(self, kind: str, key: int) -> int:
        """A viewer's vote or follow; 0 when there is none."""
        return next(iter(self.ids(kind, key)), 0)


def page(connection: Connection, me: int, count: int) -> Primed:
    """The feed of the most viewed questions."""
    questions = [q for (q,) in connection.execute(FEED, (count,))]
    primer = Primer(connection, me)
    levels = prime(primer, questions)
    return Primed(feed(primer, questions), primer.loads, primer.keys, levels)


# First all the data, level by level ------------------------------------------------------------------------------


def prime(primer: Primer, questions: Sequence[int]) -> int:
    """Fetch what the page will need; gives the number of levels."""
    level_1(primer, questions)
    answers = [a for q in questions for a in primer.ids("answers_of", q)]
    remarks = [c for q in questions for c in primer.ids("comments_of", q)]
    level_2(primer, questions, answers, remarks)
    replies = [c for a in answers for c in primer.ids("comments_of", a)]
    level_3(primer, answers, remarks, replies)
    primer.prime("user", commenters(primer, replies))  # level 4
    return 4


def level_1(primer: Primer, questions: Sequence[int]) -> None:
    """The questions themselves."""
    for kind in ("post", "tags", "votes", "comments_of", "answers_of", "links", "follow", "my_vote"):
        primer.prime(kind, questions)


def level_2(primer: Primer, questions: Sequence[int], answers: Sequence[int], remarks: Sequence[int]) -> None:
    """Who asked, what was remarked, and the answers."""
    for kind in ("user", "badges", "follow_user", "avatar"):
        primer.prime(kind, owners(primer, questions))
    primer.prime("comment", remarks)
    for kind in ("post", "votes", "comments_of", "my_vote"):
        primer.prime(kind, answers)


def level_3(primer: Primer, answers: Sequence[int], remarks: Sequence[int], replies: Sequence[int]) -> None:
    """Who answered, who remarked, and what was remarked about the answers."""
    primer.prime("user", [*commenters(primer, remarks), *owners(primer, answers)])
    for kind in ("badges", "follow_user", "avatar"):
        primer.prime(kind, owners(primer, answers))
    primer.prime("comment", replies)


def owners(primer: Primer, posts: Sequence[int]) -> list[int]:
    """Who wrote some posts."""
    return [primer.post(key).owner_id for key in posts]


def commenters(primer: Primer, comments: Sequence[int]) -> list[int]:
    """Who wrote some comments."""
    return [Comment(*primer.one("comment", key)).user_id for key in comments]


# Then the page, of what was fetched ------------------------------------------------------------------------------


def feed(primer: Primer, questions: Sequence[int]) -> Html:
    """Whole questions, one below the other."""
    return templates.feed([question(primer, q) for q in questions])


def question(primer: Primer, q: int) -> Html:
    """A question with its asker, its comments and its answers."""
    post = primer.post(q)
    return templates.question(
        primer.me,
        post,
        [Tag(*values) for values in primer.all("tags", q)],
        primer.votes(q),
        primer.flag("my_vote", q),
        primer.flag("follow", q),
        [Link(*values) for values in primer.all("links", q)],
        author(primer, post),
        comments(primer, q),
        [answer(primer, a, accepted=a == post.accepted_id) for a in primer.ids("answers_of", q)],
    )


def answer(primer: Primer, a: int, *, accepted: bool) -> Html:
    """An answer with its author and its comments."""
    post, mine = primer.post(a), primer.flag("my_vote", a)
    by, remarks = author(primer, post), comments(primer, a)
    return templates.answer(primer.me, post, primer.votes(a), mine, by, remarks, accepted=accepted)


def author(primer: Primer, post: Post) -> Html:
    """Who wrote a post."""
    uid = post.owner_id
    badges = Badges(*next(iter(primer.all("badges", uid)), NO_BADGES))
    user, avatar = User(*primer.one("user", uid)), Avatar(*primer.one("avatar", uid))
    followed = primer.flag("follow_user", uid)
    return people.author(primer.me, user, badges, followed, avatar, post.owner_name)


def comments(primer: Primer, post: int) -> Html:
    """The comments under a post."""
    return templates.comments(primer.me, post, [comment(primer, c) for c in primer.ids("comments_of", post)])


def comment(primer: Primer, c: int) -> Html:
    """One comment and its author's name."""
    said = Comment(*primer.one("comment", c))
    return templates.comment(said, User(*primer.one("user", said.user_id)))
