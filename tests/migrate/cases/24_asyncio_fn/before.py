from asynq import asynq
from store import g


async def natively(x):
    return x


@asynq(asyncio_fn=natively)
def f(x):
    return (yield g.asynq(x))
