from asynq import asynq


@asynq()
def get(x):
    return x


def hidden(xs, v):
    a = [get(x) for get in [abs] for x in xs]
    b = (lambda get: get(-5))(abs)
    c = {get: get(1) for get in get(3)}
    match v:
        case [get, *_]:
            return get(1)
    return a, b, c


def seen(xs):
    return [get(x) for x in xs], (lambda x: get(x))(1)


def caught():
    try:
        return get(1)
    except ValueError as other:
        return other


def looped():
    for get in (abs,):
        print(get(-1))
