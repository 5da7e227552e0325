from store import f, lock


async def locked(x):
    with lock, open(x) as file:
        return await f(file)
