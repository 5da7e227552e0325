"""What every cache promises, as a check that its author can run.

Rules of this room:

- A check is one promise: its docstring is the sentence that a failure shows. It knows the protocol and no store.
- Nothing is assumed of a store but the protocol: names are new at each run, so a server that keeps what earlier runs
  left will do; time is waited for with ``asyncio.sleep``, so a store with a clock of its own will do, too.
- What would take a store's own time limits to see (a lease whose holder died) is not checked here.
"""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from batchio._core.cache import BoundCache, Cache, Lookup

__all__ = ["check_cache"]

Names = BoundCache[Any, Any]


class Row(NamedTuple):
    """What a row of a store looks like."""

    id: int
    name: str


VALUES: tuple[tuple[Any, Any], ...] = (
    (str, ""),
    (str, "na\u00efve \x00 \U0001f375"),
    (int, -(2**40)),
    (bool, True),
    (float, 0.1),
    (bytes, b"\x00\r\n\xff"),
    (str | None, None),
    (list[int], [1, 2]),
    (dict[str, int], {"a": 1}),
    (tuple[int, str], (1, "a")),
    (Row, Row(1, "Ada")),
)
KEYS: tuple[Any, ...] = (1, True, 1.0, "1", b"1", (1, "1"), ("1", 1), "a b\r\n", "k" * 300, "\u00e9", "", -1)


async def check_cache(
    make_cache: Callable[[], Cache], *, ttl: float | None = 1.0, values: Sequence[tuple[Any, Any]] = VALUES
) -> None:
    """Check that a cache keeps the promises of ``batchio.Cache``; a test of your own cache is one call of this.

    Hits equal the misses that filled them, in type and value; one lease at a time for a key; a fill never overwrites
    a later ``set_many`` or ``delete_many``; names, versions and types of keys are kept apart; values end with their ttl.

    Args:
        make_cache: makes the cache to be checked; called once.
        ttl: seconds that the shortest-lived value lives in this store (memcached: 1.0); the check waits a bit more
            than twice as long, with ``asyncio.sleep``. On a ``VirtualLoop`` give the cache that loop's ``time``. None
            for a store that knows no ttl.
        values: pairs of a value type and a value, to be kept instead of the usual ones.

    Raises:
        AssertionError: names the promise that was broken, what was expected and what came.

    Example:
        >>> import asyncio, batchio
        >>> from batchio.testing import check_cache, run
        >>> async def main() -> None:
        ...     clock = asyncio.get_running_loop().time
        ...     await check_cache(lambda: batchio.MemoryCache(clock=clock))
        >>> run(main())
    """
    cache = make_cache()
    for value_type, value in values:
        await _keeps_values(cache, value_type, value)
    for check in CHECKS:
        await check(cache, _bind(cache))
    if ttl is not None:
        await _ends_with_ttl(_bind(cache), ttl)


def _bind(cache: Cache, name: str = "", value_type: Any = str, version: int | str = 0) -> Names:
    return cache.bind(name or f"check_cache:{uuid.uuid4().hex}", value_type, version)


def _expect(promise: Callable[..., Any], wanted: object, came: object) -> None:
    """Compare and say which promise was broken. Not ``assert``: ``python -O`` would drop it."""
    if wanted != came:
        raise AssertionError(f"check_cache: {promise.__doc__} Expected {wanted!r}, and {came!r} came.")


def _parts(found: Lookup[Any, Any]) -> tuple[dict[Any, Any], list[Any], list[Any]]:
    """A lookup without its tokens, which are the store's business: hits, keys with a lease, keys being filled."""
    return dict(found.hits), sorted(found.leases, key=repr), sorted(found.filling, key=repr)


async def _fill(names: Names, values: Mapping[Any, Any], ttl: float | None = None) -> None:
    await names.fill_many(values, (await names.get_many(list(values))).leases, ttl)


async def _keeps_values(cache: Cache, value_type: Any, value: Any) -> None:
    """A hit equals the miss that filled it, in type and value."""
    names = _bind(cache, value_type=value_type)
    await _fill(names, {"key": value})
    await names.set_many({"set": value}, None)
    hits = (await names.get_many(["key", "set"])).hits
    _expect(_keeps_values, {"key": value, "set": value}, hits)
    for hit in hits.values():  # 1 == True == 1.0, and (1,) == Row(1); what they are made of shows in their repr
        _expect(_keeps_values, (type(value), repr(value)), (type(hit), repr(hit)))


async def _tells_keys_apart(_: Cache, names: Names) -> None:
    """Keys that differ in type or value are different keys, whatever they are made of."""
    for number, key in enumerate(KEYS):
        _expect(_tells_keys_apart, ({}, [key], []), _parts(await names.get_many([key])))
        await names.set_many({key: f"value {number}"}, None)
    for number, key in enumerate(KEYS):
        _expect(_tells_keys_apart, {key: f"value {number}"}, (await names.get_many([key])).hits)


async def _sorts_each_key(_: Cache, names: Names) -> None:
    """Each key that was asked for is a hit, or leased, or being filled by somebody else."""
    _expect(_sorts_each_key, ({}, [], []), _parts(await names.get_many([])))
    await names.set_many({"hit": "value"}, None)
    _expect(_sorts_each_key, ({"hit": "value"}, ["leased"], []), _parts(await names.get_many(["hit", "leased"])))
    found = _parts(await names.get_many(["leased", "hit", "new"]))
    _expect(_sorts_each_key, ({"hit": "value"}, ["new"], ["leased"]), found)


