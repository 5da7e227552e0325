from store import f


async def numbers():
    yield 1
    await f(0)


async def total():
    z = 0
    async for value in numbers():
        z += value
    return z


async def odd():
    tasks = []
    # batchio: a loop over an async generator: make it `async for value in ...`
    for task in numbers():
        tasks.append(task)
    # batchio: this iterates over an async generator: `async for`, or `await anext(...)`
    return next(numbers())
