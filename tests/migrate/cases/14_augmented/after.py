from store import f


async def total(xs):
    z = 0
    for x in xs:
        z += await f(x)
    return z
