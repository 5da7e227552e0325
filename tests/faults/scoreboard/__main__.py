"""The scoreboard of faults and its figures: `make faults`.

    python -m tests.faults.scoreboard                  run everything, and write docs/explanation/faults.md
    python -m tests.faults.scoreboard --check          run everything, and fail where that page differs
    python -m tests.faults.scoreboard --only NAME ...  run the programs whose names hold a word, and say what they saw

Rules:
- The page is written when everything has run and all that batchio promises was kept, or with the true word where it was
  not; the exit code is then 1. A test that fails ends the command with what it said, and the page stays as it was.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from tests import servers
from tests.faults.scoreboard import figures
from tests.faults.scoreboard.page import PAGE, PEERS, page, stable
from tests.faults.scoreboard.trial import LOOPS, Result, Trial, run_all
from tests.faults.scoreboard.verdict import PROGRAMS, USUAL

Seen = Mapping[Trial, Result]


def trials(names: Iterable[str]) -> list[Trial]:
    """What is run: batchio on every loop, its peers too, but for what takes long: stores, and programs that compute."""
    chosen = []
    for name in names:
        for peer in PEERS:
            long = PROGRAMS[name].needs & {"memcached", "mysql"} or PROGRAMS[name].computes > USUAL
            on_all = peer == "batchio" or not long
            chosen += [Trial(name, peer, loop) for loop in (LOOPS if on_all else ["asyncio"])]
    return chosen


def seen(names: Iterable[str], *, aloud: bool) -> Seen:
    """Run programs; what they came to."""
    results = {}
    with servers.mariadb() as database:
        for trial, result in run_all(trials(names), database.url):
            results[trial] = result
            if aloud:
                print(f"{trial.program:32} {trial.peer:14} {trial.loop:8} {result.word:17} {result.what[:200]}")
    return results


def broken(results: Seen) -> list[str]:
    """What batchio did not keep."""
    return [
        f"batchio: {trial.program} on {trial.loop}: {result.word}: {result.what}"
        for trial, result in results.items()
        if trial.peer == "batchio" and result.word != "kept"
    ]


def differences(fresh: str) -> list[str]:
    """How the page differs from a fresh one."""
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    both = (stable(text).splitlines() for text in (old, fresh))
    return list(difflib.unified_diff(*both, fromfile="docs/explanation/faults.md", tofile="a fresh run", lineterm=""))


def everything(seconds: int) -> tuple[str, list[str]]:
    """A fresh page, and what batchio did not keep."""
    began = time.monotonic()

    def stage(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    stage(f"{len(PROGRAMS)} programs, for {', '.join(PEERS)}")
    results = seen(PROGRAMS, aloud=False)
    stage("the tests of faults and chaos, with -X dev -W error")
    counted = list(figures.of_tests())
    stage(f"a soak of {seconds} s")
    counted += figures.of_soak(seconds)
    stage("done")
    return page(results, counted), broken(results)


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.scoreboard", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare the page with a fresh run")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run the programs whose names hold a word")
    parser.add_argument("--seconds", type=int, default=60, help="of the soak")
    given = parser.parse_args(arguments)
    if given.only:
        results = seen([name for name in PROGRAMS if any(word in name for word in given.only)], aloud=True)
        return int(bool(broken(results)))
    try:
        fresh, complaints = everything(given.seconds)
    except figures.Failed as failed:
        print(failed)
        return 1
    if given.check:
        complaints = [*differences(fresh), *complaints]
    else:
        PAGE.write_text(fresh, encoding="utf-8")
        print(PAGE.relative_to(figures.ROOT))
    print("\n".join(complaints) or "every promise of batchio was kept")
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
