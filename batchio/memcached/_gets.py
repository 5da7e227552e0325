"""Lookups on their way to one server, on one event loop.

1. What is asked in one pass of the loop travels together. All batches of a tick start in one pass, so the lookups of
   all loaders of a tick do.
2. So many exchanges are under way at once, and no more; what is asked meanwhile waits, and leaves together.
3. Over a connection that is open, an exchange is two callbacks: it is written, and its answer read where it arrives. A
   connection that must be opened, or is found dead, and a request that is too long for one write, get a task that no
   caller can cancel.
4. Everyone is answered: by what was found, or by an error of its own, within a time limit that begins when it leaves.

The road not taken is a loader of our own, as for commands: its queue, batch, task and context cost as much as the rest
of a lookup. Observers are told the same as of a loader's batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeAlias

from batchio._core import events
from batchio._core.batch import fail_future, numbers
from batchio._core.enqueue import dispatcher_on
from batchio._core.errors import BatchTimeout, separate
from batchio._core.tick import CLOCK_STEP, GRACE
from batchio.memcached._link import PIECE, Link
from batchio.memcached._wire import Item, ItemsReader, WireError, get_request, hit_heads


class Get:
    """A request for the values of some keys. Compared by identity: two requests for equal keys are two.

    Args:
        line: The keys, with a space between two.
        flags: Those of values that the asker can read.
        owner: Whose keys they are; two owners have no key in common.
    """

    __slots__ = ("flags", "line", "owner")

    def __init__(self, line: bytes, flags: bytes, owner: object) -> None:
        self.line, self.flags, self.owner = line, flags, owner

    def __repr__(self) -> str:
        return f"<get {len(self)} keys>"

    def __len__(self) -> int:
        return self.line.count(b" ") + 1


Found: TypeAlias = list[bytes] | dict[bytes, Item]
"""The values of a request's keys, in their order, when each came under its flags; else what is there, and maybe others'."""

Waiting: TypeAlias = dict[Get, "asyncio.Future[Found]"]


class Links(Protocol):
    """The connections to a server: `_server.Pool`."""

    def idle(self) -> Link | None:
        """Take a connection that is open already."""

    def give_back(self, link: Link) -> None:
        """Put back one whose reply was read whole."""

    def drop_idle(self) -> None:
        """Close all connections that nobody uses."""

    async def lend(self, ask: Callable[[Link], Awaitable[Any]]) -> Any:
        """Ask over a connection, an open one or a new one."""


class Gets:
    """The lookups of one loop at one server.

    Args:
        links: The connections to it.
        name: What observers are told as the loader's name.
        timeout: Seconds that an exchange may take, connecting included.
        most: How many exchanges may be under way.
    """

    def __init__(self, links: Links, name: str, timeout: float, most: int) -> None:
        self.links, self.name, self.timeout = links, name, timeout
        self.loop = asyncio.get_running_loop()
        self.context = Context()  # no request's: it would be kept alive, and read by observers
        self._most = most
        self._running: dict[Exchange, None] = {}  # a dict is an ordered set
        self._waiting: Waiting = {}
        self._armed = False
        self._alarm: asyncio.TimerHandle | None = None

    def ask(self, get: Get) -> asyncio.Future[Found]:
        """Ask for keys; their lookup leaves in the loop's next pass, or when an exchange comes back."""
        found = self._waiting[get] = self.loop.create_future()
        self._look()
        return found

    def came_back(self, exchange: Exchange) -> None:
        """An exchange is over."""
        del self._running[exchange]
        self._look()

    def _look(self) -> None:
        if self._waiting and not self._armed and len(self._running) < self._most:
            self._armed = True
            self.loop.call_soon(self._leave, context=self.context)

    def _leave(self) -> None:
        self._armed = False
        waiting = {get: found for get, found in self._waiting.items() if not found.done()}
        self._waiting = {}
        if waiting:
            exchange = Exchange(self, waiting)
            self._running[exchange] = None
            if self._alarm is None:  # one for all: a timer for each would be set and cancelled with each
                self._set_alarm(self.timeout)
            exchange.begin()

    def _set_alarm(self, seconds: float) -> None:
        self._alarm = self.loop.call_later(seconds, self._ring, context=self.context)

    def _ring(self) -> None:
        """End what has had its time. On a loop that was held past it, what has come meanwhile is read first: `GRACE`."""
        self._alarm = None
        now = self.loop.time() + CLOCK_STEP
        for exchange in [one for one in self._running if one.deadline <= now]:
            if now - exchange.deadline > GRACE and not exchange.spared:
                exchange.spared, exchange.deadline = True, now + GRACE
            else:
                exchange.end_late()
        if self._running and self._alarm is None:
            self._set_alarm(min(one.deadline for one in self._running) - now)


