# batchio: async functions need no lookup: call the function, or batchio.compat.asynq.async_call for either kind
from asynq import get_async_fn
from store import f
import batchio
import batchio.compat.asynq


async def through_values(xs, fn):
    g = f
    a = await g(1)
    b = await batchio.gather([g(x) for x in xs])
    return a, b, await batchio.gather(tuple(map(f, xs))), await batchio.compat.asynq.unwrap(get_async_fn(fn)(1))
