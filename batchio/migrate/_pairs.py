"""Batch classes that have one of the usual two shapes: which they are, and whether nothing else is done with them.

Rules of this room: looks, and changes nothing. In doubt a pair of classes is no pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import libcst as cst

from batchio.migrate._facts import Class
from batchio.migrate._syntax import form_of
from batchio.migrate._world import World

__all__ = ["Pair", "is_text", "pairs"]

LOCAL = {("a", ("n", "threading"), "local"), ("n", "local")}
METHODS = {"_flush", "_try_switch_active_batch", "_cancel", "__init__"}


@dataclass
class Pair:
    """A batch class and its item class, and what is kept of each item."""

    batch: cst.ClassDef
    item: cst.ClassDef
    attributes: dict[str, cst.Param]
    flush: cst.FunctionDef
    active: set[str] = field(default_factory=set)
    """What the module calls the active batch, or the thread-local that holds it."""
    dropped: list[Any] = field(default_factory=list)
    """The statements that make it."""


def pairs(tree: cst.Module, module: str, world: World) -> list[Pair]:
    """The pairs of a file that can be loaders."""
    classes = [node for node in tree.body if isinstance(node, cst.ClassDef)]
    batches = [node for node in classes if _derives(node, module, world, "BatchBase")]
    items = [node for node in classes if _derives(node, module, world, "BatchItemBase")]
    found = [_pair(item, batches, items, module, world) for item in items]
    return [pair for pair in found if pair is not None and _used_as_usual(pair, tree, module, world)]


def _derives(node: cst.ClassDef, module: str, world: World, base: str) -> bool:
    """Whether a class stands directly on one of asynq's, and no class of ours on it."""
    known = world.classes.get(f"{module}.{node.name.value}")
    if known is None or len(known.bases) != 1 or node.keywords or node.decorators:
        return False
    if world.resolve(known.bases[0], known.scope) != ("api", base) or known.path in world.kept_classes:
        return False
    return not any(_is_base(known, other, world) for other in world.classes.values())


def _is_base(known: Class, other: Class, world: World) -> bool:
    return any(base and world.resolve(base, other.scope) == ("class", known) for base in other.bases)


# --- do they have the shape? ------------------------------------------------------------------------------------------


def _pair(item: Any, batches: list[Any], items: list[Any], module: str, world: World) -> Pair | None:
    read = _attributes(item)
    if read is None:
        return None
    attributes, handed = read
    answer = world.resolve(form_of(handed), f"{module}.{item.name.value}.__init__")
    path = answer[1].path if answer and answer[0] == "instance" else None
    found = [node for node in batches if f"{module}.{node.name.value}" == path]
    if not found and len(batches) == len(items) == 1:
        found = batches
    methods = _methods(found[0]) if found else None
    if methods is None or not set(methods) <= METHODS or "_flush" not in methods:
        return None
    if "_cancel" in methods and not _is_empty(methods["_cancel"]):
        return None
    if "__init__" in methods and not _is_empty(methods["__init__"]):
        return None
    pair = Pair(found[0], item, attributes, methods["_flush"])
    shape = _Shape(set(attributes))
    pair.flush.body.visit(shape)
    return pair if shape.usual else None


def _methods(node: cst.ClassDef) -> dict[str, cst.FunctionDef] | None:
    """The methods of a class that has nothing but them and a docstring."""
    methods: dict[str, cst.FunctionDef] = {}
    for statement in node.body.body:
        if isinstance(statement, cst.FunctionDef) and not statement.decorators:
            methods[statement.name.value] = statement
        elif not is_text(statement):
            return None
    return methods


def is_text(statement: cst.CSTNode) -> bool:
    """Whether a statement is a docstring, or pass."""
    match statement:
        case cst.SimpleStatementLine(body=[cst.Expr(value=cst.SimpleString()) | cst.Pass()]):
            return True
    return False


def _is_super(statement: cst.CSTNode) -> cst.Call | None:
    """The call in ``super().__init__(...)`` or ``Base.__init__(self, ...)``."""
    match statement:
        case cst.SimpleStatementLine(
            body=[cst.Expr(value=cst.Call(func=cst.Attribute(attr=cst.Name(value="__init__"))) as made)]
        ):
            return made
    return None


def _is_empty(method: cst.FunctionDef) -> bool:
    """Whether a method does nothing of its own."""
    alone = len(method.params.params) == 1
    return alone and all(is_text(line) or _is_super(line) for line in method.body.body)


def _attributes(item: cst.ClassDef) -> tuple[dict[str, cst.Param], cst.BaseExpression] | None:
    """What an item's ``__init__`` keeps, in the order of its parameters, and the batch that it joins."""
    methods = _methods(item)
    if methods is None or set(methods) != {"__init__"}:
        return None
    method = methods["__init__"]
    parameters = {each.name.value: each for each in method.params.params[1:]}
    others = (method.params.kwonly_params, method.params.posonly_params)
    if any(others) or isinstance(method.params.star_arg, cst.Param) or method.params.star_kwarg or not parameters:
        return None
    kept: dict[str, str] = {}
    handed: cst.BaseExpression | None = None
    for line in method.body.body:
        if (made := _is_super(line)) is not None and made.args:
            handed = made.args[-1].value
        elif (pair := _keeps(line)) is not None:
            kept[pair[1]] = pair[0]
        elif not is_text(line):
            return None
    if handed is None or set(kept) != set(parameters):
        return None
    if set(parameters) & set(_all_names(handed)):
        return None  # the batch is chosen by an argument
    return {kept[name]: parameter for name, parameter in parameters.items()}, handed


