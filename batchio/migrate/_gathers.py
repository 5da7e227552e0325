"""Awaits of one file that could be one gather: what is certain is rewritten, the rest is told.

Rules of this room:

- Only loads, and async functions that only load, are moved; ``_known`` says which these are.
- Where an error could show which results were there before it (``try``, ``with``), rows and loops are only told. In one
  expression nothing is there before all of it is.
- A name that anything in the same function or class binds is nobody's loader.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import Any

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider

from batchio.migrate._convert import Converted, Left, compiled
from batchio.migrate._effects import dotted_of, stored
from batchio.migrate._finders import attributes, awaited_calls, calls, find, names_of, seen_elsewhere, used_outside
from batchio.migrate._imports import with_imports
from batchio.migrate._known import Known
from batchio.migrate._loops import comprehension, filled, known, waits_only
from batchio.migrate._rows import Row, gathered, rows, runs
from batchio.migrate._syntax import as_arguments, awaited, call, code, form_of
from batchio.migrate._used import names_in

__all__ = ["gather"]

ALONE = "loads are awaited one by one in a loop: batchio.gather would make them one batch"
TOGETHER = "awaits that do not depend on each other: batchio.gather would make their loads one batch"


def gather(source: str, module: str, world: Known, *, package: bool, written: bool = False) -> Converted:
    """Change one file's text."""
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    changer = _Changer(world, module, wrapper.resolve(PositionProvider))
    changed = wrapper.module.visit(changer)
    if changer.found:
        changed = with_imports(changed, ["batchio"])
    left = [Left(line, reason) for line, reason in sorted(set(changer.told))]
    try:
        compiled(changed.code)
    except SyntaxError as error:
        return Converted(
            source, source, [Left(1, f"the changed file would not parse ({error.msg}): it is left as it was")]
        )
    if written and changer.found:
        left = gather(changed.code, module, world, package=package).left
    return Converted(source, changed.code, left, {"gathers": len(changer.found)}, found=sorted(changer.found))


