"""Programs: what the batch function may do, and everybody is answered all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.faults.scoreboard.source import Case, Source, Values, value
from tests.faults.scoreboard.verdict import Broken, due, program, refused, settled

LEVELS = 10_000


@program(1, guarantee=9)
async def failed_batch(case: Case) -> None:
    """After a batch that failed, the next load asks again."""
    calls: list[Any] = []

    async def fetch(keys: Sequence[int]) -> Values:
        calls.append(keys)
        if len(calls) == 1:
            raise ValueError("away")
        return [value(key) for key in keys]

    async with case.request(fetch) as loader:
        [first] = await settled(loader.load(1))
        refused(first)
        [second] = await settled(loader.load(1))
        due(second, value(1))


@program(7, guarantee=9)
async def failed_key(case: Case) -> None:
    """An error for one key is that key's alone, and the next load of it asks again."""
    calls: list[Any] = []

    async def fetch(keys: Sequence[int]) -> Values:
        calls.append(keys)
        return [ValueError("away") if key == 1 and len(calls) == 1 else value(key) for key in keys]

    async with case.request(fetch) as loader:
        bad, good = await settled(loader.load(1), loader.load(2))
        refused(bad)
        due(good, value(2), "stranger's error")
        [again] = await settled(loader.load(1))
        due(again, value(1))


class Own(BaseException):
    """Of somebody's own, and no Exception."""


@program(2, guarantee=5)
async def base_exception(case: Case) -> None:
    """When the batch function raises a BaseException of its own, every caller gets an error."""

    async def fetch(keys: Sequence[int]) -> Values:
        raise Own

    async with case.request(fetch) as loader:
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(2, guarantee=5)
async def cancelled_inside(case: Case) -> None:
    """When something inside the batch function was cancelled, every caller gets an error, and no cancellation."""

    async def fetch(keys: Sequence[int]) -> Values:
        raise asyncio.CancelledError

    async with case.request(fetch) as loader:
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(4, guarantee=5)
async def too_few(case: Case) -> None:
    """One answer too few is an error for all of the batch."""

    async def fetch(keys: Sequence[int]) -> Values:
        return [value(key) for key in keys][1:]

    async with case.request(fetch) as loader:
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(4, guarantee=5)
async def too_many(case: Case) -> None:
    """One answer too many is an error for all of the batch."""

    async def fetch(keys: Sequence[int]) -> Values:
        return ["extra", *(value(key) for key in keys)]

    async with case.request(fetch) as loader:
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(5, guarantee=5)
async def nothing_returned(case: Case) -> None:
    """A batch function that returns nothing is an error for all of the batch."""

    async def fetch(keys: Sequence[int]) -> Any:
        return None

    async with case.request(fetch) as loader:
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(5, guarantee=5)
async def mapping_returned(case: Case) -> None:
    """A mapping is matched by its keys or refused."""

    async def fetch(keys: Sequence[int]) -> Any:
        return {key: value(key) for key in reversed(keys)}

    async with case.request(fetch) as loader:
        for key, got in zip((1, 2), await settled(loader.load(1), loader.load(2)), strict=True):
            if not isinstance(got, Exception):
                due(got, value(key))


@program(5, guarantee=5)
async def generator_returned(case: Case) -> None:
    """A generator is matched by its order or refused."""

    async def fetch(keys: Sequence[int]) -> Any:
        return (value(key) for key in keys)

    async with case.request(fetch) as loader:
        for key, got in zip((1, 2), await settled(loader.load(1), loader.load(2)), strict=True):
            if not isinstance(got, Exception):
                due(got, value(key))


