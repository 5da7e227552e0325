"""aiodataloader: a loader is a class, and each request makes its own; `asyncio.gather` does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiodataloader import DataLoader

from tests.bench.page import Store, answer_html, author_html, question_html, viewer

NAME = "aiodataloader"
gather = asyncio.gather


class Same(DataLoader[int, int]):
    """Each key's value is the key."""

    async def batch_load_fn(self, keys: list[int]) -> list[int]:
        return list(keys)


def loader_class(fetch: Any) -> type[DataLoader[Any, Any]]:
    """One key type."""

    class One(DataLoader[Any, Any]):
        async def batch_load_fn(self, keys: list[Any]) -> list[Any]:
            return fetch(keys)

    return One


class Loaders:
    """The loaders of one request."""

    def __init__(self, classes: dict[str, type[DataLoader[Any, Any]]]) -> None:
        self.answers = classes["answers"]()
        self.post = classes["post"]()
        self.votes = classes["votes"]()
        self.my_vote = classes["my_vote"]()
        self.name = classes["name"]()
        self.photo = classes["photo"]()


def pages(store: Store) -> Any:
    """A function that renders questions at once."""
    classes = {kind: loader_class(fetch) for kind, fetch in store.each("listed").items()}

    async def request(q: int) -> str:
        return await question(Loaders(classes), viewer(q), q)

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
    yield Same(cache=cached)