class _Changer(cst.CSTTransformer):
    def __init__(self, world: Known, module: str, positions: Any) -> None:
        super().__init__()
        self.world, self.module, self.positions = world, module, positions
        self.above: list[cst.CSTNode] = []
        self.bound: set[str] = set()
        self.seen: set[int] = set()
        self.told: list[tuple[int, str]] = []
        self.found: list[tuple[int, str]] = []

    # --- where it stands ----------------------------------------------------------------------------------------

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef | cst.ClassDef) and not any(map(_is_scope, self.above)):
            self.bound = stored(ast.parse(code(node)).body[0])
        self.above.append(node)
        return super().on_visit(node)

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        self.above.pop()
        updated = super().on_leave(original_node, updated_node)
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef) and not any(map(_is_scope, self.above)):
            self.bound = set()
        return updated

    def _function(self) -> list[cst.CSTNode]:
        """The nodes from the innermost async function to here; nothing where no await may stand."""
        for place in range(len(self.above) - 1, -1, -1):
            node = self.above[place]
            if isinstance(node, cst.FunctionDef):
                return self.above[place:] if node.asynchronous else []
            if isinstance(node, cst.Lambda | cst.ClassDef):
                return []
        return []

    def kind(self, node: cst.Call) -> str | None:
        """`loader` or `function` for a call that only loads."""
        name = _dotted(node.func)
        if name is None or name.partition(".")[0] in self.bound or not self._batchio_is_ours():
            return None
        return self.world.kind(self.module, name)

    def spent(self, node: cst.Call) -> set[str]:
        """The names of what a call may use up."""
        name = _dotted(node.func)
        if name is None or not self.world.spends(self.module, name):
            return set()
        return set[str]().union(*(names_in(argument.value) for argument in node.args))

    def _batchio_is_ours(self) -> bool:
        file = self.world.files[self.module]
        return "batchio" not in self.bound and ("batchio" not in file.bound or file.names.get("batchio") == OURS)

    def is_bound(self, name: str) -> bool:
        return name in self.bound or name in self.world.files[self.module].bound

    def line(self, node: cst.CSTNode) -> int:
        return self.positions[node].start.line  # type: ignore[no-any-return]

    # --- rows and loops -----------------------------------------------------------------------------------------

    def leave_IndentedBlock(self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock) -> Any:
        inside = self._function()
        if not inside:
            return updated_node
        guard = _guard(inside)
        changed: dict[int, list[Any]] = {}
        for row in rows(original_node.body, self.kind):
            bound = set[str]().union(*(part.binds for part in row.parts))
            self._row(row, guard or seen_elsewhere(inside[0], bound), changed, len(inside))
        for place, statement in enumerate(original_node.body):
            if isinstance(statement, cst.For) and not guard:
                self._loop(original_node.body, place, inside[0], changed)
        for statement in original_node.body:
            if isinstance(statement, cst.For) and id(statement) not in self.seen:
                self._tell_of_loop(statement)
        if not changed:
            return updated_node
        body = [new for place, old in enumerate(updated_node.body) for new in changed.get(place, [old])]
        return updated_node.with_changes(body=body)

    def _row(self, row: Row, guard: str, changed: dict[int, list[Any]], depth: int) -> None:
        shared = _twice([self.spent(step.call) for step in row.steps if step.kind])
        for step in row.steps:
            spent = sorted(self.spent(step.call) & shared) if step.kind else []
            step.doubt = (
                step.doubt or guard or self._read_by(step.call) or (f"each may use up {spent[0]}" if spent else "")
            )
        done: set[int] = set()
        for run in runs(row):
            changed |= {run.start + number: [] for number in range(len(run.parts))}
            changed[run.start] = gathered(run, depth // 2)
            done |= set(map(id, run.steps))
            self._note(run.parts[0].line, f"{len(run.steps)} {TOGETHER}")
        if not done or any(id(step) not in done and step.kind for step in row.steps):
            self._tell_of_row(row, len(row.steps) - len(done) + len(runs(row)))
        self.seen |= {id(step.call) for step in row.steps}

    def _tell_of_row(self, row: Row, count: int) -> None:
        doubts = [
            step.doubt or f"{code(step.call.func)} may do more than load" * (step.kind is None) for step in row.steps
        ]
        why = next(filter(None, doubts), "some results are kept, and some are not")
        self.told.append((self.line(row.steps[0].line), f"{count} {TOGETHER}; not changed: {why}"))

    def _note(self, node: cst.CSTNode, reason: str) -> None:
        self.found.append((self.line(node), reason))

    def _read_by(self, node: cst.CSTNode) -> str:
        """Why what a call or loop reads may not be what it was: nothing, if it is."""
        for name in attributes(node):
            if name in self.world.properties:
                return f".{name} may be a property, which runs code"
        for name in sorted(names_in(node) & self.world.files[self.module].shared):
            return f"{name} may be changed by others"
        return ""

    def _loop(self, body: Any, place: int, function: cst.CSTNode, changed: dict[int, list[Any]]) -> None:
        node = body[place]
        names = {name.value for name in find(node, cst.Name)}
        if (
            self._spends_more(node, node.target)
            or self._read_by(node)
            or used_outside(function, node)
            or seen_elsewhere(function, names)
        ):
            return
        text = waits_only(node, self.kind, self.is_bound)
        if text:
            changed[place] = [_statement(text, [*_blank(node.leading_lines), *_comments_of(node)])]
        elif place and (text := filled(body[place - 1], node, self.kind, self.is_bound)):
            changed[place - 1] = []
            changed[place] = [_statement(text, [*body[place - 1].leading_lines, *_comments_of(node)])]
        if text:
            self.seen |= {id(node), *map(id, calls(node))}
            self._note(node, ALONE)

    def _spends_more(self, node: cst.CSTNode, target: cst.BaseExpression) -> bool:
        """Whether each turn of a loop may use up what is not its own."""
        return any(self.spent(made) - names_of(target) for made in calls(node) if self.kind(made))

    def _tell_of_loop(self, node: cst.For) -> None:
        """A load that is awaited in each turn, whatever else the loop does."""
        for made in awaited_calls(node.body):
            if id(made) not in self.seen and self.kind(made):
                self.seen.add(id(made))
                self.told.append((self.line(made), f"{ALONE}; not changed: more happens in the loop, or around it"))

    # --- one expression -----------------------------------------------------------------------------------------

    def _comprehension(self, original: Any, updated: Any) -> Any:
        element = original.value if isinstance(original, cst.DictComp) else original.elt
        if not self._function() or not isinstance(element, cst.Await) or not isinstance(element.expression, cst.Call):
            return updated
        if not self.kind(element.expression):
            return updated
        self.seen.add(id(element.expression))
        doubt = self._read_by(original) or self._spends_more(original, original.for_in.target)
        made = None if doubt else comprehension(original, updated, self.kind, self.is_bound)
        if made is None:
            self.told.append(
                (
                    self.line(original),
                    f"{ALONE}; not changed: its loop may run other code, or two of its keys may be equal",
                )
            )
            return updated
        self._note(original, ALONE)
        return self._awaited(original, made)

    def leave_ListComp(self, original_node: cst.ListComp, updated_node: cst.ListComp) -> Any:
        return self._comprehension(original_node, updated_node)

    def leave_SetComp(self, original_node: cst.SetComp, updated_node: cst.SetComp) -> Any:
        return self._comprehension(original_node, updated_node)

    def leave_DictComp(self, original_node: cst.DictComp, updated_node: cst.DictComp) -> Any:
        return self._comprehension(original_node, updated_node)

    def _awaited(self, original: cst.CSTNode, made: cst.Call) -> cst.Await:
        above = self.above[-1]
        tight = (isinstance(above, cst.Attribute | cst.Subscript) and above.value is original) or (
            isinstance(above, cst.Call) and above.func is original
        )
        return awaited(made, tight=tight)

    def leave_Tuple(self, original_node: cst.Tuple, updated_node: cst.Tuple) -> Any:
        changed = self._display(original_node, updated_node)
        return self._awaited(original_node, as_arguments(changed)) if changed else updated_node

    def leave_List(self, original_node: cst.List, updated_node: cst.List) -> Any:
        changed = self._display(original_node, updated_node)
        return self._awaited(original_node, call("batchio.gather", changed)) if changed else updated_node

    def leave_Dict(self, original_node: cst.Dict, updated_node: cst.Dict) -> Any:
        keys = [each.key for each in original_node.elements if isinstance(each, cst.DictElement)]
        if not all(isinstance(key, cst.SimpleString) for key in keys) or len(set(map(code, keys))) != len(keys):
            return updated_node
        changed = self._display(original_node, updated_node)
        return self._awaited(original_node, call("batchio.gather", changed)) if changed else updated_node

    def _display(self, original: Any, updated: Any) -> Any:
        """A tuple, list or dict with loads in the places of awaits, if it has nothing else."""
        plain = [each for each in original.elements if isinstance(each, cst.Element | cst.DictElement)]
        loads = self._all_known(plain) if len(plain) == len(original.elements) else []
        if not loads:
            return None
        self._note(original, f"{len(loads)} {TOGETHER}")
        elements = [each.with_changes(value=made) for each, made in zip(updated.elements, loads, strict=True)]
        return updated.with_changes(elements=elements)

    def _all_known(self, elements: Any) -> list[cst.Call]:
        """The calls of a display of awaits, if each only loads; nothing otherwise."""
        if not self._function() or len(elements) < 2:
            return []
        found = [known(each.value, self.kind) for each in elements]
        if not all(found) or any(self._read_by(each.value) for each in elements):
            return []
        loads = [one[0] for one in found if one]
        if _twice(list(map(self.spent, loads))):
            return []
        self.seen |= set(map(id, loads))
        return loads

    def leave_SimpleStatementLine(self, original_node: cst.SimpleStatementLine, updated_node: Any) -> Any:
        """Tell of awaits in one statement that were not changed."""
        if self._function():
            loads = [made for made in awaited_calls(original_node) if id(made) not in self.seen and self.kind(made)]
            if len(loads) > 1 and not any(made in list(calls(other))[1:] for made in loads for other in loads):
                self.seen |= set(map(id, loads))
                self.told.append(
                    (
                        self.line(original_node),
                        f"{len(loads)} {TOGETHER}; not changed: they stand in one line, or with other code",
                    )
                )
        return updated_node


OURS = ("import", "batchio")


def _dotted(node: cst.BaseExpression) -> str | None:
    return dotted_of(ast.parse(code(node), mode="eval").body) if form_of(node) else None


def _twice(sets: list[set[str]]) -> set[str]:
    """What is in more than one of some sets."""
    times = Counter(name for names in sets for name in names)
    return {name for name, count in times.items() if count > 1}


def _is_scope(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.FunctionDef | cst.ClassDef)


def _guard(inside: list[cst.CSTNode]) -> str:
    for node in inside:
        if isinstance(node, cst.Try | cst.TryStar):
            return "an error is caught, or something is done at the end, in which the first result may be wanted"
        if isinstance(node, cst.With):
            return "a with block may swallow an error, after which the first result may be wanted"
    return ""


def _statement(text: str, leading: Any) -> cst.SimpleStatementLine:
    made = cst.parse_statement(text + "\n")
    assert isinstance(made, cst.SimpleStatementLine)
    return made.with_changes(leading_lines=leading)


def _blank(lines: Any) -> list[cst.EmptyLine]:
    return [line for line in lines if not line.comment]


def _comments_of(node: cst.For) -> list[cst.EmptyLine]:
    """The comments of a loop that becomes one line, which stay above it."""
    return [cst.EmptyLine(comment=comment) for comment in find(node, cst.Comment)]
