from asynq import asynq, result
from store import f


@asynq()
def caught(x):
    try:
        result((yield f.asynq(x)))
    except BaseException as error:
        print(error)
        raise


@asynq()
def caller(x):
    return (yield caught.asynq(x))
