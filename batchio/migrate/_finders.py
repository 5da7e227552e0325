"""Where in a piece of code something stands, and who else sees its names.

Rules of this room: looks and changes nothing. Functions within a function are not entered, unless they are asked about.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libcst as cst

__all__ = ["attributes", "awaited_calls", "calls", "find", "names_of", "seen_elsewhere", "used_outside"]


class _Finder(cst.CSTVisitor):
    """All nodes of some kinds in a piece of code; not those in functions within it, unless these are wanted."""

    def __init__(self, wanted: tuple[type, ...], *, enter: bool = False) -> None:
        super().__init__()
        self.wanted, self.enter = wanted, enter
        self.nodes: list[Any] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, self.wanted):
            self.nodes.append(node)
        return self.enter or not isinstance(node, cst.FunctionDef | cst.Lambda | cst.ClassDef)


def find(node: cst.CSTNode, *wanted: type, enter: bool = False) -> list[Any]:
    finder = _Finder(wanted, enter=enter)
    for child in node.children:
        child.visit(finder)
    return finder.nodes


def calls(node: cst.CSTNode) -> list[cst.Call]:
    return ([node] if isinstance(node, cst.Call) else []) + find(node, cst.Call)


def awaited_calls(node: cst.CSTNode) -> Iterator[cst.Call]:
    """The calls that are surely awaited when a piece of code runs: not in one branch of it only."""
    maybe = {id(made) for each in find(node, cst.IfExp, cst.BooleanOperation) for made in find(each, cst.Call)}
    for each in find(node, cst.Await):
        if isinstance(each.expression, cst.Call) and id(each.expression) not in maybe:
            yield each.expression


def attributes(node: cst.CSTNode) -> list[str]:
    """The attributes that a call's arguments, or a loop, read."""
    roots = [argument.value for argument in node.args] if isinstance(node, cst.Call) else [node]
    own = [root for root in roots if isinstance(root, cst.Attribute)]
    return [each.attr.value for root in roots for each in find(root, cst.Attribute)] + [each.attr.value for each in own]


def seen_elsewhere(function: cst.CSTNode, names: set[str]) -> str:
    """Whether code that runs meanwhile could see what a name is bound to."""
    inner = find(function, cst.FunctionDef, cst.Lambda, cst.ClassDef, cst.GeneratorExp)
    for name in (name.value for each in inner for name in find(each, cst.Name, enter=True)):
        if name in names:
            return f"an inner function sees {name}"
    for each in find(function, cst.NameItem):  # of global and nonlocal
        if each.name.value in names:
            return f"{each.name.value} is not the function's own"
    return ""


def used_outside(function: cst.CSTNode, loop: cst.For) -> bool:
    """Whether a loop's variable is used elsewhere in the function, where it may be this loop's: a comprehension leaves none."""
    bound = names_of(loop.target)
    own = {id(name) for each in find(function, cst.For, cst.ListComp, cst.DictComp) for name in _bound_by(each, bound)}
    return any(name.value in bound and id(name) not in own for name in find(function, cst.Name, enter=True))


def names_of(target: cst.BaseExpression) -> set[str]:
    """The names that a target binds."""
    return {name.value for name in [target, *find(target, cst.Name)] if isinstance(name, cst.Name)}


def _bound_by(loop: Any, names: set[str]) -> Iterator[cst.Name]:
    """The names inside a loop or comprehension that binds all of these: there they are its own."""
    inner = loop if isinstance(loop, cst.For) else loop.for_in
    if not names <= names_of(inner.target):
        return
    ahead = {id(name) for name in [inner.iter, *find(inner.iter, cst.Name)]}
    after = {id(name) for name in find(loop.orelse, cst.Name)} if isinstance(loop, cst.For) and loop.orelse else set()
    yield from (name for name in find(loop, cst.Name, enter=True) if id(name) not in ahead | after)
