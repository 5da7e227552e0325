from threading import Thread

from asynq import asynq
from asynq.tools import amap


@asynq()
def get(x):
    return x


def apply(function, x):
    return function(x)


def handed(xs):
    Thread(target=get).start()
    return list(map(get, xs)), sorted(xs, key=get), amap(get, xs), apply(get, 1)
