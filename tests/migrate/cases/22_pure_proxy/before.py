from asynq import asynq, async_proxy
from store import g


@async_proxy(pure=True)
def get(x):
    # chosen elsewhere
    return g.asynq(x)


@asynq()
def caller(x):
    return (yield get(x))
