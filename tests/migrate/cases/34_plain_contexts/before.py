from asynq import asynq
from store import f, lock


@asynq()
def locked(x):
    with lock, open(x) as file:
        return (yield f.asynq(file))
