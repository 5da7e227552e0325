"""Statements that wait, and statements between them: what each reads, what it binds, and whether it only loads.

Rules of this room: looks at one statement and changes nothing. What is not of a shape that is known here ends a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import libcst as cst

from batchio.migrate._syntax import code
from batchio.migrate._used import names_in

__all__ = ["Between", "Step", "between", "is_simple", "step"]

Kind = Callable[[cst.Call], str | None]


@dataclass
class Step:
    """``target = await call``, or ``await call`` alone."""

    line: cst.SimpleStatementLine
    call: cst.Call
    target: str | None
    kind: str | None
    """`loader` or `function`, or None for what may do anything."""
    doubt: str = ""
    """Why it stays where it is, though it only loads."""
    reads: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)


@dataclass
class Between:
    """``target = something``, where that something is already there."""

    line: cst.SimpleStatementLine
    reads: set[str]
    binds: set[str]


def step(statement: cst.CSTNode, kind: Kind) -> Step | None:
    """A statement as a step of a row, if it is one."""
    match statement:
        case cst.SimpleStatementLine(body=[cst.Expr(value=cst.Await(expression=cst.Call() as call))]):
            return _step(statement, call, None, kind)
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=target)], value=cst.Await(expression=cst.Call() as call))]
        ):
            if isinstance(target, cst.Name):
                return _step(statement, call, target.value, kind)
            if isinstance(target, cst.Tuple):
                made = _step(statement, call, None, kind)
                made.doubt, made.binds = "a result is unpacked", names_in(target)
                return made
        case cst.SimpleStatementLine(
            body=[cst.AnnAssign(target=cst.Name(value=name), value=cst.Await(expression=cst.Call() as call))]
        ):
            made = _step(statement, call, name, kind)
            made.doubt = "a result has an annotation"
            return made
    return None


def _step(line: cst.SimpleStatementLine, call: cst.Call, target: str | None, kind: Kind) -> Step:
    doubt = "" if all(_is_plain(argument) for argument in call.args) else "arguments are computed"
    return Step(line, call, target, kind(call), doubt, names_in(call), {target} if target else set())


def between(statement: cst.CSTNode) -> Between | None:
    """A statement that may stand before a row as well as inside it."""
    match statement:
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=value)]
        ) if is_simple(value):
            return Between(statement, names_in(value), {name})
    return None


def _is_plain(argument: cst.Arg) -> bool:
    return not argument.star and is_simple(argument.value)


def is_simple(node: cst.BaseExpression) -> bool:
    """Whether an expression is already there: names, attributes of names, literals, and tuples and lists of these."""
    match node:
        case cst.Name() | cst.Integer() | cst.Float() | cst.Imaginary() | cst.SimpleString() | cst.Ellipsis():
            return True
        case cst.Attribute(value=value):
            return is_simple(value) and not isinstance(value, cst.Tuple | cst.List)
        case cst.UnaryOperation(operator=cst.Minus(), expression=cst.Integer() | cst.Float()):
            return True
        case cst.Tuple(elements=elements) | cst.List(elements=elements):
            return all(isinstance(each, cst.Element) and is_simple(each.value) for each in elements)
        case cst.ConcatenatedString():
            return code(node).count("{") == 0
    return False
