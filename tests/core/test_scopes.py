"""Guarantees 8 and 9: what a scope remembers, who sees it, and what nobody remembers."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

import batchio

viewer: ContextVar[str] = ContextVar("viewer")
theme: ContextVar[str] = ContextVar("theme", default="light")


class Source:
    """A loader that counts: each fetch of a key gives a value never given before."""

    def __init__(self, **options: Any) -> None:
        self.batches: list[list[Any]] = []
        self.loader = batchio.Loader(self.fetch, name="source", **options)

    async def fetch(self, keys: list[Any]) -> dict[Any, str]:
        self.batches.append(keys)
        return {key: f"{key} of batch {len(self.batches)}" for key in keys}


class Thing:
    """Something of a request's that a weak reference can watch."""


async def collect() -> None:
    """Collect garbage, once the loop has let go of the callback that woke this task."""
    await asyncio.sleep(0)
    gc.collect()


# --- 8: memos -----------------------------------------------------------------------------------------------------


async def test_guarantee_8_scopes_do_not_leak_what_one_remembers_is_fetched_for_another() -> None:
    """A memo answers its own scope and no other."""
    source = Source()
    for _ in range(2):
        with batchio.scope():
            assert await source.loader(1) is await source.loader(1)
    assert source.batches == [[1], [1]]


async def test_guarantee_8_concurrent_scopes_share_a_batch_and_no_memo() -> None:
    """Two requests whose loads leave together each remember for themselves: one's clear is not the other's."""
    source = Source()
    both_loaded = asyncio.Barrier(2)

    async def request(*, clears: bool) -> tuple[str, str]:
        with batchio.scope():
            first = await source.loader(1)
            if clears:
                source.loader.clear(1)
            await both_loaded.wait()
            return first, await source.loader(1)

    kept, cleared = await asyncio.gather(request(clears=False), request(clears=True))
    assert kept == ("1 of batch 1", "1 of batch 1")
    assert cleared == ("1 of batch 1", "1 of batch 2")


async def test_guarantee_8_keys_that_scopes_share_are_fetched_once_and_remembered_by_each() -> None:
    """Whichever of its keys a request shares with others, and in whatever order they ask, each has its own memo of it."""
    batches: list[list[int]] = []

    @batchio.loader
    async def squares(keys: list[int]) -> dict[int, int]:
        batches.append(keys)
        return {key: key * key for key in keys}

    async def request(*keys: int) -> None:
        with batchio.scope():
            loads = [squares(key) for key in keys]
            loads[-1].cancel()
            assert await batchio.gather(*loads[:-1]) == tuple(key * key for key in keys[:-1])
            assert [squares(key).done() for key in keys] == [True] * len(keys)

    await batchio.gather(request(1, 2, 3, 5), request(5, 3, 2, 1), request(3, 1, 2, 5))
    assert batches == [[1, 2, 3, 5]]


async def test_guarantee_8_a_primed_value_is_seen_by_no_other_scope() -> None:
    """What one request primes, another has to fetch."""
    source = Source()
    with batchio.scope():
        source.loader.prime(1, "mine")
        with batchio.scope():
            assert await source.loader(1) == "1 of batch 1"
        assert await source.loader(1) == "mine"


async def test_guarantee_8_tasks_of_a_scope_share_its_memo() -> None:
    """A task that is started inside a scope remembers with it."""
    source = Source()
    with batchio.scope():
        first = await asyncio.create_task(asyncio.wait_for(source.loader(1), 5))
        assert await source.loader(1) is first
    assert source.batches == [[1]]


async def test_guarantee_8_a_memo_is_freed_with_its_scope() -> None:
    """When the scope ends, its values are garbage, even while somebody still holds the scope object."""

    @batchio.loader
    async def things(keys: list[int]) -> dict[int, Thing]:
        return {key: Thing() for key in keys}

    with batchio.scope() as held:
        one = weakref.ref(await things(1))
        many = weakref.ref((await things.load_many([2]))[0])
        things.prime(3, primed := Thing())
        three = weakref.ref(primed)
        del primed
        await collect()
        assert None not in (one(), many(), three())
    await collect()
    assert (one(), many(), three()) == (None, None, None)
    assert repr(held) == "<batchio.Scope, ended>"


