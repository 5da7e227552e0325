"""The whole trip, over all files, in several processes where there are many.

Rules of this room:

- Three passes, because a name is known only when all files have been looked at: index, settle, change.
- Only names of files and plain data travel between processes. One file's trouble is one outcome, never the run's end.
- Few files are done in this process: starting others takes longer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchio.migrate._convert import Converted, convert
from batchio.migrate._dataloaders import Alone, Imports, change_imports, is_none
from batchio.migrate._effects import effects
from batchio.migrate._files import Source, Trouble, find, mentions, read, write
from batchio.migrate._gathers import gather
from batchio.migrate._index import Unclear, index, is_asynq
from batchio.migrate._known import Known
from batchio.migrate._modules import names_of, place_of
from batchio.migrate._report import Outcome
from batchio.migrate._settle import settle
from batchio.migrate._spelling import modern
from batchio.migrate._world import World

__all__ = ["COMMANDS", "migrate"]

FEW = 48  # files; up to so many one process is quicker
COMMENTS = rb"|# batchio: "  # our own comments too: a second run tells of them again

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Command:
    """What a command looks for, learns of all files, and does to each. Its functions travel to other processes by name."""

    words: bytes
    """A pattern of the bytes that a file must have to be read at all."""
    look: Callable[..., Any]
    """What one file defines, of its text."""
    world: Callable[[], Any]
    """What takes in what all files define, by its `add`."""
    settle: Callable[[Any], None]
    change: Callable[..., Converted]
    """One file's change."""
    is_followed: Callable[[Any], bool]
    """Whether files that import such a file are read too."""


def _nothing(_: Any) -> None:
    """There is nothing to settle."""


COMMANDS = {
    "asynq": Command(rb"\basynq\b" + COMMENTS, index, World, settle, convert, is_asynq),
    "gather": Command(rb"\bbatchio\b", effects, Known, _nothing, gather, bool),
    "aiodataloader": Command(rb"\baiodataloader\b", Imports, Alone, _nothing, change_imports, is_none),
    "strawberry": Command(rb"\bstrawberry\b", Imports, Alone, _nothing, change_imports, is_none),
}


def migrate(
    name: str, paths: Iterable[Path], *, write_files: bool, processes: int, progress: Progress = lambda *_: None
) -> list[Outcome]:
    """Change all files under some paths, or say how they would change."""
    found, missing = find(paths)
    troubles = [Outcome(str(path), trouble=reason) for path, reason in missing]
    names = names_of(found)
    with _Workers(processes if len(found) > FEW else 1) as workers:
        world, files = _look(name, names, workers, progress, troubles)
        todo = [(name, path, names[path], write_files) for path in files]
        outcomes = list(_told(progress, "changing", len(todo), workers.map(_change, todo, world)))
    return sorted([*troubles, *outcomes], key=lambda outcome: outcome.path)


def _look(
    name: str, names: dict[Path, str], workers: _Workers, progress: Progress, troubles: list[Outcome]
) -> tuple[Any, list[Path]]:
    """Look at the files that say the words, then at those that import them, and those that import a package that does."""
    command = COMMANDS[name]
    world, files = command.world(), list[Path]()
    unread, pattern = list(names), command.words
    first = True
    while pattern:
        jobs = [(name, path, names[path], pattern) for path in unread]
        answers = list(_told(progress, "reading", len(jobs), workers.map(_look_at, jobs)))
        for path, answer in zip(unread, answers, strict=True):
            if answer is not None and (first or not isinstance(answer, str)):
                _take(path, answer, world, files, troubles)
        unread = [path for path, answer in zip(unread, answers, strict=True) if answer is None]
        seen = [answer for answer in answers if answer is not None and not isinstance(answer, str)]
        pattern = _imports_of([file for file in seen if (command.is_followed(file) if first else file.package)])
        first = False
    command.settle(world)
    return world, files


def _imports_of(files: list[Any]) -> bytes:
    """A pattern of statements that import one of some files; nothing for none."""
    words = sorted({re.escape(file.place.rpartition(".")[2]).encode() for file in files})
    word = rb"\b(?:" + b"|".join(words) + rb")\b"
    return rb"\b(?:import|from)\b[^\n]*" + word + rb"|\bimport\s*\([^)]*" + word if words else b""


def _take(path: Path, answer: Any, world: Any, files: list[Path], troubles: list[Outcome]) -> None:
    if isinstance(answer, str):
        troubles.append(Outcome(str(path), trouble=answer))
    else:
        world.add(answer)
        files.append(path)


def _told(progress: Progress, what: str, count: int, answers: Iterable[Any]) -> Iterator[Any]:
    for number, answer in enumerate(answers, 1):
        progress(what, number, count)
        yield answer


# --- one file ---------------------------------------------------------------------------------------------------------


def _look_at(job: tuple[str, Path, str, bytes]) -> Any:
    """Look at a file; None if it has none of the words, a sentence if it cannot be read."""
    command, path, name, words = job
    try:
        data = path.read_bytes()
        if not mentions(data, re.compile(words)):
            return None
        text = modern(read(data).text)
        return COMMANDS[command].look(text, name, package=path.name == "__init__.py", place=place_of(path))
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except (Trouble, Unclear) as trouble:
        return str(trouble)
    except SyntaxError as error:
        return f"line {error.lineno or 0} does not parse: {error.msg}"
    except (RecursionError, ValueError, MemoryError) as error:
        return f"does not parse: {str(error) or type(error).__name__}"


def _change(job: tuple[str, Path, str, bool], world: Any) -> Outcome:
    """Change one file, and write it if that is wanted."""
    command, path, name, write_file = job
    outcome = Outcome(str(path))
    try:
        source = read(path.read_bytes())
        text = modern(source.text)
        done = COMMANDS[command].change(text, name, world, package=path.name == "__init__.py", written=write_file)
        outcome.old, outcome.new = source.text, done.new
        outcome.left = [(left.line, left.reason) for left in done.left]
        outcome.counts, outcome.found, outcome.outside = done.counts, done.found, done.outside
        if write_file and outcome.changed:
            _write(path, source, outcome)
    except OSError as error:
        outcome.trouble = f"cannot be read: {error.strerror or error}"
    except Trouble as trouble:
        outcome.trouble = str(trouble)
    except Exception as error:  # a fault of ours: the file stays as it is, and the others go on
        outcome.new = outcome.old
        outcome.trouble = f"left as it is, for a fault of batchio migrate: {type(error).__name__}: {error}"
    return outcome


def _write(path: Path, source: Source, outcome: Outcome) -> None:
    write(path, source, outcome.new)
    outcome.written = True


# --- processes --------------------------------------------------------------------------------------------------------

_world: Any = None


def _begin(world: Any) -> None:
    global _world  # noqa: PLW0603  # a process is given it once, and not with each file
    _world = world


def _change_there(job: tuple[str, Path, str, bool]) -> Outcome:
    assert _world is not None
    return _change(job, _world)


class _Workers:
    """Maps a function over jobs, here or in other processes; the second map brings the world along."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.pools: list[ProcessPoolExecutor] = []

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self.pools:
            pool.shutdown(cancel_futures=True)

    def map(self, function: Callable[..., Any], jobs: list[Any], world: Any = None) -> Iterator[Any]:
        """The answers, in the order of the jobs."""
        if self.processes == 1:
            return (function(job) if world is None else function(job, world) for job in jobs)
        pool = ProcessPoolExecutor(self.processes, initializer=_begin, initargs=(world,))
        self.pools.append(pool)
        return pool.map(function if world is None else _change_there, jobs, chunksize=8)
