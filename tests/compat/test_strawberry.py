"""What strawberry's DataLoader is besides batches: its caches, its primes, its errors."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest

import batchio
from batchio.compat.strawberry import AbstractCache, DataLoader, DefaultCache
from tests.compat.doors import Listed


async def same(keys: list[Any]) -> list[Any]:
    return keys


class Own(AbstractCache[Any, Any]):
    """A cache as a user writes it, which compares keys in its own way."""

    def __init__(self) -> None:
        self.futures: dict[str, asyncio.Future[Any]] = {}

    def get(self, key: Any) -> asyncio.Future[Any] | None:
        return self.futures.get(str(key))

    def set(self, key: Any, value: asyncio.Future[Any]) -> None:
        self.futures[str(key)] = value

    def delete(self, key: Any) -> None:
        del self.futures[str(key)]

    def clear(self) -> None:
        self.futures.clear()


async def test_an_own_cache_sees_keys_as_they_were_loaded() -> None:
    """A user's cache gets each load's future from the call on, and is asked before anything is fetched."""
    own, source = Own(), Listed()
    users = DataLoader(source, cache_map=own)
    answer = users.load(1)
    assert own.futures == {"1": answer}
    assert [await answer, await users.load(1), await own.futures["1"]] == ["value 1"] * 3
    users.clear(1)
    assert not own.futures
    await users.load_many([1, [2], [2]])
    assert sorted(own.futures) == ["1", "[2]"]
    assert await users.load([2]) == "value [2]"
    users.clear_all()
    assert not own.futures
    assert source.calls[0] == [1]


async def test_an_own_cache_keeps_what_a_cancelled_load_brought() -> None:
    """A load that went away leaves its answer in a user's cache, too, and an error of its key."""
    own, source = Own(), Listed({2: ValueError("no such user")}, opened=False)
    users = DataLoader(source, cache_map=own)
    loads = [users.load(1), users.load(2)]
    await source.called()
    for load in loads:
        load.cancel()
    source.gate.set()
    await users.load(3)
    assert await own.futures["1"] == "value 1"
    with pytest.raises(ValueError, match="no such user"):
        await users.load(2)
    assert source.calls == [[1, 2], [3]]


async def test_an_own_cache_has_no_keys_to_give() -> None:
    """The loader never walks or counts a cache of the user's: four verbs are all it has."""
    own = Own()
    users = DataLoader(same, cache_map=own)
    await users.load_many([1, 2])
    users.load(3).cancel()
    await users.load(4)
    assert sorted(own.futures) == ["1", "2", "4"]


async def test_a_cache_key_function_compares_and_the_batch_gets_the_key() -> None:
    """Keys of one cache key are one; the first is fetched, and the cache finds it under any of them."""
    source = Listed()
    users = DataLoader(source, cache_key_fn=lambda key: key[0])
    assert await users.load_many([[1, "a"], [1, "b"], [2]]) == ["value [1, 'a']", "value [1, 'a']", "value [2]"]
    found = users.cache_map.get([1])
    assert found is not None
    assert await found == "value [1, 'a']"
    users.clear([1])
    users.prime([2], "kept")
    assert await users.load_many([[1], [2]]) == ["value [1]", "value [2]"]
    assert source.calls == [[[1, "a"], [2]], [[1]]]


async def test_a_cache_key_function_is_the_default_caches() -> None:
    """It is ignored where a `cache_map` is given, whose own function holds."""
    source = Listed()
    users = DataLoader(source, cache_map=DefaultCache(str.lower), cache_key_fn=str.upper)
    await users.load_many(["a", "A"])
    assert source.calls == [["a"]]


async def test_the_default_cache_is_a_dict_of_futures() -> None:
    """What a loader remembers is found through its `cache_map`, and what is put there is found by the loader."""
    users = DataLoader(same)
    assert await users.load(1) == 1
    known = users.cache_map.get(1)
    assert known is not None
    assert known.result() == 1
    users.cache_map.set(2, known)
    assert await users.load(2) == 1
    users.cache_map.delete(2)
    assert await users.load(2) == 2


async def test_a_cache_may_be_derived_from_the_default_one() -> None:
    """What a subclass of the default cache does at each look is done."""
    looked = []

    class Watched(DefaultCache[Any, Any]):
        def get(self, key: Any) -> asyncio.Future[Any] | None:
            looked.append(key)
            return super().get(key)

    users = DataLoader(same, cache_map=Watched())
    assert await users.load_many([1, 1]) == [1, 1]
    assert set(looked) == {1}


async def test_clear_says_nothing_of_what_is_not_there() -> None:
    """Clearing an unknown key is no error, also where the cache raises one; without a cache it does nothing."""
    for users in (DataLoader(same), DataLoader(same, cache_map=Own()), DataLoader(same, cache=False)):
        users.clear(1)
        users.clear_many([1, 2])
        users.clear_all()
        assert await users.load(1) == 1


