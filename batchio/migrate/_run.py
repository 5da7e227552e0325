"""The whole trip, over all files, in several processes where there are many.

Rules of this room:

- Three passes, because a name is known only when all files have been looked at: index, settle, change.
- Only names of files and plain data travel between processes. One file's trouble is one outcome, never the run's end.
- Everything is changed in memory first and written last, all at once: see ``_write``.
- Few files are done in this process: starting others takes longer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchio.migrate._convert import Converted, convert, with_pages
from batchio.migrate._dataloaders import change_imports
from batchio.migrate._effects import effects
from batchio.migrate._files import Trouble, find, mentions, read
from batchio.migrate._gathers import gather
from batchio.migrate._index import Unclear, imports_of, index, is_asynq
from batchio.migrate._known import Known
from batchio.migrate._loaders import Alone, Imports, has_loaders, words_of
from batchio.migrate._modules import names_of, place_of
from batchio.migrate._report import Outcome
from batchio.migrate._settle import settle
from batchio.migrate._spelling import modern
from batchio.migrate._workers import Workers
from batchio.migrate._world import World
from batchio.migrate._write import Change, Refused, digest, is_read_only, write

__all__ = ["COMMANDS", "migrate"]

FEW = 48  # files; up to so many one process is quicker
ASYNC = rb"\basync\s+def\b"
LOCKED = "is read-only: it stays as it is, with its calls of what is async now in other files"
COMMENTS = rb"|# batchio: "  # our own comments too: a second run tells of them again

Progress = Callable[[str, int, int], None]


def _no_words(_: Any) -> set[str]:
    return set()


@dataclass(frozen=True)
class Command:
    """What a command looks for, learns of all files, and does to each. Its functions travel to other processes by name."""

    words: bytes
    """A pattern of the bytes that a file must have to be read at all."""
    look: Callable[..., Any]
    """What one file defines, of its text."""
    world: Callable[[], Any]
    """What takes in what all files define, by its `add`."""
    settle: Callable[[Any, set[str]], None]
    """What follows of all files together, when some of them stay as they are."""
    change: Callable[..., Converted]
    """One file's change."""
    is_followed: Callable[[Any], bool]
    """Whether files that import such a file are read too."""
    passed: Callable[[Any], set[str]] = _no_words
    """The words by which a file imports others: who imports one that is followed may pass it on, and is followed too."""
    imported: Callable[[Any], set[str]] = _no_words
    """The words by which a file imports others: these are looked at for their async functions, and stay as they are."""


def _nothing(_: Any, __: set[str]) -> None:
    """There is nothing to settle."""


COMMANDS = {
    "asynq": Command(rb"\basynq\b" + COMMENTS, index, World, settle, convert, is_asynq, imports_of, imports_of),
    "gather": Command(rb"\bbatchio\b", effects, Known, _nothing, gather, bool),
    "aiodataloader": Command(rb"\baiodataloader\b", Imports, Alone, _nothing, change_imports, has_loaders, words_of),
    "strawberry": Command(rb"\bstrawberry\b", Imports, Alone, _nothing, change_imports, has_loaders, words_of),
}


def migrate(
    name: str, paths: Iterable[Path], *, write_files: bool, processes: int, progress: Progress = lambda *_: None
) -> list[Outcome]:
    """Change all files under some paths, or say how they would change; Refused when they cannot be written."""
    found, missing = find(paths)
    unfound = [Outcome(str(path), trouble=reason) for path, reason in missing]
    names = names_of(found)
    locked: set[Path] = set()
    with Workers(processes if len(found) > FEW else 1) as workers:
        while True:
            troubles = unfound + [Outcome(str(path), trouble=LOCKED) for path in locked]
            world, files = _look(name, names, workers, progress, troubles, {names[path] for path in locked})
            files = {path: seen for path, seen in files.items() if path not in locked}
            todo = [(name, path, names[path], seen, write_files) for path, seen in files.items()]
            outcomes = list(_told(progress, "changing", len(todo), workers.map(_change, todo, world)))
            changed = {path: outcome for path, outcome in zip(files, outcomes, strict=True) if outcome.changed}
            fresh = set(filter(is_read_only, changed)) if write_files else set()
            if not fresh:
                break
            locked |= fresh  # once more: their functions stay asynq, and so does what these call
    if write_files:
        _write(files, outcomes, changed)
    return sorted([*troubles, *outcomes], key=lambda outcome: outcome.path)


def _write(files: dict[Path, bytes], outcomes: list[Outcome], changed: dict[Path, Outcome]) -> None:
    """Write what changed, unless somebody saved one of the files meanwhile: what is known of all is old then."""
    for outcome in outcomes:
        if outcome.stale:
            raise Refused(f"nothing was written: {outcome.path} {outcome.trouble}")
    write([Change(path, outcome.new.encode(outcome.encoding), files[path]) for path, outcome in changed.items()], files)
    for outcome in changed.values():
        outcome.written = True


