class Parent:
    async def m(self):
        return 1


class Child(Parent):
    async def m(self):
        a = await super(Child, self).m()
        b = await super().m()
        c = await super().m()
        return a + b + c + await Parent.m(self)
