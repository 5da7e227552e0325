"""A changed file's imports: what came from asynq and is still used comes from batchio, and the rest goes.

Rules of this room:

- Only names that asynq gives are touched, and only when nothing uses them any more or batchio has them too.
- What stays asynq's is told at its import, with what to do about it; what only kept functions use is told there.
- ``__init__.py`` exports by importing: nothing is dropped there because it looks unused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import libcst as cst

from batchio.migrate._syntax import code, commented, statement_of
from batchio.migrate._used import names_in_annotations, used_names
from batchio.migrate._vocabulary import ADVICE, DECORATORS, canonical, home

__all__ = ["Others", "rewrite_imports", "with_imports"]

TAKEN = "other files take {} from here: it stays asynq's; where they need it no more, remove both"
GONE = {"alru_cache", "aretry", "result", *DECORATORS}


@dataclass(frozen=True)
class Others:
    """What other files do with a file's names."""

    taken: set[str]
    """Those they import from it."""
    lent: set[str]
    """Those of these that functions use which stay asynq."""


def rewrite_imports(
    module: cst.Module, name: str, *, package: bool, kept: set[str], needs: Iterable[str], others: Others
) -> cst.Module:
    """Mend the imports of a file that has been rewritten."""
    used = used_names(module) | names_in_annotations(module.code)
    mender = _Mender(name, package=package, used=used, kept=kept, others=others)
    module = module.visit(mender)
    wanted = sorted({*needs, *_named_in_full(module)})
    return with_imports(module, wanted)


def _named_in_full(module: cst.Module) -> set[str]:
    """The modules that the names need which are written in full."""
    found = _NamedInFull()
    module.visit(found)
    return found.modules


class _NamedInFull(cst.CSTVisitor):
    def __init__(self) -> None:
        super().__init__()
        self.modules: set[str] = set()

    def visit_Attribute(self, node: cst.Attribute) -> None:
        match node:
            case cst.Attribute(value=cst.Name(value="batchio"), attr=cst.Name(value=name)):
                self.modules.add({"tools": "batchio.tools", "compat": "batchio.compat.asynq"}.get(name, "batchio"))
            case cst.Attribute(value=cst.Name(value="typing"), attr=cst.Name(value="NamedTuple")):
                self.modules.add("typing")

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False


