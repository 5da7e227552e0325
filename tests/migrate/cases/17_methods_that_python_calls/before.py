from asynq import asynq


class Box:
    @asynq()
    def __len__(self):
        return (yield self.count.asynq())

    @asynq()
    def count(self):
        return 3

    @asynq()
    def __call__(self, x):
        return x

    @asynq()
    def _name(self):
        return "n"

    name = property(_name)


def use():
    box = Box()
    return len(box), box(1), box.name


@asynq()
def both():
    box = Box()
    return box(1) + Box()(2)
