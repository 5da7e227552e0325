"""What a type checker must infer of loaders. Not run: mypy and pyright read it in `make lint`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_type

import batchio
from batchio import Loader


@dataclass
class User:
    name: str


# --- a batch function gives the loader its types ------------------------------------------------------------------


@batchio.loader
async def from_dict(keys: list[int]) -> dict[int, str]:
    return {key: str(key) for key in keys}


@batchio.loader
async def from_mapping(keys: list[str]) -> Mapping[str, User]:
    return {key: User(key) for key in keys}


@batchio.loader
async def from_list(keys: list[int]) -> list[str]:
    return [str(key) for key in keys]


@batchio.loader
async def from_sequence(keys: Sequence[int]) -> Sequence[User]:
    return [User(str(key)) for key in keys]


@batchio.loader
async def from_generator(keys: list[int]) -> AsyncIterator[tuple[int, str]]:
    for key in keys:
        yield key, str(key)


@batchio.loader
async def composite(keys: list[tuple[int, int]]) -> dict[tuple[int, int], bool]:
    return dict.fromkeys(keys, True)


@batchio.loader(name="users", limits=batchio.Limits(max_batch_size=10), memo=False)
async def with_options(keys: list[int]) -> dict[int, User]:
    return {key: User(str(key)) for key in keys}


@batchio.loader(default=None)
async def with_default(keys: list[int]) -> dict[int, User]:
    return {key: User(str(key)) for key in keys}


@batchio.loader
async def title(keys: list[int], *, locale: str) -> dict[int, str]:
    return dict.fromkeys(keys, locale)


class Users(Loader[int, User]):
    async def load_batch(self, keys: list[int]) -> dict[int, User]:
        return {key: User(str(key)) for key in keys}


async def fetch(keys: list[int]) -> dict[int, User]:
    return {key: User(str(key)) for key in keys}


async def fetch_in_order(keys: list[int]) -> list[User]:
    return [User(str(key)) for key in keys]


async def fetch_one_by_one(keys: list[int], *, locale: str) -> AsyncIterator[tuple[int, User]]:
    for key in keys:
        yield key, User(locale)


def definitions() -> None:
    assert_type(from_dict, Loader[int, str])
    assert_type(from_mapping, Loader[str, User])
    assert_type(from_list, Loader[int, str])
    assert_type(from_sequence, Loader[int, User])
    assert_type(from_generator, Loader[int, str])
    assert_type(composite, Loader[tuple[int, int], bool])
    assert_type(with_options, Loader[int, User])
    assert_type(with_default, Loader[int, User | None])
    assert_type(title, Loader[int, str])
    assert_type(title.bind(locale="fr"), Loader[int, str])
    assert_type(Loader(fetch), Loader[int, User])
    assert_type(Loader(fetch_in_order, name="users"), Loader[int, User])
    assert_type(Loader(fetch_one_by_one, key=int), Loader[int, User])


# --- loads --------------------------------------------------------------------------------------------------------


async def loads() -> None:
    assert_type(await from_dict(1), str)
    assert_type(from_dict.load(1), asyncio.Future[str])
    assert_type(from_dict(1), asyncio.Future[str])
    assert_type(from_dict.load_many([1, 2]), asyncio.Future[list[str]])
    assert_type(await from_dict.load_many([1, 2]), list[str])
    assert_type(
        await from_dict.load_many([1, 2], return_exceptions=True),
        list[str | BaseException],
    )
    assert_type(await title(1, locale="fr"), str)
    assert_type(await Users()(1), User)
    assert_type(await composite((1, 2)), bool)


async def maintenance() -> None:
    from_dict.prime(1, "one")
    from_dict.prime_many({1: "one"})
    from_dict.clear(1)
    from_dict.clear_many([1, 2])
    from_dict.clear_all()
    await from_dict.invalidate(1, 2)
    with from_dict.override({1: "one"}):
        pass


def mistakes() -> None:
    from_dict("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    from_dict.prime(1, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
