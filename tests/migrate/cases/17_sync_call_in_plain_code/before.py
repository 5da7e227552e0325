from asynq import asynq


@asynq()
def title(x):
    return x


class Page:
    @asynq()
    def body(self):
        return title(1)

    @property
    def text(self):
        return self.body()

    def __str__(self):
        return self.text + title(2)


def view(request):
    page = Page()
    return title(request.id), page.body(), [title(i) for i in range(3)]


LATEST = title(0)
