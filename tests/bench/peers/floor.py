"""The bare floor: a load is a future, and one callback resolves all that came in a pass. No guarantee whatever.

It is no library and no peer: it shows what asyncio itself takes for tasks that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.bench.page import Store, answer_html, author_html, question_html, viewer

NAME = "bare futures"
gather = asyncio.gather


class Loader:
    """One key type of one request."""

    def __init__(self, fetch: Any, *, cached: bool = True) -> None:
        self._fetch = fetch
        self._memo: dict[Any, asyncio.Future[Any]] | None = {} if cached else None
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []

    def load(self, key: Any) -> asyncio.Future[Any]:
        if self._memo is not None and key in self._memo:
            return self._memo[key]
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._answer)
        future = loop.create_future()
        self._waiting.append((key, future))
        if self._memo is not None:
            self._memo[key] = future
        return future

    __call__ = load

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for (_, future), value in zip(waiting, self._fetch([key for key, _ in waiting]), strict=True):
            future.set_result(value)

    async def load_many(self, keys: Sequence[Any]) -> list[Any]:
        return await asyncio.gather(*map(self.load, keys))


def pages(store: Store) -> Any:
    """A function that renders questions at once."""
    functions = store.each("listed")

    async def request(q: int) -> str:
        return await question({kind: Loader(fetch) for kind, fetch in functions.items()}, viewer(q), q)

    async def at_once(questions: Iterable[int]) -> list[str]:
        return await asyncio.gather(*[request(q) for q in questions])

    return at_once


async def question(ld: dict[str, Loader], me: int, q: int) -> str:
    ids, post, votes = await asyncio.gather(ld["answers"](q), ld["post"](q), ld["votes"](q))
    return question_html(post, votes, await asyncio.gather(*[answer(ld, me, a) for a in ids]))


async def answer(ld: dict[str, Loader], me: int, a: int) -> str:
    post, votes, mine = await asyncio.gather(ld["post"](a), ld["votes"](a), ld["my_vote"]((me, a)))
    return answer_html(post, votes, mine, await author(ld, post.by))


async def author(ld: dict[str, Loader], uid: int) -> str:
    name, photo = await asyncio.gather(ld["name"](uid), ld["photo"](uid))
    return author_html(name, photo)


@asynccontextmanager
async def session(*, cached: bool = True) -> AsyncIterator[Any]:
    """A loader for one request."""
    yield Loader(list, cached=cached)
