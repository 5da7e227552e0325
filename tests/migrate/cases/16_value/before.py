from asynq import asynq


@asynq(pure=True)
def pure(x):
    return x


@asynq()
def g(x):
    return x


@asynq()
def f(x):
    return g.asynq(x).value() + pure(x)() + pure(x).value()


def plain(x):
    return g.asynq(x).value() + pure(x)()
