from asynq import asynq
from store import f, log


@asynq()
def inside(x, default):
    a = (yield f.asynq(x)) if x else default
    b = not (yield f.asynq(x))
    log(1, (yield f.asynq(x)), key=(yield f.asynq(x)))
    c = f"{(yield f.asynq(x))}"
    d = (yield f.asynq(x)).name
    e = (yield f.asynq(x))[0]
    g = (yield f.asynq(x))(1)
    while (yield f.asynq(x)):
        x -= 1
    if (yield f.asynq(x)) and not (yield f.asynq(x)):
        pass
    h = (
        yield f.asynq(x)
    )
    return [a, b, c, d, e, g, h, -(yield f.asynq(x)) ** 2, lambda: x]
