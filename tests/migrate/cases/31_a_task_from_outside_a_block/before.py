from asynq import asynq, AsyncScopedValue
from store import f

v = AsyncScopedValue(1)


@asynq()
def outside(x):
    t = f.asynq(x)
    with v.override(2):
        return (yield t)
