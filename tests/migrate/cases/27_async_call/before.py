from asynq import async_call, asynq


@asynq()
def either(fn, x):
    return (yield async_call.asynq(fn, x))
