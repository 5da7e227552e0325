"""Whether the ways that `make bench` compares do the same: its first step, and no part of `make test`."""

from __future__ import annotations

import sys

import pytest

from tests.bench import measure, micro, page
from tests.bench.peers import asynq

LOOPS = ["asyncio", "uvloop", *(["eager"] if sys.version_info >= (3, 12) else [])]
FEW = [3, 0, 5, 1]


def rendered(loop, name, questions):
    """A way's pages, and its calls by key type."""
    store = page.Store()
    at_once = micro.peers(loop)[name].pages(store)
    return measure.run(loop, lambda: at_once(questions)), dict(store.calls)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("questions", [[2], FEW], ids=["one", "four"])
def test_all_ways_make_the_same_pages(loop, questions):
    """Every way gives the same bytes."""
    digests = {name: page.digest(rendered(loop, name, questions)[0]) for name in micro.peers(loop)}
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("loop", LOOPS)
def test_all_ways_make_the_same_calls_for_one_page(loop):
    """Every way asks the store as often, for each key type: a call for each level on which it is needed."""
    expected = {"answers": 1, "post": 2, "votes": 2, "my_vote": 1, "name": 1, "photo": 1}
    for name in micro.peers(loop):
        assert rendered(loop, name, [2])[1] == expected, name


@pytest.mark.parametrize("loop", LOOPS)
def test_only_batchio_and_asynq_share_calls_between_pages(loop):
    """Pages rendered at once make as many calls as one where batches are shared, and a set for each page elsewhere."""
    for name in micro.peers(loop):
        calls = sum(rendered(loop, name, FEW)[1].values())
        assert calls == (8 if name in ("batchio", "asynq") else 8 * len(FEW)), name


def test_the_page_has_103_loads_of_6_key_types():
    """The page is the one of the targets."""
    store = page.Store()
    asked = []
    ld = asynq.Sources(store)
    for kind, load in list(vars(ld).items()):
        setattr(ld, kind, lambda key, kind=kind, load=load: asked.append((kind, key)) or load(key))
    assert isinstance(asynq.question(ld, page.viewer(2), 2), str)
    assert len(asked) == page.LOADS == 103
    assert len({kind for kind, _ in asked}) == 6


def test_asynq_is_the_compiled_one():
    """The peer is asynq's Cython build."""
    assert asynq.compiled()


@pytest.mark.parametrize("loop", LOOPS)
def test_all_ways_of_the_small_measurements_give_the_same(loop):
    """A gathered load, a task with a load, and a load_many give the keys back, whoever loads them."""

    async def main():
        for peer in micro.loaders(loop).values():
            async with peer.session() as loader:
                load = micro.load_of(loader)
                assert list(await peer.gather(*map(load, range(9)))) == list(range(9))
                assert list(await loader.load_many(list(range(12)))) == list(range(12))
        assert list(asynq.gathered(range(9))) == list(asynq.tasks(range(9))) == list(range(9))

    measure.run(loop, main)
