from asynq import asynq


@asynq(pure=True)
def f(x):
    return x


@asynq(pure=True)
def g(x):
    a, b = yield f(x), f(x + 1)
    return (yield f(a)) + b
