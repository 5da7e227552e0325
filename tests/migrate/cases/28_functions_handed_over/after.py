from threading import Thread

from batchio.tools import amap
import batchio.tools


async def get(x):
    return x


def apply(function, x):
    return batchio.tools.run_sync(function(x))


def handed(xs):
    # batchio: what is handed over here is async now, and is called as a plain function
    Thread(target=get).start()
    # batchio: what is handed over here is async now, and is called as a plain function
    return list(map(get, xs)), sorted(xs, key=get), batchio.tools.run_sync(amap(get, xs)), apply(get, 1)
