from asynq import asynq


def plainly(x):
    return x


@asynq(sync_fn=plainly)
def f(x):
    return x


@asynq()
def caller(x):
    return (yield f.asynq(x)), (yield [f.asynq(x), g.asynq(x)])


@asynq()
def g(x):
    return x
