"""What aiodataloader's DataLoader is besides batches: its options, its cache, its subclasses."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial, wraps
from typing import Any

import pytest

from batchio.compat.aiodataloader import DataLoader
from tests.compat.doors import Listed


async def same(keys: list[Any]) -> list[Any]:
    return keys


async def test_without_batch_each_key_is_a_call() -> None:
    """With `batch=False` every key leaves in a batch of its own."""
    source = Listed()
    assert await DataLoader(source, batch=False).load_many([1, 2, 1]) == ["value 1", "value 2", "value 1"]
    assert source.calls == [[1], [2]]


async def test_a_subclass_says_everything_in_its_body() -> None:
    """A subclass has its batch function, its limits and its cache key as attributes and methods."""

    class Words(DataLoader[str, str]):
        max_batch_size = 2
        calls: list[list[str]] = []  # noqa: RUF012

        def get_cache_key(self, key: str) -> str:
            return key.lower()

        async def batch_load_fn(self, keys: list[str]) -> list[str]:
            self.calls.append(keys)
            return [f"<{key}>" for key in keys]

    words = Words()
    assert await words.load_many(["A", "b", "a", "C"]) == ["<A>", "<b>", "<A>", "<C>"]
    assert await words.load("c") == "<C>"
    assert words.calls == [["A", "b"], ["C"]]


async def test_what_a_subclass_sets_after_super_counts() -> None:
    """Attributes that a subclass's constructor sets last are those of its loads."""

    class Late(DataLoader[Any, Any]):
        def __init__(self) -> None:
            super().__init__(source)
            self.batch = False
            self.get_cache_key = str  # type: ignore[assignment,method-assign]

    source = Listed()
    await Late().load_many([1, "1", 2])
    assert source.calls == [[1], [2]]


async def test_private_names_of_a_subclass_are_its_own() -> None:
    """A subclass may call its attributes and methods what it likes."""

    class Busy(DataLoader[int, int]):
        _memo = _definition = _loop = _group = _cache = _queue = _context = "mine"

        def _load(self, key: int) -> int:
            return key * 2

        _name = _answer = _ask = _load

        async def batch_load_fn(self, keys: list[int]) -> list[int]:
            return [self._load(key) for key in keys]

    assert await Busy().load_many([1, 2]) == [2, 4]


async def test_a_cache_key_compares_and_the_batch_gets_the_key() -> None:
    """Keys of one cache key are one, the first of them is fetched, and `prime` and `clear` go by it."""
    source = Listed()
    users = DataLoader(source, get_cache_key=lambda key: key["id"])
    assert users.get_cache_key({"id": 7}) == 7
    ada, again = {"id": 1, "name": "Ada"}, {"id": 1}
    first, second = await users.load_many([ada, again])
    assert first == second == f"value {ada}"
    users.clear(again).prime({"id": 2}, "primed")
    await users.load_many([again, {"id": 2, "name": "Bob"}])
    assert source.calls == [[ada], [again]]


async def test_messages_show_keys_as_they_were_loaded() -> None:
    """An error names the keys that the batch function got, and not what they are compared by."""

    async def nothing(keys: list[str]) -> Any:
        return None

    with pytest.raises(TypeError, match=r"asked for 1 keys \['Ada'\]"):
        await DataLoader(nothing, get_cache_key=hash).load("Ada")


async def test_a_new_loader_can_be_cleared_and_asked_for_its_cache_key() -> None:
    """Before the first load there is nothing to forget, and keys are compared as they are."""
    users = DataLoader(same).clear_all().clear(1)
    assert users.get_cache_key("Ada") == "Ada"
    assert await users.load(1) == 1


async def test_a_cache_map_holds_futures_by_cache_key() -> None:
    """A mapping of the user's sees what it saw: a future for each load, under the cache key, from the call on."""
    cache_map: dict[str, asyncio.Future[Any]] = {}
    users = DataLoader(same, get_cache_key=str, cache_map=cache_map)
    answer = users.load(1)
    assert cache_map == {"1": answer}
    assert await answer == 1
    users.prime(2, 22)
    assert await cache_map["2"] == 22
    users.clear(1)
    assert list(cache_map) == ["2"]
    users.clear_all()
    assert not cache_map


async def test_a_cache_map_may_forget_what_it_likes() -> None:
    """A mapping that drops the oldest of two makes its key fetched again, and nothing else."""

    class Two(OrderedDict[Any, Any]):
        def __setitem__(self, key: Any, value: Any) -> None:
            super().__setitem__(key, value)
            if len(self) > 2:
                self.popitem(last=False)

    source = Listed()
    users = DataLoader(source, cache_map=Two())
    assert await users.load_many([1, 2, 3, 1]) == ["value 1", "value 2", "value 3", "value 1"]
    await users.load_many([3, 1, 2])
    assert source.calls == [[1, 2, 3], [2]]


