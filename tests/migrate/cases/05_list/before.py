from asynq import asynq
from store import f


@asynq()
def many(xs):
    ys = yield [f.asynq(x) for x in xs]
    zs = yield [
        f.asynq(x)
        for x in ys
        if x  # only those
    ]
    return ys + zs + (yield [])
