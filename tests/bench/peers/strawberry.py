"""strawberry's DataLoader: a loader is given its function, and each request makes its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from strawberry.dataloader import DataLoader

from tests.bench.page import Store, answer_html, author_html, question_html, viewer

NAME = "strawberry"
gather = asyncio.gather


async def same(keys: list[int]) -> list[int]:
    """Each key's value is the key."""
    return list(keys)


def batch_function(fetch: Any) -> Any:
    """One key type."""

    async def load(keys: list[Any]) -> list[Any]:
        return fetch(keys)

    return load


class Loaders:
    """The loaders of one request."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self.answers = DataLoader(load_fn=functions["answers"])
        self.post = DataLoader(load_fn=functions["post"])
        self.votes = DataLoader(load_fn=functions["votes"])
        self.my_vote = DataLoader(load_fn=functions["my_vote"])
        self.name = DataLoader(load_fn=functions["name"])
        self.photo = DataLoader(load_fn=functions["photo"])


def pages(store: Store) -> Any:
    """A function that renders questions at once."""
    functions = {kind: batch_function(fetch) for kind, fetch in store.each("listed").items()}

    async def request(q: int) -> str:
        return await question(Loaders(functions), viewer(q), q)

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
    yield DataLoader(load_fn=same, cache=cached)
