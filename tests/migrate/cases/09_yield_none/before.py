from asynq import asynq


@asynq()
def nothing(x):
    yield None
    yield
    # a comment that stays
    yield None
    y = yield None
    if x:
        yield  # this too
    return y
