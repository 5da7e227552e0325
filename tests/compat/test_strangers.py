"""Who loads from a drop-in loader is a stranger to all others, as with every loader of batchio."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

import batchio
from tests.compat.doors import Listed, both


@both
async def test_a_cancelled_load_takes_no_other_along(make: Any) -> None:
    """Cancelling one of two loads of a key leaves the other, and the answer is remembered."""
    source = Listed(opened=False)
    users = make(source)
    first, second, third = users.load(1), users.load(1), users.load(2)
    await source.called()
    first.cancel()
    source.gate.set()
    assert [await second, await third, await users.load(1)] == ["value 1", "value 2", "value 1"]
    assert first.cancelled()
    assert source.calls == [[1, 2]]


@both
async def test_a_batch_function_in_a_scope_does_not_wait_for_itself(make: Any) -> None:
    """A loader of batchio stands between two loads of a drop-in one, and strangers ask it at the same moment."""
    begun, asked = asyncio.Event(), asyncio.Event()

    @batchio.loader(limits=batchio.Limits(timeout=5.0))
    async def between(keys: list[int]) -> dict[int, int]:
        return {key: await users.load(1) if key == 7 else key for key in keys}

    async def fetch(keys: list[int]) -> list[int]:  # 1 needs nothing, and 2 needs between(7), which needs 1
        begun.set()
        await asked.wait()
        return [1 if key == 1 else 10 + await between(7) for key in keys]

    users = make(fetch)
    with batchio.scope():
        loads = users.load(1), users.load(2)
        await begun.wait()
        beside = between(5)
        asked.set()
        assert await batchio.gather(*loads, beside) == (1, 11, 5)


@both
async def test_a_load_that_was_cancelled_in_the_queue_takes_no_other_along(make: Any) -> None:
    """The same before the batch has left."""
    source = Listed()
    users = make(source)
    first, second = users.load(1), users.load(1)
    first.cancel()
    assert [await second, await users.load(1)] == ["value 1", "value 1"]
    assert source.calls == [[1]]


@both
async def test_who_asks_after_a_cancelled_load_joins_its_key(make: Any) -> None:
    """A key whose only load was cancelled is under way all the same: a later load joins it."""
    source = Listed(opened=False)
    users = make(source)
    first = users.load(1)
    await source.called()
    first.cancel()
    second = users.load(1)
    source.gate.set()
    assert await second == "value 1"
    assert source.calls == [[1]]


@both
async def test_a_cancelled_load_is_answered_from_the_cache_later(make: Any) -> None:
    """When all loads of a key under way were cancelled, its answer is still remembered."""
    source = Listed(opened=False)
    users = make(source)
    only = users.load(1)
    await source.called()
    only.cancel()
    source.gate.set()
    assert await users.load(2) == "value 2"
    assert await users.load(1) == "value 1"
    assert source.calls == [[1], [2]]


@both
async def test_a_key_that_nobody_wants_any_more_is_not_fetched(make: Any) -> None:
    """Loads that were all cancelled before their batch left make no call, and the next one fetches."""
    source = Listed()
    users = make(source)
    for _ in range(2):
        users.load(1).cancel()
    await users.load(2)
    assert await users.load(1) == "value 1"
    assert source.calls == [[2], [1]]


@both
async def test_one_callers_timeout_is_not_anothers(make: Any) -> None:
    """A caller that has no patience gets its TimeoutError, and the other its value."""
    source = Listed(opened=False)
    users = make(source)
    patient = users.load(1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(users.load(1), 0.001)
    source.gate.set()
    assert await patient == "value 1"


@both
async def test_a_load_that_its_caller_answered_is_left_alone(make: Any) -> None:
    """A result that was set by hand stays: for its caller, and in the cache."""
    source = Listed(opened=False)
    users = make(source)
    early, late = users.load(1), users.load(2)
    early.set_result("mine")
    await source.called()
    late.set_result("mine too")
    source.gate.set()
    await users.load(3)
    assert [await early, await late, await users.load(1), await users.load(2)] == ["mine", "mine too"] * 2
    assert source.calls == [[2], [3]]


class Broken(Exception):
    """Raised by a whole batch."""


@both
async def test_each_of_several_gets_an_error_of_its_own(make: Any) -> None:
    """One exception of a batch is a separate object in each of its loads, with the original as the cause."""
    original = Broken("down")

    async def fetch(keys: list[int]) -> list[int]:
        raise original

    users = make(fetch)
    loads = [users.load(1), users.load(1), users.load(2)]
    told: list[Any] = await asyncio.gather(*loads, return_exceptions=True)
    assert len({id(error) for error in [original, *told]}) == 4
    assert [(type(error), str(error), error.__cause__) for error in told] == [(Broken, "down", original)] * 3


@both
async def test_who_waits_alone_gets_the_very_object(make: Any) -> None:
    """The exception that a batch function raises for one load is the one that comes out of it."""
    original = Broken("down")

    async def fetch(keys: list[int]) -> list[int]:
        raise original

    with pytest.raises(Broken) as caught:
        await make(fetch).load(1)
    assert caught.value is original


@both
async def test_an_error_of_one_key_is_a_copy_for_each(make: Any) -> None:
    """A remembered error is raised as another object each time, so that no traceback grows or travels."""
    source = Listed({1: Broken("no such user")})
    users = make(source)

    async def ada() -> None:
        await users.load(1)

    async def bob() -> None:
        await users.load(1)

    told: list[Any] = await asyncio.gather(ada(), bob(), return_exceptions=True)
    told += await asyncio.gather(ada(), bob(), return_exceptions=True)
    assert len({id(error) for error in told}) == 4
    assert {str(error) for error in told} == {"no such user"}
    for name, error in zip(["ada", "bob"] * 2, told, strict=True):
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert frames == [name]
    assert source.calls == [[1]]


@both
async def test_an_error_of_a_key_is_remembered_until_it_is_cleared(make: Any) -> None:
    """The cache keeps an error of one key, as the original's does; `clear` makes the next load fetch."""
    source = Listed({1: Broken("no such user")})
    users = make(source)
    for _ in range(2):
        with pytest.raises(Broken, match="no such user"):
            await users.load(1)
    users.clear(1)
    source.answers = {}
    assert await users.load(1) == "value 1"
    assert source.calls == [[1], [1]]