class _Mender(cst.CSTTransformer):
    def __init__(self, name: str, *, package: bool, used: set[str], kept: set[str], others: Others) -> None:
        super().__init__()
        self.name, self.package = name, package
        self.used, self.kept, self.others = used | others.taken, kept | others.lent, others
        self.top: list[Any] = []
        self.header: Any = ()
        self.gone: list[Any] = []

    def leave_SimpleStatementLine(self, original_node: cst.SimpleStatementLine, updated_node: Any) -> Any:
        if len(original_node.body) != 1:
            return updated_node
        match original_node.body[0]:
            case cst.Import(names=aliases):
                return self._plain(updated_node, aliases)
            case cst.ImportFrom(names=aliases) as statement if not isinstance(aliases, cst.ImportStar):
                return self._from(updated_node, statement, aliases)
        return updated_node

    def _plain(self, line: cst.SimpleStatementLine, aliases: Any) -> Any:
        left = [alias for alias in aliases if self._still_used(alias)]
        if len(left) == len(aliases):
            taken = [alias.evaluated_alias for alias in aliases if canonical(code(alias.name))]
            reasons = [TAKEN.format(bound) for bound in taken if bound in self.others.taken]
            return line.with_changes(leading_lines=self._comments(line, reasons)) if reasons else line
        if not left:
            return self._gone(line)
        left[-1] = left[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return line.with_changes(body=[line.body[0].with_changes(names=left)])

    def _still_used(self, alias: cst.ImportAlias) -> bool:
        dotted = code(alias.name)
        if canonical(dotted) is None or self.package:
            return True
        bound = alias.evaluated_alias or dotted.split(".")[0]
        return bound in self.used

    def _gone(self, line: cst.SimpleStatementLine) -> Any:
        """A statement of which nothing is left; at the top of the file its comments and empty lines stay."""
        if not any(line is each or line.deep_equals(each) for each in self.top):
            return cst.RemoveFromParent()
        comment = line.trailing_whitespace.comment
        leading = [*line.leading_lines, *([cst.EmptyLine(comment=comment)] if comment else [])]
        gone = cst.SimpleStatementLine([cst.Pass()], leading_lines=leading)  # libcst drops empty ones itself
        self.gone.append(gone)
        return gone

    def visit_Module(self, node: cst.Module) -> None:
        self.top = list(node.body)
        self.header = node.header

    def _comments(self, line: Any, reasons: list[str]) -> list[cst.EmptyLine]:
        first = bool(self.top) and line.deep_equals(self.top[0])
        return commented(line.leading_lines, reasons, self.header if first else ())

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        """Give the lines above what is gone to what follows."""
        body: list[Any] = []
        over: list[cst.EmptyLine] = []
        for line in updated_node.body:
            if any(line is gone for gone in self.gone):
                over += line.leading_lines
                continue
            if over:
                own = list(line.leading_lines)
                comments = any(each.comment for each in over)
                body.append(line.with_changes(leading_lines=[*over, *own] if comments or not own else own))
                over = []
            else:
                body.append(line)
        if (
            body
            and any(updated_node.body[0] is gone for gone in self.gone)
            and not any(line.comment for line in body[0].leading_lines)
        ):
            keep = body[0].leading_lines if updated_node.header else []
            body[0] = body[0].with_changes(leading_lines=keep)
        return updated_node.with_changes(body=body)

    def _from(self, line: cst.SimpleStatementLine, statement: cst.ImportFrom, aliases: Any) -> Any:
        base = self._absolute(statement)
        if base.split(".")[0] != "asynq" or canonical(f"{base}.x") is None:
            return line
        stay: list[cst.ImportAlias] = []
        moved: dict[str, list[cst.ImportAlias]] = {}
        reasons: list[str] = []
        for alias in aliases:
            name = code(alias.name)
            bound = alias.evaluated_alias or name
            where = self._where(canonical(f"{base}.{name}") or "", bound)
            if where == "stay":
                stay.append(alias)
                reasons += self._reason(canonical(f"{base}.{name}") or "", bound)
            elif where:
                moved.setdefault(where, []).append(alias)
        return self._lines(line, statement, stay, moved, reasons, len(aliases))

    def _reason(self, name: str, bound: str) -> list[str]:
        if bound in self.others.lent and home(name):
            return [f"{bound} stays asynq's for functions elsewhere that do: what is async now needs batchio's"]
        if bound in self.others.taken and bound not in self.kept - self.others.lent:
            return [TAKEN.format(bound)]
        if bound not in self.used or bound in self.kept:
            return []
        told = ADVICE.get(name.lstrip(".").split(".")[0], f"asynq's {name} has no counterpart in batchio")
        return [told]

    def _where(self, name: str, bound: str) -> str:
        """Where a name comes from now: a module, `stay`, or nothing when it is not used."""
        if bound in self.kept:
            return "stay"
        if module := home(name):
            return module if bound in self.used or self.package else ""
        if name == ".mock":
            return "unittest" if bound in self.used else ""
        if name.startswith("mock."):
            return "unittest.mock" if bound in self.used else ""
        if bound in self.used or self.package:
            return "stay"
        return "" if name in GONE or name in ADVICE or name.startswith(".") else "stay"

    def _lines(self, line: Any, statement: Any, stay: Any, moved: Any, reasons: list[str], count: int) -> Any:
        if len(stay) == count and not moved:
            return line.with_changes(leading_lines=self._comments(line, reasons))
        lines: list[Any] = []
        if stay:
            lines.append(line.with_changes(body=[_of(statement, stay)]))
            lines[0] = lines[0].with_changes(leading_lines=self._comments(line, reasons))
        for module in sorted(moved):
            made = cst.SimpleStatementLine(
                [_of(statement.with_changes(module=_module(module), relative=[]), moved[module])]
            )
            lines.append(made)
        if not lines:
            return self._gone(line)
        if not stay:
            lines[0] = lines[0].with_changes(leading_lines=line.leading_lines)
            lines[0] = lines[0].with_changes(trailing_whitespace=line.trailing_whitespace)
        return cst.FlattenSentinel(lines)

    def _absolute(self, statement: cst.ImportFrom) -> str:
        base = code(statement.module) if statement.module else ""
        if not statement.relative:
            return base
        parts = self.name.split(".")
        keep = len(parts) - len(statement.relative) + (1 if self.package else 0)
        return ".".join([*parts[:keep], *filter(None, [base])])


def _module(name: str) -> Any:
    made: Any = None
    for part in name.split("."):
        made = cst.Name(part) if made is None else cst.Attribute(made, cst.Name(part))
    return made


def _of(statement: cst.ImportFrom, aliases: list[cst.ImportAlias]) -> cst.ImportFrom:
    """An import of some of a statement's names, in its form."""
    names = list(aliases)
    if not statement.lpar or "\n" not in code(statement):
        names[-1] = names[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return statement.with_changes(names=names)
    assert not isinstance(statement.names, cst.ImportStar)
    last = statement.names[-1].comma
    if names[-1] is not statement.names[-1]:
        end = last if isinstance(last, cst.Comma) else cst.MaybeSentinel.DEFAULT
        names[-1] = names[-1].with_changes(comma=end)
    return statement.with_changes(names=names)


def _imports(module: cst.Module, name: str) -> bool:
    """Whether a module is imported by that name already, at the top."""
    for line in module.body:
        if isinstance(line, cst.SimpleStatementLine):
            for each in line.body:
                if isinstance(each, cst.Import) and any(
                    code(alias.name) == name and not alias.asname for alias in each.names
                ):
                    return True
    return False


def with_imports(module: cst.Module, wanted: list[str]) -> cst.Module:
    """Add the plain imports that are not there yet after the last of the imports at the top."""
    names = [each for each in wanted if not _imports(module, each)]
    if not names:
        return module
    body = list(module.body)
    last = -1
    for number, line in enumerate(body):
        if not isinstance(line, cst.SimpleStatementLine):
            break
        first = line.body[0]
        if isinstance(first, cst.Import | cst.ImportFrom):
            last = number
        elif not (number == 0 and isinstance(first, cst.Expr)):
            break
    lines: list[Any] = [statement_of(f"import {name}") for name in names]
    if last < 0 and body and isinstance(body[0], cst.SimpleStatementLine) and isinstance(body[0].body[0], cst.Expr):
        last = 0
        lines[0] = lines[0].with_changes(leading_lines=[cst.EmptyLine(indent=False)])
    if last < 0 and not body:
        return module.with_changes(body=lines)
    if last + 1 < len(body) and _stands_apart(body[last + 1]) and not body[last + 1].leading_lines:
        body[last + 1] = body[last + 1].with_changes(leading_lines=[cst.EmptyLine(indent=False)] * 2)
    return module.with_changes(body=[*body[: last + 1], *lines, *body[last + 1 :]])


def _stands_apart(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.FunctionDef | cst.ClassDef)
