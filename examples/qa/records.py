"""The records that pages are made of. Plain named tuples: immutable, because one object answers many waiters.

Rules of this room: no behaviour and no imports of ours, so that the loaders and the hand-primed twin can share it.
"""

from __future__ import annotations

from typing import NamedTuple

NOBODY = 0  # the user who has no account: the owner of what deleted users wrote, and the viewer who is not signed in


class Post(NamedTuple):
    """A question (type 1, parent 0) or an answer (type 2, parent = its question)."""

    id: int
    type: int
    parent_id: int
    title: str
    body: str  # HTML, as its author wrote it: not safe yet
    created: str  # ISO 8601
    views: int
    owner_id: int
    owner_name: str  # what a dump still says of an owner whose account is gone
    accepted_id: int  # the answer that the asker accepted, or 0


class User(NamedTuple):
    """An account."""

    id: int
    name: str
    reputation: int
    created: str
    location: str
    website: str
    bio: str  # HTML, not safe yet


class Avatar(NamedTuple):
    """The photo that we draw ourselves: initials on a colour. Nothing is fetched from other people's servers."""

    initials: str
    hue: int  # degrees on the colour circle


class Badges(NamedTuple):
    """How many badges of each class a user has."""

    gold: int
    silver: int
    bronze: int


class Badge(NamedTuple):
    """One kind of badge that a user has, and how often."""

    name: str
    metal: int  # 1 gold, 2 silver, 3 bronze
    times: int


class Votes(NamedTuple):
    """How many voted a post up and down."""

    ups: int
    downs: int


class Comment(NamedTuple):
    """A remark under a post; plain text."""

    id: int
    post_id: int
    text: str
    score: int
    created: str
    user_id: int
    user_name: str


class Tag(NamedTuple):
    """A tag of a question, and how many questions have it."""

    name: str
    uses: int


class Link(NamedTuple):
    """A question that another one points to."""

    related_id: int
    title: str
    kind: int  # 1 linked, 3 duplicate


class Heading(NamedTuple):
    """A question in a list of titles."""

    id: int
    title: str
    views: int


NO_VOTES = Votes(0, 0)
NO_BADGES = Badges(0, 0, 0)
