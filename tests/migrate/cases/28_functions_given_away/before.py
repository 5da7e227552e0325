import functools
import inspect

from asynq import asynq
from asynq.tools import amap
from elsewhere import register


@asynq()
def get(x):
    return x


class A:
    @asynq()
    def load(self, x):
        return x

    loaders = [load]


TABLE = {"get": get, "abs": abs}
__all__ = ["get"]


def default(fn=get):
    return fn(1)


class Named:
    def __init__(self, title):
        self.title = title


class Titled:
    @asynq()
    def title(self):
        return "t"


def values(a, page):
    register(page.title)
    return register(a.load)


def handed(a, box, xs):
    register(get)
    box.hook = get
    chosen = get if xs else abs
    return getattr(a, "load")(1), chosen(2), (get or abs)(3), lambda: get


def not_handed(xs):
    alias = get
    assert callable(get) and inspect.isfunction(get) and get is not None
    return alias(1), amap(get, xs), apply(get, 2), apply(alias, 3), made()(4)


def apply(fn, x):
    return fn(x)


def made():
    return get


def wrapped(fn):
    @functools.wraps(fn)
    @asynq()
    def wrapper(x):
        return (yield fn.asynq(x))

    return wrapper


@wrapped
def plain(x):
    return x


def called():
    return plain(1)


@asynq(sync_fn=apply)
def both(x):
    return register(kept_with_it)


@asynq()
def kept_with_it(x):
    return x
