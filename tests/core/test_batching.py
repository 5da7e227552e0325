"""Guarantees 1, 3 and 11: what leaves together, once per key, in the order of first loads.

Rules:
- What is asserted is what the batch function was given: `batches == [[1, 2], [3]]`, key by key.
- `PATIENT` takes the clock out of the tick: on a busy machine 5 ms may pass between two passes of the loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import batchio

PATIENT = batchio.Limits(max_delay=60.0)


class Source:
    """A batch function that notes what it is asked, waits for its gate, and answers `value of {key}`."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.batches: list[list[Any]] = []
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        if is_open:
            self.gate.set()

    async def fetch(self, keys: list[Any]) -> dict[Any, str]:
        self.batches.append(keys)
        self.asked.set()
        await self.gate.wait()
        return {key: f"value of {key}" for key in keys}

    def loader(self, *, name: str = "source", limits: batchio.Limits = PATIENT, **options: Any) -> Any:
        return batchio.Loader(self.fetch, name=name, limits=limits, **options)


async def passes(count: int = 20) -> None:
    """Let the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


# --- guarantee 1: batching ----------------------------------------------------------------------------------------


async def test_guarantee_01_batching_whatever_the_way_in_which_a_load_is_made() -> None:
    """Loads that are awaited, gathered, run as tasks, made in callbacks or by load_many leave together."""
    source = Source()
    load = source.loader()

    async def one(key: int) -> str:
        return await load(key)

    made_later: list[asyncio.Future[str]] = []
    asyncio.get_running_loop().call_soon(lambda: made_later.append(load(1)))
    started = load(2)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(one(3))
        gathered = await batchio.gather(one(4), load(5))
        many = await load.load_many([6, 7])
    # the two awaits of this task are a chain, so load_many comes in a second wave
    assert [sorted(batch) for batch in source.batches] == [[1, 2, 3, 4, 5], [6, 7]]
    values = [await made_later[0], await started, task.result(), *gathered, *many]
    assert values == [f"value of {key}" for key in range(1, 8)]


async def test_guarantee_01_batching_counts_dependencies_and_not_tasks() -> None:
    """However many tasks walk a chain of three dependent loads, each link of the chain is one batch."""
    source = Source()
    load = source.loader()

    async def walk(start: int) -> str:
        for link in range(3):
            value = await load((start, link))
        return value

    await batchio.gather(*map(walk, range(20)))
    assert source.batches == [[(start, link) for start in range(20)] for link in range(3)]


async def test_all_loaders_leave_in_the_same_tick() -> None:
    """Keys of several loaders, asked for in one wave, are all under way before any of them is answered."""
    posts, users, votes = (Source(is_open=False) for _ in range(3))
    loaders = [source.loader(name=f"loader {place}") for place, source in enumerate((posts, users, votes))]
    waiting = [load(key) for key in "ab" for load in loaders]
    await batchio.gather(*(source.asked.wait() for source in (posts, users, votes)))
    assert [source.batches for source in (posts, users, votes)] == [[["a", "b"]]] * 3
    assert not any(future.done() for future in waiting)
    for source in (posts, users, votes):
        source.gate.set()
    await batchio.gather(*waiting)


async def test_a_load_never_runs_the_batch_function_itself() -> None:
    """While the code that loads goes on without an await, nothing is fetched."""
    source = Source()
    load = source.loader()
    waiting = [load(key) for key in range(5)]
    waiting.append(load.load_many([5, 6]))
    assert source.batches == []
    await batchio.gather(*waiting)
    assert source.batches == [[0, 1, 2, 3, 4, 5, 6]]


async def test_scopes_share_batches() -> None:
    """Keys of several requests leave in one batch."""
    source = Source()
    load = source.loader()

    async def request(key: int) -> str:
        with batchio.scope():
            return await load(key)

    assert await batchio.gather(*map(request, [1, 2, 1])) == ("value of 1", "value of 2", "value of 1")
    assert source.batches == [[1, 2]]


async def test_what_an_answer_makes_possible_leaves_without_waiting_for_other_answers() -> None:
    """A slow batch holds up nobody whose own answer has come."""
    slow, quick = Source(is_open=False), Source()
    load_slow, load_quick = slow.loader(name="slow"), quick.loader(name="quick")
    waiting = load_slow(1)
    await load_quick(await load_quick("a"))
    assert (quick.batches, waiting.done()) == ([["a"], ["value of a"]], False)
    slow.gate.set()
    assert await waiting == "value of 1"


# --- guarantee 3: one fetch per key -------------------------------------------------------------------------------


@pytest.mark.parametrize("memo", [True, False])
@pytest.mark.parametrize("scoped", [True, False])
async def test_guarantee_03_one_fetch_per_key_however_many_wait(memo: bool, scoped: bool) -> None:
    """A key is in a batch once, with and without a memo, with and without a scope, by load and by load_many."""
    source = Source()
    load = source.loader(memo=memo)
    scope = batchio.scope()
    if scoped:
        scope.__enter__()
    waiting = [load(1), load(2), load(1), load.load_many([2, 3, 3, 1]), load(3), load.load_many([1, 1])]
    values = await batchio.gather(*waiting)
    scope.__exit__(None, None, None)
    one, two, three = (f"value of {key}" for key in (1, 2, 3))
    assert values == (one, two, one, [two, three, three, one], three, [one, one])
    assert source.batches == [[1, 2, 3]]


async def test_guarantee_03_one_fetch_per_key_across_scopes_and_tasks() -> None:
    """Two requests and a task without a scope that ask for one key make one fetch."""
    source = Source()
    load = source.loader()

    async def request() -> str:
        with batchio.scope():
            return await load(1)

    assert set(await batchio.gather(request(), request(), load(1))) == {"value of 1"}
    assert source.batches == [[1]]


async def test_keys_compare_as_in_a_dict() -> None:
    """1, True and 1.0 are one key, and the first of them is the one that is fetched."""
    source = Source()
    load = source.loader()
    assert await batchio.gather(load(True), load(1), load(1.0)) == ("value of True",) * 3
    assert source.batches == [[True]]
    assert source.batches[0][0] is True


async def test_a_key_function_decides_which_keys_are_one() -> None:
    """With key=int, "7" and 7 are one key, which reaches the batch function as int made it."""
    source = Source()
    load = source.loader(key=int)
    assert await batchio.gather(load("7"), load(7), load.load_many(["7", "8"])) == (
        "value of 7",
        "value of 7",
        ["value of 7", "value of 8"],
    )
    assert source.batches == [[7, 8]]


async def test_a_key_that_waits_for_a_slot_is_joined() -> None:
    """Keys that cannot leave yet collect; asked for again, they are still fetched once."""
    source = Source(is_open=False)
    load = source.loader(limits=batchio.Limits(max_in_flight=1, max_delay=60.0))
    first = load(0)
    await source.asked.wait()
    waiting = [load(1), load(2)]
    await passes()
    waiting += [load(2), load(1), load(3)]
    source.gate.set()
    await batchio.gather(first, *waiting)
    assert source.batches == [[0], [1, 2, 3]]


async def test_waiters_of_one_key_share_one_value() -> None:
    """A value is one object for all who asked for its key."""

    @batchio.loader
    async def rows(keys: list[int]) -> dict[int, list[int]]:
        return {key: [key] for key in keys}

    one, same, (again, other) = await batchio.gather(rows(1), rows(1), rows.load_many([1, 2]))
    assert one is same is again
    assert other is not one


# --- guarantee 11: order ------------------------------------------------------------------------------------------


async def test_guarantee_11_order_is_that_of_first_loads() -> None:
    """Keys reach the batch function in the order in which they were first asked for, by whatever call."""
    source = Source()
    load = source.loader()
    await batchio.gather(load(5), load(1), load.load_many([9, 5, 2]), load(1), load(4), load.load_many([4, 0]))
    assert source.batches == [[5, 1, 9, 2, 4, 0]]


@pytest.mark.parametrize("shape", ["mapping", "sequence", "async iterator"])
async def test_guarantee_11_order_results_reach_their_own_keys(shape: str) -> None:
    """Whatever shape the answer has, and in whatever order a mapping or an iterator brings it, keys get their values."""

    async def fetch(keys: list[int]) -> Any:
        if shape == "sequence":
            return tuple(10 * key for key in keys)
        pairs = {key: 10 * key for key in reversed([*keys, 99])}  # 99 was not asked for
        return pairs if shape == "mapping" else one_by_one(pairs)

    async def one_by_one(pairs: dict[int, int]) -> Any:
        for pair in pairs.items():
            await asyncio.sleep(0)
            yield pair

    load = batchio.Loader(fetch)
    assert await batchio.gather(*map(load, [3, 1, 2])) == (30, 10, 20)
    assert await load.load_many([2, 3, 2, 1]) == [20, 30, 20, 10]


async def test_a_cut_keeps_the_order() -> None:
    """More keys than max_batch_size make several batches, cut in the order of first loads."""
    source = Source()
    load = source.loader(limits=batchio.Limits(max_batch_size=4, max_delay=60.0))
    assert await load.load_many(range(10)) == [f"value of {key}" for key in range(10)]
    assert source.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_a_cut_batch_is_exactly_full() -> None:
    """As many keys as max_batch_size are one batch, and one key more is a second one."""
    source = Source()
    load = source.loader(limits=batchio.Limits(max_batch_size=3, max_delay=60.0))
    await load.load_many(list("abc"))
    await load.load_many(list("abcd"))
    assert source.batches == [["a", "b", "c"], ["a", "b", "c"], ["d"]]


async def test_keys_that_come_later_leave_later() -> None:
    """With one slot, the rest of a cut queue keeps its place before keys that were asked for meanwhile."""
    source = Source(is_open=False)
    load = source.loader(limits=batchio.Limits(max_batch_size=2, max_in_flight=1, max_delay=60.0))
    early = load.load_many([1, 2, 3])
    await source.asked.wait()
    late = load.load_many([4, 3, 5])
    source.gate.set()
    await batchio.gather(early, late)
    assert source.batches == [[1, 2], [3, 4], [5]]


async def test_one_load_many_may_stand_in_several_batches() -> None:
    """A load_many is answered when the last of its batches is, its values in the order in which it asked."""
    source = Source()
    load = source.loader(limits=batchio.Limits(max_batch_size=2, max_delay=60.0))
    assert await load.load_many([5, 4, 3, 5, 1]) == [f"value of {key}" for key in (5, 4, 3, 5, 1)]
    assert source.batches == [[5, 4], [3, 1]]


async def test_parameters_split_batches_and_keep_the_order_in_each() -> None:
    """Loads with different parameters never share a batch; each batch has its own order of first loads."""
    batches: list[tuple[str, list[int]]] = []

    @batchio.loader(limits=PATIENT)
    async def title(ids: list[int], *, locale: str = "en") -> dict[int, str]:
        batches.append((locale, ids))
        return {key: f"{key} {locale}" for key in ids}

    french = title.bind(locale="fr")
    values = await batchio.gather(title(2), french(3), title(1, locale="fr"), title(2, locale="en"), french(2))
    assert values == ("2 en", "3 fr", "1 fr", "2 en", "2 fr")
    assert batches == [("en", [2]), ("fr", [3, 1, 2])]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    calls=st.lists(st.one_of(st.integers(0, 9), st.lists(st.integers(0, 9), max_size=6)), max_size=12),
    size=st.integers(1, 5),
    slots=st.integers(1, 3),
)
def test_any_calls_are_cut_in_order_and_answered(calls: list[Any], size: int, slots: int) -> None:
    """Whatever is asked in one wave: each key once, in order of first loads, no batch too large, each value its own."""

    async def main() -> None:
        source = Source()
        load = source.loader(limits=batchio.Limits(max_batch_size=size, max_in_flight=slots, max_delay=60.0))
        waiting = [load.load_many(call) if isinstance(call, list) else load(call) for call in calls]
        values = await batchio.gather(waiting)
        expected = [[f"value of {k}" for k in call] if isinstance(call, list) else f"value of {call}" for call in calls]
        assert values == expected
        flat = [key for call in calls for key in (call if isinstance(call, list) else [call])]
        assert [key for batch in source.batches for key in batch] == list(dict.fromkeys(flat))
        assert all(len(batch) == size for batch in source.batches[:-1])
        assert all(len(batch) <= size for batch in source.batches)

    asyncio.run(main())
