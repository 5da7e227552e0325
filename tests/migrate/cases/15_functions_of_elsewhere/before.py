from asynq import asynq
from far.away import g, h


@asynq()
def both(fn, x):
    a = yield g.asynq(x)
    b = yield fn.asynq(x)
    return a, b, g(x), fn(x), h(x)


def plain(fn, x):
    return g(x), fn(x)
