import batchio.tools


async def get(x):
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
    return [batchio.tools.run_sync(get(x)) for x in xs], (lambda x: batchio.tools.run_sync(get(x)))(1)


def caught():
    try:
        return batchio.tools.run_sync(get(1))
    except ValueError as other:
        return other


def looped():
    for get in (abs,):
        print(get(-1))
