"""Functions that return what is awaited later: whether it matters when their own statements run.

Rules of this room: looks, and changes nothing. A proxy's body ran at its call, and a coroutine function's runs when it is
awaited: that is the same if the body only returns, or computes from what is there before. In doubt it is not.
"""

from __future__ import annotations

import libcst as cst

from batchio.migrate._syntax import named

__all__ = ["has_no_effects"]

COMPUTE = {
    "bool",
    "bytes",
    "dict",
    "float",
    "frozenset",
    "int",
    "isinstance",
    "len",
    "list",
    "repr",
    "set",
    "str",
    "tuple",
}


def has_no_effects(body: cst.BaseSuite) -> bool:
    """Whether a body only returns, or only computes before it does."""
    return all(map(_is_quiet, body.body))


def _is_nothing(line: cst.CSTNode) -> bool:
    match line:
        case cst.SimpleStatementLine(body=[cst.Pass() | cst.Expr(value=cst.SimpleString())]):
            return True
    return isinstance(line, cst.Pass)


def _is_quiet(line: cst.CSTNode) -> bool:
    """Whether a statement returns, or binds names to what is computed, or chooses between such."""
    if _is_nothing(line):
        return True
    match line:
        case cst.SimpleStatementLine(body=parts):
            return all(map(_is_quiet, parts))
        case cst.Return():
            return True  # what makes the result waits until that is awaited, as most of it did before
        case cst.Assign(targets=targets, value=value):
            return all(isinstance(each.target, cst.Name) for each in targets) and _computes(value)
        case cst.If(test=test, body=body, orelse=orelse):
            rest = orelse is None or _is_quiet(orelse)
            return _computes(test) and all(map(_is_quiet, body.body)) and rest
        case cst.Else(body=body):
            return all(map(_is_quiet, body.body))
    return False


class _Looker(cst.CSTVisitor):
    """Whether an expression does nothing but compute."""

    quiet = True

    def visit_Call(self, node: cst.Call) -> None:
        self.quiet &= named(node.func, COMPUTE)

    def visit_NamedExpr(self, node: cst.NamedExpr) -> None:
        self.quiet = False

    def visit_Await(self, node: cst.Await) -> None:
        self.quiet = False

    def visit_Yield(self, node: cst.Yield) -> None:
        self.quiet = False


def _computes(node: cst.BaseExpression) -> bool:
    looker = _Looker()
    node.visit(looker)
    return looker.quiet
