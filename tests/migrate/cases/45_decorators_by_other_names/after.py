import asynq
from web import deco

# batchio: asynq() is used here in a way that is not known: write `async def`
coroutine = asynq.asynq
# batchio: asynq() is used here in a way that is not known: write `async def`
made = asynq.asynq(pure=True)
# batchio: asynq() is used here in a way that is not known: write `async def`
unsure = asynq.asynq(sync_fn=int)


async def f(x):
    return x


async def g(x):
    return await f(x)


async def h(x):
    return await g(x)


# batchio: kept stays asynq: sync_fn makes two functions of one: keep both, and choose at each call
@unsure
def kept(x):
    return x


# batchio: unknown stays asynq: what its decorator @deco is cannot be seen here
@deco
def unknown(x):
    return (yield kept.asynq(x))
