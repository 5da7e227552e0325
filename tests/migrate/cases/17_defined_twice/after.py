from asynq import asynq
from store import f, fast

if fast:

    # batchio: get stays asynq: it is defined twice in one place, once for asynq and once not
    @asynq()
    def get(x):
        return (yield f.asynq(x))

else:

    # batchio: get stays asynq: it is defined twice in one place, once for asynq and once not
    def get(x):
        return x


async def caller(x):
    return await f(x), get(x)
