from asynq import asynq, async_proxy
from store import g

seen = []


@async_proxy()
def noted(x):
    seen.append(x)
    return g.asynq(x)


@async_proxy()
def checked(x):
    if x < 0:
        raise ValueError(x)
    return g.asynq(x)


@async_proxy()
def tried(x):
    try:
        return g.asynq(x)
    except ValueError:
        return g.asynq(0)


@async_proxy()
def chosen(x):
    """One or the other."""
    key = str(x)
    if isinstance(x, str) and key in seen:
        return g.asynq(key.upper())
    return g.asynq(key)
