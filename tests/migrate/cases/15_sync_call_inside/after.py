import batchio.tools


async def g(x):
    return x


async def f(x):
    values = [await g(i) for i in range(x)]
    # batchio: no await may stand here: the call runs in a thread, and its loads make a batch of their own
    late = lambda: batchio.tools.run_sync(g(x))
    # batchio: no await may stand here: the call runs in a thread, and its loads make a batch of their own
    return await g(x) + (await g(x)).bit_length() + late() + sum(batchio.tools.run_sync(g(i)) for i in values)
