import batchio
import batchio.compat.asynq


async def total(n):
    if n == 0:
        return 0
    return n + await batchio.compat.asynq.task(total(n - 1))


async def leaves(tree):
    return sum(await batchio.gather([leaves(branch) for branch in tree]))
