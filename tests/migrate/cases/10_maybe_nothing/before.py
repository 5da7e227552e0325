from asynq import asynq
from store import f


@asynq()
def maybe(x, wanted):
    return (yield (f.asynq(x) if wanted else None))
