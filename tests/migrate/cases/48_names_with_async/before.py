from asynq import asynq


class A:
    @asynq(pure=True)
    def get_async(self):
        return 1

    def get(self):
        return self.get_async().value()

    @asynq()
    def both(self):
        return (yield self.get_async())
