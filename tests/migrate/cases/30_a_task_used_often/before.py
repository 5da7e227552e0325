from asynq import asynq
from store import f, show


@asynq()
def often(x):
    t = f.asynq(x)
    a = yield t
    b = yield t
    tasks = [f.asynq(i) for i in range(3)]
    try:
        yield tasks
    except ValueError:
        return [task.error() for task in tasks]
    show(f.asynq(x))
    return a, b
