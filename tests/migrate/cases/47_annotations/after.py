from typing import Any, Generator

from store import f


async def generator(x: int) -> str:
    return await f(x)


async def value(x: int) -> str:
    return await f(x)
