from asynq import async, result
from asynq.tools import amap


class A(object):
    @async()
    def m(self, xs):
        """async is a word here."""
        ys = yield amap.async(f, xs)  # async here too
        result(ys); return


@async(pure=True)
def f(x):
    return (yield A().m.async([x]))
