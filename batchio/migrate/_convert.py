"""From a file's old text to its new one, with what is left for a human: the whole of one file's change.

Rules of this room:

- Pure: text in, text out. Files are ``files``'s business, and other files are known through the ``World``.
- What is left for a human is read back from the comments in the new text, so a second run says the same as the first.
- The new text must parse, or the old one is kept and the file is for a human.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import libcst as cst

from batchio.migrate._batches import loaders
from batchio.migrate._imports import Others, rewrite_imports
from batchio.migrate._rewrite import Rewriter
from batchio.migrate._syntax import MARK
from batchio.migrate._world import World

__all__ = ["Converted", "Left", "compiled", "convert", "with_pages"]


@dataclass(frozen=True)
class Left:
    """A spot for a human: where, and what to decide."""

    line: int
    reason: str


@dataclass
class Converted:
    """What became of one file."""

    old: str
    new: str
    left: list[Left] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    found: list[tuple[int, str]] = field(default_factory=list)
    """What was changed, by the lines of the old text, for those who only check."""
    outside: list[str] = field(default_factory=list)
    """Modules whose asynq functions are called, and that are not among the files."""

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return self.old != self.new


def convert(source: str, module: str, world: World, *, package: bool, written: bool = False) -> Converted:
    """Change one file's text; `written` says whose lines the spots have, the new text's or the old one's."""
    tree = loaders(cst.parse_module(source), module, world)
    rewriter = Rewriter(world, module)
    changed = tree.visit(rewriter)
    others = Others(world.taken.get(module, set()), world.lent.get(module, set()))
    changed = rewrite_imports(
        changed, module, package=package, kept=rewriter.kept_names, needs=rewriter.needs, others=others
    )
    new = changed.code
    try:
        compiled(new)
    except SyntaxError as error:
        reason = f"the changed file would not parse ({error.msg}, line {error.lineno}): it is left as it was"
        return Converted(source, source, [Left(1, reason)])
    left = _left(new if written else source, new)
    return Converted(source, new, left, vars(rewriter.counts), outside=sorted(rewriter.outside))


def compiled(text: str) -> None:
    """Compile a text, because an await at the wrong place parses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(text, "<migrated>", "exec", dont_inherit=True)


def with_pages(old: str, new: str) -> str:
    """A new text with the form feeds that libcst loses: those before a statement, in its line."""
    kept = cst.parse_module(old).code.split("\n")
    before, after = old.split("\n"), new.split("\n")
    lost = [number for number, line in enumerate(before) if line != kept[number] and line.startswith("\f")]
    blocks = difflib.SequenceMatcher(None, kept, after, autojunk=False).get_opcodes() if lost else []
    for number in lost:
        tag, start, _, to, _ = next(block for block in blocks if block[1] <= number < block[2])
        place = min(to + (number - start if tag == "equal" else 0), len(after) - 1)
        after[place] = "\f" + after[place]
    paged = "\n".join(after)
    return paged if lost and ast.dump(ast.parse(paged)) == ast.dump(ast.parse(new)) else new


def _left(old: str, new: str) -> list[Left]:
    """The comments for a human, at the lines of the old text that they are about."""
    plain: list[str] = []
    marks: list[tuple[int, str]] = []
    for line in new.split("\n"):
        text = line.strip()
        if text.startswith(MARK):
            marks.append((len(plain), text[len(MARK) :]))
        else:
            plain.append(line)
    if not marks:
        return []
    before = old.split("\n")
    own = [number for number, line in enumerate(before) if not line.strip().startswith(MARK)]  # of an earlier run
    old_of = _old_lines([before[number] for number in own], plain)
    return [Left(own[old_of(number)] + 1 if own else 1, reason) for number, reason in marks]


def _old_lines(old: list[str], new: list[str]) -> Callable[[int], int]:
    """A function from a line's number in the new text to the nearest in the old one."""
    blocks = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()

    def old_of(number: int) -> int:
        for _, start, end, new_start, new_end in blocks:
            if new_start <= number < new_end:
                return min(start + number - new_start, max(start, end - 1))
        return max(0, len(old) - 1)

    return old_of
