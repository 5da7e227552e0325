from store import g
import batchio.compat.asynq


def get(x):
    # chosen elsewhere
    return batchio.compat.asynq.task(g(x))


async def caller(x):
    return await get(x)
