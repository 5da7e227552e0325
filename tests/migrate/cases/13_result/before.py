import asynq
from asynq import result
from store import f


@asynq.asynq()
def old(x):
    if x == 1:
        result(x); return
    if x == 2:
        result((yield f.asynq(x)))
    try:
        asynq.result(x)
    finally:
        print("ended")
