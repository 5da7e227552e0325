"""Programs: callers that go away, that give up, that fail, beside others who do not."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import sys
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.faults.scoreboard.source import Case, Source, Values, ask, seen, turn, value
from tests.faults.scoreboard.verdict import Broken, at_most, due, program, refused, settled

REQUESTS = 50


@program(20, guarantee=6)
async def cancelled_in_flight(case: Case) -> None:
    """A caller is cancelled while its key is in flight; another who waits for the same key gets the value."""
    source = Source(opened=False)
    async with case.request(source.fetch) as loader:
        leaving, staying = (asyncio.create_task(ask(loader, 1)) for _ in range(2))
        await source.called()
        leaving.cancel()
        await turn()
        source.gate.set()
        [got] = await settled(staying)
        due(got, value(1), "stranger's error")


@program(19, guarantee=6)
async def cancelled_in_queue(case: Case) -> None:
    """A caller is cancelled before its key has left; another who waits for the same key gets the value."""
    source, asked = Source(), []

    async def caller(loader: Any) -> Any:
        load = loader.load(1)
        asked.append(load)
        return await load

    async with case.request(source.fetch) as loader:
        leaving, staying = (asyncio.create_task(caller(loader)) for _ in range(2))
        while len(asked) < 2:  # where tasks start eagerly, both have asked already
            await asyncio.sleep(0)
        leaving.cancel()
        [got] = await settled(staying)
        due(got, value(1), "stranger's error")


@program(24, guarantee=6)
async def impatient(case: Case) -> None:
    """A caller's own time limit runs out; a patient one who waits for the same key gets the value."""
    source = Source(opened=False)
    async with case.request(source.fetch) as loader:
        impatient = asyncio.create_task(asyncio.wait_for(ask(loader, 1), 0.02))
        patient = asyncio.create_task(ask(loader, 1))
        await asyncio.wait([impatient])
        source.gate.set()
        [got] = await settled(patient)
        due(got, value(1), "stranger's error")


@program(26, guarantee=6)
async def sibling_failed(case: Case) -> None:
    """One request's task group fails and cancels its loads; another task that waits for the same key gets the value."""
    source = Source(opened=False)

    async def fails() -> None:
        await source.called()
        raise ValueError

    async def group(loader: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask(loader, 1))
            tasks.create_task(fails())

    async with case.request(source.fetch) as loader:
        failing = asyncio.create_task(group(loader))
        staying = asyncio.create_task(ask(loader, 1))
        await asyncio.wait([failing])
        failing.exception()
        source.gate.set()
        [got] = await settled(staying)
        due(got, value(1), "stranger's error")


@program(23, guarantee=6)
async def asked_again(case: Case) -> None:
    """The only caller is cancelled in flight; who asks for the same key at once gets its value."""
    source = Source(opened=False)
    async with case.request(source.fetch) as loader:
        leaving = asyncio.create_task(ask(loader, 1))
        await source.called()
        leaving.cancel()
        await turn(2)
        again = loader.load(1)
        source.gate.set()
        [got] = await settled(again)
        due(got, value(1), "stranger's error")


@program(22, guarantee=7)
async def all_gone(case: Case) -> None:
    """All callers are cancelled in flight; once that is over, who asks gets the value."""
    source = Source(opened=False)
    async with case.request(source.fetch) as loader:
        leaving = [asyncio.create_task(ask(loader, key)) for key in (1, 1, 2)]
        await source.called()
        for task in leaving:
            task.cancel()
        await asyncio.wait(leaving)
        source.gate.set()
        await turn()
        one, two = await settled(loader.load(1), loader.load(2))
        due(one, value(1), "stranger's error")
        due(two, value(2), "stranger's error")


@program(21, guarantee=7)
async def all_gone_before(case: Case) -> None:
    """All callers are cancelled before their keys have left: the source is not asked for them, and then serves others."""
    source = Source()
    async with case.request(source.fetch) as loader:
        for load in [loader.load(key) for key in (1, 1, 2)]:
            load.cancel()
        await turn()
        due((await settled(loader.load(3)))[0], value(3))
    at_most(len(source.calls), 1, "more calls", "calls")


# --- errors -------------------------------------------------------------------------------------------------------


@program(28, guarantee=6)
async def shared_exception(case: Case) -> None:
    """An error that goes to two callers shows neither of them what the other was doing."""

    async def fetch(keys: Sequence[int]) -> Values:
        raise ValueError("away")

    async def caller(loader: Any, secret: str) -> BaseException | None:
        try:
            try:
                {}[secret]
            except KeyError:
                await loader.load(1)
        except ValueError as error:
            return error
        return None

    async with case.request(fetch) as loader:
        errors = await settled(caller(loader, "alice"), caller(loader, "bob"))
    for error, other in zip(errors, ("bob", "alice"), strict=True):
        if any(other in str(one) for one in seen_of(error)):
            raise Broken("leaks", f"an error shows {other}")


