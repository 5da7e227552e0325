"""asynq: generators instead of coroutines, and a scheduler of its own in place of the event loop.

What is measured is its Cython build, the one that its wheels have; `compiled` says how that is known. It has no memo
and no deduplication, so its batches may hold a key twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import asynq.async_task
import asynq.batching
import asynq.scheduler
from asynq import asynq as task
from asynq.batching import BatchBase, BatchItemBase

from tests.bench.page import Store, answer_html, author_html, question_html, viewer

NAME = "asynq"


def compiled() -> bool:
    """Whether the modules that do the work are shared objects, and their functions not Python's."""
    modules = (asynq.async_task, asynq.batching, asynq.scheduler)
    python = type(compiled)
    return all(not str(module.__file__).endswith(".py") for module in modules) and not any(
        isinstance(method, python) for method in (asynq.scheduler.TaskScheduler.wait_for, BatchBase.flush)
    )


class Source:
    """One key type: the batch that takes items now."""

    def __init__(self, fetch: Any) -> None:
        self.fetch = fetch
        self.batch = Batch(self)

    def load(self, key: Any) -> Item:
        return Item(self.batch, key)


class Batch(BatchBase):  # type: ignore[misc]
    """The items of one key type that leave together."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def _try_switch_active_batch(self) -> None:
        if self.source.batch is self:
            self.source.batch = Batch(self.source)

    def _flush(self) -> None:
        items = self.items
        for item, value in zip(items, self.source.fetch([item.key for item in items]), strict=True):
            item.set_value(value)

    def _cancel(self) -> None:
        pass


class Item(BatchItemBase):  # type: ignore[misc]
    """One load."""

    def __init__(self, batch: Batch, key: Any) -> None:
        super().__init__(batch)
        self.key = key


class Sources:
    """The page's six."""

    def __init__(self, store: Store) -> None:
        for kind, fetch in store.each("listed").items():
            setattr(self, kind, Source(fetch).load)


def pages(store: Store) -> Any:
    """A function that renders questions at once; a coroutine only because all of them are."""
    ld = Sources(store)

    @task()
    def together(questions: Iterable[int]) -> Any:
        return (yield [question.asynq(ld, viewer(q), q) for q in questions])

    async def at_once(questions: Iterable[int]) -> list[str]:
        return together(questions)

    return at_once


@task()
def question(ld: Any, me: int, q: int) -> Any:
    ids, post, votes = yield ld.answers(q), ld.post(q), ld.votes(q)
    return question_html(post, votes, (yield [answer.asynq(ld, me, a) for a in ids]))


@task()
def answer(ld: Any, me: int, a: int) -> Any:
    post, votes, mine = yield ld.post(a), ld.votes(a), ld.my_vote((me, a))
    return answer_html(post, votes, mine, (yield author.asynq(ld, post.by)))


@task()
def author(ld: Any, uid: int) -> Any:
    name, photo = yield ld.name(uid), ld.photo(uid)
    return author_html(name, photo)


# What the small measurements need of it -----------------------------------------------------------------------------

same = Source(list).load


@task()
def gathered(keys: Iterable[int]) -> Any:
    return (yield [same(key) for key in keys])


@task()
def one(key: int) -> Any:
    return (yield same(key))


@task()
def tasks(keys: Iterable[int]) -> Any:
    return (yield [one.asynq(key) for key in keys])
