"""When and how the batches of a drop-in loader leave, and what they may return."""

from __future__ import annotations

import asyncio
import re
import traceback
from contextvars import ContextVar
from typing import Any

import pytest

import batchio
from batchio.testing import record
from tests.compat.doors import Listed, both


@both
async def test_late_askers_join(make: Any) -> None:
    """Loads at different depths of tasks leave together, where the original makes several batches."""
    source = Listed()
    users = make(source)

    async def below(depth: int, key: int) -> str:
        if not depth:
            return await users.load(key)
        (found,) = await asyncio.gather(below(depth - 1, key))
        return found

    assert await asyncio.gather(*[below(depth, depth) for depth in range(6)]) == [f"value {key}" for key in range(6)]
    assert source.calls == [[0, 1, 2, 3, 4, 5]]


@both
async def test_a_key_is_fetched_once_without_a_cache(make: Any) -> None:
    """With `cache=False` two loads of a key that leave together are one key, and a later one fetches again."""
    source = Listed()
    users = make(source, cache=False)
    assert await users.load_many([1, 1, 2]) == ["value 1", "value 1", "value 2"]
    assert await users.load(1) == "value 1"
    assert source.calls == [[1, 2], [1]]


@both
async def test_keys_that_cannot_be_hashed_need_no_cache(make: Any) -> None:
    """With `cache=False` a key may be a list; each load of one is a key of its own."""
    calls = []

    async def fetch(keys: list[list[int]]) -> list[int]:
        calls.append(keys)
        return [sum(key) for key in keys]

    sums = make(fetch, cache=False)
    assert await sums.load_many([[1, 2], [1, 2], [3]]) == [3, 3, 3]
    assert calls == [[[1, 2], [1, 2], [3]]]


@both
async def test_with_a_cache_keys_must_be_hashable(make: Any) -> None:
    """A list as a key is refused at the call."""
    with pytest.raises(TypeError, match="unhashable"):
        make(Listed()).load([1])


@both
async def test_full_batches_leave_at_once_and_together(make: Any) -> None:
    """Keys beyond `max_batch_size` make more batches, all of which are under way at the same time."""
    source = Listed(opened=False)
    users = make(source, max_batch_size=2)
    answers = users.load_many(range(41))
    await source.called(21)
    source.gate.set()
    assert await answers == [f"value {key}" for key in range(41)]
    assert source.calls[0] == [0, 1]
    assert source.calls[-1] == [40]


@both
async def test_a_batch_sees_the_context_of_its_first_load(make: Any) -> None:
    """A batch function reads the variables of the request whose loader it is, in each of its batches."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen = []

    async def fetch(keys: list[int]) -> list[int]:
        seen.append((user.get(), keys))
        return keys

    async def request(name: str, key: int) -> None:
        user.set(name)
        loader = make(fetch, max_batch_size=2)
        await loader.load_many([key, key + 1, key + 2])
        user.set(name.upper())
        await loader.load(key + 3)

    await asyncio.gather(request("ada", 10), request("bob", 20))
    assert sorted(seen) == [
        ("ADA", [13]), ("BOB", [23]), ("ada", [10, 11]), ("ada", [12]), ("bob", [20, 21]), ("bob", [22]),
    ]  # fmt: skip


@both
@pytest.mark.parametrize("cache", [True, False])
async def test_the_first_loads_context_is_the_batchs(make: Any, cache: bool) -> None:
    """Of loads in several contexts that leave together, the first one's counts."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen = []

    async def fetch(keys: list[int]) -> list[int]:
        seen.append((user.get(), keys))
        return keys

    loader = make(fetch, cache=cache)

    async def request(name: str, key: int) -> None:
        user.set(name)
        await loader.load(key)

    await asyncio.gather(request("ada", 1), request("bob", 2))
    assert seen == [("ada", [1, 2])]


@both
async def test_a_batch_function_loads_from_any_loader(make: Any) -> None:
    """A batch may load from another loader, and other keys from its own; both run in contexts of their own."""
    parents = {1: 2, 2: 3, 3: None}
    calls: list[list[int]] = []

    async def find(keys: list[int]) -> list[list[Any]]:
        calls.append(keys)
        above = await names.load_many(keys)
        (key,) = keys
        return [[key, *(await roots.load(parents[key]) if parents[key] else []), *above]]

    async def name(keys: list[int]) -> list[str]:
        return [f"n{key}" for key in keys]

    roots, names = make(find), make(name)
    assert await roots.load(1) == [1, 2, 3, "n3", "n2", "n1"]
    assert calls == [[1], [2], [3]]


@both
@pytest.mark.parametrize("returned", [None, 7, "ab"], ids=["None", "a number", "text"])
async def test_what_is_no_answer_is_a_type_error(make: Any, returned: Any) -> None:
    """Something that cannot be one item per key fails all loads with an error that names the loader and what came."""

    async def fetch(keys: list[int]) -> Any:
        return returned

    told = "fetch: asked for 2 keys [1, 2], and the batch function returned "
    told += (
        f"{'None' if returned is None else f'a {type(returned).__name__}'}; it must return a list with one item per key"
    )
    with pytest.raises(TypeError, match=re.escape(told)):
        await make(fetch).load_many([1, 2])


@both
async def test_a_wrong_number_of_values_is_a_type_error(make: Any) -> None:
    """Too few or too many values fail all loads, and the message has both counts."""

    async def fetch(keys: list[int]) -> list[int]:
        return [1, 2, 3]

    with pytest.raises(batchio.BatchShapeError) as caught:
        await make(fetch).load_many([1, 2])
    told = "".join(traceback.format_exception(caught.value))
    assert "asked for 2 keys [1, 2], and the batch function returned 3 items; it must return a list" in told


