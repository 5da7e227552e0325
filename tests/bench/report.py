"""What a run leaves behind: the page of the documentation, with its tables and its plots.

Rules: every number on the page comes from the run; what does not, says how it was measured.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.targets import FLOORS, ROWS, Combination, Line, Results

INTRODUCTION = """
`make bench` wrote this page. A ratio is batchio's figure by the peer's: less is better, except for requests per second
(feed). What is bold misses its target.
""".strip()

PIECES = """
Nanoseconds of process CPU for what no loader can leave out that keeps batchio's promises; none of it is batchio's own.

**A hit** is a call of an object that takes keywords, the running loop, a context variable (whose request is this?), two
tables (this loader's memo, the key) and the await of an answered future. A peer's loader was made by the request itself,
so it needs a method call, one table and the await. The pieces alone come close to the target or past it; a loader that
is made once per process and may be used from every loop cannot know its request for nothing.

**One load** alone is a whole tick and a whole batch: a future, call_soon, a turn of the loop to see that nobody else
asks, a task with a context of its own (so that neither a caller's cancellation nor a request's variables reach the
driver; on Python 3.11 that task takes a turn more to begin), and a turn in which the caller wakes up. On uvloop, which
cannot tell that it is idle, it is four turns instead of one. A peer that runs the batch function on the caller's next
turn and in the caller's context saves the task and the patience, and splits what comes a turn later.
"""

HOW = """
Every way has its turn in every round, in one process, with the collector off; each sample takes a few milliseconds of
process CPU, and the least one counts. The JSON file has the medians, too.

**page** One question and 20 answers: 103 loads of 6 key types over 3 levels in 41 async functions, one page alone or 64
at once. The store is a dict, so that what is left is scheduling. Each peer renders the page in its own idiom, with
loaders made per request where its documentation says so; all give the same bytes. Microseconds of process CPU per page.
64 pages need more than 1,000 keys of three types, which is what batchio puts into one batch: so it makes 11 and not 8.

**load_many** 1,000 keys in one call: of a new request, and once more when all are remembered. Per key.

**gathered, tasks** 1,000 loads in one gather, and 1,000 coroutines in one gather that await one load each; each peer's
own gather. asynq takes part with a `yield` of 1,000 items and of 1,000 tasks. Per key, gather included.

**hit, one** A load of a remembered key, and a load where nothing is remembered, each awaited before the next.

**spin** One load on a loop with 200 tasks that spin on `sleep(0)`: CPU from the call to the answer, for loads one after
another. The first load of such a loop is `spin.first` in the JSON file and has no target.

**batches** Loads under gathers of different depth, loads after such loads, a chain, a tree: the largest ratio of
batchio's number of batches to asynq's over the cases of `tests/bench/cases.py`.

**memory** Bytes by tracemalloc that a request keeps for each of 100,000 ints that it loaded; keys and values were there.

**sizes** Cost per key of 10, 30, 100, ... 100,000 keys in one tick: the dearest by the cheapest.

**hold** 100,000 loads in one tick: the most CPU between two beats of a timer, from the moment when all are asked for to
the last answer. What the caller does in one go to ask for them is not counted.

**get_many, set_many** `MemcachedCache`'s verbs with msgspec's MessagePack and a value of 150 bytes, by
`aiomcache.multi_get` and gathered `aiomcache` sets with the same codec. Client CPU.

**row** `load_many` of 100 keys from `db.row`, by an aiomysql cursor from a pool that executes the same statement and
fetches bare tuples. Client CPU.

**feed** The feed of ten questions of `examples/qa` on a generated site, served by aiohttp in one process on a core of its
own, with memcached and MariaDB. So many requests come from viewers who have never been there that 95 % of a page's keys
are hits. aiodataloader with loaders per request, memcached in front of MySQL in each batch function; primed by hand with
one `multi_get` a level; the same on batchio's cache, which shows the floor. Requests per second, the median of the
rounds, all ways in turn; a round is a number of requests. All ways give the same bytes.

**import** `import batchio` after `import asyncio`, in a process of its own each time: the least of 30, in
process CPU. Strangers are modules that it brings and that are not the standard library's.
"""


def page(results: dict[Combination, Results], lines: list[Line], commit: str) -> str:
    """The page, in Markdown."""
    parts = [
        "---\norphan: true\n---\n\n# Benchmarks",
        INTRODUCTION,
        _machine(results, commit),
        "## Ratios",
        _ratios(results, lines),
        *[f"A floor: {name}, see {where}." for name, where in FLOORS.items()],
        "![Cost per key by keys in a tick](benchmarks-keys.png)",
        "![Requests per second by connections](benchmarks-connections.png)",
        "## What a hit and a load are made of",
        PIECES.strip(),
        _pieces(results),
        "## Figures",
        *[_figures(key, title, results) for key, title in FIGURES],
        _failures(results),
        "## How it is measured",
        HOW.strip(),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


FIGURES = [
    ("page.1", "One page alone: microseconds, and calls of the store per page"),
    ("page.64", "64 pages at once: microseconds per page, and calls of the store for all of them"),
    ("gathered", "1,000 loads gathered: microseconds per key"),
    ("tasks", "1,000 tasks with a load each: microseconds per key"),
    ("load_many.cold", "`load_many` of 1,000 keys: microseconds per key"),
    ("load_many.memo", "The same from the memo"),
    ("hit", "A memo hit, awaited: microseconds"),
    ("one", "One uncached load, awaited: microseconds"),
    ("spin", "One load among 200 spinning tasks: microseconds"),
    ("get_many.100", "memcached, 100 keys: microseconds per key"),
    ("get_many.1000", "memcached, 1,000 keys: microseconds per key"),
    ("set_many.100", "memcached, 100 values set: microseconds per key"),
    ("row.100", "MySQL, 100 rows by key: microseconds per row"),
    ("feed.1", "The feed, 1 connection: requests per second"),
    ("feed.8", "8 connections"),
    ("feed.64", "64 connections"),
]


def _machine(results: dict[Combination, Results], commit: str) -> str:
    packages = dict(next(iter(results.values()))["facts"]["packages"])
    pythons = sorted({one["facts"]["python"] for one in results.values()})
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit}. {processor()}, {platform.system()} {platform.release()}; "
        f"Python {', '.join(pythons)}; {', '.join(f'{name} {number}' for name, number in packages.items())}."
    )


def processor() -> str:
    """What the machine calculates with."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else platform.machine()


def commit(root: Path) -> str:
    """The checkout's commit, and whether it was changed."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    shown = ["| " + " | ".join(row) + " |" for row in rows]
    titles = list(head)
    return "\n".join(["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|", *shown])


def _ratios(results: dict[Combination, Results], lines: list[Line]) -> str:
    by_name: dict[str, dict[Combination, Line]] = {row.name: {} for row in ROWS}
    for line in lines:
        by_name[line.row.name][line.combination] = line
    rows = [
        [name, _targets(found.values()), *[_shown(found.get(combination)) for combination in results]]
        for name, found in by_name.items()
        if found
    ]
    return _table(["what / against", "target", *map(str, results)], rows)


def _targets(lines: Iterable[Line]) -> str:
    found = {f"{'≥' if line.row.at_least else '≤'} {line.target:g}": None for line in lines}
    return ", ".join(found)


def _shown(line: Line | None) -> str:
    if line is None:
        return ""
    text = f"{line.value:.2f}"
    return text if line.verdict == "ok" else f"**{text}**" if line.verdict == "MISS" else f"{text} (floor)"


def _figures(key: str, title: str, results: dict[Combination, Results]) -> str:
    measured = {combination: one[key] for combination, one in results.items() if key in one}
    ways = list(dict.fromkeys(way for found in measured.values() for way in sorted(found)))
    rows = [[way, *[_figure(found.get(way)) for found in measured.values()]] for way in ways]
    return f"{title}:\n\n{_table(['way', *map(str, measured)], rows)}" if measured else ""


def _pieces(results: dict[Combination, Results]) -> str:
    measured = {combination: one["pieces"] for combination, one in results.items() if "pieces" in one}
    names = list(next(iter(measured.values()), {}))
    rows = [[name, *[_number(1000 * found[name]["min"]) for found in measured.values()]] for name in names]
    return _table(["piece", *map(str, measured)], rows)


def _figure(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    if "rate" in figure:
        return _number(figure["rate"])
    calls = f" ({figure['calls']:g})" if "calls" in figure else ""
    return _number(figure["min"]) + calls


def _number(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def _failures(results: dict[Combination, Results]) -> str:
    counts = {str(combination): one["failed"]["batchio"] for combination, one in results.items() if "failed" in one}
    told = ", ".join(f"{count} on {combination}" for combination, count in counts.items() if count)
    return f"While the feed was served, batchio took memcached's silence for a miss: {told} times." if told else ""
