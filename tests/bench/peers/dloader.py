"""dloader: a loader is given its function and closed by `async with`; each request makes its own.

Under eager tasks (`asyncio.eager_task_factory`) its loads never end, so there it is not measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from dloader import DataLoader

from tests.bench.page import Store, answer_html, author_html, question_html, viewer

NAME = "dloader"
gather = asyncio.gather


async def same(keys: Sequence[int]) -> Sequence[int]:
    """Each key's value is the key."""
    return list(keys)


def batch_function(fetch: Any) -> Any:
    """One key type."""

    async def load(keys: Sequence[Any]) -> Sequence[Any]:
        return fetch(keys)

    return load


class Loaders:
    """The loaders of one request, inside their `async with`."""

    def __init__(self, answers: Any, post: Any, votes: Any, my_vote: Any, name: Any, photo: Any) -> None:
        self.answers, self.post, self.votes = answers, post, votes
        self.my_vote, self.name, self.photo = my_vote, name, photo


def pages(store: Store) -> Any:
    """A function that renders questions at once."""
    fn = {kind: batch_function(fetch) for kind, fetch in store.each("listed").items()}

    async def request(q: int) -> str:
        async with (
            DataLoader(fn["answers"]) as answers,
            DataLoader(fn["post"]) as post,
            DataLoader(fn["votes"]) as votes,
            DataLoader(fn["my_vote"]) as my_vote,
            DataLoader(fn["name"]) as name,
            DataLoader(fn["photo"]) as photo,
        ):
            return await question(Loaders(answers, post, votes, my_vote, name, photo), viewer(q), q)

    async def at_once(questions: Iterable[int]) -> list[str]:
        return await asyncio.gather(*[request(q) for q in questions])

    return at_once


async def question(ld: Loaders, me: int, q: int) -> str:
    ids, post, votes = await asyncio.gather(ld.answers.load(q), ld.post.load(q), ld.votes.load(q))
    return question_html(post, votes, await asyncio.gather(*[answer(ld, me, a) for a in ids]))


async def answer(ld: Loaders, me: int, a: int) -> str:
    post, votes, mine = await asyncio.gather(ld.post.load(a), ld.votes.load(a), ld.my_vote.load((me, a)))
    return answer_html(post, votes, mine, await author(ld, post.by))


async def author(ld: Loaders, uid: int) -> str:
    name, photo = await asyncio.gather(ld.name.load(uid), ld.photo.load(uid))
    return author_html(name, photo)


@asynccontextmanager
async def session(*, cached: bool = True) -> AsyncIterator[Any]:
    """A loader for one request."""
    async with DataLoader(same, cache=cached) as loader:
        yield loader
