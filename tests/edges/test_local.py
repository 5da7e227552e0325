"""What an edge keeps for each loop: one for each, gone with its loop, gone with its owner."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from itertools import count

import pytest

from batchio._local import LoopLocal
from tests.conftest import Flavour


class Thing:
    """What a loop keeps; it refers to its loop, as a connection does."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()


async def get(own: LoopLocal[Thing]) -> Thing:
    return own.get()


async def test_a_loop_is_given_the_same_each_time(flavour: Flavour) -> None:
    """It is made when it is first asked for on a loop, and once."""
    numbers = count()
    own = LoopLocal(lambda: next(numbers))
    assert [own.get(), own.get(), own.get()] == [0, 0, 0]


async def test_owners_on_one_loop_are_kept_apart() -> None:
    """Two owners have two things on the same loop."""
    one, other = LoopLocal(Thing), LoopLocal(Thing)
    assert one.get() is not other.get()


async def test_what_was_taken_away_is_made_anew() -> None:
    """`pop` gives the loop's own once, and nothing where there is none."""
    own = LoopLocal(Thing)
    assert own.pop() is None
    first = own.get()
    assert (own.pop(), own.pop()) == (first, None)
    assert own.get() is not first


async def test_what_cannot_be_made_is_tried_again() -> None:
    """An error in making leaves nothing behind."""
    answers = iter([OSError("no"), 1])

    def make() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    own = LoopLocal(make)
    with pytest.raises(OSError, match="no"):
        own.get()
    assert own.get() == 1


async def test_a_closed_loop_is_garbage_with_what_it_kept(flavour: Flavour) -> None:
    """Though the owner lives and the thing refers to its loop, both go when the loop does."""
    own = LoopLocal(Thing)

    def work() -> tuple[weakref.ref[object], weakref.ref[object]]:
        loop = flavour()
        thing = loop.run_until_complete(get(own))
        loop.close()
        return weakref.ref(loop), weakref.ref(thing)

    refs = await in_thread(work)
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


async def test_a_dropped_owner_is_garbage_while_its_loop_runs() -> None:
    """A loop does not keep what nobody else refers to."""
    own = LoopLocal(Thing)
    refs = [weakref.ref(own), weakref.ref(own.get())]
    del own
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


async def test_loops_in_other_threads_have_their_own(flavour: Flavour) -> None:
    """Each of several loops at once is given its own."""
    own = LoopLocal(Thing)
    together = threading.Barrier(4)
    things: list[Thing] = []

    async def main() -> None:
        together.wait(10)
        things.append(own.get())

    def work() -> None:
        loop = flavour()
        loop.run_until_complete(main())
        loop.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(thing.loop) for thing in things}) == 4


def test_outside_a_loop_there_is_none() -> None:
    """Asked with no loop running, it says so and makes nothing."""
    with pytest.raises(RuntimeError, match="no running event loop"):
        LoopLocal(Thing).get()


async def in_thread(work):
    """Run a function in a thread that has no loop; what it returns."""
    answers: list = []
    thread = threading.Thread(target=lambda: answers.append(work()))
    thread.start()
    thread.join()
    return answers[0]
