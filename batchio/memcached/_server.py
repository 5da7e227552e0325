"""One memcached server: its connections, its lookups, and the queue of its commands. Imports aiomcache.

1. What all loaders ask in one tick travels together, in work that no caller can cancel, with a bounded number of
   exchanges under way and a time limit. Lookups have a room of their own, `_gets`; commands (leases, fills, deletions)
   are keys of a loader of our own, so they leave as every load does, and a large fill holds no page up.
2. A key of that loader is a whole request, not one of its commands: to queue a thousand costs what one costs.
3. A connection serves one exchange at a time, and goes back only when its reply was read to the last byte. Whatever else
   happens (time is over, a line makes no sense) it is thrown away: whose bytes come next, nobody knows.
4. Of aiomcache we use what opens connections. Its client gives a cancelled call's connection to the next caller, its
   simple commands spin when the server closes, and its pool forgets who waits; here nobody waits for a connection,
   for no more exchanges are under way than there may be connections.
5. A connection that was idle may be dead, of a server that was restarted meanwhile: then one fresh one is tried.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, TypeVar

from aiomcache.pool import MemcachePool

from batchio._core.errors import BatchAborted, BatchioError
from batchio._core.loader import Loader
from batchio._core.options import Limits
from batchio._local import LoopLocal
from batchio.memcached._gets import Found, Get, Gets
from batchio.memcached._link import Link, ServerId
from batchio.memcached._wire import RepliesReader, Reply, StatsReader, WireError

T = TypeVar("T")

_UNLIMITED = 1_000_000  # connections, for aiomcache's pool: the queues bound them
_LOST = Reply(b"NF")


class Command(NamedTuple):
    """A meta command, whole; with `only_at`, for a server's process that gave a number which others give again.

    `again` stands for it where it may have been done already, and its answer was lost with the connection.
    """

    request: bytes
    only_at: ServerId | None = None
    again: bytes | None = None


class Commands:
    """A request to run some meta commands, in order. Compared by identity."""

    __slots__ = ("commands",)

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands

    def __repr__(self) -> str:
        return f"<{len(self.commands)} commands>"


@dataclass(frozen=True, slots=True)
class Answers:
    """What commands were answered, and by whom."""

    replies: Sequence[Reply]
    server: ServerId


class Pool(MemcachePool):
    """The connections to one server on one loop."""

    def __init__(self, host: str, port: int, conn_args: Mapping[str, Any], timeout: float, connections: int) -> None:
        super().__init__(host, port, minsize=1, maxsize=_UNLIMITED, conn_args=conn_args)
        self._free: list[Link] = []  # the last one used is at the end, and used first
        self._open = True
        self.gets = Gets(self, f"memcached {host}:{port}", timeout, connections)

    def idle(self) -> Link | None:
        """Take a connection that is open already."""
        while self._free:
            link = self._free.pop()
            if link.usable:
                return link
            link.drop()
        return None

    async def connect(self) -> Link:
        """Open one, and learn whom it leads to: after a restart, a server counts its `cas` numbers from 1 again."""
        connection = await self._create_new_conn()
        if connection is None:  # aiomcache's answer when its pool is full, which it never is
            raise ConnectionError("no connection")
        link = Link(*connection)
        try:
            link.server = await _who(link)
        except BaseException:
            link.drop()
            raise
        return link

    def give_back(self, link: Link) -> None:
        """A connection whose reply was read whole."""
        if self._open:
            self._free.append(link)
        else:
            link.drop()

    def drop_idle(self) -> None:
        """Close all connections that nobody uses."""
        while self._free:
            self._free.pop().drop()

    async def lend(self, ask: Callable[[Link], Awaitable[T]], again: Callable[[Link], Awaitable[T]] | None = None) -> T:
        """Ask over an idle connection, or over a fresh one where there is none; `again` where the idle one was dead."""
        link = self.idle()
        if link is None:
            return await _lent(self, await self.connect(), ask)
        try:
            return await _lent(self, link, ask)
        except WireError:
            raise
        except OSError:
            self.drop_idle()  # they lead where this one led
        return await _lent(self, await self.connect(), again or ask)

    async def close(self) -> None:
        """Close all connections; those in use are closed when they come back."""
        self._open = False
        self.drop_idle()
        await asyncio.sleep(0)  # transports close in the next pass


async def _lent(pool: Pool, link: Link, ask: Callable[[Link], Awaitable[T]]) -> T:
    try:
        answer = await ask(link)
    except BaseException:
        link.drop()
        raise
    pool.give_back(link)
    return answer


async def _who(link: Link) -> ServerId:
    """The server's process: its number and the second of its start."""
    stats = {}
    for request in (b"stats\r\n", b"stats settings\r\n"):
        reader = StatsReader()
        await link.talk(request, reader.feed)
        stats.update(reader.stats)
    if stats.get(b"cas_enabled") == b"no":
        raise ConnectionError("the server was started with -C; leases need its cas numbers")
    version = re.match(rb"(\d+)\.(\d+)[\d.]*", stats.get(b"version", b""))
    if version and (int(version[1]), int(version[2])) < (1, 6):
        raise ConnectionError(f"the server is memcached {version[0].decode()}; leases need 1.6 or newer")
    started = 0
    with suppress(KeyError, ValueError):
        started = int(stats[b"time"]) - int(stats[b"uptime"])
    return (stats.get(b"pid"), started)


