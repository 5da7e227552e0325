"""What a type checker must infer of `gather`. Not run: mypy and pyright read it in `make lint`."""

from __future__ import annotations

from typing import assert_type

import batchio
from tests.typing.loaders import User, composite, from_dict, from_mapping


async def text(key: int) -> str:
    return await from_dict(key)


async def number(key: int) -> int:
    return len(await from_dict(key))


async def several() -> None:
    """Each place of the tuple keeps its own type, up to eight."""
    assert_type(await batchio.gather(), tuple[()])
    assert_type(await batchio.gather(text(1), number(1)), tuple[str, int])
    assert_type(
        await batchio.gather(from_dict(1), from_mapping("a"), composite((1, 2))),
        tuple[str, User, bool],
    )
    assert_type(
        await batchio.gather(text(1), number(1), text(1), number(1)),
        tuple[str, int, str, int],
    )
    assert_type(
        await batchio.gather(text(1), number(1), text(1), number(1), text(1)),
        tuple[str, int, str, int, str],
    )
    assert_type(
        await batchio.gather(text(1), number(1), text(1), number(1), text(1), number(1)),
        tuple[str, int, str, int, str, int],
    )
    assert_type(
        await batchio.gather(text(1), number(1), text(1), number(1), text(1), number(1), text(1)),
        tuple[str, int, str, int, str, int, str],
    )
    assert_type(
        await batchio.gather(text(1), number(1), text(1), number(1), text(1), number(1), text(1), number(1)),
        tuple[str, int, str, int, str, int, str, int],
    )


async def one() -> None:
    assert_type(await batchio.gather(text(1)), tuple[str])


async def any_number() -> None:
    assert_type(await batchio.gather(*[text(key) for key in range(20)]), tuple[str, ...])


async def containers() -> None:
    """One container alone gives its own shape back."""
    assert_type(await batchio.gather([text(1), text(2)]), list[str])
    assert_type(await batchio.gather({"a": number(1), "b": number(2)}), dict[str, int])
    assert_type(await batchio.gather([from_dict(key) for key in range(3)]), list[str])


async def failures_as_values() -> None:
    assert_type(await batchio.gather(text(1), text(2), return_exceptions=True), tuple[str | BaseException, ...])
