from batchio.compat.asynq import AsyncContext
from batchio.tools import call_with_context
from store import f, language, switch
import batchio
import batchio.compat.asynq


class Switched(AsyncContext):
    def resume(self):
        switch.on()

    def pause(self):
        switch.off()


async def both(x):
    return await batchio.gather(batchio.compat.asynq.pausing(call_with_context)(Switched(), f, x), call_with_context(language.override("fr"), f, x))
