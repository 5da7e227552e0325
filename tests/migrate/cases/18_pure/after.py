import batchio


async def f(x):
    return x


async def g(x):
    a, b = await batchio.gather(f(x), f(x + 1))
    return await f(a) + b
