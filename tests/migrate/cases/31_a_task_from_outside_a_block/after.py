from batchio.tools import AsyncScopedValue
from store import f

v = AsyncScopedValue(1)


async def outside(x):
    t = f(x)
    with v.override(2):
        return await t
