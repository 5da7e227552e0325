"""check_cache: MemoryCache passes, and a cache that breaks one promise is told which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

import batchio
from batchio._core.cache import Lookup
from batchio.testing import check_cache, run


def check(make: Callable[..., batchio.Cache], **options: Any) -> None:
    """Check a cache on virtual time."""

    async def main() -> None:
        await check_cache(partial(make, clock=asyncio.get_running_loop().time), **options)

    run(main())


class Bent:
    """One loader's keys in a MemoryCache that some subclass breaks."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        return await self.inner.get_many(keys)  # type: ignore[no-any-return]

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await self.inner.fill_many(values, leases, ttl)

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        await self.inner.set_many(values, ttl)

    async def delete_many(self, keys: Sequence[Any]) -> None:
        await self.inner.delete_many(keys)


class Jsonish(Bent):
    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        found = await super().get_many(keys)
        found.hits = {key: [*value] if isinstance(value, tuple) else value for key, value in found.hits.items()}
        return found


class TrueIsOne(Bent):
    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        return await super().get_many([1 if key is True else key for key in keys])


class Stringly(Bent):
    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        found = await super().get_many([str(key) for key in keys])
        names = {str(key): key for key in keys}
        return Lookup(
            {names[key]: value for key, value in found.hits.items()},
            {names[key]: lease for key, lease in found.leases.items()},
            [names[key] for key in found.filling],
        )

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        await super().set_many({str(key): value for key, value in values.items()}, ttl)

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await super().fill_many(
            {str(key): value for key, value in values.items()}, {str(key): lease for key, lease in leases.items()}, ttl
        )


class Silent(Bent):
    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        return Lookup(hits=(await super().get_many(keys)).hits)


class Herd(Bent):
    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        found = await super().get_many(keys)
        found.leases |= dict.fromkeys(found.filling, object())
        found.filling = []
        return found


class NoLeases(Bent):
    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await super().fill_many(values, leases, ttl)
        await super().set_many(values, ttl)


class FillsWhatItHolds(Bent):
    """What "add after a read" does: it fills what is not there, whatever happened since."""

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await super().fill_many(values, leases, ttl)
        there = (await super().get_many(list(values))).hits
        await super().set_many({key: values[key] for key in leases if key in values and key not in there}, ttl)


class Overwrites(Bent):
    """A fill voided by a set is stored all the same."""

    keys_set: frozenset[Any] = frozenset()

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        self.keys_set |= values.keys()
        await super().set_many(values, ttl)

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await super().fill_many(values, leases, ttl)
        await super().set_many({key: value for key, value in values.items() if key in self.keys_set}, ttl)


class KeepsLeases(Bent):
    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await super().fill_many(values, {key: lease for key, lease in leases.items() if key in values}, ttl)


class KeepsDeleted(Bent):
    async def delete_many(self, keys: Sequence[Any]) -> None:
        pass


class AddsOnly(Bent):
    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        there = (await super().get_many(list(values))).hits
        await super().set_many({key: value for key, value in values.items() if key not in there}, ttl)


class Everlasting(Bent):
    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        await super().set_many(values, None)


class EverlastingFills(Bent):
    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Any], ttl: float | None) -> None:
        await super().fill_many(values, leases, None)


class BentCache(batchio.MemoryCache):
    """A MemoryCache whose bound names are bent."""

    def __init__(self, bend: type[Bent] = Bent, **options: Any) -> None:
        super().__init__(**options)
        self.bend = bend

    def bind(self, name: str, value_type: Any = None, version: int | str = 0) -> Any:
        return self.bend(super().bind(name, value_type, version))


class OneForAll(BentCache):
    """Every name means the same keys."""

    def bind(self, name: str, value_type: Any = None, version: int | str = 0) -> Any:
        bound: Any = batchio.MemoryCache.bind(self, name)
        bound._prefix = ("shared",)
        return bound


class ForgetsVersions(BentCache):
    def bind(self, name: str, value_type: Any = None, version: int | str = 0) -> Any:
        return super().bind(name, value_type, 0)


class TakesTwo(BentCache):
    def bind(self, name: str, value_type: Any = None, version: int | str = 0) -> Any:
        self._bound.clear()
        return super().bind(name, value_type, version)


def test_memory_cache_keeps_the_contract() -> None:
    """MemoryCache keeps every promise of a cache, and a wrapper around it does."""
    check(batchio.MemoryCache)
    check(BentCache)


def test_a_store_without_ttl_can_be_checked() -> None:
    """With ttl=None nothing is asked of the store's clock, and no time passes."""

    async def main() -> float:
        await check_cache(lambda: BentCache(Everlasting), ttl=None)
        return asyncio.get_running_loop().time()

    assert run(main()) == 0.0


def test_values_of_ones_own_are_checked() -> None:
    """values= replaces the usual ones: a store for text need not keep tuples."""
    check(partial(BentCache, Jsonish), values=[(str, "tea")])


@pytest.mark.parametrize(
    ("make", "promise"),
    [
        (partial(BentCache, Jsonish), "A hit equals the miss that filled it"),
        (partial(BentCache, TrueIsOne), "Keys that differ in type or value"),
        (partial(BentCache, Stringly), "Keys that differ in type or value"),
        (partial(BentCache, Silent), "A hit equals the miss that filled it"),
        (partial(BentCache, Herd), "Each key that was asked for"),
        (partial(BentCache, NoLeases), "A value without a lease"),
        (partial(BentCache, FillsWhatItHolds), "A fill never overwrites a later invalidation"),
        (partial(BentCache, Overwrites), "A fill never overwrites a later set"),
        (partial(BentCache, KeepsLeases), "A lease whose key got no value"),
        (partial(BentCache, KeepsDeleted), "A deleted key is a miss"),
        (partial(BentCache, AddsOnly), "A set replaces what was there"),
        (partial(BentCache, Everlasting), "A value ends with its ttl"),
        (partial(BentCache, EverlastingFills), "A value ends with its ttl"),
        (ForgetsVersions, "Loaders of different names do not see"),
        (OneForAll, "A hit equals the miss that filled it"),
        (TakesTwo, "Two living loaders of one name"),
    ],
)
def test_a_broken_promise_is_named(make: Callable[..., batchio.Cache], promise: str) -> None:
    """A cache that breaks a promise fails its check with the sentence of that promise."""
    with pytest.raises(AssertionError, match=f"check_cache: {promise}.* Expected .* came"):
        check(make)
