from asynq import asynq, scheduler
from store import f, log


@asynq()
def watched(x):
    task = scheduler.get_active_task()
    log(task.creator)
    return (yield f.asynq(x))


@asynq()
def identified(x):
    log(scheduler.get_active_task())
    return (yield f.asynq(x))


def subscribed(x):
    task = f.asynq(x)
    task.on_computed.subscribe(log)
    return task.value()
