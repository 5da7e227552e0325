"""`make bench`: measure every combination of Python and loop, print the table, write the page.

    python -m tests.bench [PYTHON ...]     the interpreters of venvs with the `bench` group; this one by default
    BENCH=quick                            two minutes instead of fifteen, for a first look
    PYTHONPATH=FOLDER                      the batchio in that folder instead of this checkout's

Rules:
- It imports no batchio: each combination runs in processes of its own, on a core of their own where there are two.
- First the harness is tested; ways that do not do the same are not compared.
- It ends with 1 when a target is missed. Nothing is measured twice to get a better figure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import servers
from tests.bench import client, report, targets
from tests.bench.targets import Combination, Results

ROOT = Path(__file__).parents[2]
WAYS = ("batchio", "aiodataloader", "primed", "primed-on-cache")
QUESTIONS = "200"

QUICK = os.environ.get("BENCH") == "quick"
SCALE, MOST, ROUNDS, SHARE = (0.1, 10_000, 3, 0.5) if QUICK else (1.0, 100_000, 9, 1.0)


class Interpreter:
    """A Python with the peers, and how a process of it is started."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.version = self.said("-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()

    def command(self, *arguments: str) -> list[str]:
        """A command line that does not look at the working directory for modules."""
        return [self.path, "-P", *arguments]

    def said(self, *arguments: str) -> str:
        """What a process prints."""
        return subprocess.run(
            self.command(*arguments), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    def combinations(self) -> list[Combination]:
        """The loops of this Python."""
        eager = ["eager"] if tuple(map(int, self.version.split("."))) >= (3, 12) else []
        return [Combination(self.version, loop) for loop in ("asyncio", *eager, "uvloop")]


def environment() -> dict[str, str]:
    """This process's, with the checkout at the end of the path for modules."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.environ | {"PYTHONPATH": os.pathsep.join([*filter(None, given), str(ROOT)])}


def say(text: str) -> None:
    """Tell how far it is; the table alone goes to standard output."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def cores() -> int | None:
    """Keep this process and the servers on all cores but one, and give that one's number; None where there is one."""
    if not hasattr(os, "sched_getaffinity") or len(ours := sorted(os.sched_getaffinity(0))) < 2:
        return None
    os.sched_setaffinity(0, ours[:-1])
    return ours[-1]


# Steps --------------------------------------------------------------------------------------------------------------


def check(interpreter: Interpreter) -> None:
    """Whether all ways do the same."""
    options = ["-c", os.devnull, "--rootdir", str(ROOT), "--noconftest", "--import-mode=importlib", "-q"]
    tests = str(Path(__file__).parent / "test_bench.py")
    done = subprocess.run(
        interpreter.command("-m", "pytest", *options, "-p", "no:cacheprovider", "-p", "no:anyio", tests),
        cwd=ROOT,
        env=environment(),
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        sys.exit(f"tests.bench: on {interpreter.version} the ways do not do the same, so they are not compared")


def measure(interpreter: Interpreter, loop: str, places: dict[str, str], core: int | None) -> Results:
    """What happens in one process."""
    stores = [word for name, place in places.items() for word in (f"--{name}", place)]
    on = [] if core is None else ["--cpu", str(core)]
    said = interpreter.said(
        "-m", "tests.bench.worker", "--loop", loop, "--scale", str(SCALE), "--most", str(MOST), *stores, *on
    )
    results: Results = json.loads(said)
    return results


def feed(interpreter: Interpreter, loop: str, places: dict[str, str], core: int | None) -> Results:
    """The servers of all ways, asked in turns."""
    with ExitStack() as stack:
        started = {way: Served(interpreter, way, loop, places, core) for way in WAYS}
        for one in started.values():
            stack.callback(one.end)
        ports = {way: one.port() for way, one in started.items()}
        found = asyncio.run(client.compare(ports, ROUNDS, SHARE))
        return found | {"failed": {way: one.failures() for way, one in started.items()}}


class Served:
    """A server process."""

    def __init__(self, interpreter: Interpreter, way: str, loop: str, places: dict[str, str], core: int | None) -> None:
        stores = [word for name, place in places.items() for word in (f"--{name}", place)]
        on = [] if core is None else ["--cpu", str(core)]
        self._log = (build() / f"bench-{interpreter.version}-{loop}-{way}.log").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            interpreter.command("-m", "tests.bench.serve", way, "--loop", loop, *stores, *on),
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def port(self) -> int:
        """Where it listens, once it does."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a server did not start:\n{self._said()}")
        return int(line)

    def failures(self) -> int:
        """How often it took memcached's silence for a miss."""
        return self._said().count("taken for a miss")

    def _said(self) -> str:
        return Path(self._log.name).read_text(encoding="utf-8")  # on its own: the process writes where its file stands

    def end(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def build() -> Path:
    """The folder for what a run makes."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    return folder


def measured(interpreters: list[Interpreter]) -> dict[Combination, Results]:
    """Everything, combination by combination."""
    core = cores()
    found: dict[Combination, Results] = {}
    with servers.memcached("-m", "512") as memcached, servers.mariadb() as mariadb:
        places = {"memcached": memcached.address, "mysql": mariadb.url}
        interpreters[0].said("-m", "examples.qa", "generate", "--questions", QUESTIONS, "--to", mariadb.url)
        for interpreter in interpreters:
            for combination in interpreter.combinations():
                say(f"{combination}: loads and stores")
                found[combination] = measure(interpreter, combination.loop, places, core)
                if QUICK and combination.loop != "asyncio":
                    continue
                say(f"{combination}: the feed")
                memcached.flush()
                found[combination] |= feed(interpreter, combination.loop, places, core)
    return found


def write(results: dict[Combination, Results], lines: list[targets.Line], docs: Path, file: Path) -> None:
    """The JSON file, the page and its plots."""
    from tests.bench import plots

    commit = report.commit(ROOT)
    data: dict[str, Any] = {
        "commit": commit,
        "machine": report.processor(),
        "lines": [str(line) for line in lines],
        "results": {str(combination): one for combination, one in results.items()},
    }
    file.write_text(json.dumps(data, indent=1), encoding="utf-8")
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "benchmarks.md").write_text(report.page(results, lines, commit), encoding="utf-8")
    plots.draw(results, docs)


def main() -> int:
    """Run; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    parser.add_argument("--docs", type=Path, default=build() / "bench" if QUICK else ROOT / "docs")
    parser.add_argument("--json", type=Path, default=build() / "bench.json")
    given = parser.parse_args()
    interpreters = [Interpreter(path) for path in given.pythons]
    for interpreter in interpreters:
        say(f"{interpreter.version}: do all ways do the same?")
        check(interpreter)
    results = measured(interpreters)
    lines = targets.lines(results)
    write(results, lines, given.docs, given.json)
    missed = [line for line in lines if line.verdict == "MISS"]
    closing = f"{len(lines)} targets, {len(missed)} missed; {given.docs / 'benchmarks.md'}, {given.json}"
    sys.stdout.write("".join(f"{line}\n" for line in (*lines, closing)))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
