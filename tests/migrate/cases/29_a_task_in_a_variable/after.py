from store import f, prepare


async def later(x):
    t = f(x)
    prepare(x)
    a = await t
    return a