class Server:
    """One memcached server, for any number of event loops.

    Args:
        host: Its host.
        port: Its port.
        timeout: Seconds that a batch of requests may take, connecting included.
        connections: How many may be open for reading, and as many for commands, on each loop.
        conn_args: For asyncio.open_connection.
    """

    def __init__(self, host: str, port: int, *, timeout: float, connections: int, conn_args: Mapping[str, Any]) -> None:
        self.name = f"memcached {host}:{port}"
        self._pools = LoopLocal(partial(Pool, host, port, conn_args, timeout, connections))
        self._commands: Loader[Commands, Answers] = Loader(
            _commanding(self._pools),
            name=f"{self.name} commands",
            limits=Limits(max_in_flight=connections, timeout=timeout),
            memo=False,
        )

    def get(self, request: Get) -> asyncio.Future[Found]:
        """Ask for keys."""
        return self._pools.get().gets.ask(request)

    async def run(self, commands: Iterable[Command]) -> Answers:
        """Run commands; gives their replies, in order."""
        (answers,) = await self.send(commands)
        return answers

    def send(self, commands: Iterable[Command]) -> asyncio.Future[list[Answers]]:
        """Run commands; a future of one list, for those who must learn the end also when their caller went away."""
        return self._commands.load_many([Commands(list(commands))])

    def leave(self, commands: Iterable[Command]) -> None:
        """Run commands for which nobody waits; whether they succeed is nobody's business."""
        with suppress(BatchioError):  # the queue is full
            self.send(commands).add_done_callback(is_error)

    async def close(self) -> None:
        """Close the running loop's connections; the next request opens one again."""
        pool = self._pools.pop()
        if pool is not None:
            await pool.close()


def is_error(done: asyncio.Future[Any]) -> bool:
    """Whether commands ended without an answer. To ask counts as having seen the error: asyncio reports no other."""
    return done.cancelled() or done.exception() is not None


def is_lost(done: asyncio.Future[Any]) -> bool:
    """Whether the answer was lost, so that something may be mended. Not when the loop is ending, which aborts batches."""
    return is_error(done) and not done.cancelled() and not isinstance(done.exception(), BatchAborted)


Pools: TypeAlias = LoopLocal[Pool]


def _commanding(pools: Pools) -> Callable[[list[Commands]], Any]:
    """The batch function of commands."""

    async def command(requests: list[Commands]) -> dict[Commands, Answers]:
        async def ask(link: Link, *, again: bool = False) -> dict[Commands, Answers]:
            commands = [one for request in requests for one in request.commands]
            sent = [one for one in commands if one.only_at in (None, link.server)]
            reader = RepliesReader(len(sent))
            if sent:
                lines = [(again and one.again) or one.request for one in sent]
                await link.talk(b"".join(lines), reader.feed)
            return _answers(requests, _aligned(commands, sent, reader.replies), link.server)

        return await pools.get().lend(ask, partial(ask, again=True))

    return command


def _aligned(commands: Sequence[Command], sent: Sequence[Command], replies: Sequence[Reply]) -> Sequence[Reply]:
    """A reply for each command, also for those that were not sent."""
    if len(sent) == len(commands):
        return replies
    by_command = dict(zip(map(id, sent), replies, strict=True))
    return [by_command.get(id(one), _LOST) for one in commands]


def _answers(requests: Sequence[Commands], replies: Iterable[Reply], server: ServerId) -> dict[Commands, Answers]:
    """Give each request its own replies."""
    rest = iter(replies)
    return {request: Answers(list(islice(rest, len(request.commands))), server) for request in requests}