@both
async def test_an_error_of_a_key_that_was_cleared_meanwhile_is_not_remembered(make: Any) -> None:
    """A key that was cleared while its batch was under way belongs to the load that asked since."""
    source = Listed({1: Broken("no such user")}, opened=False)
    users = make(source)
    first = users.load(1)
    await source.called()
    users.clear(1)
    old, source.gate = source.gate, asyncio.Event()
    second = users.load(1)
    await source.called(2)
    old.set()
    with pytest.raises(Broken):
        await first
    source.answers = {}
    third = users.load(1)
    source.gate.set()
    assert [await second, await third, await users.load(1)] == ["value 1"] * 3
    assert source.calls == [[1], [1]]


@both
async def test_what_a_cancelled_load_brings_after_a_clear_is_not_remembered(make: Any) -> None:
    """A key that was cleared is fetched again, also if the load that was under way has gone away."""
    source = Listed(opened=False)
    users = make(source)
    only = users.load(1)
    await source.called()
    only.cancel()
    users.clear(1)
    source.gate.set()
    await users.load(2)
    await users.load(1)
    assert source.calls == [[1], [2], [1]]


@both
async def test_an_error_of_a_whole_batch_is_not_remembered(make: Any) -> None:
    """After a batch that failed the next load fetches again."""
    failing = [True]

    async def fetch(keys: list[int]) -> list[int]:
        if failing:
            failing.pop()
            raise Broken("down")
        return keys

    users = make(fetch)
    with pytest.raises(Broken):
        await asyncio.gather(users.load(1), users.load(2))
    assert await users.load_many([1, 2]) == [1, 2]


@both
async def test_an_error_that_nobody_reads_is_not_reported(make: Any) -> None:
    """A load that fails and is never awaited is silent, remembered or not; the suite fails on what its loop reports."""
    source = Listed({1: Broken("no such user")})
    users = make(source)
    users.load(1)
    await users.load(2)
    del users
