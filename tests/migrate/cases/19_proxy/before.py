from asynq import asynq, async_proxy
from store import g


@async_proxy()
def get(x):
    return g.asynq(x)


@asynq()
def caller(x):
    return (yield get.asynq(x)) + get(x)
