"""An event loop that, from a seed, runs what is ready in another order, and cancels one task at one of its awaits.

Which orders are fair:

- A pass of asyncio's loop runs what was ready at its beginning, first come first served. Which callback came first is
  decided by the outside world, mostly, so a program must bear any order of different tasks and futures. All these are
  permuted, within their pass: nothing is put off to a later one, since batchio's tick counts passes, as it may.
- Two orders are kept, because asyncio itself stands on them. Callbacks of one future run as they were added (a socket's
  "written" callback must take the descriptor out of the selector before the waiter goes on with it). Plain callbacks,
  of `call_soon`, timers and sockets, keep their order among themselves (a transport calls `connection_made`, then
  begins to read, then wakes who connects). Both kinds move freely between the steps of tasks.
- Each callback's place is drawn from (seed, task, step), not from where it stood: so the same seed gives the same run
  even where asyncio or batchio walks through a set.

Who is cancelled: the *victim* is (task, n), a task by its number in the order of creation, at its n-th await; n is 0 for
a task that has not begun. The cancellation is a callback of the next pass, so it may come just before or after the
answer. Tasks of batchio's own are numbered when the pass after their creation begins: the loop is not asked for them.
Time is virtual: a run that hangs runs dry, and `batchio.testing.VirtualLoop` raises Deadlock then.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from batchio.testing import VirtualLoop

BEGUN = 1 if sys.version_info >= (3, 12) else 0  # tasks of batchio's own are eager where Python can: one step is done


class Victim(NamedTuple):
    """A task by its number, and the await at which it is cancelled."""

    task: int
    n: int


class ChaosLoop(VirtualLoop):
    """A virtual loop with another order for each seed.

    Args:
        seed: decides every order.
        victim: who is cancelled, and where; None for nobody.
    """

    batchio_hints = False

    def __init__(self, seed: int, victim: Victim | None = None) -> None:
        super().__init__()
        self.set_debug(False)  # hints would be given to callers that are cancelled between a load and its await
        self.seed, self.victim = seed, victim
        self.tasks: dict[asyncio.Task[Any], int] = {}
        self.names: list[str] = []
        self.parents: dict[int, int] = {}  # who created a task, by number
        self.awaits: Counter[int] = Counter()  # by task
        self.struck = False  # whether the victim was found alive at its await
        self.errors: list[Any] = []
        self.passes = 0
        self._ready = Ready(self._permuted, self._about_to_run)
        self.set_exception_handler(lambda _, told: self.errors.append(told))

    def create_task(self, *args: Any, **kwargs: Any) -> asyncio.Task[Any]:
        """As asyncio's, and the task gets a number."""
        task = super().create_task(*args, **kwargs)
        self._number(task, 0)
        return task

    def _number(self, task: asyncio.Task[Any], begun: int) -> None:
        creator = None if begun else asyncio.current_task(self)
        if creator is not None and creator not in self.tasks:  # an own one in its first step
            self._number(creator, BEGUN)
        number = self.tasks[task] = len(self.tasks)
        self.names.append(f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}")
        if creator is not None:
            self.parents[number] = self.tasks[creator]
        self.awaits[number] = begun
        self._maybe_strike(task, number)

    def victims(self) -> list[Victim]:
        """Every task of this run but the first, at each of its awaits."""
        return [Victim(task, n) for task in sorted(self.awaits) for n in range(self.awaits[task] + 1) if task]

    def line_of(self, number: int) -> list[str]:
        """The names of a task, of who created it, and so on up."""
        return [self.names[number], *(self.line_of(self.parents[number]) if number in self.parents else [])]

    def within(self, task: asyncio.Task[Any], number: int) -> bool:
        """Whether a task is the one of a number, or one of those who created it."""
        while number != self.tasks[task] and number in self.parents:
            number = self.parents[number]
        return number == self.tasks[task]

    # -- the order of a pass ---------------------------------------------------------------------------------------

    def _permuted(self, handles: Iterable[Any]) -> list[Any]:
        """The handles of one pass in the order in which they run."""
        self.passes += 1
        self._number_own_tasks()
        lanes: defaultdict[Any, list[Any]] = defaultdict(list)
        for handle in handles:
            lanes[lane_of(handle)].append(handle)
        placed: list[tuple[int, int, Any]] = []
        for arrival, queued in enumerate(lanes.values()):
            number = self.tasks.get(task_of(queued[0]), -1)  # type: ignore[arg-type]
            who = (self.passes, arrival) if number < 0 else (number, self.awaits[number])
            keys = sorted(hash((self.seed, *who, place)) for place in range(len(queued)))
            placed += ((key, arrival, handle) for key, handle in zip(keys, queued, strict=True))
        return [handle for _, _, handle in sorted(placed, key=lambda place: place[:2])]

    def _number_own_tasks(self) -> None:
        """Tasks that batchio made itself since the last pass get their numbers, in the order of their batches."""
        dispatcher = getattr(self, "_batchio_dispatcher", None)
        fresh = [] if dispatcher is None else [task for task in dispatcher.tasks if task not in self.tasks]
        for task in sorted(fresh, key=lambda task: (task.get_name(), number_of_batch(task))):
            self._number(task, BEGUN)

    # -- the victim ------------------------------------------------------------------------------------------------

    def _about_to_run(self, handle: Any) -> None:
        task = task_of(handle)
        if task is not None and (number := self.tasks.get(task)) is not None and not handle._cancelled:
            self.awaits[number] += 1  # what runs now ends at this await, or ends
            self._maybe_strike(task, number)

    def _maybe_strike(self, task: asyncio.Task[Any], number: int) -> None:
        if self.victim == (number, self.awaits[number]) and not self.struck:
            self.call_soon(self._strike, task)

    def _strike(self, task: asyncio.Task[Any]) -> None:
        self.struck = task.cancel()


def task_of(handle: Any) -> asyncio.Task[Any] | None:
    """The task whose step a handle is."""
    owner = getattr(handle._callback, "__self__", None)
    step = isinstance(owner, asyncio.Task) and getattr(handle._callback, "__name__", "") != "cancel"
    return owner if step else None


def lane_of(handle: Any) -> Any:
    """Handles of one lane keep their order: the callbacks of a future, and all plain ones (None). A step is alone."""
    if handle._args and len(handle._args) == 1 and asyncio.isfuture(handle._args[0]):
        return handle._args[0]
    return task_of(handle)


def number_of_batch(task: asyncio.Task[Any]) -> int:
    """Which batch an own task works for, by the batch's number; 0 for an invalidation, or one that is over."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    return getattr(frame.f_locals.get("batch"), "number", 0) if frame else 0


class Ready(deque[Any]):
    """The loop's list of what is ready; it is put in order when the first of a pass is taken."""

    def __init__(self, permuted: Any, about_to_run: Any) -> None:
        super().__init__()
        self._permuted, self._about_to_run = permuted, about_to_run
        self._left = 0  # of this pass

    def popleft(self) -> Any:
        if not self._left:
            handles = self._permuted(self)
            self.clear()
            self.extend(handles)
            self._left = len(handles)
        self._left -= 1
        handle = super().popleft()
        self._about_to_run(handle)
        return handle
