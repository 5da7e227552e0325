"""A soak: worker processes use batchio on a private MariaDB and memcached while a nemesis breaks things; then a checker
reads what all of them wrote down.

    python -m tests.soak [--seconds 60] [--processes 8] [--seed S]

Rules:
- The last lines are the figures. The exit code is 1 when a promise was broken; what broke it is shown with its
  neighbours, and the histories are kept.
- A seed gives the same plan of faults and the same choices of each worker; what meets what is the machine's business.
- One worker in four has proxies between it and its servers. There is one memcached: those who share a cache must name its
  servers alike, and a proxy has an address of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests import servers
from tests.proxy import Proxy
from tests.soak import checker, report
from tests.soak.crew import Crew
from tests.soak.history import Committed, Fault, records
from tests.soak.nemesis import LONGEST, Nemesis
from tests.soak.worker import READ_TIMEOUT, TTL

KEYS = 300
TASKS = 10  # of each worker

# How much older than its ttl a value may be: what its reader may take to fetch it, the time limit of the fill, a worker
# that stops between the two, a memcached that stops with the fill in its socket; and a busy machine.
SLACK = READ_TIMEOUT + 0.25 + LONGEST + LONGEST + 1.0

PATIENCE = 8.0  # seconds: several times what any time limit and any pause add up to

# A commit must survive that the server is killed, though not that the machine is.
DATABASE = "--innodb-flush-log-at-trx-commit=2"

TABLES = (
    """CREATE TABLE items (
        id INT PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE,
        version INT NOT NULL, token VARCHAR(40) NOT NULL, body VARCHAR(2000) NOT NULL)""",
    """CREATE TABLE writes (
        seq BIGINT AUTO_INCREMENT PRIMARY KEY, id INT NOT NULL, version INT NOT NULL, token VARCHAR(40) NOT NULL)""",
    """CREATE TRIGGER listed AFTER UPDATE ON items FOR EACH ROW
        INSERT INTO writes (id, version, token) VALUES (NEW.id, NEW.version, NEW.token)""",
    f"INSERT INTO items SELECT seq, CONCAT('n', seq), 0, '', '' FROM seq_1_to_{KEYS}",
)


async def soak(folder: Path, seconds: float, processes: int, seed: int) -> checker.History:
    """Run workers and nemesis; what is known at the end."""
    async with AsyncExitStack() as stack:
        cache = stack.enter_context(servers.memcached())
        database = stack.enter_context(servers.mariadb(DATABASE))
        for statement in TABLES:
            database.execute(statement)
        lines, places = await lay_lines(stack, cache, database, processes)
        crew = Crew(folder, {"seed": seed, "keys": KEYS, "tasks": TASKS}, places)
        stack.callback(crew.abandon)
        for place in range(processes):
            crew.start(place)
        nemesis = Nemesis(cache, database, crew, lines)
        await nemesis.rage(seed, time.monotonic() + seconds)
        await asyncio.to_thread(crew.end)
        return told(folder, database, crew, nemesis.faults)


async def lay_lines(
    stack: AsyncExitStack, cache: servers.Memcached, database: servers.MariaDB, processes: int
) -> tuple[list[Proxy], list[dict[str, str]]]:
    """The proxies, and by which addresses each place of the crew reaches its servers."""
    host = "127.0.0.1"
    lines = [await stack.enter_async_context(Proxy(host, server.port)) for server in (cache, database)]
    straight = {"memcached": cache.address, "mysql": database.url}
    bent = {"memcached": lines[0].address, "mysql": database.url.replace(database.address, lines[1].address)}
    return lines, [bent if place % 4 == 1 else straight for place in range(processes)]


def told(folder: Path, database: servers.MariaDB, crew: Crew, faults: Sequence[Fault]) -> checker.History:
    """What the processes wrote down, and what the database says once nobody is at work in it."""
    until = time.monotonic() + 10
    others = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = %s AND id <> CONNECTION_ID()"
    while database.execute(others, database.user) != [(0,)] and time.monotonic() < until:
        time.sleep(0.05)
    return checker.History(
        records=[*records(folder), *crew.troubles],
        committed=[Committed(*row) for row in database.execute("SELECT seq, id, version, token FROM writes")],
        final={
            key: (version, token) for key, version, token in database.execute("SELECT id, version, token FROM items")
        },
        allowed=TTL + SLACK,
        patience=PATIENCE,
        faults=faults,
    )


def main(arguments: Sequence[str]) -> int:
    """Run, check, print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="A history check under fire.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    given = parser.parse_args(arguments)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # in development mode it tells how long the loop was held
    folder = Path(tempfile.mkdtemp(prefix="batchio-soak-"))
    started = time.monotonic()
    history = asyncio.run(soak(folder, given.seconds, given.processes, given.seed))
    broken = checker.violations(history)
    figures: dict[str, Any] = {"seed": given.seed, "processes": given.processes}
    figures |= report.figures(history) | {"seconds": round(time.monotonic() - started, 1), "violations": len(broken)}
    lines = [*report.shown(history, broken), *(f"{name}: {figure}" for name, figure in figures.items())]
    if broken:
        lines.append(f"the histories are in {folder}")
    else:
        shutil.rmtree(folder)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
