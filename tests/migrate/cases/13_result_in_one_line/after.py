from store import f


async def one(x):
    if x: return 5
    else: print(x); return await f(x)


async def two(x): None


async def three(x): await f(x); return x
