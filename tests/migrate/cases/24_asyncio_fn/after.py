from store import g
import batchio.compat.asynq


async def natively(x):
    return x


# batchio: f has two bodies, as its asyncio_fn was: keep one
@batchio.compat.asynq.twin(natively)
async def f(x):
    return await g(x)
