from asynq import asynq
from asynq.tools import afilter
from store import f


@asynq()
def lambdas(xs):
    plain = asynq()(lambda x: x + 1)
    without = yield afilter.asynq(asynq()(lambda o: not (yield f.asynq(o))), xs)
    return (yield plain.asynq(1)), without
