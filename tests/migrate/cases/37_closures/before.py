from asynq import asynq
from asynq.tools import afilter, amap
from store import allowed


@asynq()
def visible(xs, viewer):
    @asynq()
    def may_see(x):
        return (yield allowed.asynq(viewer, x))

    seen = yield afilter.asynq(may_see, xs)
    return (yield amap.asynq(may_see, seen)), amap(may_see, xs)
