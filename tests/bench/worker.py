"""One Python and one kind of loop: the measurements that happen in one process, printed as JSON.

    python -P -m tests.bench.worker --loop asyncio --scale 1 [--memcached HOST:PORT --mysql URL] [--cpu N]

Rules: whoever starts it says with PYTHONPATH which batchio it measures; `-P` keeps the working directory out of that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import batchio
from tests.bench import cases, measure, micro, pieces
from tests.bench.peers import asynq

PACKAGES = (
    "aiodataloader", "strawberry-graphql", "dloader", "asynq", "aiomcache", "aiomysql", "msgspec", "aiohttp", "uvloop",
)  # fmt: skip

IMPORT = """
import asyncio, sys, time
before, start = set(sys.modules), time.process_time()
import batchio
print(time.process_time() - start)
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {"batchio"})
"""


async def all_of(given: argparse.Namespace) -> dict[str, Any]:
    """Everything that this process measures."""
    scale, loop = given.scale, given.loop
    found: dict[str, Any] = {
        "page.1": await micro.page(loop, 1, 4 * scale),
        "page.64": await micro.page(loop, 64, 8 * scale),
        **await micro.loads(loop, scale),
        "sizes": await micro.sizes(loop, scale, given.most),
        "hold": await micro.hold(3, 100_000),
        "pieces": await pieces.measured(scale),
        "memory": await micro.memory(loop),
        "batches": {"batchio": await cases.ours(), "asynq": cases.theirs()},
    }
    if given.memcached:
        from tests.bench import stores

        found |= await stores.memcached(given.memcached, scale)
        found |= await stores.mysql(given.mysql, scale)
    return found


def importing(times: int) -> dict[str, Any]:
    """What `import batchio` takes after `import asyncio`, in seconds of process CPU; and what it brought that is not the
    standard library's. Compiled files are kept, as they are for users, whatever the environment says."""
    took, strangers = [], set()
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}
        for _ in range(1 + times):
            command = [sys.executable, "-P", "-c", IMPORT]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
            seconds, names = done.stdout.split("\n")[:2]
            took.append(float(seconds))
            strangers |= set(names.split())
    return {"min": min(took), "strangers": sorted(strangers)}


def facts() -> dict[str, Any]:
    """What was measured, and where."""
    if not asynq.compiled():
        raise SystemExit(
            "asynq is not its compiled build here: install a wheel of it, or a compiler and install it again"
        )
    return {
        "python": platform.python_version(),
        "batchio": str(Path(batchio.__file__).parent),
        "packages": {name: version(name) for name in PACKAGES},
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--loop", required=True)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--most", type=int, default=100_000)
    parser.add_argument("--memcached")
    parser.add_argument("--mysql")
    parser.add_argument("--cpu", type=int)
    given = parser.parse_args()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    run: Callable[..., Any] = measure.run
    found = {"facts": facts()}
    if given.loop == "asyncio":
        found["import"] = importing(max(8, int(30 * given.scale)))
    json.dump(found | run(given.loop, lambda: all_of(given)), sys.stdout)


if __name__ == "__main__":
    main()