@both
async def test_any_iterable_will_do(make: Any) -> None:
    """A generator of values is an answer, as it was."""

    async def fetch(keys: list[int]) -> Any:
        return (key * 2 for key in keys)

    assert await make(fetch).load_many([1, 2]) == [2, 4]


@both
async def test_a_mapping_is_read_by_key(make: Any) -> None:
    """A dict gives values by key, where the original takes its keys for the values; an absent key is not found."""

    async def fetch(keys: list[int]) -> Any:
        return {2: "two", 1: "one"}

    numbers = make(fetch)
    assert await numbers.load_many([1, 2]) == ["one", "two"]
    with pytest.raises(batchio.KeyNotFound):
        await numbers.load(3)


@both
async def test_what_the_batch_function_does_to_its_list_is_its_own_business(make: Any) -> None:
    """Keys that a batch function sorts or pops are answered in the order in which it got them, by a mapping as well."""

    async def listed(keys: list[int]) -> list[int]:
        found = [key * 10 for key in keys]
        keys.clear()
        return found

    async def mapped(keys: list[int]) -> Any:
        return {key: key * 10 for key in (keys.pop() for _ in range(3))}

    for fetch in (listed, mapped):
        assert await make(fetch).load_many([3, 1, 2]) == [30, 10, 20]


@both
async def test_a_loader_whose_constructor_was_left_out_says_so(make: Any) -> None:
    """A subclass that does not call its base's `__init__` is told at its first use, in one line."""

    class Forgetful(make):  # type: ignore[misc]
        def __init__(self) -> None:
            self.load_fn = self.batch_load_fn

        async def batch_load_fn(self, keys: list[int]) -> list[int]:
            return keys

    for use in (lambda users: users.load(1), lambda users: users.load_many([1]), lambda users: users.loop):
        with pytest.raises(
            AttributeError, match=r"Forgetful: its __init__ does not call super\(\).__init__\(\), so it"
        ):
            use(Forgetful())


@both
@pytest.mark.parametrize(
    ("raised", "told"),
    [(KeyError("down"), KeyError), (StopIteration(), RuntimeError)],
    ids=["KeyError", "StopIteration"],
)
async def test_a_batch_function_may_raise_before_it_awaits(make: Any, raised: Exception, told: type[Exception]) -> None:
    """What a callable raises at the call reaches the loads; what no coroutine may raise comes as RuntimeError."""

    class Fetch:
        def __call__(self, keys: list[int]) -> Any:
            raise raised

    with pytest.raises(told):
        await make(Fetch()).load(1)


@both
async def test_a_batch_function_that_is_cancelled_leaves_nobody_waiting(make: Any) -> None:
    """A batch function that ends by CancelledError fails its loads with BatchAborted, and the next load fetches."""
    calls = []

    async def fetch(keys: list[int]) -> list[int]:
        calls.append(keys)
        if len(calls) == 1:
            raise asyncio.CancelledError
        return keys

    users = make(fetch)
    with pytest.raises(batchio.BatchAborted):
        await users.load(1)
    assert await users.load(1) == 1


@both
async def test_a_callable_that_is_not_async_is_told_so(make: Any) -> None:
    """An object whose call gives a list instead of something to await says what to write."""

    class Fetch:
        def __call__(self, keys: list[int]) -> Any:
            return keys

    with pytest.raises(TypeError, match="write async def"):
        await make(Fetch()).load(1)


@both
async def test_a_cleared_key_is_fetched_again(make: Any) -> None:
    """A key that is cleared while its batch is under way is fetched again, and only the new answer is remembered."""
    source = Listed(opened=False)
    users = make(source)
    first = users.load(1)
    await source.called()
    users.clear(1)
    source.answers = {1: "new"}
    second = users.load(1)
    await source.called(2)
    source.gate.set()
    await asyncio.gather(first, second)
    assert await users.load(1) == "new"
    assert source.calls == [[1], [1]]


@both
async def test_a_key_that_is_cleared_in_the_queue_leaves_once(make: Any) -> None:
    """Clearing a key that has not left does not put it into the batch twice."""
    source = Listed()
    users = make(source)
    first = users.load(1)
    users.clear(1)
    assert await asyncio.gather(first, users.load(1)) == ["value 1", "value 1"]
    assert source.calls == [[1]]


@both
async def test_clear_all_forgets_everything(make: Any) -> None:
    """After `clear_all` every key is fetched again."""
    source = Listed()
    users = make(source)
    await users.load_many([1, 2])
    users.clear_all()
    await users.load_many([1, 2])
    assert source.calls == [[1, 2]] * 2


@both
async def test_its_batches_are_seen_by_observers(make: Any) -> None:
    """Batches, loads and hits of a drop-in loader are told under the name of its function."""

    async def people(keys: list[int]) -> list[int]:
        return keys

    with record() as recorded:
        loader = make(people)
        await loader.load_many([1, 2])
        await loader.load(1)
    (name,) = recorded.names()
    assert name.endswith("people")
    assert recorded.batches(name) == [[1, 2]]
    assert recorded.loads(name) == [1, 2, 1]


@both
async def test_drain_waits_for_its_batches(make: Any) -> None:
    """`batchio.drain` at shutdown lets the batches of drop-in loaders finish, too."""
    users = make(Listed())
    answer = users.load(1)
    await batchio.drain(1.0)
    assert answer.result() == "value 1"