async def test_a_cache_map_outlives_its_loader() -> None:
    """Loaders of two requests that share a mapping share its answers, not each other's loads."""
    cache_map: dict[int, Any] = {}
    source = Listed(opened=False)
    one, two = DataLoader(source, cache_map=cache_map), DataLoader(source, cache_map=cache_map)
    loads = [one.load(1), two.load(1)]
    await source.called(2)
    loads[0].cancel()
    source.gate.set()
    assert await loads[1] == "value 1"
    assert await one.load(1) == "value 1"
    assert source.calls == [[1], [1]]


async def test_a_mapping_that_is_keyed_can_be_looked_at() -> None:
    """What stands in a `cache_map` before the first load is an answer."""
    known: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    known.set_result("known")
    assert await DataLoader(same, get_cache_key=str, cache_map={"1": known}).load(1) == "known"
    assert await DataLoader(same, cache_map={1: known}).load(1) == "known"


async def test_prime_keeps_what_is_known() -> None:
    """`prime` and the clears return the loader, and a key that is known or under way keeps its value."""
    source = Listed()
    users = DataLoader(source)
    pending = users.load(1)
    assert users.prime(1, "late").prime(2, "primed").prime(2, "again") is users
    assert [await pending, await users.load(1), await users.load(2)] == ["value 1", "value 1", "primed"]
    assert users.clear(2) is users.clear("unknown") is users.clear_all() is users


async def test_a_key_whose_load_was_cancelled_can_be_primed() -> None:
    """A load that went away answers nobody, so `prime` does."""
    source = Listed()
    users = DataLoader(source)
    users.load(1).cancel()
    users.prime(1, "primed")
    assert await users.load(1) == "primed"
    await users.load(2)
    assert await users.load(1) == "primed"
    assert source.calls == [[2]]


async def test_a_primed_error_is_raised() -> None:
    """An exception that is primed comes out of each load as an object of its own."""
    original = ValueError("primed")
    users = DataLoader(same).prime(1, original)
    told: list[Any] = await asyncio.gather(users.load(1), users.load(1), return_exceptions=True)
    assert [str(error) for error in told] == ["primed"] * 2
    assert len({id(error) for error in [original, *told]}) == 3


async def test_none_is_no_key() -> None:
    """`load(None)` is refused at the call, in a `load_many` too."""
    users = DataLoader(same)
    with pytest.raises(TypeError, match="got None"):
        users.load(None)
    with pytest.raises(TypeError, match="got None"):
        users.load_many([None])


def test_a_batch_function_is_checked_when_the_loader_is_made() -> None:
    """A plain function or method, none at all, or something that cannot be called, is refused before any load."""

    def plain(keys: list[int]) -> list[int]:
        return keys

    class Plain(DataLoader[int, int]):
        def batch_load_fn(self, keys: list[int]) -> Any:
            return keys

    for make in (lambda: DataLoader(plain), Plain):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="is a plain def"):
            make()
    for nothing in (None, 7):
        with pytest.raises(TypeError, match="needs a batch function"):
            DataLoader(nothing)  # type: ignore[arg-type]


async def test_a_partial_is_a_batch_function() -> None:
    """`functools.partial` of a coroutine function will do, and names the loader in errors."""

    async def times(factor: int, keys: list[int]) -> Any:
        return None if factor == 0 else [factor * key for key in keys]

    assert await DataLoader(partial(times, 3)).load(2) == 6
    with pytest.raises(TypeError, match="partial: asked for 1 keys"):
        await DataLoader(partial(times, 0)).load(2)


async def test_a_decorated_function_may_be_plain() -> None:
    """A wrapper that gives the coroutine of what it wraps is a batch function."""

    @wraps(same)
    def wrapper(keys: list[int]) -> Any:
        return same(keys)

    assert await DataLoader(wrapper).load(1) == 1


async def test_the_first_error_of_many_comes_out() -> None:
    """`load_many` raises, and the other keys are remembered."""
    source = Listed({1: ValueError("first"), 3: KeyError("third")})
    users = DataLoader(source)
    with pytest.raises(ValueError, match="first"):
        await users.load_many([1, 2, 3])
    assert await users.load(2) == "value 2"
    assert source.calls == [[1, 2, 3]]
    with pytest.raises(TypeError):
        users.load_many(5)  # type: ignore[arg-type]


async def test_a_size_of_nothing_is_no_limit() -> None:
    """`max_batch_size=0` means any number, as it did."""
    source = Listed()
    await DataLoader(source, max_batch_size=0).load_many(range(5))
    assert source.calls == [[0, 1, 2, 3, 4]]


async def test_the_cache_can_be_switched_off_later() -> None:
    """`cache` is looked at by each load."""
    source = Listed()
    users = DataLoader(source)
    await users.load(1)
    users.cache = False
    await users.load(1)
    users.cache = True
    await users.load(1)
    assert source.calls == [[1], [1]]
