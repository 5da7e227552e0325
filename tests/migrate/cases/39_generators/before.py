from asynq import asynq
from asynq.generator import async_generator, Value
from store import f


@async_generator()
def numbers(n):
    for i in range(n):
        x = yield f.asynq(i)
        yield Value(x)  # data
