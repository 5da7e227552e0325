from asynq import asynq
from store import f, log


@asynq()
def guarded(x):
    try:
        return (yield f.asynq(x))
    except (KeyError, ValueError) as error:
        log(error)
        raise
    else:
        pass
    finally:
        yield f.asynq(0)