async def test_guarantee_8_a_task_that_outlives_its_scope_keeps_no_memo() -> None:
    """A background task started in a request keeps the request's context, and none of what its loads brought."""

    @batchio.loader
    async def things(keys: list[int]) -> dict[int, Thing]:
        return {key: Thing() for key in keys}

    stop = asyncio.Event()
    with batchio.scope():
        task = asyncio.create_task(stop.wait())
        thing = weakref.ref(await things(1))
    await collect()
    assert thing() is None
    stop.set()
    await task


async def test_guarantee_8_what_a_requests_variables_hold_is_freed_with_the_request() -> None:
    """The machine keeps no request's context once the request is over: no timer and no callback holds on to it."""
    request: ContextVar[Thing] = ContextVar("request")
    source = Source()

    async def handle() -> weakref.ref[Thing]:
        request.set(thing := Thing())
        await source.loader(1)
        return weakref.ref(thing)

    thing = await asyncio.create_task(handle())
    await collect()
    assert thing() is None


# --- 8: contexts --------------------------------------------------------------------------------------------------


async def test_guarantee_8_a_batch_function_runs_in_an_empty_context() -> None:
    """A request's variable read in a batch raises LookupError or gives its own default, never a user's value."""
    seen: list[tuple[str, str]] = []

    @batchio.loader
    async def peek(keys: list[int]) -> dict[int, int]:
        seen.append((viewer.get("nobody"), theme.get()))
        await asyncio.sleep(0)
        with pytest.raises(LookupError):
            viewer.get()
        return dict.fromkeys(keys, 0)

    async def request(name: str) -> None:
        viewer.set(name)
        theme.set("dark")
        await peek(hash(name))

    await asyncio.gather(*(asyncio.create_task(request(name)) for name in ("ada", "bob")))
    assert seen == [("nobody", "light")]


async def test_guarantee_8_a_loader_made_in_a_request_does_not_capture_its_context() -> None:
    """A lazy import makes a loader while a request runs; its batches still see nobody's variables."""
    viewer.set("ada")

    @batchio.loader
    async def peek(keys: list[int]) -> dict[int, str]:
        return dict.fromkeys(keys, viewer.get("nobody"))

    with batchio.scope():
        assert await peek(1) == "nobody"


async def test_guarantee_8_a_stream_runs_in_an_empty_context() -> None:
    """A batch function that is an async generator sees nobody's variables at any step."""
    viewer.set("ada")

    @batchio.loader
    async def peek(keys: list[int]) -> Any:
        for key in keys:
            yield key, viewer.get("nobody")
            await asyncio.sleep(0)

    assert await peek.load_many([1, 2]) == ["nobody", "nobody"]


async def test_guarantee_8_what_a_batch_sets_is_seen_by_no_later_batch() -> None:
    """Each batch has an empty context of its own."""

    @batchio.loader
    async def peek(keys: list[int]) -> dict[int, str]:
        before = viewer.get("nobody")
        viewer.set("left behind")
        return dict.fromkeys(keys, before)

    assert [await peek(1), await peek(2)] == ["nobody", "nobody"]


async def test_guarantee_8_loads_of_a_batch_function_have_no_scope() -> None:
    """What a shared batch loads is remembered by none of the requests that it serves."""
    source = Source()

    @batchio.loader
    async def outer(keys: list[int]) -> dict[int, list[str]]:
        return {key: [await source.loader(0), await source.loader(0)] for key in keys}

    with batchio.scope():
        assert await outer(1) == ["0 of batch 1", "0 of batch 2"]
        assert await source.loader(0) == "0 of batch 3"


# --- 8: isolated --------------------------------------------------------------------------------------------------


@batchio.loader(isolated=True)
async def seen_by(keys: list[int]) -> dict[int, tuple[str, list[int]]]:
    return {key: (viewer.get("nobody"), keys) for key in keys}


