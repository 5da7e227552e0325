from asynq import asynq
from asynq.generator import async_generator, END_OF_GENERATOR, Value
from store import f


@async_generator()
def numbers():
    yield Value(1)
    yield f.asynq(0)


@asynq()
def total():
    z = 0
    for task in numbers():
        value = yield task
        if value is END_OF_GENERATOR:
            continue
        z += value
    return z


@asynq()
def odd():
    tasks = []
    for task in numbers():
        tasks.append(task)
    return next(numbers())
