"""Loads that a loop or a comprehension awaits one by one: what is one gather, and what is only told.

Rules of this room:

- A loop is rewritten when it does nothing but wait, or but fill a list or dict that was made empty just before.
- Whatever it goes through must be there already; what a generator does between two items stays where it is.
- Coroutines in a dict are for people: of two with one key the first would never be awaited. Loads may be dropped.
"""

from __future__ import annotations

from typing import Any

import libcst as cst

from batchio.migrate._steps import Kind, is_simple
from batchio.migrate._syntax import call, code, named
from batchio.migrate._used import names_in

__all__ = ["comprehension", "filled", "is_ready", "waits_only"]

VIEWS = {"items", "keys", "values"}
BUILTINS = {"enumerate", "list", "range", "reversed", "set", "sorted", "tuple", "zip"}
HARMLESS = {"reverse", "start", "strict"}  # keywords of these; not `key`, which is called


def is_ready(node: cst.BaseExpression, is_bound: Any) -> bool:
    """Whether going through something runs nobody's code: names, literals, and the builtins over such."""
    match node:
        case cst.Call(func=cst.Attribute(value=value, attr=cst.Name(value=name)), args=[]) if name in VIEWS:
            return is_simple(value)
        case cst.Call(func=cst.Name(value=name), args=args) if name in BUILTINS and not is_bound(name):
            fine = all(each.keyword is None or each.keyword.value in HARMLESS for each in args)
            return fine and all(not each.star and is_ready(each.value, is_bound) for each in args)
    return is_simple(node)


def known(node: cst.BaseExpression, kind: Kind) -> tuple[cst.Call, str] | None:
    """The call of ``await call(...)``, with its kind, if that only loads and its arguments are there."""
    match node:
        case cst.Await(expression=cst.Call() as made):
            what = kind(made)
            if what and all(not each.star and is_simple(each.value) for each in made.args):
                return made, what
    return None


def comprehension(node: Any, updated: Any, kind: Kind, is_bound: Any) -> Any:
    """``[await f(x) for x in xs]`` as one gather; None if it is not certain."""
    loop = node.for_in
    if loop.asynchronous or loop.inner_for_in or not is_ready(loop.iter, is_bound):
        return None
    if any(not _is_quiet(test.test) for test in loop.ifs):
        return None
    if isinstance(node, cst.DictComp):
        found = known(node.value, kind)
        if not found or found[1] != "loader" or not is_simple(node.key):
            return None
        return call("batchio.gather", updated.with_changes(value=found[0], lpar=[], rpar=[]))
    found = known(node.elt, kind)
    if not found or not isinstance(node, cst.ListComp) or names_in(found[0].func) & names_in(loop.target):
        return None
    return call("batchio.gather", updated.with_changes(elt=found[0]))


def _is_quiet(node: cst.BaseExpression) -> bool:
    """Whether a condition runs nobody's code but comparisons."""
    match node:
        case cst.Comparison(left=left, comparisons=others):
            return is_simple(left) and all(is_simple(each.comparator) for each in others)
        case cst.UnaryOperation(operator=cst.Not(), expression=inner):
            return _is_quiet(inner)
        case cst.BooleanOperation(left=left, right=right):
            return _is_quiet(left) and _is_quiet(right)
    return is_simple(node)


def waits_only(node: cst.For, kind: Kind, is_bound: Any) -> str | None:
    """``for x in xs: await f(x)`` as the text of one gather."""
    found = known(_only(node) or node.target, kind)
    if not found or not _goes_through(node, is_bound) or names_in(found[0].func) & names_in(node.target):
        return None
    return f"await batchio.gather([{code(found[0])} for {code(node.target)} in {code(node.iter)}])"


def filled(before: cst.CSTNode, node: cst.For, kind: Kind, is_bound: Any) -> str | None:
    """``xs = []`` and the loop that fills it, as the text of one gather; the same for a dict."""
    match before:
        case cst.SimpleStatementLine(
            body=[cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=empty)]
        ) if code(empty) in {"[]", "{}"}:
            what = _item(node, name, code(empty), kind)
            if what and _goes_through(node, is_bound) and name not in names_in(node.iter) | names_in(node.target):
                return f"{name} = await batchio.gather({what[0]}{what[1:-1]} for {code(node.target)} in {code(node.iter)}{what[-1]})"
    return None


def _item(node: cst.For, name: str, empty: str, kind: Kind) -> str | None:
    """What each turn of a loop puts in, between brackets of its kind."""
    statement: Any = node.body.body[0] if len(node.body.body) == 1 else None
    match statement:
        case cst.SimpleStatementLine(
            body=[cst.Expr(value=cst.Call(func=cst.Attribute(value=owner, attr=verb), args=[cst.Arg(value=value)]))]
        ) if empty == "[]" and named(owner, {name}) and verb.value == "append":
            found = known(value, kind)
            return f"[{code(found[0])}]" if found and _is_free(found[0], name, node) else None
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(
                    targets=[
                        cst.AssignTarget(
                            target=cst.Subscript(
                                value=owner, slice=[cst.SubscriptElement(slice=cst.Index(value=key, star=None))]
                            )
                        )
                    ],
                    value=value,
                )
            ]
        ) if empty == "{}" and named(owner, {name}) and is_simple(key):
            found = known(value, kind)
            fits = found and found[1] == "loader" and _is_free(found[0], name, node)
            return f"{{{code(key)}: {code(found[0])}}}" if found and fits else None
    return None


def _is_free(made: cst.Call, name: str, node: cst.For) -> bool:
    return name not in names_in(made) and not names_in(made.func) & names_in(node.target)


def _goes_through(node: cst.For, is_bound: Any) -> bool:
    return node.orelse is None and node.asynchronous is None and is_ready(node.iter, is_bound)


def _only(node: cst.For) -> cst.BaseExpression | None:
    """The expression that is all of a loop's body."""
    match node.body:
        case cst.IndentedBlock(body=[cst.SimpleStatementLine(body=[cst.Expr(value=value)])]):
            return value
        case cst.SimpleStatementSuite(body=[cst.Expr(value=value)]):
            return value
    return None
