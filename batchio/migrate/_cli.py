"""The command line: ``batchio migrate {asynq,gather,aiodataloader,strawberry} PATH...``.

Exit codes: 0 nothing is left for a human, 1 something is, 2 it could not run or write, 130 it was interrupted. The diff goes to standard output, the
report to standard error; with ``--report json`` the report goes to standard output, alone. With ``--check`` standard output
has a line for each spot.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from batchio.migrate._report import Outcome, as_check, as_json, as_text, diff, exit_code

__all__ = ["main", "migrate"]

COMMANDS = {
    "asynq": "generators for asynq become coroutines",
    "gather": "awaits of loads that do not depend on each other become one batchio.gather",
    "aiodataloader": "imports of aiodataloader become those of batchio.compat.aiodataloader",
    "strawberry": "imports of strawberry.dataloader become those of batchio.compat.strawberry",
}
MANY = 200  # files; above that a terminal is told how far it is


def main(arguments: Sequence[str] | None = None) -> int:
    """The program ``batchio``: ``batchio migrate {asynq,gather,aiodataloader,strawberry} [--write] PATH...``.

    Args:
        arguments: the command line without the program's name; by default this process's.

    Returns:
        The exit code: 0 nothing is left for a human, 1 something is, 2 it could not run, or not write all that changes
        and so wrote nothing, 130 it was interrupted. With ``--check``: 0 nothing would change, 1 something would.

    Raises:
        SystemExit: with code 2 for arguments that it does not know, with 0 after ``--help``.

    Example:
        >>> from batchio.migrate import main
        >>> main(["migrate", "asynq", "no-such-folder"])
        2
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["migrate"]:
        return migrate(given[1:])
    print(f"usage: batchio migrate {{{','.join(COMMANDS)}}} [--write] PATH...", file=sys.stderr)
    return 0 if given in (["-h"], ["--help"]) else 2


def migrate(arguments: Sequence[str]) -> int:
    """``batchio migrate``."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except ModuleNotFoundError as error:
        return _failed(f'{error.name} is not installed: pip install "batchio[migrate]"')
    except KeyboardInterrupt as error:
        return _failed(f"interrupted: {str(error) or 'nothing was written'}", 130)


def _run(options: argparse.Namespace) -> int:
    from batchio.migrate._files import unusable  # noqa: PLC0415  # beside it
    from batchio.migrate._run import migrate as run  # noqa: PLC0415  # libcst: an extra that may be missing
    from batchio.migrate._write import Refused  # noqa: PLC0415  # beside it

    reasons = {path: unusable(path) for path in options.paths}
    if all(reasons.values()):
        return _failed("; ".join(f"{reason}: {path}" for path, reason in reasons.items()))
    command, write, processes = options.command, options.write, options.processes
    try:
        outcomes = run(command, options.paths, write_files=write, processes=processes, progress=_progress)
    except Refused as refused:
        return _failed(str(refused))
    return _told(options, outcomes)


def _told(options: argparse.Namespace, outcomes: list[Outcome]) -> int:
    """Print what there is to say, and give the exit code."""
    if options.report == "json":
        print(as_json(outcomes))
    elif options.check:
        print(as_check(outcomes), end="")
    else:
        if not options.write:
            sys.stdout.write("".join(diff(outcome) for outcome in outcomes if outcome.changed))
        print(as_text(outcomes), file=sys.stderr)
    return exit_code(outcomes, check=options.check)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("batchio migrate", description="Change code into code for batchio.")
    commands = parser.add_subparsers(dest="command", required=True, metavar=f"{{{','.join(COMMANDS)}}}")
    for name, does in COMMANDS.items():
        command = commands.add_parser(name, help=does, description=does)
        command.add_argument(
            "paths", nargs="+", type=Path, metavar="PATH", help="files and folders; give all that belong together"
        )
        what = command.add_mutually_exclusive_group()
        what.add_argument("--write", action="store_true", help="change the files; else a diff is shown")
        what.add_argument("--check", action="store_true", help="only say which lines would change, for CI")
        command.add_argument("--report", choices=["text", "json"], default="text")
        command.add_argument("--processes", type=_count, default=os.cpu_count() or 1, metavar="N")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _failed(reason: str, code: int = 2) -> int:
    print(f"batchio migrate: {reason}", file=sys.stderr)
    return code


def _progress(what: str, number: int, count: int) -> None:
    if count > MANY and sys.stderr.isatty():
        end = "\n" if number == count else ""
        print(f"\r{what} {number} of {count} files", end=end, file=sys.stderr, flush=True)
