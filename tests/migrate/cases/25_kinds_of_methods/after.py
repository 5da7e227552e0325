from store import counted
import batchio


class A:
    @classmethod
    async def above_class(cls, x):
        return x

    @classmethod
    async def below_class(cls, x):
        return x

    @staticmethod
    async def above_static(x):
        return x

    # batchio: @counted decorates an async function now: see that it does not call it as a plain one
    @classmethod
    @counted
    async def decorated(cls, x):
        return x

    async def all_of_them(self):
        a, b = await batchio.gather(self.above_class(1), A.below_class(2))
        return a, b, await self.above_static(3), await type(self).decorated(4)
