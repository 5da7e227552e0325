import functools
import inspect

from asynq import asynq
from batchio.tools import amap
from elsewhere import register
import batchio.tools


async def get(x):
    return x


class A:
    async def load(self, x):
        return x

    # batchio: async functions are given away as values here: see that whoever calls them awaits them
    loaders = [load]


# batchio: async functions are given away as values here: see that whoever calls them awaits them
TABLE = {"get": get, "abs": abs}
__all__ = ["get"]


# batchio: async functions are given away as values here: see that whoever calls them awaits them
def default(fn=get):
    return fn(1)


class Named:
    def __init__(self, title):
        self.title = title


class Titled:
    async def title(self):
        return "t"


def values(a, page):
    register(page.title)
    # batchio: async functions are given away as values here: see that whoever calls them awaits them
    return register(a.load)


def handed(a, box, xs):
    # batchio: async functions are given away as values here: see that whoever calls them awaits them
    register(get)
    # batchio: async functions are given away as values here: see that whoever calls them awaits them
    box.hook = get
    # batchio: async functions are given away as values here: see that whoever calls them awaits them
    chosen = get if xs else abs
    # batchio: this gets something by its name that may be async now: see that it is awaited
    # batchio: async functions are given away as values here: see that whoever calls them awaits them
    return getattr(a, "load")(1), chosen(2), (get or abs)(3), lambda: get


def not_handed(xs):
    alias = get
    assert callable(get) and inspect.isfunction(get) and get is not None
    return batchio.tools.run_sync(alias(1)), batchio.tools.run_sync(amap(get, xs)), apply(get, 2), apply(alias, 3), batchio.tools.run_sync(made()(4))


def apply(fn, x):
    return batchio.tools.run_sync(fn(x))


def made():
    return get


def wrapped(fn):
    @functools.wraps(fn)
    async def wrapper(x):
        return await fn(x)

    return wrapper


@wrapped
def plain(x):
    return x


def called():
    # batchio: plain may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync
    return plain(1)


# batchio: both stays asynq: sync_fn makes two functions of one: keep both, and choose at each call
@asynq(sync_fn=apply)
def both(x):
    return register(kept_with_it)


# batchio: kept_with_it stays asynq: both stays asynq and hands it over
@asynq()
def kept_with_it(x):
    return x
