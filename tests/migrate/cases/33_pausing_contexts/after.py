from batchio.compat.asynq import AsyncContext
from store import f, switch
import batchio
import batchio.compat.asynq


class Switched(AsyncContext):
    def resume(self):
        switch.on()

    def pause(self):
        switch.off()


@batchio.compat.asynq.pausing
async def child(x):
    return await f(x)


@batchio.compat.asynq.pausing
async def switched(xs):
    with Switched():
        return await batchio.gather([child(x) for x in xs])


async def unswitched(x):
    with Switched():
        return x
