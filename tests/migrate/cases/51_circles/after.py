import batchio
import batchio.compat.asynq


async def visit(n):
    if n == 0:
        return 0
    return 1 + await batchio.compat.asynq.task(children(n))


async def children(n):
    one, *rest = await batchio.gather([visit(n - 1), visit(0)])
    return one + await batchio.compat.asynq.task(visit(0))
