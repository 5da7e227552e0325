from store import f


async def old(x):
    if x == 1:
        return x
    if x == 2:
        return await f(x)
    try:
        return x
    finally:
        print("ended")
