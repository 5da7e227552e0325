from asynq import asynq
from store import f, fast

if fast:

    @asynq()
    def get(x):
        return (yield f.asynq(x))

else:

    def get(x):
        return x


@asynq()
def caller(x):
    return (yield f.asynq(x)), get(x)
