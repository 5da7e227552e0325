"""How a function uses its local variables: whether a task that was put into one is awaited exactly once.

Rules of this room: looks at one function, and decides nothing. In doubt a variable is used in another way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import libcst as cst

__all__ = ["Uses", "Variables", "variables_of"]

_CONTAINERS = (cst.List, cst.Tuple, cst.Dict, cst.Set, cst.ListComp, cst.DictComp, cst.SetComp)


@dataclass
class Uses:
    """One name's uses, with the loops in which they stand."""

    waits: list[tuple[cst.CSTNode, ...]] = field(default_factory=list)
    assigned: list[tuple[cst.CSTNode, ...]] = field(default_factory=list)
    values: list[cst.BaseExpression] = field(default_factory=list)
    appends: int = 0
    other: int = 0


@dataclass
class Variables:
    """The uses of each name in a function, by the name."""

    uses: dict[str, Uses] = field(default_factory=dict)

    def waited_once(self, name: str) -> bool:
        """Whether whatever is put into a variable is awaited once, and used for nothing else."""
        uses = self.uses.get(name)
        if uses is None or uses.other or len(uses.waits) != 1 or len(uses.assigned) != 1:
            return False
        return uses.waits[0] == uses.assigned[0]

    def kind(self, name: str, is_task: Callable[[cst.CSTNode], bool]) -> str | None:
        """Say container or task, if all that is ever put into a variable is one."""
        uses = self.uses.get(name)
        if uses is None or not uses.values or len(uses.values) != len(uses.assigned):
            return None
        if all(map(_is_container, uses.values)):
            return "container"
        return "task" if all(map(is_task, uses.values)) else None


def _is_container(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Call):
        return isinstance(node.func, cst.Name) and node.func.value in {"list", "tuple", "dict", "set"}
    return isinstance(node, _CONTAINERS)


def variables_of(node: cst.CSTNode) -> Variables:
    """The uses of all names in a function or loop."""
    reader = _Reader(node)
    node.visit(reader)
    return reader.variables


class _Reader(cst.CSTVisitor):
    def __init__(self, root: cst.CSTNode) -> None:
        super().__init__()
        self.root = root
        self.variables = Variables()
        self.loops: list[cst.CSTNode] = []
        self.skip: set[int] = set()

    def of(self, name: str) -> Uses:
        return self.variables.uses.setdefault(name, Uses())

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.For | cst.While | cst.Lambda | cst.FunctionDef) and node is not self.root:
            self.loops.append(node)
        return super().on_visit(node)

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self.loops and self.loops[-1] is original_node:
            self.loops.pop()
        super().on_leave(original_node)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        parameters = node.params
        for each in (*parameters.params, *parameters.kwonly_params, *parameters.posonly_params):
            self.skip.add(id(each.name))
            if node is self.root:
                self.of(each.name.value).assigned.append(())

    def visit_Assign(self, node: cst.Assign) -> None:
        for target in node.targets:
            if isinstance(target.target, cst.Name):
                uses = self.of(target.target.value)
                uses.assigned.append(tuple(self.loops))
                uses.values.append(node.value)
                self.skip.add(id(target.target))

    def visit_For(self, node: cst.For) -> None:
        if isinstance(node.target, cst.Name):
            self.of(node.target.value).assigned.append((*self.loops, node))
            self.skip.add(id(node.target))

    def visit_Yield(self, node: cst.Yield) -> None:
        if isinstance(node.value, cst.Name):
            self.of(node.value.value).waits.append(tuple(self.loops))
            self.skip.add(id(node.value))

    def visit_Call(self, node: cst.Call) -> None:
        match node.func:
            case cst.Attribute(value=cst.Name(value=name) as owner, attr=cst.Name(value="append")):
                self.of(name).appends += 1
                self.skip.add(id(owner))

    def visit_Attribute(self, node: cst.Attribute) -> None:
        self.skip.add(id(node.attr))

    def visit_Arg(self, node: cst.Arg) -> None:
        if node.keyword:
            self.skip.add(id(node.keyword))

    def visit_Name(self, node: cst.Name) -> None:
        if id(node) not in self.skip:
            self.of(node.value).other += 1
