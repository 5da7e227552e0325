from asynq import asynq
from store import f


@asynq()
def total(xs):
    z = 0
    for x in xs:
        z += yield f.asynq(x)
    return z
