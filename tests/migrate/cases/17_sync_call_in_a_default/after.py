import batchio.tools


async def get(x):
    return x


# batchio: no await may stand in a default: it waits when the function is defined, and its loads make a batch of their own
async def first(y=batchio.tools.run_sync(get(3))):
    return y


async def outer():
    async def inner(z=await get(4)):
        return z

    return await inner()
