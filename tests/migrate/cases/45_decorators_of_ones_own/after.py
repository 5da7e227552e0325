from asynq import asynq, AsyncTask
from asynq.decorators import AsyncDecorator
from batchio.compat.asynq import make_async_decorator
from store import f


def doubled(fun):
    async def wrapper(*args, **kwargs):
        value = await fun(*args, **kwargs)
        return value * 2

    return make_async_decorator(fun, wrapper, "doubled")


# batchio: Logged is made of asynq's own classes: a decorator is a functools.wraps function now
class Logged(AsyncDecorator):
    def asynq(self, *args):
        return self.fn.asynq(*args)


# batchio: Task is made of asynq's own classes: a decorator is a functools.wraps function now
class Task(AsyncTask):
    pass


# batchio: special stays asynq: cls= of an asynq decorator has no counterpart
@asynq(cls=Task)
def special(x):
    return (yield f.asynq(x))
