from batchio.tools import amap


class A(object):
    async def m(self, xs):
        """async is a word here."""
        ys = await amap(f, xs)  # async here too
        return ys


async def f(x):
    return await A().m([x])
