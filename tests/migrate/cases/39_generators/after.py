from store import f


async def numbers(n):
    for i in range(n):
        x = await f(i)
        yield x  # data
