"""The model page three ways, and what each costs: the `page` command.

Rules of this room:

- Calls are counted at the database, by SQLite's own trace or by MySQL's Com_select, and never by what batchio says of
  itself. The statement that finds the feed's ids is counted too, in each way.
- Loads, different keys and levels are counted on the way into the loaders, in a pass of its own that is not timed. A
  level is a round: answers are held back until all that was asked for has come, and are then given out together. The
  feed's ids come before: they say of what the page is, and are no part of it.
- The primed page counts its own loads; it has no loaders to stand in front of.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any

import batchio

from . import pages, primed
from .html import Html, Viewer, layout
from .loaders import Loaders, make_loaders
from .places import Count, Place

REPEATS = 5  # timed pages per way, after one that warms the database and the cleaned bodies

ONE_BY_ONE = batchio.Limits(max_batch_size=1)


@dataclass(frozen=True)
class Result:
    """One way of rendering the page."""

    way: str
    loads: int  # keys that render functions asked for
    keys: int  # different ones
    calls: int  # statements at the database; the most that one of the pages took
    levels: int  # rounds of loads, each of which needed the answers of the one before
    ms: float  # per page, the median
    sha256: str  # of the HTML

    def json(self) -> str:
        """The result as one line."""
        return json.dumps({**vars(self), "ms": round(self.ms, 2)})


class Rounds:
    """Stands before the loaders: counts what is asked, and hands answers out a round at a time."""

    def __init__(self) -> None:
        self.loads = 0
        self.levels = 0
        self.keys: set[tuple[str, Hashable]] = set()
        self._asked: list[tuple[asyncio.Future[Any], asyncio.Future[Any]]] = []

    def before(self, loaders: Loaders) -> Loaders:
        """The same loaders, counted."""
        names = [field.name for field in fields(loaders) if field.name != "top"]
        counted: dict[str, Any] = {name: self._counted(name, getattr(loaders, name)) for name in names}
        return replace(loaders, **counted)

    def _counted(self, name: str, load: Callable[[Any], asyncio.Future[Any]]) -> Callable[[Any], asyncio.Future[Any]]:
        def ask(key: Any) -> asyncio.Future[Any]:
            self.loads += 1
            self.keys.add((name, key))
            answer, held = load(key), asyncio.get_running_loop().create_future()
            self._asked.append((answer, held))
            answer.add_done_callback(self._arrived)
            return held

        return ask

    def _arrived(self, _answer: object) -> None:
        if not self._asked or not all(answer.done() for answer, _ in self._asked):
            return  # the round is given out already, or not whole yet
        self.levels += 1
        asked, self._asked = self._asked, []
        for answer, held in asked:
            if error := answer.exception():
                held.set_exception(error)
            else:
                held.set_result(answer.result())


def three_ways(place: Place, questions: int, *, cache: Any = None) -> list[Result]:
    """Render the page in each way on one database; where a cache is given, once more from it when it knows the page."""
    viewer = some_viewer(place)
    results = [
        asyncio.run(by_loaders("naive", place, viewer, questions, limits=ONE_BY_ONE, memo=False)),
        by_hand(place, viewer, questions),
        asyncio.run(by_loaders("batchio", place, viewer, questions)),
    ]
    if cache is not None:
        results.append(asyncio.run(by_loaders("batchio, warm cache", place, viewer, questions, cache=cache)))
    return results


def some_viewer(place: Place) -> Viewer:
    """Who looks at the page: the first user with an account, so that votes and follows are looked up too."""
    with place.connected() as connection:
        rows = list(connection.execute("SELECT id, name FROM users WHERE id > 0 ORDER BY id LIMIT 1"))
    return Viewer(*rows[0]) if rows else Viewer(0, "")


async def by_loaders(way: str, place: Place, viewer: Viewer, questions: int, **options: Any) -> Result:
    """The page of `pages.py`."""
    async with AsyncExitStack() as resources:
        db, count = place.database(counted=True), resources.enter_context(place.counting())
        resources.push_async_callback(db.close)
        if close := getattr(options.get("cache"), "close", None):  # the cache in memory has nothing to close
            resources.push_async_callback(close)
        loaders = make_loaders(db, **options)

        async def page() -> Html:
            with batchio.scope():
                return await one_page(loaders, viewer, questions)

        timed = [await clocked(page, count) for _ in range(1 + REPEATS)]
        # Without a memo, for a round must not end before all of it has asked; and without a cache, which has the names.
        rounds = Rounds()
        counted = rounds.before(make_loaders(db, limits=options.get("limits"), memo=False))
        await one_page(counted, viewer, questions)
    return _result(way, timed, rounds.loads, len(rounds.keys), rounds.levels)


async def one_page(loaders: Loaders, viewer: Viewer, questions: int) -> Html:
    """The whole page, from the feed's ids to its last byte."""
    ids = await loaders.top((0, questions))
    return layout("Questions", await pages.feed(loaders, viewer.id, ids), viewer)


def by_hand(place: Place, viewer: Viewer, questions: int) -> Result:
    """The page of `primed.py`."""
    with place.connected() as connection, place.counting() as count:

        async def page() -> Html:
            return layout("Questions", primed.page(connection, viewer.id, questions).html, viewer)

        timed = [asyncio.run(clocked(page, count)) for _ in range(1 + REPEATS)]
        last = primed.page(connection, viewer.id, questions)
    return _result("primed", timed, last.loads, last.keys, last.levels)


@dataclass(frozen=True)
class Timed:
    """One page that was made."""

    html: Html
    calls: int
    ms: float


async def clocked(page: Callable[[], Awaitable[Html]], count: Count) -> Timed:
    """Make a page, and count and time it."""
    before, start = count(), time.perf_counter()
    html = await page()
    seconds = time.perf_counter() - start
    return Timed(html, count() - before, 1000 * seconds)


def _result(way: str, timed: list[Timed], loads: int, keys: int, levels: int) -> Result:
    (html,) = {one.html for one in timed}  # a page that changes from one run to the next is a bug
    warm = timed[1:]
    digest = hashlib.sha256(html.encode()).hexdigest()
    return Result(way, loads, keys, max(one.calls for one in warm), levels, median(one.ms for one in warm), digest)


def table(results: list[Result]) -> str:
    """The results for people."""
    wide = max(len(result.way) for result in results)
    lines = [f"{'way':<{wide}}  queries  ms per page"]
    lines += [f"{result.way:<{wide}}  {result.calls:>7,}  {result.ms:>11.1f}" for result in results]
    same = "the same HTML" if len({result.sha256 for result in results}) == 1 else "DIFFERENT HTML"
    first = results[0]
    lines.append(f"{first.loads:,} loads of {first.keys:,} keys over {first.levels} levels; {same} in each way")
    return "\n".join(lines)
