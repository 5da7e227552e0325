"""batchio: loaders are made once, a request is a scope."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import batchio
from tests.bench.page import Store, answer_html, author_html, question_html, viewer

NAME = "batchio"
gather = batchio.gather


@batchio.loader
async def same(keys: list[int]) -> dict[int, int]:
    """Each key's value is the key."""
    return {key: key for key in keys}


class Loaders:
    """The page's six."""

    def __init__(self, store: Store) -> None:
        for kind, fetch in store.each("mapping").items():
            setattr(self, kind, self._loader(kind, fetch))

    def _loader(self, kind: str, fetch: Any) -> Any:
        @batchio.loader(name=kind)
        async def load_batch(keys: list[Any]) -> dict[Any, Any]:
            return fetch(keys)

        return load_batch


def pages(store: Store) -> Any:
    """A function that renders questions at once."""
    ld = Loaders(store)

    async def request(q: int) -> str:
        with batchio.scope():
            return await question(ld, viewer(q), q)

    async def at_once(questions: Iterable[int]) -> list[str]:
        return await batchio.gather([request(q) for q in questions])

    return at_once


async def question(ld: Any, me: int, q: int) -> str:
    ids, post, votes = await batchio.gather(ld.answers(q), ld.post(q), ld.votes(q))
    return question_html(post, votes, await batchio.gather([answer(ld, me, a) for a in ids]))


async def answer(ld: Any, me: int, a: int) -> str:
    post, votes, mine = await batchio.gather(ld.post(a), ld.votes(a), ld.my_vote((me, a)))
    return answer_html(post, votes, mine, await author(ld, post.by))


async def author(ld: Any, uid: int) -> str:
    name, photo = await batchio.gather(ld.name(uid), ld.photo(uid))
    return author_html(name, photo)


@asynccontextmanager
async def session(*, cached: bool = True) -> AsyncIterator[Any]:
    """A loader for one request; without a scope it remembers nothing."""
    if not cached:
        yield same
        return
    with batchio.scope():
        yield same
