from asynq import asynq


# batchio: load stays asynq: go stays asynq and calls it
@asynq()
def load(x):
    return x


# batchio: go stays asynq: there is a yield in a lambda: make that a function of its own
@asynq()
def go(x):
    later = lambda y: (yield load.asynq(y))
    return (yield load.asynq(x)), later