async def test_guarantee_8_an_isolated_loader_gives_each_scope_batches_of_its_own() -> None:
    """Batches of an isolated loader hold one scope's keys and see that scope's variables."""

    async def request(name: str) -> list[Any]:
        viewer.set(name)
        with batchio.scope():
            return await seen_by.load_many([1, 2])

    answers = await asyncio.gather(*(asyncio.create_task(request(name)) for name in ("ada", "bob")))
    assert answers == [[("ada", [1, 2])] * 2, [("bob", [1, 2])] * 2]


async def test_guarantee_8_an_isolated_context_is_the_one_of_the_scopes_first_load() -> None:
    """The copy is taken at the first load: what a scope sets afterwards is not seen, and what a batch sets is lost."""

    @batchio.loader(isolated=True)
    async def peek(keys: list[int]) -> dict[int, str]:
        before = viewer.get("nobody")
        viewer.set("the batch")
        return dict.fromkeys(keys, before)

    with batchio.scope():
        viewer.set("ada")
        assert await peek(1) == "ada"
        assert viewer.get() == "ada"
        viewer.set("bob")
        assert await peek(2) == "ada"


async def test_guarantee_8_an_isolated_load_keeps_its_context_though_its_scope_ends_before_it_leaves() -> None:
    """A load made in a scope runs in a copy of that scope's context, whenever it leaves."""
    viewer.set("ada")
    with batchio.scope():
        load = seen_by(1)
    assert await load == ("ada", [1])


async def test_guarantee_8_an_isolated_batch_loads_in_its_scope() -> None:
    """What an isolated batch function loads is remembered by its scope."""
    source = Source()

    @batchio.loader(isolated=True)
    async def outer(keys: list[int]) -> dict[int, str]:
        return {key: await source.loader(0) for key in keys}

    with batchio.scope():
        assert await outer.load_many([1, 2]) == ["0 of batch 1"] * 2
        assert await source.loader(0) == "0 of batch 1"
    assert source.batches == [[0]]


async def test_guarantee_8_an_isolated_loader_without_a_scope_sees_nobodys_variables() -> None:
    """Without a scope there is no context to be given: its batches are shared, and empty as any other's."""
    viewer.set("ada")
    assert await asyncio.gather(seen_by(1), seen_by(2)) == [("nobody", [1, 2])] * 2


# --- 8: nested, ended, elsewhere, none ----------------------------------------------------------------------------


async def test_guarantee_8_a_nested_scope_has_a_fresh_memo() -> None:
    """A scope inside a scope remembers for itself, and the outer one goes on where it was."""
    source = Source()
    with batchio.scope():
        outer = await source.loader(1)
        with batchio.scope():
            inner = await source.loader(1)
            assert await source.loader(1) is inner
        assert await source.loader(1) is outer
    assert source.batches == [[1], [1]]


async def test_guarantee_8_a_scope_that_has_ended_acts_as_no_scope() -> None:
    """A task that outlives its scope still loads; nothing is remembered, and prime says so."""
    source = Source()
    loaded, ended = asyncio.Event(), asyncio.Event()

    async def outlive() -> list[str]:
        answers = [await source.loader(1), await source.loader(1)]
        loaded.set()
        await ended.wait()
        answers += [await source.loader(1), await source.loader(1)]
        with pytest.raises(RuntimeError, match="prime needs a memo"):
            source.loader.prime(2, "x")
        return answers

    with batchio.scope():
        task = asyncio.create_task(outlive())
        await loaded.wait()
    ended.set()
    assert await task == ["1 of batch 1"] * 2 + ["1 of batch 2", "1 of batch 3"]


def test_guarantee_8_a_scope_met_on_another_loop_acts_as_no_scope() -> None:
    """A scope belongs to the loop of its first load: on a second one loads are answered and nothing is remembered."""
    source = Source()

    async def main() -> list[str]:
        return [await source.loader(1), await source.loader(1)]

    async def prime() -> None:
        source.loader.prime(2, "x")

    with batchio.scope():
        assert asyncio.run(main()) == ["1 of batch 1"] * 2
        assert asyncio.run(main()) == ["1 of batch 2", "1 of batch 3"]
        with pytest.raises(RuntimeError, match="prime needs a memo"):
            asyncio.run(prime())


