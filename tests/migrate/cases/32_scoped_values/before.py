from asynq import AsyncScopedValue, asynq
from store import f

locale = AsyncScopedValue("en")


@asynq()
def in_french(x):
    with locale.override("fr"):
        return (yield f.asynq(x)), locale.get(), locale()
