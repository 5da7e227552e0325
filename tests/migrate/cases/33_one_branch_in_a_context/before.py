from asynq import AsyncContext, asynq
from asynq.tools import call_with_context
from store import f, language, switch


class Switched(AsyncContext):
    def resume(self):
        switch.on()

    def pause(self):
        switch.off()


@asynq()
def both(x):
    return (yield call_with_context.asynq(Switched(), f, x), call_with_context.asynq(language.override("fr"), f, x))
