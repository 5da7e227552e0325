import asynq
from web import deco

coroutine = asynq.asynq
made = asynq.asynq(pure=True)
unsure = asynq.asynq(sync_fn=int)


@coroutine()
def f(x):
    yield None
    return x


@made
def g(x):
    return (yield f.asynq(x))


@coroutine(pure=True)
def h(x):
    return (yield g(x))


@unsure
def kept(x):
    return x


@deco
def unknown(x):
    return (yield kept.asynq(x))
