"""What the tests of the fault table share: a batch function that can be watched and held, and programs of their own.

Rules:
- A `Source` holds its calls at a gate until the test opens it, so that a test decides what is in flight, and no clock.
- A program runs in a fresh interpreter, in development mode and with warnings as errors, on the test's kind of loop.
- What may kill or interrupt its loop runs on one of its own, in a thread: see `on_its_own_loop`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable
from typing import Any

import batchio

SECONDS = 25  # of patience with a program


class Source:
    """A batch function that remembers its calls and how they ended."""

    def __init__(self, *, opened: bool = True) -> None:
        self.calls: list[list[Any]] = []
        self.ended: list[str] = []
        self.gate = asyncio.Event()
        if opened:
            self.gate.set()

    async def __call__(self, keys: list[Any]) -> dict[Any, Any]:
        self.calls.append(keys)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("done")
        return {key: f"value {key}" for key in keys}

    def loader(self, **options: Any) -> batchio.Loader[Any, Any]:
        """A loader on this source; what is no option is a limit."""
        limits = {name: options.pop(name) for name in list(options) if name in batchio.Limits.__dataclass_fields__}
        return batchio.Loader(self, name="users", limits=batchio.Limits(**limits), **options)

    async def called(self, times: int = 1) -> None:
        """Turn the loop until so many calls have begun."""
        while len(self.calls) < times:
            await asyncio.sleep(0)


async def answers(*loads: Awaitable[Any]) -> list[Any]:
    """What each load came to, its value or its error."""
    return await asyncio.gather(*loads, return_exceptions=True)


def kinds(told: list[Any]) -> list[type]:
    """The types of what came."""
    return [type(one) for one in told]


def caused_by(error: BaseException | None) -> list[BaseException]:
    """Everything that one sees of an error: itself, its causes and its contexts."""
    seen: list[BaseException] = []
    ahead = [error]
    while ahead:
        one = ahead.pop()
        if one is not None and all(one is not other for other in seen):
            seen.append(one)
            ahead += [one.__cause__, one.__context__]
    return seen


async def on_its_own_loop(flavour: Callable[[], Any], work: Callable[[Any], Any]) -> Any:
    """What a function of a loop gives, on a new loop in a thread, which is closed afterwards."""

    def in_thread() -> Any:
        loop = flavour()
        try:
            return work(loop)
        finally:
            loop.close()

    return await asyncio.to_thread(in_thread)


# --- programs -----------------------------------------------------------------------------------------------------

LOOPS = {
    "asyncio": "new_loop = asyncio.new_event_loop",
    "uvloop": "from uvloop import new_event_loop as new_loop",
    "eager": """
        def new_loop():
            loop = asyncio.new_event_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            return loop
    """,
}
RUN = """
    def unhurried():
        loop = new_loop()
        loop.slow_callback_duration = 60  # of a machine that is busy with something else, development mode says so
        return loop

    def run(main):
        with asyncio.Runner(loop_factory=unhurried) as runner:
            return runner.run(main)
"""
DEVELOPMENT = ("-X", "dev", "-W", "error")


async def program(
    flavour: Any, text: str, *arguments: str, options: tuple[str, ...] = DEVELOPMENT, first: str = ""
) -> tuple[int, str, str]:
    """Exit code, output and errors of a program. It finds the flavour's `new_loop()`, and `run(coroutine)` on one."""
    parts = ("import asyncio, gc, os, sys", first, "import batchio", LOOPS[flavour.name], RUN, text)
    command = [sys.executable, *options, "-c", "\n".join(map(textwrap.dedent, parts)), *arguments]
    ended = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr
