from batchio.compat.asynq import list_of_generator, take_first
from store import numbers


async def collected():
    return await list_of_generator(numbers()) + await take_first(numbers(), 3)
