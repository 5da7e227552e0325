from store import f
import batchio.compat.asynq


async def maybe(x, wanted):
    return await batchio.compat.asynq.unwrap(f(x) if wanted else None)
