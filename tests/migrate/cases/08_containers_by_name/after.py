from store import f
import batchio
import batchio.compat.asynq


async def by_name(xs, unknown):
    tasks = [f(x) for x in xs]
    first = await batchio.gather(tasks)
    more = []
    for x in xs:
        more.append(f(x))
    second = await batchio.gather(more)
    third = await batchio.gather(tuple(map(f, xs)))
    fourth = await batchio.gather(list(f(x) for x in xs))
    return first, second, third, fourth, await batchio.compat.asynq.unwrap(unknown)
