from batchio.tools import afilter, amap
from store import allowed


async def visible(xs, viewer):
    async def may_see(x):
        return await allowed(viewer, x)

    seen = await afilter(may_see, xs)
    return await amap(may_see, seen), await amap(may_see, xs)
