from asynq import asynq
import batchio


def plainly(x):
    return x


# batchio: f stays asynq: sync_fn makes two functions of one: keep both, and choose at each call
@asynq(sync_fn=plainly)
def f(x):
    return x


async def caller(x):
    # batchio: what is called here stays asynq: it runs alone, and blocks the event loop
    return f.asynq(x).value(), await batchio.gather([f.asynq(x).value(), g(x)])


async def g(x):
    return x
