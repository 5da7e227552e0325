import batchio.tools


async def pure(x):
    return x


async def g(x):
    return x


async def f(x):
    return await g(x) + await pure(x) + await pure(x)


def plain(x):
    return batchio.tools.run_sync(g(x)) + batchio.tools.run_sync(pure(x))