def _look(
    name: str,
    names: dict[Path, str],
    workers: Workers,
    progress: Progress,
    troubles: list[Outcome],
    locked: set[str],
) -> tuple[Any, dict[Path, bytes]]:
    """Look at the files that say the words, then at those that import them, and so on over all that pass names on."""
    command = COMMANDS[name]
    world, files = command.world(), dict[Path, bytes]()
    unread, pattern = list(names), command.words
    first, known, waiting, words = True, list[Any](), list[tuple[Any, set[str]]](), set[str]()
    while pattern:
        jobs = [(name, path, names[path], pattern) for path in unread]
        answers = list(_told(progress, "reading", len(jobs), workers.map(_look_at, jobs)))
        unread, looked, seen = [], unread, []
        for path, (answer, digested) in zip(looked, answers, strict=True):
            if answer is None:
                unread.append(path)
            elif isinstance(answer, str):
                troubles += [Outcome(str(path), trouble=answer)] if first else []
            else:
                seen.append(answer)
                files[path] = digested
        for file in seen:
            world.add(file)
        known += seen
        waiting += [(file, command.passed(file)) for file in seen]
        pattern = _imports_of(_followed(command, waiting, words))
        first = False
    _look_below(name, known, {path: names[path] for path in unread}, workers, world)
    command.settle(world, locked)
    return world, files


def _look_below(name: str, known: list[Any], unread: dict[Path, str], workers: Workers, world: Any) -> None:
    """Look at what the files import, for the async functions there: an earlier run may have made them of asynq's."""
    while known:
        words = set[str]().union(*map(COMMANDS[name].imported, known))
        near = [path for path in unread if (path.parent.name if path.name == "__init__.py" else path.stem) in words]
        jobs = [(name, path, unread.pop(path), b"import" if path.name == "__init__.py" else ASYNC) for path in near]
        answers = [answer for answer, _ in workers.map(_look_at, jobs)]
        known = [answer for answer in answers if answer is not None and not isinstance(answer, str)]
        for file in known:
            world.add(file)


def _followed(command: Command, waiting: list[tuple[Any, set[str]]], words: set[str]) -> list[Any]:
    """Take those of the waiting files whose importers are looked at too; `words` are the names of all of them so far."""
    found: list[Any] = []
    while fresh := [each for each in waiting if command.is_followed(each[0]) or each[1] & words]:
        waiting[:] = [each for each in waiting if not (command.is_followed(each[0]) or each[1] & words)]
        words.update(file.place.rpartition(".")[2] for file, _ in fresh)
        found += [file for file, _ in fresh]
    return found


def _imports_of(files: list[Any]) -> bytes:
    """A pattern of statements that import one of some files; nothing for none."""
    words = sorted({re.escape(file.place.rpartition(".")[2]).encode() for file in files})
    word = rb"\b(?:" + b"|".join(words) + rb")\b"
    near = rb"|\bfrom\s*\.+\s*import\b" if any(file.package for file in files) else b""  # says no package's name
    line = rb"\b(?:import|from)\b(?:[^\n\\]|\\\r?\n)*" + word
    return line + rb"|\bimport\s*\([^)]*" + word + near if words else b""


def _told(progress: Progress, what: str, count: int, answers: Iterable[Any]) -> Iterator[Any]:
    for number, answer in enumerate(answers, 1):
        progress(what, number, count)
        yield answer


# --- one file ---------------------------------------------------------------------------------------------------------


def _look_at(job: tuple[str, Path, str, bytes]) -> tuple[Any, bytes]:
    """Look at a file: None if it has none of the words, a sentence if it cannot be read; and a digest of its bytes."""
    command, path, name, words = job
    data = b""
    try:
        data = path.read_bytes()
        if not mentions(data, re.compile(words)):
            return None, b""
        text = modern(read(data).text)
        answer = COMMANDS[command].look(text, name, package=path.name == "__init__.py", place=place_of(path))
    except OSError as error:
        answer = f"cannot be read: {error.strerror or error}"
    except (Trouble, Unclear) as trouble:
        answer = str(trouble)
    except SyntaxError as error:
        answer = f"line {error.lineno or 0} does not parse: {error.msg}"
    except (RecursionError, ValueError, MemoryError) as error:
        answer = f"does not parse: {str(error) or type(error).__name__}"
    return answer, digest(data)


def _change(job: tuple[str, Path, str, bytes, bool], world: Any) -> Outcome:
    """Change one file's text."""
    command, path, name, seen, written = job
    outcome = Outcome(str(path))
    try:
        data = path.read_bytes()
        if digest(data) != seen:
            return _stale(outcome, "was changed by somebody else meanwhile")
        source = read(data)
        outcome.old = outcome.new = source.text
        outcome.encoding = source.encoding
        text = modern(source.text)
        done = COMMANDS[command].change(text, name, world, package=path.name == "__init__.py", written=written)
        outcome.new = with_pages(text, done.new) if "\f" in text and done.changed else done.new
        outcome.new.encode(source.encoding)
        outcome.left = [(left.line, left.reason) for left in done.left]
        outcome.counts, outcome.found, outcome.outside = done.counts, done.found, done.outside
    except OSError as error:
        return _stale(outcome, f"cannot be read any more: {error.strerror or error}")
    except Exception as error:  # a fault of ours: the file stays as it is, and the others go on
        outcome.trouble = f"left as it is, for a fault of batchio migrate: {type(error).__name__}: {error}"
    return outcome


def _stale(outcome: Outcome, reason: str) -> Outcome:
    outcome.trouble, outcome.stale = reason, True
    return outcome
