"""What a beginner is told, in asyncio's debug mode and on a loop that asks for it, and nowhere else."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import batchio
from batchio.testing import run

HERE = Path(__file__).name


@batchio.loader(name="squares")
async def squares(keys: list[int]) -> dict[int, int]:
    return {key: key * key for key in keys if key < 100}


@contextmanager
def told() -> Iterator[list[str]]:
    """The hints of a block, as text; every one is given, and none is an error."""
    hints: list[str] = []
    gc.collect()  # what other tests left behind is theirs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield hints
        finally:
            gc.collect()
            found = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
            # Python's own word, and no hint: on 3.11 a batch that leaves in a program's very last turn never begins.
            hints.extend(message for message in found if not message.startswith("coroutine '_run' was never awaited"))


def hints_of(main: Callable[[], Any], *, debug: bool = True) -> list[str]:
    """The hints that a program is given."""
    with told() as hints:
        asyncio.run(main(), debug=debug)
    return hints


async def forgotten() -> None:
    squares(1)
    await asyncio.sleep(0.01)


async def one_by_one() -> None:
    for key in range(5):
        await squares(key)


def test_a_forgotten_await_is_told() -> None:
    """A load that nobody ever looked at is told once, with its loader, its file and line, and what may be missing."""
    (hint,) = hints_of(forgotten)
    line = forgotten.__code__.co_firstlineno + 1
    assert hint.startswith("squares: the load at ")
    assert f"{HERE}:{line} was never awaited; is an await missing before the load?" in hint


def test_a_forgotten_load_many_is_told() -> None:
    """The same for load_many."""

    async def main() -> None:
        squares.load_many([1, 2])

    (hint,) = hints_of(main)
    assert "was never awaited" in hint


def test_loads_one_by_one_are_told() -> None:
    """Five loads in a row from one line, each awaited before the next, are told once, with what to write instead."""
    (hint,) = hints_of(one_by_one)
    line = one_by_one.__code__.co_firstlineno + 2
    assert hint.startswith("squares: 5 loads at ")
    assert f"{HERE}:{line} were awaited one by one" in hint
    assert "load_many(keys)" in hint
    assert "batchio.gather(" in hint


@pytest.mark.parametrize("main", [forgotten, one_by_one])
def test_hints_are_for_debug_mode_only(main: Callable[[], Any]) -> None:
    """Outside of debug mode nothing is told, and loads are plain futures."""
    assert hints_of(main, debug=False) == []

    async def look() -> type[Any]:
        return type(squares(1))

    assert asyncio.run(look(), debug=False) is asyncio.Future


@pytest.mark.parametrize("main", [forgotten, one_by_one])
def test_hints_are_on_under_virtual_time(main: Callable[[], Any]) -> None:
    """A test that uses batchio.testing is told, debug mode or not."""
    with told() as hints:
        run(main(), debug=False)
    assert len(hints) == 1


async def test_hints_are_given_on_every_kind_of_loop(flavour: Callable[[], Any]) -> None:
    """Debug mode brings the hints whatever the loop is."""

    def program() -> None:
        for main in (forgotten, one_by_one):
            with asyncio.Runner(debug=True, loop_factory=flavour) as runner:
                runner.run(main())

    with told() as hints:
        await asyncio.to_thread(program)
    assert [hint.split(" at ")[0] for hint in hints] == ["squares: the load", "squares: 5 loads"]


async def await_it() -> None:
    await squares(1)


async def gather_them() -> None:
    await batchio.gather(squares(1), squares(2))
    await asyncio.gather(squares(1), squares(2))


async def wait_for_them() -> None:
    done, _ = await asyncio.wait([squares(1), squares(2)])
    assert {load.result() for load in done} == {1, 4}


async def take_the_result() -> None:
    load = squares(2)
    await asyncio.sleep(0.01)
    assert load.result() == 4


async def look_for_an_error() -> None:
    load = squares(100)
    await asyncio.sleep(0.01)
    assert isinstance(load.exception(), batchio.KeyNotFound)


async def call_back() -> None:
    answers: list[Any] = []
    squares(1).add_done_callback(answers.append)
    await asyncio.sleep(0.01)
    assert len(answers) == 1


async def cancel_it() -> None:
    squares(1).cancel()


async def yield_from_it() -> None:
    assert next(iter(squares(1))) is not None


async def remember_it() -> None:
    with batchio.scope():
        await squares(1)
        await squares.load_many([1, 2])


USES = [
    await_it, gather_them, wait_for_them, take_the_result, look_for_an_error, call_back, cancel_it, yield_from_it,
    remember_it,
]  # fmt: skip


@pytest.mark.parametrize("main", USES, ids=lambda main: main.__name__)
def test_a_load_that_somebody_looks_at_is_not_told(main: Callable[[], Any]) -> None:
    """Whoever awaits a load, asks it for its result or error, or cancels it, has not forgotten it."""
    assert hints_of(main) == []


def test_a_load_that_was_refused_is_not_told() -> None:
    """A key that cannot be hashed is a TypeError at the call, and no forgotten await."""

    async def main() -> None:
        for call in (lambda: squares([]), lambda: squares.load_many([[]])):  # type: ignore[list-item, arg-type]
            with suppress(TypeError):
                call()

    assert hints_of(main) == []


def test_loads_that_are_not_in_a_row_are_not_told() -> None:
    """Four in a row, loads from several lines, loads of several tasks, loads made at once: none of these is a mistake."""

    async def main() -> None:
        for key in range(4):
            await squares(key)
        for key in range(3):
            await squares(key)
            await squares(key + 10)
        for load in [squares(key) for key in range(20, 30)]:
            await load
        await asyncio.gather(*(asyncio.create_task(wait(squares(key))) for key in range(30, 40)))

    async def wait(load: asyncio.Future[int]) -> int:
        return await load

    assert hints_of(main) == []


def test_a_load_outside_of_any_task_is_watched_too() -> None:
    """A callback of the loop may load; there is no task to count for, and the forgotten await is still told."""

    async def main() -> None:
        for _ in range(6):
            asyncio.get_running_loop().call_soon(squares, 1)
            await asyncio.sleep(0.01)

    assert len(hints_of(main)) == 6


def test_hints_change_no_answer() -> None:
    """Errors and values are the same in debug mode."""

    async def main() -> list[Any]:
        return [await squares(3), *await batchio.gather(squares(100), return_exceptions=True)]

    (nine, error), (also_nine, same) = asyncio.run(main(), debug=True), asyncio.run(main(), debug=False)
    assert (nine, str(error)) == (also_nine, str(same))
