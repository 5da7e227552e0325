from store import f, log


async def inside(x, default):
    a = await f(x) if x else default
    b = not await f(x)
    log(1, await f(x), key=await f(x))
    c = f"{await f(x)}"
    d = (await f(x)).name
    e = (await f(x))[0]
    g = (await f(x))(1)
    while await f(x):
        x -= 1
    if await f(x) and not await f(x):
        pass
    h = (
        await f(x)
    )
    return [a, b, c, d, e, g, h, -await f(x) ** 2, lambda: x]
