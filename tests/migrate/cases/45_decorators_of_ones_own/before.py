from asynq import asynq, AsyncTask
from asynq.decorators import AsyncDecorator, make_async_decorator
from store import f


def doubled(fun):
    @asynq(pure=True)
    def wrapper(*args, **kwargs):
        value = yield fun.asynq(*args, **kwargs)
        return value * 2

    return make_async_decorator(fun, wrapper, "doubled")


class Logged(AsyncDecorator):
    def asynq(self, *args):
        return self.fn.asynq(*args)


class Task(AsyncTask):
    pass


@asynq(cls=Task)
def special(x):
    return (yield f.asynq(x))
