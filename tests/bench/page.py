"""The page that every way renders: its data, its words, and how it is counted.

One question and 20 answers: 103 loads of 6 key types over 3 levels, in 41 async functions. The question asks for its
answers, its text and its votes; an answer for its text, its votes and the viewer's vote, and then for its author; an
author is two loads. The store is a dict, so that what is left of a page's cost is the scheduling.

Rules:
- A peer asks the store for many keys at once, in the form that its own batch function returns, and the store counts.
- Peers share the words and nothing else: each is written once more, as its own documentation says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

QUESTIONS = 64
ANSWERS = 20
LOADS = 3 + ANSWERS * 5
AUTHORS = 997  # who wrote it all; on one page, somebody may have written twice
ON_A_PAGE = 17

KINDS = ("answers", "post", "votes", "my_vote", "name", "photo")


class Post(NamedTuple):
    """A question or an answer."""

    text: str
    by: int


def viewer(question: int) -> int:
    """Who looks at it: each request is somebody else's."""
    return 7000 + question


def tables() -> dict[str, dict[Hashable, Any]]:
    """All data, by key type and key."""
    found: dict[str, dict[Hashable, Any]] = {kind: {} for kind in KINDS}
    for q in range(QUESTIONS):
        answers = [1000 + q * ANSWERS + i for i in range(ANSWERS)]
        found["answers"][q] = tuple(answers)
        for i, post in enumerate([q, *answers]):
            found["post"][post] = Post(f"text {post}", 1 + (q * ON_A_PAGE + i % ON_A_PAGE) % AUTHORS)
            found["votes"][post] = post % 31
            found["my_vote"][viewer(q), post] = post % 3 - 1
    for user in range(1, 1 + AUTHORS):
        found["name"][user] = f"user {user}"
        found["photo"][user] = f"/photo/{user}.png"
    return found


class Store:
    """The data, and how often it was asked."""

    def __init__(self) -> None:
        self._tables = tables()
        self.calls: Counter[str] = Counter()

    def mapping(self, kind: str, keys: Iterable[Any]) -> dict[Any, Any]:
        """The values by key."""
        self.calls[kind] += 1
        table = self._tables[kind]
        return {key: table[key] for key in keys}

    def listed(self, kind: str, keys: Iterable[Any]) -> list[Any]:
        """The values in the order of the keys."""
        self.calls[kind] += 1
        table = self._tables[kind]
        return [table[key] for key in keys]

    def each(self, how: str) -> dict[str, Callable[[Iterable[Any]], Any]]:
        """A function for each key type: `mapping` or `listed`."""
        return {kind: partial(getattr(self, how), kind) for kind in KINDS}


# Words --------------------------------------------------------------------------------------------------------------


def question_html(post: Post, votes: int, answers: Sequence[str]) -> str:
    """A whole page."""
    return f"<h1>{post.text}</h1><i>{votes}</i>{''.join(answers)}"


def answer_html(post: Post, votes: int, mine: int, by: str) -> str:
    """An answer."""
    return f"<p>{post.text} {by}<i>{votes}</i><b>{mine}</b></p>"


def author_html(name: str, photo: str) -> str:
    """Who wrote it."""
    return f"<img src='{photo}'>{name}"


def digest(pages: Iterable[str]) -> str:
    """What must be the same for all ways."""
    return hashlib.sha256("\n".join(pages).encode()).hexdigest()
