from batchio.tools import afilter
from store import f
import batchio.compat.asynq


async def lambdas(xs):
    plain = batchio.compat.asynq.as_async(lambda x: x + 1)
    async def _lambda_1(o):
        return not await f(o)
    without = await afilter(_lambda_1, xs)
    return await plain(1), without
