from asynq import AsyncContext, asynq
from store import f, switch


class Switched(AsyncContext):
    def resume(self):
        switch.on()

    def pause(self):
        switch.off()


@asynq()
def child(x):
    return (yield f.asynq(x))


@asynq()
def switched(xs):
    with Switched():
        return (yield [child.asynq(x) for x in xs])


@asynq()
def unswitched(x):
    with Switched():
        return x
