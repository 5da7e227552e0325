from asynq import asynq


@asynq()
def load(x):
    return x


@asynq()
def go(x):
    later = lambda y: (yield load.asynq(y))
    return (yield load.asynq(x)), later
