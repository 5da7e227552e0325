from asynq import asynq


class A:
    @property
    @asynq()
    def value(self):
        return (yield self.get.asynq())

    @asynq()
    def get(self):
        return 1

    @asynq()
    def both(self):
        return (yield self.get.asynq()), self.value
