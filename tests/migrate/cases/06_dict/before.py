from asynq import asynq
from store import f


@asynq()
def by_key(keys):
    found = yield {k: f.asynq(k) for k in keys}
    more = yield {"a": f.asynq(1), "b": f.asynq(2)}
    return {**found, **more}
