from asynq import asynq
from store import f


@asynq()
def page(x):
    return (yield {"one": f.asynq(1), "many": [f.asynq(2), (f.asynq(3), None)]})
