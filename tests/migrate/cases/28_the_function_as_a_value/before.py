from asynq import asynq, get_async_fn
from store import f


@asynq()
def through_values(xs, fn):
    g = f.asynq
    a = yield g(1)
    b = yield [g(x) for x in xs]
    return a, b, (yield tuple(map(f.asynq, xs))), (yield get_async_fn(fn)(1))
