from asynq import asynq
from store import f


@asynq()
def direct(x):
    if x:
        return (yield f.asynq(x))
    return (
        yield f.asynq(
            x,
        )
    )
