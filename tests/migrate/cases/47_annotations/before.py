from typing import Any, Generator

from asynq import asynq
from store import f


@asynq()
def generator(x: int) -> Generator[Any, Any, str]:
    return (yield f.asynq(x))


@asynq()
def value(x: int) -> str:
    return (yield f.asynq(x))
