from asynq import asynq
from store import save


@asynq()
def keep(x):
    yield save.asynq(x)
    yield save.asynq(x), save.asynq(x + 1)
