from store import g


async def get(x):
    return await g(x)


async def caller(x):
    return await get(x) + await get(x)
