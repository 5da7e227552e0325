"""When a queue leaves: one dispatcher per event loop, for all loaders together. The only room that knows the loop's inside.

How a batch leaves:

- The first key that is queued on a loop schedules one check, with ``call_soon``; so the check runs after everything
  that was ready before it. Whatever those callbacks load joins.
- If the check finds that more callbacks are ready, more loads may come: it looks again on the next pass. If nothing is
  ready, the loop would go to sleep: every queue is *due*.
- A loop that is never idle must not hold a queue. So a queue is due, too, after a number of passes in a row that
  brought no new key, and when its oldest key has waited ``max_delay`` (see ``_is_late``).
- A due queue leaves when a slot of ``max_in_flight`` is free. One that found none leaves this room's list, grows, and
  is listed again when a batch comes back. Nothing polls.
- One dispatcher per loop: two that each wait for an idle loop would keep each other's loop busy, for ever.

Idleness is ``loop._ready``, the deque of asyncio's own loops (private, the same since Python 3.4; ``BaseEventLoop``).
uvloop has none; there the passes without a new key stand in for it. The numbers are at ``PATIENCE`` below.

A dispatcher hangs on its loop as an attribute, and nothing else refers to it: whatever waits dies with its loop. A
table of loops would keep them alive, even a weak one, since pending futures refer to their loop.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

from batchio._core.batch import Batch, Group
from batchio._core.options import Definition
from batchio._core.queue import Queue, drained

T = TypeVar("T")

__all__ = ["Dispatcher", "dispatcher_of", "drain"]

ATTRIBUTE = "_batchio_dispatcher"

# Passes without a new key after which a loop that is not idle lets its queues go.
#
# asyncio: a tree of n gathers with nothing to load on the way takes n passes to its first key, so the first time we are
# patient: 16 is deeper than pages are, and still soon for whoever turns the loop by hand. A loop that was busy then is
# busy for good (somebody polls, spins or streams), and every pass costs a round through all its callbacks, so from then
# on few, until it is seen idle: so many levels of asyncio.gather with nothing to load still travel together. Beside 200
# tasks that never rest, one load takes 5 passes with 3, where aiodataloader takes 4 (`make bench`, spin). Without eager
# tasks (3.11) the batch's own task takes one pass more; so that it is 5 there too, 2.
# uvloop shows no idleness, so each tick pays for its patience: 3 is the least that keeps late askers together.
PATIENCE = 16
PATIENCE_WHEN_BUSY = 3 if sys.version_info >= (3, 12) else 2
PATIENCE_WITHOUT_READY = 3

# The share of ``max_delay`` in which the thread's own clock is not read: that takes a system call.
UNTIMED = 0.25

# A task that has taken its first step already, where the Python version can.
EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
begin: Callable[..., asyncio.Task[Any]] = partial(asyncio.Task, **EAGER)

# Seconds by which a time limit is put off on a loop that was held past it: what has arrived in the meantime lies
# in a socket, and a timer runs before its reader does.
GRACE = 0.005

# How often that may be in a row, for what takes several turns of a loop that is held in each: a lookup is written in
# one, read in another, and its reader wakes up in a third.
SPARED = 3

CLOCK_STEP = 1e-6  # seconds; a loop may ring a timer early by its clock's resolution

Start = Callable[[Any, Any, str], None]
Expire = Callable[[Any, Any], None]


class Dispatcher:
    """The tick of one event loop: which queues hold keys, and when they leave."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: Start, expire: Expire) -> None:
        self.loop = loop
        self.start = start  # how a batch is started, and how it is ended when its time is over: a floor above
        self.expire = expire
        self.queues: dict[Definition, Queue] = {}  # those with keys or batches; a loader that is done is not kept alive
        self.tasks: set[asyncio.Task[Any]] = set()  # every task that batchio owns on this loop
        self.draining: set[asyncio.Task[Any] | None] = set()  # those that wait in drain()
        self.open: dict[Definition, Group] = {}  # plain groups that wait for this tick: what a load joins the quick way
        self.fresh = False  # a key was queued since the last pass
        self.hints = bool(loop.get_debug() or getattr(loop, "batchio_hints", False))
        self._context = Context()  # no request's: observers are called in it, and a timer would keep it alive
        self.watch: Any = None  # what hints remember of this loop's loads; see the loader
        self._alarm: asyncio.Handle | None = None
        self._rings_at = 0.0
        self._due: list[Queue] = []
        self._soonest = math.inf  # the least max_delay of all loaders seen, in seconds
        self._late_from = 0.0  # before this time nothing is late
        self._armed = False
        self._quiet = 0
        self._waiting = 0  # keys in open groups at the last pass
        self._worked_since: float | None = None  # the thread's CPU seconds at the first busy pass of this tick
        self._ready = getattr(loop, "_ready", None)
        self._usual = PATIENCE_WITHOUT_READY if self._ready is None else PATIENCE
        self._patience = self._usual

    def queue_of(self, definition: Definition) -> Queue:
        """The queue of a loader on this loop, made when it has none."""
        queue = self.queues.get(definition)
        if queue is None:
            queue = self.queues[definition] = Queue(definition)
            if definition.limits.max_delay < self._soonest:
                self._soonest = definition.limits.max_delay
                self._late_from = 0.0  # this tick's is too late for it
        return queue

    def expect(self, queue: Queue) -> None:
        """A queue has got a key, or a slot: see to it that it leaves."""
        if not queue.waiting:
            queue.waiting = True
            self._due.append(queue)
        self.fresh = True
        if not self._armed:
            self.look()

    def look(self) -> None:
        """Check on the next pass, though no key is new: what waits for what has changed."""
        if not self._armed:
            self._armed = True
            self._quiet = 0
            self._worked_since = None
            self._late_from = self.loop.time() + self._soonest * UNTIMED
            self.loop.call_soon(self._check, context=self._context)

    def _check(self) -> None:
        """One look per pass of the loop: is anything due?"""
        if self._ready is not None and not self._ready:
            self._patience = self._usual
            self._leave("idle")
        elif self._is_quiet():
            self._patience = PATIENCE_WHEN_BUSY
            self._leave("quiet")
        else:
            self.loop.call_soon(self._check, context=self._context)
            self._leave_late()

    def _is_quiet(self) -> bool:
        """Whether enough passes in a row brought no new key."""
        waiting = sum([len(group.waiters) for group in self.open.values()])  # that way, nothing is noted per load
        if self.fresh or waiting != self._waiting:
            self.fresh = False
            self._waiting = waiting
            self._quiet = 0
            return False
        self._quiet += 1
        return self._quiet >= self._patience

    def _leave_late(self) -> None:
        """Let those go whose oldest key has waited ``max_delay``, whatever the loop does.

        Nearly all ticks are over long before: they pay for a look at the clock.
        """
        now = self.loop.time()
        if now < self._late_from:
            return
        if self._worked_since is None:
            self._worked_since = time.thread_time()
        late = [queue for queue in self._due if self._is_late(queue, now - queue.since(now))]
        if late:
            self._patience = PATIENCE_WHEN_BUSY
            self._due = [queue for queue in self._due if queue not in late]
            self._send(late, "max_delay")

    def _is_late(self, queue: Queue, waited: float) -> bool:
        """Whether a queue's oldest key has waited long enough.

        On a machine that runs something else meanwhile, a loop may stand still for 5 ms between two passes, and would
        then cut batches in pieces that a quiet machine sends whole. So it must have worked that long itself, or the
        wait be four times as long. On a clock that is not the machine's the wait alone counts.
        """
        most = queue.definition.limits.max_delay
        if waited < most or abs(self.loop.time() - time.monotonic()) > 1.0:
            return waited >= most
        worked = time.thread_time() - (self._worked_since or 0.0)
        return waited >= 4 * most or worked >= most * (1 - UNTIMED)

    def _leave(self, reason: str) -> None:
        """All queues go."""
        self._armed = False
        queues, self._due = self._due, []
        self._send(queues, reason)

    def _send(self, queues: list[Queue], reason: str) -> None:
        """Cut batches off the queues first, and start them then: a batch that starts eagerly may load at once.

        Queues whose slots are in use are looked at again when a batch function waits for their keys: the slot that it
        waits for may never come free by itself.
        """
        batches: list[Batch] = []
        blocked = [queue for queue in self.queues.values() if queue.groups and not queue.waiting and queue.chained]
        for queue in queues:
            queue.waiting = False
            self.close(queue.definition)
        for queue in (*queues, *blocked) if blocked else queues:
            try:
                queue.cut(self.queues.values(), batches)
            except Exception as error:  # a key whose __eq__ raises must not hold the others for ever
                queue.fail_queued(error)
            if not queue.running:
                self.settle(queue)
        self._start_all(batches, reason)

    def _start_all(self, batches: list[Batch], reason: str) -> None:
        """Start batches; one whose function raises SystemExit at once does not keep the others from starting."""
        for place, batch in enumerate(batches):
            try:
                self.start(self, batch, reason)
            except BaseException:
                self._start_all(batches[place + 1 :], reason)
                raise

    def close(self, definition: Definition) -> None:
        """No load joins a loader's plain group the quick way any more."""
        if (group := self.open.pop(definition, None)) is not None:
            group.room = 0

    def settle(self, queue: Queue) -> None:
        """Forget a queue that has nothing to do; it is made again at the next load."""
        if queue.groups or queue.running or queue.stuck or queue.waiting:
            return
        if self.queues.get(queue.definition) is queue:
            del self.queues[queue.definition]

    def own(self, work: Coroutine[Any, Any, Any], context: Context, name: str) -> asyncio.Task[Any]:
        """Run a coroutine in a task that no caller can cancel, begun at once where the Python version can."""
        task = begin(work, loop=self.loop, context=context, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def disown(self, task: asyncio.Task[Any], over: Callable[[asyncio.Task[Any]], None]) -> Any:
        """A task has done its work: nobody waits for it any more, and nothing is called when it ends. None is left."""
        task.remove_done_callback(over)
        self.tasks.discard(task)
        return None

    def limit(self, batch: Batch, deadline: float) -> None:
        """See to it that a batch ends in time. One alarm serves all: a timer per batch would cost 2 us each."""
        batch.deadline = deadline
        if self._alarm is None or deadline < self._rings_at:
            self._set_alarm(deadline)

    def _set_alarm(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = when  # uvloop's handle may not know
        self._alarm = self.loop.call_at(when, self._ring, context=self._context)

    def _ring(self) -> None:
        """End the batches whose time is over, and set the alarm to the next one's; to none, when none runs."""
        self._alarm = None
        now = self.loop.time() + CLOCK_STEP
        held = now - self._rings_at > GRACE
        running = [batch for queue in self.queues.values() for batch in queue.running]
        for batch in running:
            if batch.deadline is not None and batch.deadline <= now:
                if held and not batch.spared:
                    batch.spared, batch.deadline = True, now + GRACE
                else:
                    self.expire(self, batch)
        later = [batch.deadline for batch in running if batch.deadline is not None and batch.deadline > now]
        if later:
            self._set_alarm(min(later))


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Wait so many seconds at most; on a loop that was held past them a little longer: see ``GRACE``.

    Raises:
        TimeoutError: the time is over.
    """
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    alarm: asyncio.TimerHandle

    def ring(deadline: float, times: int) -> None:
        nonlocal alarm
        now = loop.time()
        if now - deadline > GRACE and times:
            alarm = loop.call_at(now + GRACE, ring, now + GRACE, times - 1)
        else:
            limit.reschedule(now)

    alarm = loop.call_at(loop.time() + seconds, ring, loop.time() + seconds, SPARED)
    try:
        async with limit:
            return await work
    finally:
        alarm.cancel()


def dispatcher_of(loop: asyncio.AbstractEventLoop, start: Start, expire: Expire) -> Dispatcher:
    """The dispatcher of a loop, made at its first load."""
    dispatcher = getattr(loop, ATTRIBUTE, None)
    if dispatcher is None:
        dispatcher = Dispatcher(loop, start, expire)
        setattr(loop, ATTRIBUTE, dispatcher)
    return dispatcher


def describe(loop: asyncio.AbstractEventLoop) -> list[str]:
    """A line for each loader that has keys queued or batches in flight on a loop: for messages about a hang."""
    dispatcher = getattr(loop, ATTRIBUTE, None)
    return (
        []
        if dispatcher is None
        else [f"{queue.definition.name}: {queue.state}" for queue in dispatcher.queues.values()]
    )


async def drain(timeout: float | None = None) -> None:
    """Let this loop's batches finish: for shutdown, and for the end of a job.

    Loads that are queued still leave and are answered, as long as there is time; so do those that batch functions
    make meanwhile. When the time is over, what is still queued fails with ``BatchAborted`` and what is under way is
    cancelled. The loop can be used as before afterwards.

    Args:
        timeout: seconds to wait at most; None waits for as long as it takes.

    Raises:
        RuntimeError: without a running event loop.

    Example:
        >>> import asyncio, batchio
        >>> @batchio.loader(name="upper")
        ... async def upper(words: list[str]) -> dict[str, str]:
        ...     return {word: word.upper() for word in words}
        >>> async def main() -> str:
        ...     word = upper("tea")  # nobody awaits it yet
        ...     await batchio.drain(timeout=1.0)
        ...     return word.result()
        >>> asyncio.run(main())
        'TEA'
    """
    dispatcher: Dispatcher | None = getattr(asyncio.get_running_loop(), ATTRIBUTE, None)
    if dispatcher is None:
        return
    try:
        async with asyncio.timeout(timeout):
            await _finish(dispatcher)
    except TimeoutError:
        await _abandon(dispatcher)


async def _finish(dispatcher: Dispatcher) -> None:
    """Wait until nothing is queued and nothing is under way. A batch that drains waits for all but itself."""
    me = asyncio.current_task()
    dispatcher.draining.add(me)
    try:
        while True:
            if others := dispatcher.tasks - dispatcher.draining:
                await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            elif me not in dispatcher.tasks and any(queue.queued for queue in dispatcher.queues.values()):
                await asyncio.sleep(0)
            else:
                return
    finally:
        dispatcher.draining.discard(me)


async def _abandon(dispatcher: Dispatcher) -> None:
    """The time is over: fail what is queued, cancel what is under way and let it end."""
    for queue in list(dispatcher.queues.values()):
        dispatcher.close(queue.definition)
        queue.fail_queued(drained(queue.definition))
        dispatcher.settle(queue)
    tasks = dispatcher.tasks - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
