# batchio: asynq.profiler: batchio.observe tells of every batch
from asynq import profiler
import batchio
import batchio.compat.asynq
import batchio.tools


async def synced():
    await batchio.compat.asynq.sync()
    await batchio.gather(batchio.compat.asynq.sync("tag"), batchio.compat.asynq.sync("other"))
    print(batchio.compat.asynq.format_stack())


def profiled():
    profiler.reset()
    return batchio.tools.run_sync(synced())
