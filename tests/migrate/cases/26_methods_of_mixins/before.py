from asynq import asynq


class Mixin:
    def view(self):
        return self.allowed(1)


class Page(Mixin):
    @asynq()
    def allowed(self, x):
        return x