@program(5, guarantee=5)
async def text_returned(case: Case) -> None:
    """A text is no list of answers, though it has as many letters as there were keys."""

    async def fetch(keys: Sequence[int]) -> Any:
        return "ab"

    async with case.request(fetch) as loader:
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(7, guarantee=5)
async def stop_iteration(case: Case) -> None:
    """A StopIteration for one key is an error for that key, and the others have their values."""

    async def fetch(keys: Sequence[int]) -> Values:
        return [StopIteration() if key == 2 else value(key) for key in keys]

    async with case.request(fetch) as loader:
        one, two, three = await settled(*map(loader.load, (1, 2, 3)))
        due(one, value(1), "stranger's error")
        refused(two)
        due(three, value(3), "stranger's error")


@program(8, guarantee=5)
async def never_returns(case: Case) -> None:
    """When the batch function never returns, every caller gets an error within the loader's time limit."""
    source = Source(opened=False)
    async with case.request(source.fetch, timeout=0.1) as loader:
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(10)
async def poison_key(case: Case) -> None:
    """A key that makes its whole batch fail can be left alone with its error; the others have their values."""

    async def fetch(keys: Sequence[int]) -> Values:
        if 13 in keys:
            raise ValueError("13")
        return [value(key) for key in keys]

    async with case.request(fetch, split=True) as loader:
        for key, got in enumerate(await settled(*map(loader.load, range(16)))):
            refused(got) if key == 13 else due(got, value(key), "stranger's error")


@program(13, guarantee=13)
async def chained(case: Case) -> None:
    """A batch function may load from another loader, with one slot for each."""
    source = Source()
    async with case.request(source.fetch, max_in_flight=1) as names:

        async def fetch(keys: Sequence[int]) -> Values:
            return list(await case.face.gather(*map(names.load, keys)))

        async with case.request(fetch, max_in_flight=1) as loader:
            one, two = await settled(loader.load(1), loader.load(2))
            due(one, value(1))
            due(two, value(2))


@program(14, guarantee=13)
async def own_key(case: Case) -> None:
    """A batch function that waits for its own key is told so."""
    loaders: list[Any] = []

    async def fetch(keys: Sequence[int]) -> Values:
        return [await loaders[0].load(key) for key in keys]

    async with case.request(fetch) as loader:
        loaders.append(loader)
        for got in await settled(loader.load(1), loader.load(2)):
            refused(got)


@program(14, guarantee=13)
async def circle(case: Case) -> None:
    """Two loaders that wait for each other's answers are told so."""
    loaders: list[Any] = []

    async def first(keys: Sequence[int]) -> Values:
        return [await loaders[1].load(key) for key in keys]

    async def second(keys: Sequence[int]) -> Values:
        return [await loaders[0].load(key) for key in keys]

    async with case.request(first) as one, case.request(second) as other:
        loaders += [one, other]
        [got] = await settled(one.load(1))
        refused(got)


@program(15, computes=30.0)
async def deep_page(case: Case) -> None:
    """A page of 10,000 levels, each a load and a gather with the level below, is rendered."""
    source, work = Source(), 0
    async with case.request(source.fetch) as loader:

        async def render(level: int) -> int:
            nonlocal work
            due(await loader.load(level), value(level))
            work += 1
            if level == LEVELS:
                return 1
            below, _ = await case.face.gather(render(level + 1), loader.load(-level))
            work += 1
            return int(below) + 1

        [got] = await settled(render(1), work=lambda: work)
        due(got, LEVELS)


@program(15, guarantee=13, computes=30.0)
async def deep_chain(case: Case) -> None:
    """A batch function that loads the next key from its own loader goes 10,000 levels deep, and comes back."""
    loaders: list[Any] = []
    work = 0

    async def fetch(keys: Sequence[int]) -> Values:
        nonlocal work
        work += 1
        found = [1 + (await loaders[0].load(key - 1) if key else 0) for key in keys]
        work += 1
        return found

    async with case.request(fetch) as loader:
        loaders.append(loader)
        [got] = await settled(loader.load(LEVELS), work=lambda: work)
        if isinstance(got, BaseException):
            raise Broken("error", type(got).__name__)  # its chain of causes is too long to be shown
        due(got, LEVELS + 1)