async def test_guarantee_8_without_a_scope_loads_batch_and_remember_nothing() -> None:
    """Outside of any scope keys still leave together, and the next load fetches again."""
    source = Source()
    await asyncio.gather(source.loader(1), source.loader(2), source.loader(1))
    await source.loader(1)
    assert source.batches == [[1, 2], [1]]


def test_a_scope_is_entered_once() -> None:
    """A scope that was used cannot be entered again, neither inside itself nor after its end."""
    with batchio.scope() as used, pytest.raises(RuntimeError, match="a scope is entered once"):
        used.__enter__()
    with pytest.raises(RuntimeError, match=r"make a new one with batchio\.scope\(\)"):
        used.__enter__()


async def test_a_scope_may_end_in_another_context_than_it_began_in() -> None:
    """A generator fixture ends its scope elsewhere than it entered it: the scope is over, and no error is raised."""
    source = Source()
    began: Context = copy_context()
    scope = batchio.scope()
    began.run(scope.__enter__)
    began.run(source.loader.prime, 1, "x")
    scope.__exit__(None, None, None)
    assert await began.run(source.loader.load, 1) == "1 of batch 1"


async def test_a_scope_says_how_many_loaders_it_serves() -> None:
    """The repr of a scope counts the loaders that were used in it."""
    with batchio.scope() as request:
        assert repr(request) == "<batchio.Scope, 0 loaders used>"
        await Source().loader(1)
        assert repr(request) == "<batchio.Scope, 1 loaders used>"


async def test_memos_are_kept_apart_by_the_parameters_of_the_load() -> None:
    """A load with other parameters, or with equal ones of another type, is another load."""
    calls: list[Any] = []

    @batchio.loader
    async def title(keys: list[int], *, page: Any = 1) -> dict[int, str]:
        calls.append(page)
        return {key: f"{key}, {page!r}" for key in keys}

    with batchio.scope():
        assert await title(1) == await title(1, page=1) == "1, 1"
        assert await title(1, page=True) == "1, True"
        assert await title(1, page=2) == "1, 2"
    assert calls == [1, True, 2]


# --- prime and clear ----------------------------------------------------------------------------------------------


async def test_guarantee_8_prime_without_a_scope_is_refused() -> None:
    """Nothing would remember the value: RuntimeError, and its words say to enter a scope."""
    with pytest.raises(RuntimeError, match="source: prime needs a memo: enter a scope"):
        Source().loader.prime(1, "x")
    with batchio.scope(), pytest.raises(RuntimeError, match="do not say memo=False"):
        Source(memo=False).loader.prime_many({1: "x"})


def test_prime_needs_a_running_loop() -> None:
    """A scope is bound to a loop by its first use, so prime outside of one is refused."""
    with batchio.scope(), pytest.raises(RuntimeError, match="on a running loop"):
        Source().loader.prime(1, "x")


async def test_prime_answers_loads_and_load_many() -> None:
    """A primed value is given as if it had been loaded, next to values that are fetched."""
    source = Source()
    with batchio.scope():
        source.loader.prime_many({1: "one", 2: "two"})
        assert await source.loader(1) == "one"
        assert await source.loader.load_many([2, 3, 1]) == ["two", "3 of batch 1", "one"]
    assert source.batches == [[3]]


async def test_prime_leaves_what_is_known_already() -> None:
    """A value that was loaded or primed before stays; clear makes room for another."""
    source = Source()
    with batchio.scope():
        await source.loader(1)
        await source.loader.load_many([2])
        source.loader.prime(3, "first")
        source.loader.prime_many({1: "x", 2: "x", 3: "x"})
        assert await source.loader.load_many([1, 2, 3]) == ["1 of batch 1", "2 of batch 2", "first"]
        source.loader.clear_many([1, 2, 3])
        source.loader.prime_many(dict.fromkeys([1, 2, 3], "y"))
        assert await source.loader.load_many([1, 2, 3]) == ["y"] * 3


