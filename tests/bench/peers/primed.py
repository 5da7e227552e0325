"""By hand: all data level by level, then the page. No tasks, no futures; the least that a page can cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.bench.page import Store, answer_html, author_html, question_html, viewer

NAME = "primed by hand"


def pages(store: Store) -> Any:
    """A function that renders questions, one after the other: by hand there is nothing to share."""

    async def at_once(questions: Iterable[int]) -> list[str]:
        return [question(store, viewer(q), q) for q in questions]

    return at_once


def question(store: Store, me: int, q: int) -> str:
    ids = store.mapping("answers", [q])[q]
    post, votes = store.mapping("post", [q])[q], store.mapping("votes", [q])[q]
    posts, counts = store.mapping("post", ids), store.mapping("votes", ids)
    mine = store.mapping("my_vote", [(me, a) for a in ids])
    authors = list({posts[a].by for a in ids})
    names, photos = store.mapping("name", authors), store.mapping("photo", authors)
    by = {uid: author_html(names[uid], photos[uid]) for uid in authors}
    return question_html(post, votes, [answer_html(posts[a], counts[a], mine[me, a], by[posts[a].by]) for a in ids])