def seen_of(error: BaseException | None) -> Iterator[BaseException]:
    """An error, its causes and its contexts."""
    known: set[int] = set()
    ahead = [error]
    while ahead:
        one = ahead.pop()
        if one is not None and id(one) not in known:
            known.add(id(one))
            yield one
            ahead += [one.__cause__, one.__context__]


@program(28, guarantee=6)
async def growing_traceback(case: Case) -> None:
    """An exception that lives as long as the program, raised for one request after another, shows each only its own way."""
    always = ValueError("not configured")

    async def fetch(keys: Sequence[int]) -> Values:
        return [always for _ in keys]

    lengths = []
    for _ in range(REQUESTS):
        async with case.request(fetch) as loader:
            [error] = await settled(ask(loader, 1))
            refused(error)
            lengths.append(length(error))
    at_most(lengths[-1], lengths[0], "leaks", "lines of traceback")


def length(error: BaseException) -> int:
    """Lines of a traceback."""
    count, place = 0, error.__traceback__
    while place:
        count, place = count + 1, place.tb_next
    return count


class Held:
    """Something of a request."""


@program(36, guarantee=9)
async def kept_by_errors(case: Case) -> None:
    """Fifty jobs of one request fail; nothing of a job lives on after it."""

    async def fetch(keys: Sequence[int]) -> Values:
        raise ValueError("away")

    async def job(loader: Any, key: int) -> None:
        mine = Held()
        alive.append(weakref.ref(mine))
        try:
            await loader.load(key)
        except ValueError:
            return

    alive: list[weakref.ref[Held]] = []
    async with case.request(fetch) as loader:
        for key in range(REQUESTS):
            await settled(job(loader, key))
        await turn()
        gc.collect()
        at_most(sum(one() is not None for one in alive), 0, "leaks", "of 50 jobs still alive")


# --- contexts and noise -------------------------------------------------------------------------------------------

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@program(guarantee=8)
async def context_of_another(case: Case) -> None:
    """A batch that serves alice and bob does not run with the context variables of either."""
    ran_as = []

    async def fetch(keys: Sequence[int]) -> Values:
        ran_as.append(who.get())
        return [value(key) for key in keys]

    async def caller(loader: Any, name: str, key: int) -> Any:
        who.set(name)
        return await loader.load(key)

    async with case.request(fetch) as loader:
        one, two = await settled(*[asyncio.create_task(caller(loader, n, k)) for n, k in (("alice", 1), ("bob", 2))])
        due(one, value(1))
        due(two, value(2))
    if len(ran_as) == 1 and ran_as != ["nobody"]:
        raise Broken("leaks", f"the batch of both ran as {ran_as[0]}")


@contextmanager
def heard() -> Iterator[list[str]]:
    """What reaches loops' exception handlers, and what is raised where nobody can catch it."""
    told: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage().splitlines()[0])

    logger, handler = logging.getLogger("asyncio"), Handler(logging.WARNING)
    logger.addHandler(handler)
    logger.propagate = False
    before, sys.unraisablehook = sys.unraisablehook, lambda raised: told.append(repr(raised.exc_value))
    try:
        yield told
        gc.collect()
    finally:
        sys.unraisablehook = before
        logger.removeHandler(handler)


@program(29)
def nobody_looks(case: Case) -> None:
    """A load that fails after its caller has lost interest is not reported as a mistake of the program."""

    async def main() -> None:
        source_failed = asyncio.Event()

        async def fetch(keys: Sequence[int]) -> Values:
            source_failed.set()
            raise ValueError("away")

        async with case.request(fetch) as loader:
            loader.load(1)
            await seen(source_failed.is_set)
            await turn()
        gc.collect()

    with heard() as told, asyncio.Runner(loop_factory=case.new_loop) as runner:
        runner.run(main())
    if told:
        raise Broken("noise", told[0])


@program(30)
def ended_with_loads(case: Case) -> None:
    """An event loop that ends with loads in flight ends without noise, and the next one has its values."""

    async def leaves() -> None:
        source = Source(opened=False)
        async with case.request(source.fetch) as loader:
            waiting = asyncio.create_task(ask(loader, 1))
            await source.called()
            waiting.cancel()

    async def stays() -> Any:
        async with case.request(Source().fetch) as loader:
            return (await settled(loader.load(1)))[0]

    with heard() as told:
        for main in (leaves, stays):
            with asyncio.Runner(loop_factory=case.new_loop) as runner:
                got = runner.run(main())
    due(got, value(1))
    if told:
        raise Broken("noise", told[0])
