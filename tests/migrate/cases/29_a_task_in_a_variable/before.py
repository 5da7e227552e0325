from asynq import asynq
from store import f, prepare


@asynq()
def later(x):
    t = f.asynq(x)
    prepare(x)
    a = yield t
    return a
