from asynq import asynq


@asynq()
def get(x):
    return x


@asynq()
def first(y=get(3)):
    yield None
    return y


@asynq()
def outer():
    @asynq()
    def inner(z=get(4)):
        return z

    return (yield inner.asynq())
