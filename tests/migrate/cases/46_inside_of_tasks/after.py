from asynq import asynq, scheduler
from store import f, log
import asyncio
import batchio.compat.asynq


# batchio: watched stays asynq: it looks at asynq's own task: .creator
@asynq()
def watched(x):
    task = scheduler.get_active_task()
    log(task.creator)
    return (yield f.asynq(x))


async def identified(x):
    log(asyncio.current_task())
    return await f(x)


def subscribed(x):
    task = batchio.compat.asynq.task(f(x))
    # batchio: .on_computed is asynq's: what is awaited now has no such attribute
    task.on_computed.subscribe(log)
    return task.value()
