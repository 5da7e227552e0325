from batchio.compat.asynq import async_call


async def either(fn, x):
    return await async_call(fn, x)
