from store import f, show
import batchio
import batchio.compat.asynq


async def often(x):
    t = batchio.compat.asynq.task(f(x))
    a = await t
    b = await t
    tasks = [batchio.compat.asynq.task(f(i)) for i in range(3)]
    try:
        await batchio.gather(tasks)
    except ValueError:
        return [task.error() for task in tasks]
    show(batchio.compat.asynq.task(f(x)))
    return a, b
