from asynq import asynq
from asynq.generator import list_of_generator, take_first
from store import numbers


@asynq()
def collected():
    return (yield list_of_generator.asynq(numbers())) + (yield take_first.asynq(numbers(), 3))
