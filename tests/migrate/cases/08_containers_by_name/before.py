from asynq import asynq
from store import f


@asynq()
def by_name(xs, unknown):
    tasks = [f.asynq(x) for x in xs]
    first = yield tasks
    more = []
    for x in xs:
        more.append(f.asynq(x))
    second = yield more
    third = yield tuple(map(f.asynq, xs))
    fourth = yield list(f.asynq(x) for x in xs)
    return first, second, third, fourth, (yield unknown)