async def test_prime_leaves_what_is_under_way() -> None:
    """A key that the scope is already waiting for is answered by its batch, for every load of the scope."""
    source = Source()
    with batchio.scope():
        one, two = source.loader(1), source.loader.load_many([2])
        source.loader.prime_many({1: "x", 2: "x"})
        assert await source.loader.load_many([1, 2]) == [await one, *await two] == ["1 of batch 1", "2 of batch 1"]


@pytest.mark.parametrize("many", [False, True], ids=["load", "load_many"])
async def test_prime_counts_after_a_load_that_was_cancelled_before_it_left(many: bool) -> None:
    """A load that never left leaves the scope knowing nothing of its key, so a primed value is remembered."""
    source = Source()
    with batchio.scope():
        load = source.loader.load_many([1]) if many else source.loader(1)
        load.cancel()
        await batchio.drain()
        source.loader.prime(1, "primed")
        assert await source.loader(1) == "primed"
    assert source.batches == []


async def test_prime_refuses_an_exception() -> None:
    """Errors are not remembered, so none can be primed, and none of its batch is."""
    source = Source()
    with batchio.scope():
        with pytest.raises(TypeError, match="source: prime got ValueError"):
            source.loader.prime_many({1: "one", 2: ValueError("no")})
        assert await source.loader(1) == "1 of batch 1"


async def test_prime_takes_the_key_as_loads_do() -> None:
    """prime normalises keys by key= and takes the parameters of the load."""

    @batchio.loader(key=int)
    async def title(keys: list[int], *, locale: str) -> dict[int, str]:
        return dict.fromkeys(keys, f"fetched {locale}")

    with batchio.scope():
        title.prime("1", "primed", locale="fr")
        assert await title(1, locale="fr") == "primed"
        assert await title(1, locale="en") == "fetched en"


async def test_clear_and_clear_all_forget_for_this_scope() -> None:
    """clear forgets some keys and clear_all all of them, single and many, so that they are fetched again."""
    source = Source()
    with batchio.scope():
        await source.loader(1)
        await source.loader.load_many([2, 3])
        source.loader.clear(2)
        assert await source.loader.load_many([1, 2, 3]) == ["1 of batch 1", "2 of batch 3", "3 of batch 2"]
        source.loader.clear_all()
        assert await source.loader.load_many([1, 2, 3]) == [f"{key} of batch 4" for key in (1, 2, 3)]
    source.loader.clear(1)  # without a scope there is nothing to forget, and no error
    source.loader.clear_all()


async def test_a_memo_joins_the_load_under_way_though_an_older_one_was_cancelled() -> None:
    """After a load_many that was cancelled in the queue, the next one is what later loads of its keys join."""
    batches: list[list[int]] = []
    go = asyncio.Event()

    @batchio.loader
    async def slow(keys: list[int]) -> dict[int, str]:
        batches.append(keys)
        await go.wait()
        return dict.fromkeys(keys, "answer")

    with batchio.scope():
        slow.load_many([1]).cancel()
        await batchio.drain()
        first = slow.load_many([1])
        while not batches:
            await asyncio.sleep(0)
        second = slow.load_many([1])
        asyncio.get_running_loop().call_soon(go.set)
        assert await first == await second == ["answer"]
    assert batches == [[1]]


async def test_memo_false_batches_and_remembers_nothing() -> None:
    """A loader with memo=False fetches each time, also in a scope; loads of one moment still share a key."""
    source = Source(memo=False)
    with batchio.scope():
        await asyncio.gather(source.loader(1), source.loader(1))
        await source.loader(1)
    assert source.batches == [[1], [1]]


# --- 9: errors ----------------------------------------------------------------------------------------------------


class Broken(Exception):
    """What the source says when it is down."""


