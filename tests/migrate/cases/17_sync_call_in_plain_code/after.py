import batchio.tools


async def title(x):
    return x


class Page:
    async def body(self):
        return await title(1)

    @property
    def text(self):
        return batchio.tools.run_sync(self.body())

    def __str__(self):
        return self.text + batchio.tools.run_sync(title(2))


def view(request):
    page = Page()
    return batchio.tools.run_sync(title(request.id)), batchio.tools.run_sync(page.body()), [batchio.tools.run_sync(title(i)) for i in range(3)]


LATEST = batchio.tools.run_sync(title(0))
