from asynq import asynq, result
from store import f


@asynq()
def one(x):
    if x: result(5)
    else: print(x); result((yield f.asynq(x)))


@asynq()
def two(x): yield None


@asynq()
def three(x): yield f.asynq(x); result(x)
