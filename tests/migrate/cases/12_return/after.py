from store import f


async def direct(x):
    if x:
        return await f(x)
    return (
        await f(
            x,
        )
    )