def failing_once(how: str, **options: Any) -> batchio.Loader[int, str]:
    """A loader whose first batch fails in this way, and whose later ones answer."""
    calls: list[list[int]] = []

    async def fetch(keys: list[int]) -> dict[int, Any]:
        calls.append(keys)
        if len(calls) > 1:
            return {key: f"fetched in call {len(calls)}" for key in keys}
        if how == "raises":
            raise Broken
        return {key: Broken() for key in keys} if how == "as value" else {}

    return batchio.Loader(fetch, name="failing", **options)


HOW = [("raises", Broken), ("as value", Broken), ("missing", batchio.KeyNotFound)]


@pytest.mark.parametrize(("how", "error"), HOW, ids=[how for how, _ in HOW])
@pytest.mark.parametrize("cached", [False, True], ids=["memo", "memo and cache"])
@pytest.mark.parametrize("many", [False, True], ids=["load", "load_many"])
async def test_guarantee_9_errors_are_not_remembered(
    how: str, error: type[Exception], cached: bool, many: bool
) -> None:
    """However a key fails, neither memo nor cache keep that: the next load in the same scope retries."""
    loader = failing_once(how, cache=batchio.MemoryCache() if cached else None)
    with batchio.scope():
        with pytest.raises(error):
            await (loader.load_many([1, 2]) if many else loader(1))
        assert await loader(1) == "fetched in call 2"


@pytest.mark.parametrize("how", ["raises", "as value"])
async def test_guarantee_9_a_default_does_not_stand_in_for_an_error_in_the_cache(how: str) -> None:
    """A loader with a default still retries after an error: the default is for what was looked for and not found."""
    loader = failing_once(how, cache=batchio.MemoryCache(), default="nobody")
    with pytest.raises(Broken):
        await loader(1)
    assert await loader(1) == "fetched in call 2"


async def test_guarantee_9_a_stream_that_breaks_off_leaves_no_default_in_the_cache() -> None:
    """What a stream gave before it failed may be cached as given, never as the default."""
    calls: list[list[int]] = []

    @batchio.loader(cache=batchio.MemoryCache(), default="nobody")
    async def names(keys: list[int]) -> Any:
        calls.append(keys)
        yield keys[0], "Ada"
        if len(calls) == 1:
            raise Broken
        yield keys[-1], "Bob"

    first, second = await names.load_many([1, 2], return_exceptions=True)
    assert (first, type(second)) == ("Ada", Broken)
    assert await names.load_many([1, 2]) == ["Ada", "Bob"]


async def test_guarantee_9_a_default_is_a_value_and_is_remembered() -> None:
    """A key for which nothing was found is given the default, and memo and cache both keep it."""
    calls: list[list[int]] = []

    @batchio.loader(default=0, cache=batchio.MemoryCache())
    async def votes(keys: list[int]) -> dict[int, int]:
        calls.append(keys)
        return {}

    with batchio.scope():
        assert [await votes(1), await votes(1)] == [0, 0]
    with batchio.scope():
        assert await votes(1) == 0
    assert calls == [[1]]


async def test_guarantee_9_none_is_a_value_and_is_remembered() -> None:
    """None is an answer like any other, in a value and as a default."""
    calls: list[list[int]] = []

    @batchio.loader(default=None)
    async def avatar(keys: list[int]) -> dict[int, None]:
        calls.append(keys)
        return {1: None}

    with batchio.scope():
        for _ in range(2):
            assert await avatar.load_many([1, 2]) == [None, None]
            assert [await avatar(1), await avatar(2)] == [None, None]
    assert calls == [[1, 2]]


async def test_guarantee_9_a_load_that_was_cancelled_is_no_error_and_its_answer_is_remembered() -> None:
    """The caller went away after the batch left; the scope still knows the answer."""
    source = Source()
    with batchio.scope():
        load, more = source.loader(1), source.loader.load_many([2])
        while not source.batches:
            await asyncio.sleep(0)
        load.cancel()
        more.cancel()
        await batchio.drain()
        assert await source.loader.load_many([1, 2]) == ["1 of batch 1", "2 of batch 1"]
    assert source.batches == [[1, 2]]
