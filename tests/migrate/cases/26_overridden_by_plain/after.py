class Base:
    # batchio: this is plain, and Child.get is async: who calls one may get the other
    def get(self):
        raise NotImplementedError

    async def twice(self):
        return await self.get() * 2


class Child(Base):
    async def get(self):
        return 1


class Grandchild(Child):
    # batchio: this is plain, and Child.get is async: who calls one may get the other
    def get(self):
        return 2
