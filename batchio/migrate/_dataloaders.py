"""aiodataloader and strawberry: their loaders come from ``batchio.compat`` then, and nothing else changes.

Rules of this room: only names that ``batchio.compat`` has are moved; whatever else a statement imports stays where it is,
and is told when it comes from a module that is replaced. A string that names such a module (an annotation, a patch) is told.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import libcst as cst

from batchio.migrate._convert import Converted, Left, compiled
from batchio.migrate._imports import with_imports
from batchio.migrate._loaders import MOVED
from batchio.migrate._syntax import code, dotted
from batchio.migrate._used import names_in_strings, used_names

__all__ = ["change_imports"]


def change_imports(source: str, module: str, world: Any, *, package: bool, written: bool = False) -> Converted:
    """Change one file's imports, and the full names that go with them."""
    tree = cst.parse_module(source)
    changer = _Changer()
    tree.visit(changer.reader)
    changed = tree.visit(changer)
    if changer.needs:
        used = used_names(changed) | names_in_strings(changed.code) | world.taken(module)
        changed = with_imports(changed.visit(_Unused(used)), sorted(changer.needs))
    new = changed.code
    compiled(new)
    if written and new != source:
        return Converted(source, new, change_imports(new, module, world, package=package).left, changer.counts)
    left = _left(new if written else source) + _taken(source, new, world.taken(module))
    return Converted(source, new, sorted(left, key=lambda each: each.line), changer.counts)


def _taken(old: str, new: str, taken: set[str]) -> list[Left]:
    """The imports that stay because other files take the names from here; at the lines of the old text."""
    there = {bound for _, bound, full in _imported(new) if full in MOVED and bound in taken}
    return [
        Left(line, f"other files take {bound} from here: it stays {full}'s, and so does what they make of it")
        for line, bound, full in _imported(old)
        if full in MOVED and bound in there
    ]


def _imported(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, name, what it is) of all imports."""
    for node in ast.walk(ast.parse(text)):
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            full = alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"  # type: ignore[attr-defined]
            yield node.lineno, alias.asname or alias.name.partition(".")[0], full  # type: ignore[attr-defined]


def _left(text: str) -> list[Left]:
    """The names of a replaced module that have no replacement, and the strings that name such a module."""
    left: list[Left] = []
    nodes = list(ast.walk(ast.parse(text)))
    docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        said = node.value if isinstance(node, ast.Constant) and id(node) not in docs else None
        if isinstance(node, ast.Constant) and isinstance(said, str) and (home := _named(said)):
            left.append(
                Left(node.lineno, f"this string names what is in {home} now, or imports it: see which is meant")
            )
        if isinstance(node, ast.ImportFrom) and not node.level and node.module in MOVED:
            home, names = MOVED[node.module]
            left += [
                Left(node.lineno, f"{alias.name} stays {node.module}'s: {home} has no such name")
                for alias in node.names
                if alias.name not in names
            ]
    return left


def _named(text: str) -> str:
    """The new home of what a string names, as ``"aiodataloader.DataLoader.load"`` does."""
    for module, (home, _) in MOVED.items():
        name = re.escape(module)
        if re.fullmatch(rf"(.*\W)?{name}(\.\w+)+(\W.*)?|{name}", text) and "\n" not in text and text.count(" ") < 4:
            return home
    return ""


class _Reader(cst.CSTVisitor):
    """What the names of modules are: `{"aiodataloader": "aiodataloader", "sd": "strawberry.dataloader"}`."""

    def __init__(self) -> None:
        super().__init__()
        self.modules: dict[str, str] = {}

    def visit_Import(self, node: cst.Import) -> None:
        for alias in node.names:
            name = code(alias.name)
            first = name.partition(".")[0]
            if alias.evaluated_alias:
                self.modules[alias.evaluated_alias] = name
            else:
                self.modules[first] = first

    def visit_ImportFrom(self, node: cst.ImportFrom) -> None:
        if node.relative or node.module is None or isinstance(node.names, cst.ImportStar):
            return
        for alias in node.names:
            full = f"{code(node.module)}.{code(alias.name)}"
            if full in MOVED:
                self.modules[alias.evaluated_alias or code(alias.name)] = full


class _Changer(cst.CSTTransformer):
    def __init__(self) -> None:
        super().__init__()
        self.reader = _Reader()
        self.needs: set[str] = set()
        self.counts = {"imports": 0}

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> Any:
        """``aiodataloader.DataLoader`` by its new full name."""
        first, _, rest = code(original_node).partition(".")
        module, _, name = f"{self.reader.modules.get(first, first)}.{rest}".rpartition(".")
        home, names = MOVED.get(module, ("", set[str]()))
        if first not in self.reader.modules or name not in names:
            return updated_node
        self.needs.add(home)
        self.counts["imports"] += 1
        return dotted(f"{home}.{name}").with_changes(lpar=updated_node.lpar, rpar=updated_node.rpar)

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def leave_SimpleStatementLine(self, original_node: cst.SimpleStatementLine, updated_node: Any) -> Any:
        match updated_node.body:
            case [cst.ImportFrom(relative=[], module=module, names=names) as statement] if (
                not isinstance(names, cst.ImportStar) and module is not None and code(module) in MOVED
            ):
                return self._moved(updated_node, statement, *MOVED[code(module)])
        return updated_node

    def _moved(self, line: Any, statement: cst.ImportFrom, home: str, ours: set[str]) -> Any:
        assert not isinstance(statement.names, cst.ImportStar)
        moved = [alias for alias in statement.names if code(alias.name) in ours]
        stay = [alias for alias in statement.names if code(alias.name) not in ours]
        if not moved:
            return line
        self.counts["imports"] += 1
        new = statement.with_changes(module=dotted(home), names=_ended(moved, statement.names))
        if not stay:
            return line.with_changes(body=[new])
        old = line.with_changes(body=[statement.with_changes(names=_ended(stay, statement.names))], leading_lines=[])
        return cst.FlattenSentinel([line.with_changes(body=[new], trailing_whitespace=cst.TrailingWhitespace()), old])


def _ended(names: list[cst.ImportAlias], all_names: Any) -> list[cst.ImportAlias]:
    """Some of a statement's names, the last of which has the comma of the last of all."""
    return [*names[:-1], names[-1].with_changes(comma=all_names[-1].comma)]


class _Unused(cst.CSTTransformer):
    """Drops the plain imports of replaced modules that nothing uses any more."""

    def __init__(self, used: set[str]) -> None:
        super().__init__()
        self.used = used

    def leave_SimpleStatementLine(self, original_node: cst.SimpleStatementLine, updated_node: Any) -> Any:
        match updated_node.body:
            case [cst.Import(names=[alias])] if code(alias.name) in MOVED and not updated_node.leading_lines:
                bound = alias.evaluated_alias or code(alias.name).partition(".")[0]
                return updated_node if bound in self.used else cst.RemoveFromParent()
            case [cst.ImportFrom(relative=[], module=module, names=[alias])] if module is not None:
                full = f"{code(module)}.{code(alias.name)}"
                bound = alias.evaluated_alias or code(alias.name)
                return updated_node if full not in MOVED or bound in self.used else cst.RemoveFromParent()
        return updated_node