def _keeps(line: cst.CSTNode) -> tuple[str, str] | None:
    """The attribute and the parameter of ``self.attribute = parameter``."""
    match line:
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(
                    targets=[
                        cst.AssignTarget(
                            target=cst.Attribute(value=cst.Name(value="self"), attr=cst.Name(value=attribute))
                        )
                    ],
                    value=cst.Name(value=parameter),
                )
            ]
        ):
            return attribute, parameter
    return None


class _Shape(cst.CSTVisitor):
    """Whether a flush uses its items as usual: walks it once, knowing which names are items."""

    def __init__(self, attributes: set[str]) -> None:
        super().__init__()
        self.attributes = attributes
        self.usual = True
        self.items: set[str] = set()
        self.fine: set[int] = set()

    def visit_For(self, node: cst.For) -> None:
        self._target(node.target, node.iter)

    def visit_CompFor(self, node: cst.CompFor) -> None:
        self._target(node.target, node.iter)

    def visit_ListComp(self, node: cst.ListComp) -> None:
        self._target(node.for_in.target, node.for_in.iter)  # before its element is looked at

    def visit_SetComp(self, node: cst.SetComp) -> None:
        self._target(node.for_in.target, node.for_in.iter)

    def visit_GeneratorExp(self, node: cst.GeneratorExp) -> None:
        self._target(node.for_in.target, node.for_in.iter)

    def visit_DictComp(self, node: cst.DictComp) -> None:
        self._target(node.for_in.target, node.for_in.iter)

    def _target(self, target: cst.BaseExpression, source: cst.BaseExpression) -> None:
        if isinstance(target, cst.Name) and form_of(source) == ("a", ("n", "self"), "items"):
            self.items.add(target.value)
            self.fine.add(id(target))

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if not isinstance(node.value, cst.Name):
            return
        name, attribute = node.value.value, node.attr.value
        if name == "self" and attribute == "items":
            self.fine.add(id(node.value))
        if name in self.items and attribute in {*self.attributes, "set_value", "set_error", "is_computed"}:
            self.fine.add(id(node.value))

    def visit_Name(self, node: cst.Name) -> None:
        if (node.value == "self" or node.value in self.items) and id(node) not in self.fine:
            self.usual = False

    def visit_Return(self, node: cst.Return) -> None:
        self.usual = False

    def visit_Yield(self, node: cst.Yield) -> None:
        self.usual = False


# --- is nothing else done with them? ----------------------------------------------------------------------------------


def _all_names(node: cst.CSTNode) -> list[str]:
    found = _Found()
    node.visit(found)
    return found.names


class _Found(cst.CSTVisitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def visit_Name(self, node: cst.Name) -> None:
        self.names.append(node.value)


def _used_as_usual(pair: Pair, tree: cst.Module, module: str, world: World) -> bool:
    """Whether the batch class, and what holds the active batch, are used by the pair alone."""
    batch = pair.batch.name.value
    if batch in world.taken.get(module, ()) or world.is_starred(module, batch):
        return False
    makers = {batch, *(node.name.value for node in tree.body if isinstance(node, cst.ClassDef) and _holds(node, batch))}
    rest: list[str] = []
    for statement in tree.body:
        if statement is pair.batch or statement is pair.item:
            continue
        target = _makes(statement, makers)
        if target is not None or _holds(statement, batch):
            pair.dropped.append(statement)
            pair.active.update(_all_names(target)[:1] if target is not None else [])
        else:
            rest += _all_names(statement)
    pair.dropped += [each for each in tree.body if _is_local(each) & pair.active]
    for statement in pair.dropped:
        for name in _is_local(statement):
            rest.remove(name)
    called = _Called(pair.item.name.value)
    tree.visit(called)
    return not {batch, *pair.active} & set(rest) and bool(pair.active) and called.only


class _Called(cst.CSTVisitor):
    """Whether a class is called, and nothing else is done with it but what its own ``super`` needs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.only = name, True
        self.fine: set[int] = set()

    def visit_Call(self, node: cst.Call) -> None:
        self.fine.add(id(node.func))
        if isinstance(node.func, cst.Name) and node.func.value == "super" and node.args:
            self.fine.add(id(node.args[0].value))

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self.fine.add(id(node.name))

    def visit_Name(self, node: cst.Name) -> None:
        if node.value == self.name and id(node) not in self.fine:
            self.only = False


def _makes(statement: cst.CSTNode, makers: set[str]) -> cst.BaseExpression | None:
    """The target of ``active = Batch()`` at the top of a file."""
    match statement:
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(
                    targets=[cst.AssignTarget(target=target)], value=cst.Call(func=cst.Name(value=name), args=[])
                )
            ]
        ) if name in makers:
            return target
    return None


def _is_local(statement: cst.CSTNode) -> set[str]:
    """The name in ``name = threading.local()``."""
    match statement:
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))], value=cst.Call(func=func, args=[]))
            ]
        ) if form_of(func) in LOCAL:
            return {name}
    return set()


def _holds(statement: cst.CSTNode, batch: str) -> bool:
    """Whether a class is a ``threading.local`` that holds the active batch, and nothing else."""
    match statement:
        case cst.ClassDef(bases=[base]) if form_of(base.value) in LOCAL:
            methods = _methods(statement)
            if methods is None or set(methods) != {"__init__"}:
                return False
            lines = [line for line in methods["__init__"].body.body if not _is_super(line) and not is_text(line)]
            return len(lines) == 1 and _makes(lines[0], {batch}) is not None
    return False