async def test_prime_answers_who_waits_in_the_queue() -> None:
    """Loads of a primed key that have not left get the value, all of them, and the key does not leave."""
    source = Listed()
    users = DataLoader(source)
    waiting = [users.load(1), users.load(1), users.load(2)]
    gone = users.load(3)
    gone.cancel()
    users.prime_many({1: "primed", 3: "primed too", 4: "nobody asked"})
    assert await asyncio.gather(*waiting) == ["primed", "primed", "value 2"]
    assert await users.load_many([1, 3, 4]) == ["primed", "primed too", "nobody asked"]
    assert source.calls == [[2]]


async def test_prime_leaves_what_is_under_way() -> None:
    """A key whose batch has left is answered by that batch; `force` changes what comes after."""
    source = Listed(opened=False)
    users = DataLoader(source)
    first = users.load(1)
    await source.called()
    users.prime(1, "ignored")
    second = users.load(1)
    users.prime(1, "forced", force=True)
    third = users.load(1)
    source.gate.set()
    assert await asyncio.gather(first, second, third, users.load(1)) == ["value 1", "value 1", "forced", "forced"]


async def test_prime_without_a_cache_answers_the_queue_alone() -> None:
    """With `cache=False` a primed value reaches those who wait, and is forgotten."""
    source = Listed()
    users = DataLoader(source, cache=False)
    users.prime(1, "forgotten")
    waiting = users.load([2])
    users.prime([2], "is no other list")
    assert await users.load(1) == "value 1"
    assert await waiting == "value [2]"
    pending = users.load(3)
    users.prime(3, "primed")
    assert await pending == "primed"
    assert source.calls == [[[2], 1]]


async def test_a_primed_exception_is_a_value() -> None:
    """An exception that is primed is returned, not raised: strawberry does so."""
    error = ValueError("a value")
    users = DataLoader(same)
    users.prime(1, error)
    assert await users.load(1) is error


async def test_a_wrong_number_of_values_is_strawberrys_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a program that has imported strawberry, its own error is raised, an object for each load."""

    class Theirs(Exception):
        def __init__(self, expected: int, received: int) -> None:
            super().__init__(f"expected: {expected}, received: {received}")

    exceptions: Any = ModuleType("strawberry.exceptions")
    exceptions.WrongNumberOfResultsReturned = Theirs
    monkeypatch.setitem(sys.modules, "strawberry.exceptions", exceptions)

    async def two(keys: list[int]) -> list[int]:
        return [1, 2]

    users = DataLoader(two)
    with pytest.raises(Theirs, match="expected: 1, received: 2") as caught:
        await users.load(1)
    assert "asked for 1 keys [1], and" in str(caught.value.__cause__)
    told: list[Any] = await asyncio.gather(*map(users.load, [1, 2, 3]), return_exceptions=True)
    assert {type(error) for error in told} == {Theirs}
    assert len({id(error) for error in told}) == 3


async def test_a_wrong_number_of_values_is_a_type_error_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where strawberry is not there, an error of its name and message is a `BatchShapeError`, which is its cause, too."""
    monkeypatch.setitem(sys.modules, "strawberry.exceptions", None)

    async def two(keys: list[int]) -> list[int]:
        return [1, 2]

    message = "^Received wrong number of results in dataloader, expected: 1, received: 2$"
    with pytest.raises(batchio.BatchShapeError, match=message) as caught:
        await DataLoader(two).load(1)
    assert type(caught.value).__name__ == "WrongNumberOfResultsReturned"
    assert isinstance(caught.value.__cause__, batchio.BatchShapeError)
    assert "asked for 1 keys [1], and the batch function returned 2 items" in str(caught.value.__cause__)
    told: list[Any] = await asyncio.gather(*map(DataLoader(two).load, [1, 2, 3]), return_exceptions=True)
    assert {type(error) for error in told} == {type(caught.value)}
    assert len({id(error) for error in told}) == 3


async def test_none_is_a_key() -> None:
    """strawberry loads None, and so does this."""
    assert await DataLoader(same).load(None) is None


async def test_both_are_tried_as_the_schema_uses_them() -> None:
    """A load can be awaited in a task, gathered, and given to wait_for: it is a future."""
    users = DataLoader(load_fn=same, max_batch_size=None, cache=True, loop=None, cache_map=None, cache_key_fn=None)
    assert isinstance(users.load(1), asyncio.Future)
    assert await asyncio.wait_for(users.load(2), 5) == 2
    assert await asyncio.ensure_future(users.load_many([1, 2])) == [1, 2]
