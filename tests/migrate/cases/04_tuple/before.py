from asynq import asynq
from store import f, g


@asynq()
def pair(x):
    a, b = yield f.asynq(x), g.asynq(x)
    c, d = yield (f.asynq(a), g.asynq(b))
    e = yield (
        f.asynq(c),  # first
        g.asynq(d),  # second
    )
    one = yield (f.asynq(x),)
    all_of_them = yield tuple(f.asynq(i) for i in e)
    mixed, more = yield f.asynq(x), [g.asynq(i) for i in e]
    return a, b, c, d, e, one, all_of_them, mixed, more
