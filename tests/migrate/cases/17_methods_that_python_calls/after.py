from asynq import asynq
import batchio.tools


class Box:
    # batchio: __len__ stays asynq: Python calls it by itself, and awaits nothing
    @asynq()
    def __len__(self):
        return (yield self.count.asynq())

    # batchio: count stays asynq: __len__ stays asynq and calls it
    @asynq()
    def count(self):
        return 3

    # batchio: who calls an instance gets a coroutine now: see that it is awaited
    async def __call__(self, x):
        return x

    # batchio: _name stays asynq: it is a property, and every access to it would have to be awaited
    @asynq()
    def _name(self):
        return "n"

    name = property(_name)


def use():
    box = Box()
    return len(box), batchio.tools.run_sync(box(1)), box.name


async def both():
    box = Box()
    return await box(1) + await Box()(2)
