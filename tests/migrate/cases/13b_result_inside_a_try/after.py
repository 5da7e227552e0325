from asynq import asynq, result
from store import f


# batchio: caught stays asynq: result() inside a try that catches it: say what the handler is to see
@asynq()
def caught(x):
    try:
        result((yield f.asynq(x)))
    except BaseException as error:
        print(error)
        raise


async def caller(x):
    # batchio: what is called here stays asynq: it runs alone, and blocks the event loop
    return caught.asynq(x).value()
