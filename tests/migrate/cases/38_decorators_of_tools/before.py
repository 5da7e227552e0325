from asynq import asynq
from asynq.tools import acached_per_instance, alazy_constant, alru_cache, aretry, deduplicate
from store import f, key

MINUTE = 60 * 1000000


@deduplicate()
@asynq()
def once(x):
    return (yield f.asynq(x))


@alru_cache(maxsize=10)
@asynq()
def cached(x):
    return x


@alru_cache(5, key_fn=lambda args, kwargs: args[0])
@asynq()
def keyed(x):
    return x


@alru_cache(key_fn=key)
@asynq()
def keyed_by_name(x):
    return x


@alazy_constant(ttl=MINUTE)
@asynq()
def minutely():
    return 1


@alazy_constant(ttl=1500000)
@asynq()
def constant():
    return 1


@aretry((KeyError, OSError), max_tries=3, sleep=0.1)
@asynq()
def tried(x):
    return x


@aretry(KeyError)
@asynq()
def tried_often(x):
    return x


class A:
    @acached_per_instance()
    @asynq()
    def value(self, x):
        once.dirty(x)
        constant.dirty()
        return x
