from far.away import g, h
import batchio.tools


async def both(fn, x):
    a = await g(x)
    b = await fn(x)
    return a, b, await g(x), await fn(x), h(x)


def plain(fn, x):
    return batchio.tools.run_sync(g(x)), fn(x)
