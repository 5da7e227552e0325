"""What a program of the scoreboard can come to, and how it says so.

Rules:
- A program that returns has seen its promise kept. One that has seen it broken raises `Broken` with one of `WORDS`.
  Any other exception that leaves it is an `error`. Nobody writes a word by hand.
- "Hangs" is decided by turns of the loop and not by the clock: the loop went round hundreds of times with nothing held
  back any more, and still somebody was not answered. A slow machine gives everybody more time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

TURNS = 300  # of the loop, until one who was not answered counts as forgotten
PAUSE = 0.002  # seconds of each of them
USUAL = 1.0  # seconds of computing in which an ordinary program turns its loop at least once

WORDS = {
    "kept": "the promise was seen to hold",
    "hangs": "somebody was not answered, though the event loop was free and nothing was held back any more",
    "spins": "the event loop did not come back: computing went on without end",
    "held": "one pass of the event loop did everything, and everybody else stood still",
    "wrong answer": "a caller got a value that is not that of its key, or was old already when it asked",
    "stranger's error": "a caller got an error, or a cancellation, that was somebody else's",
    "error": "a caller got an error where a value was due",
    "silent": "a mistake was not told to who made it",
    "leaks": "something of one request stayed behind, or was shown to another",
    "noise": "warnings were logged about what was in order",
    "more calls": "the source was asked more often than needed",
    "no bound": "all that came was taken",
    "lost": "what had been accepted was not answered when the service ended",
}


class Broken(Exception):
    """A promise was seen broken.

    Args:
        word: one of `WORDS`.
        what: what was seen.
    """

    def __init__(self, word: str, what: str) -> None:
        assert word in WORDS, word
        super().__init__(word, what)
        self.word, self.what = word, what


class Program(NamedTuple):
    """One promise, and how it is tried."""

    name: str
    promise: str  # in one sentence
    rows: tuple[int, ...]  # of the fault table
    guarantees: tuple[int, ...]  # of the design
    try_it: Callable[[Any], Any]
    needs: frozenset[str]  # "memcached", "mysql", "eager"
    computes: float  # seconds of computing in one pass of the loop, after which it counts as spinning


PROGRAMS: dict[str, Program] = {}


def program(
    *rows: int, guarantee: int | None = None, needs: str = "", computes: float = USUAL
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Put a function among the programs; its docstring is the promise."""

    def put(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        name, promise = function.__name__, (function.__doc__ or "").strip()
        assert name not in PROGRAMS, name
        guarantees = () if guarantee is None else (guarantee,)
        PROGRAMS[name] = Program(name, promise, rows, guarantees, function, frozenset(needs.split()), computes)
        return function

    return put


async def settled(*loads: Awaitable[Any], turns: int = TURNS, work: Callable[[], int] = lambda: 0) -> list[Any]:
    """What each load came to, its value or its error; who has no answer after so many turns hangs.

    `work` counts what goes on behind long work: as long as that grows, and whenever somebody was answered, turns are
    counted from zero.
    """
    futures = [asyncio.ensure_future(load) for load in loads]
    idle = answered = 0
    done = work()
    while answered < len(futures):
        if futures[answered].done():
            answered, idle = answered + 1, 0
        elif idle == turns:
            raise Broken("hangs", f"{sum(not one.done() for one in futures)} of {len(futures)} had no answer")
        else:
            await asyncio.sleep(PAUSE)
            before, done = done, work()
            idle = idle + 1 if before == done else 0
    return [outcome(future) for future in futures]


def outcome(future: asyncio.Future[Any]) -> Any:
    """A value, an error, or a cancellation as one."""
    if future.cancelled():
        return asyncio.CancelledError()
    return future.exception() or future.result()


def due(got: Any, value: Any, otherwise: str = "error") -> None:
    """A value was due; `otherwise` is the word for an error in its place."""
    if isinstance(got, BaseException):
        raise Broken(otherwise, f"{value!r} was due, and {got!r} came")
    if got != value:
        raise Broken("wrong answer", f"{value!r} was due, and {got!r} came")


def refused(got: Any, otherwise: str = "wrong answer") -> None:
    """An error was due; a cancellation is none, as nobody cancelled."""
    if isinstance(got, asyncio.CancelledError):
        raise Broken("stranger's error", "an error was due, and a cancellation came")
    if not isinstance(got, BaseException):
        raise Broken(otherwise, f"an error was due, and {got!r} came")


def at_most(count: int, most: int, word: str, of: str) -> None:
    """A bound."""
    if count > most:
        raise Broken(word, f"{count} {of}, and {most} were promised at most")
