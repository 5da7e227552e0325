from asynq import asynq


class A:
    # batchio: value stays asynq: it is a property, and every access to it would have to be awaited
    @property
    @asynq()
    def value(self):
        return (yield self.get.asynq())

    # batchio: get stays asynq: value stays asynq and calls it
    @asynq()
    def get(self):
        return 1

    async def both(self):
        # batchio: what is called here stays asynq: it runs alone, and blocks the event loop
        return self.get.asynq().value(), self.value
