from asynq import asynq, debug, profiler


@asynq()
def synced():
    yield debug.sync()
    yield debug.sync("tag"), debug.sync("other")
    print(debug.format_asynq_stack())


def profiled():
    profiler.reset()
    return synced()
