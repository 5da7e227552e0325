import batchio.tools


class Mixin:
    def view(self):
        return batchio.tools.run_sync(self.allowed(1))


class Page(Mixin):
    async def allowed(self, x):
        return x
