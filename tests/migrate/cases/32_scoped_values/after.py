from batchio.tools import AsyncScopedValue
from store import f

locale = AsyncScopedValue("en")


async def in_french(x):
    with locale.override("fr"):
        return await f(x), locale.get(), locale()