class Exchange:
    """One `get` for all that was asked in a pass, until everyone is answered."""

    def __init__(self, gets: Gets, waiting: Waiting) -> None:
        self._gets, self._waiting = gets, waiting
        self._line, self._heads = _joined(list(waiting))
        self._request = get_request(self._line)
        self._left = gets.loop.time()
        self.deadline = self._left + gets.timeout
        self.spared = False  # its end was put off once
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._number = next(numbers)

    def begin(self) -> None:
        """Send it."""
        if events.on_dispatch:
            events.tell(events.on_dispatch, self._dispatched())
        link = self._gets.links.idle() if len(self._request) <= PIECE else None
        if link is None:
            self._slowly()
            return
        self._link = link
        reader = ItemsReader(self._line, self._heads)
        link.ask(self._request, reader.feed, partial(self._came, link, reader))

    def _came(self, link: Link, reader: ItemsReader, error: Exception | None) -> None:
        """The reply is whole; or the connection was dead, and a new one is tried."""
        if error is None:
            self._gets.links.give_back(link)
            self._answer(reader)
            return
        self._link = None
        link.drop()
        if isinstance(error, WireError) or not isinstance(error, OSError):
            self._fail(error)
        else:
            self._gets.links.drop_idle()  # they lead where this one led
            self._slowly()

    def _slowly(self) -> None:
        dispatcher = dispatcher_on(self._gets.loop)
        self._task = dispatcher.own(self._lent(), Context(), f"{self._gets.name}: connect")
        self._task.add_done_callback(self._task_over)

    async def _lent(self) -> None:
        reader = await self._gets.links.lend(self._talk)
        self._answer(reader)

    async def _talk(self, link: Link) -> ItemsReader:
        reader = ItemsReader(self._line, self._heads)
        await link.talk(self._request, reader.feed)
        return reader

    def _task_over(self, task: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)

    def end_late(self) -> None:
        """Its time is over."""
        gets = self._gets
        if self._link is not None:
            self._link.drop()
        self._fail(BatchTimeout(f"{gets.name}: no answer within {gets.timeout} seconds"))
        if self._task is not None:
            self._task.cancel()

    def _answer(self, reader: ItemsReader) -> None:
        if self._over(None):
            for one, found in _parted(list(self._waiting), reader).items():
                if not self._waiting[one].done():
                    self._waiting[one].set_result(found)

    def _fail(self, error: BaseException) -> None:
        if self._over(error):
            for found in self._waiting.values():
                if not found.done():
                    fail_future(found, separate(error))

    def _over(self, error: BaseException | None) -> bool:
        """It comes to its end; False when it had come to one before."""
        if self._ended:
            return False
        self._ended = True
        self._gets.came_back(self)
        if events.on_done:
            seconds = self._gets.loop.time() - self._left
            events.tell(events.on_done, events.BatchDone(self._gets.name, self._number, seconds, error))
        return True

    def _dispatched(self) -> events.BatchDispatched:
        keys = tuple(self._waiting)
        return events.BatchDispatched(
            loader=self._gets.name,
            batch=self._number,
            keys=keys,
            waiters=len(keys),
            reason="idle",
            waited=0.0,
            params={},
        )


def _joined(requests: Sequence[Get]) -> tuple[bytes, bytes]:
    """The keys of all requests, each once, and what stands above their values if all are there."""
    if len(requests) == 1:
        (request,) = requests
        return request.line, hit_heads(request.line, request.flags)
    line = b" ".join([request.line for request in requests])
    if len({request.owner for request in requests}) < len(requests):  # two may ask for the same key
        return b" ".join(dict.fromkeys(line.split(b" "))), b""
    return line, b"\r\n".join([hit_heads(request.line, request.flags) for request in requests])


def _parted(requests: Sequence[Get], reader: ItemsReader) -> dict[Get, Found]:
    """Give each request what was found for it."""
    if reader.values is None:
        return dict.fromkeys(requests, reader.found)
    if len(requests) == 1:
        return {requests[0]: reader.values}
    values = iter(reader.values)
    return {request: list(islice(values, len(request))) for request in requests}
