from batchio.tools import acached_per_instance, alazy_constant, deduplicate
from store import f, key
import async_lru
import stamina

MINUTE = 60 * 1000000


@deduplicate()
async def once(x):
    return await f(x)


@async_lru.alru_cache(maxsize=10)
async def cached(x):
    return x


@async_lru.alru_cache(maxsize=5, key=lambda *args, **kwargs: (lambda args, kwargs: args[0])(args, kwargs))
async def keyed(x):
    return x


@async_lru.alru_cache(maxsize=128, key=lambda *args, **kwargs: key(args, kwargs))
async def keyed_by_name(x):
    return x


@alazy_constant(ttl=(MINUTE) / 1_000_000)
async def minutely():
    return 1


@alazy_constant(ttl=1.5)
async def constant():
    return 1


@stamina.retry(on=(KeyError, OSError), attempts=3, timeout=None, wait_initial=0.1, wait_max=0.1, wait_jitter=0, wait_exp_base=1)
async def tried(x):
    return x


@stamina.retry(on=KeyError, attempts=10, timeout=None, wait_initial=0.05, wait_max=0.05, wait_jitter=0, wait_exp_base=1)
async def tried_often(x):
    return x


class A:
    @acached_per_instance()
    async def value(self, x):
        once.dirty(x)
        constant.dirty()
        return x