async def _leases_once(_: Cache, names: Names) -> None:
    """Of many who miss a key at once, one gets a lease."""
    found = await asyncio.gather(*(names.get_many(["key"]) for _ in range(20)))
    _expect(_leases_once, 1, sum(len(one.leases) for one in found))
    _expect(_leases_once, 19, sum(len(one.filling) for one in found))


async def _takes_leases_back(_: Cache, names: Names) -> None:
    """A lease whose key got no value is given back, and the next who misses gets it."""
    await names.fill_many({}, (await names.get_many(["key"])).leases, None)
    _expect(_takes_leases_back, ["key"], list((await names.get_many(["key"])).leases))


async def _fills_only_leased_keys(_: Cache, names: Names) -> None:
    """A value without a lease is not filled in."""
    await names.fill_many({"key": "value"}, {}, None)
    _expect(_fills_only_leased_keys, {}, (await names.get_many(["key"])).hits)


async def _deletes(_: Cache, names: Names) -> None:
    """A deleted key is a miss, its neighbours are not, and to delete what is not there is no error."""
    await names.set_many({"key": "value", "other": "value"}, None)
    await names.delete_many(["key", "never there"])
    await names.delete_many([])
    _expect(_deletes, ({"other": "value"}, ["key"], []), _parts(await names.get_many(["key", "other"])))


async def _sets(_: Cache, names: Names) -> None:
    """A set replaces what was there."""
    await names.set_many({"key": "old"}, None)
    await names.set_many({"key": "new"}, None)
    await names.set_many({}, None)
    _expect(_sets, {"key": "new"}, (await names.get_many(["key"])).hits)


async def _fill_after_delete_is_void(_: Cache, names: Names) -> None:
    """A fill never overwrites a later invalidation, and the next who misses gets a lease of its own."""
    stale = (await names.get_many(["key"])).leases
    await names.delete_many(["key"])
    fresh = (await names.get_many(["key"])).leases
    _expect(_fill_after_delete_is_void, ["key"], list(fresh))
    await names.fill_many({"key": "stale"}, stale, None)
    _expect(_fill_after_delete_is_void, {}, (await names.get_many(["key"])).hits)
    await names.fill_many({"key": "fresh"}, fresh, None)
    _expect(_fill_after_delete_is_void, {"key": "fresh"}, (await names.get_many(["key"])).hits)
    await names.delete_many(["key"])
    await names.fill_many({"key": "fresh"}, fresh, None)
    _expect(_fill_after_delete_is_void, {}, (await names.get_many(["key"])).hits)


async def _fill_after_set_is_void(_: Cache, names: Names) -> None:
    """A fill never overwrites a later set."""
    stale = (await names.get_many(["key"])).leases
    await names.set_many({"key": "fresh"}, None)
    await names.fill_many({"key": "stale"}, stale, None)
    _expect(_fill_after_set_is_void, {"key": "fresh"}, (await names.get_many(["key"])).hits)


async def _keeps_names_apart(cache: Cache, names: Names) -> None:
    """Loaders of different names do not see each other's values, nor does another version of the same one."""
    await names.set_many({"key": "value"}, None)
    _expect(_keeps_names_apart, {}, (await _bind(cache).get_many(["key"])).hits)
    name = f"check_cache:{uuid.uuid4().hex}"
    old = _bind(cache, name, version=1)
    await old.set_many({"key": "value"}, None)
    del old
    gc.collect()  # a name is free again once nobody holds what was bound under it
    _expect(_keeps_names_apart, {}, (await _bind(cache, name, version=2).get_many(["key"])).hits)


async def _refuses_a_second_name(cache: Cache, _: Names) -> None:
    """Two living loaders of one name on one cache are refused with a ValueError."""
    name = f"check_cache:{uuid.uuid4().hex}"
    living = _bind(cache, name)
    try:
        second: object = _bind(cache, name)
    except ValueError:
        second = ValueError
    _expect(_refuses_a_second_name, ValueError, second)
    del living


async def _ends_with_ttl(names: Names, ttl: float) -> None:
    """A value ends with its ttl, filled or set, and lives on without one."""
    await _fill(names, {"filled": "value"}, ttl)
    await names.set_many({"set": "value"}, ttl)
    await names.set_many({"for good": "value"}, None)
    asked = ["filled", "set", "for good"]
    _expect(_ends_with_ttl, dict.fromkeys(asked, "value"), (await names.get_many(asked)).hits)
    await asyncio.sleep(2 * ttl + 0.1)  # a store that counts whole seconds may keep a value for nearly one more
    _expect(_ends_with_ttl, ({"for good": "value"}, ["filled", "set"], []), _parts(await names.get_many(asked)))


CHECKS: tuple[Callable[[Cache, Names], Awaitable[None]], ...] = (
    _tells_keys_apart,
    _sorts_each_key,
    _leases_once,
    _takes_leases_back,
    _fills_only_leased_keys,
    _deletes,
    _sets,
    _fill_after_delete_is_void,
    _fill_after_set_is_void,
    _keeps_names_apart,
    _refuses_a_second_name,
)
