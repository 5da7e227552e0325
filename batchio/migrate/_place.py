"""Where in a file the change stands: in which function, under which nodes, and what an expression there is.

Rules of this room: questions about the code and about the ``World``, and the comments for a human. Nothing is changed
here; the rooms that do are built on this one, one kind of node in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import libcst as cst

from batchio.migrate._facts import Form, Function
from batchio.migrate._hidden import Hidden
from batchio.migrate._syntax import (
    commented,
    form_of,
    named,
)
from batchio.migrate._variables import Variables, variables_of
from batchio.migrate._world import Answer, World

__all__ = ["COLLECTORS", "Counts", "Frame", "Place"]

COLLECTORS = {"tuple", "list", "set", "dict", "frozenset"}


@dataclass
class Counts:
    """What was done in one file."""

    functions: int = 0
    yields: int = 0
    sync_calls: int = 0


@dataclass
class Frame:
    """The function, class or module whose body is being read. `mode`: migrated, native, plain, kept or generator."""

    path: str
    mode: str
    function: Function | None = None
    node: cst.FunctionDef | None = None

    @cached_property
    def variables(self) -> Variables:
        """How the function uses its names; most functions are never asked."""
        return variables_of(self.node) if self.node is not None else Variables()


class Place(cst.CSTTransformer):
    """A transformer that knows where it is."""

    def __init__(self, world: World, module: str) -> None:
        super().__init__()
        self.world, self.module = world, module
        self.counts = Counts()
        self.frames = [Frame(module, "plain")]
        self.hidden = Hidden()
        self.above: list[cst.CSTNode] = []
        self.reasons: list[list[str]] = []
        self.hoisted: list[list[cst.FunctionDef]] = []
        self.kept_names: set[str] = set()
        self.needs: set[str] = set()
        self.outside: set[str] = set()
        self.header: Sequence[cst.EmptyLine] = ()
        self.first: cst.CSTNode | None = None

    def on_visit(self, node: cst.CSTNode) -> bool:
        self.above.append(node)
        if isinstance(node, cst.BaseStatement):
            self.reasons.append([])
            self.hoisted.append([])
        self.hidden.enter(node)
        return super().on_visit(node)

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        self.above.pop()
        self.hidden.leave(original_node)
        updated: Any = super().on_leave(original_node, updated_node)
        if isinstance(original_node, cst.BaseStatement):
            reasons, hoisted = self.reasons.pop(), self.hoisted.pop()
            if reasons and hasattr(updated, "leading_lines"):
                header = self.header if original_node is self.first else ()
                updated = updated.with_changes(leading_lines=commented(updated.leading_lines, reasons, header))
            if hoisted and isinstance(updated, cst.BaseStatement):
                return cst.FlattenSentinel([*hoisted, updated])
        return updated

    def visit_Module(self, node: cst.Module) -> None:
        self.header = node.header
        self.first = node.body[0] if node.body else None

    def visit_CompFor_iter(self, node: cst.CompFor) -> None:
        if not isinstance(self.above[-2], cst.CompFor):
            self.hidden.lift()

    def leave_CompFor_iter(self, node: cst.CompFor) -> None:
        if not isinstance(self.above[-2], cst.CompFor):
            self.hidden.drop()

    def visit_Lambda_params(self, node: cst.Lambda) -> None:
        self.hidden.lift()

    def leave_Lambda_params(self, node: cst.Lambda) -> None:
        self.hidden.drop()

    @property
    def frame(self) -> Frame:
        return self.frames[-1]

    @property
    def asynchronous(self) -> bool:
        """Whether an await may stand here."""
        if self.frame.mode not in {"migrated", "native", "generator"}:
            return False
        for node in reversed(self.above):
            if isinstance(node, cst.FunctionDef):
                return True
            if isinstance(node, cst.Lambda | cst.GeneratorExp):
                return False
        return True

    def ask(self, form: Form | None) -> Answer | None:
        return self.world.resolve(self.hidden.form(form), self.frame.path)

    def api(self, node: cst.CSTNode | None) -> str | None:
        """The canonical asynq name of an expression."""
        answer = self.ask(form_of(node))
        return answer[1] if answer and answer[0] == "api" else None

    def decide(self, reason: str) -> None:
        """Leave something to a human, at the statement that is being read."""
        if self.reasons and reason not in self.reasons[-1]:
            self.reasons[-1].append(reason)

    def is_tight(self, node: cst.CSTNode) -> bool:
        """Whether an expression stands where it needs parentheses: before a dot, a bracket or a call."""
        above = self.above[-1] if self.above else None
        return (
            (isinstance(above, cst.Attribute | cst.Subscript) and above.value is node)
            or (isinstance(above, cst.Call) and above.func is node)
            or isinstance(above, cst.Await)
        )

    def is_task(self, node: cst.CSTNode | None) -> bool:
        """Whether an expression surely makes one awaitable."""
        if not isinstance(node, cst.Call):
            return False
        if isinstance(node.func, cst.Attribute) and node.func.attr.value in {"asynq", "asyncio"}:
            return not self.world.kept(self.ask(form_of(node.func.value)))
        answer = self.ask(form_of(node.func))
        if answer is None:
            return False
        if answer[0] == "class":
            return not self.world.kept_item(answer) and self.world.derives(
                answer[1], {"BatchItemBase", "DebugBatchItem", "FutureBase"}
            )
        if answer[0] == "api":
            return answer[1] in {"ConstFuture", "ErrorFuture", "DebugBatchItem", "debug.sync"}
        return self.world.kind(answer) in {"pure", "pure_proxy", "native"} and not self.world.kept(answer)

    def makes_task(self, node: cst.CSTNode) -> bool:
        if not isinstance(node, cst.Call):
            return False
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "asynq":
            answer = self.ask(form_of(node.func.value))
            return not self.world.kept(answer) and answer != ("api", ".")
        answer = self.ask(form_of(node.func))
        return self.world.kind(answer) in {"pure", "pure_proxy"} and not self.world.kept(answer)

    def is_kept_call(self, node: cst.CSTNode) -> bool:
        if not isinstance(node, cst.Call):
            return False
        func = (
            node.func.value if isinstance(node.func, cst.Attribute) and node.func.attr.value == "asynq" else node.func
        )
        answer = self.ask(form_of(func))
        if self.world.kept_item(answer):
            return True
        return self.world.kept(answer) and (func is not node.func or self.world.kind(answer) in {"pure", "pure_proxy"})

    @property
    def is_proxy(self) -> bool:
        return self.frame.function is not None and self.frame.function.kind == "proxy"

    def recurs(self, node: cst.Call) -> bool:
        """Whether a function calls itself, or one that calls it: each level needs a task, for Python's stack is short."""
        func: Any = node.func
        if isinstance(func, cst.Attribute) and func.attr.value == "asynq":
            func = func.value
        form = form_of(func)
        if form and form[0] == "a" and form[1] == ("super",):
            return False
        answer = self.ask(form)
        if answer is None or answer[0] != "function":
            return False
        circle = self.world.circles.get(self.frame.path)
        return answer[1] is self.frame.function or (
            circle is not None and circle == self.world.circles.get(answer[1].path)
        )

    def role(self, node: cst.CSTNode) -> str:
        """What happens to a value: waited (awaited once, here or by its variable), returned, or other."""
        child = node
        for above in reversed(self.above):
            match above:
                case cst.Yield() | cst.Await():
                    return "waited" if self.frame.mode != "plain" or isinstance(above, cst.Await) else "other"
                case cst.Return():
                    return "returned"
                case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))]):
                    return "waited" if self.frame.variables.waited_once(name) else "other"
                case cst.Call(func=func) if self.collects(func):
                    pass
                case cst.Call() if (to := _appended_to(above)) and self.frame.variables.waited_once(to):
                    return "waited"
                case cst.Call(func=func) if self._runs(func):
                    return "waited"
                case cst.Element() | cst.DictElement() | cst.Arg() | cst.Tuple() | cst.List() | cst.Set() | cst.Dict():
                    pass
                case cst.IfExp():
                    if above.test is child:
                        return "other"
                case cst.ListComp() | cst.SetComp() | cst.GeneratorExp():
                    if above.elt is not child:
                        return "other"
                case cst.DictComp():
                    if above.value is not child:
                        return "other"
                case _:
                    return "other"
            child = above
        return "other"

    def collects(self, func: cst.BaseExpression) -> bool:
        """Whether a function is one of the builtin containers, and no function of that name."""
        return named(func, COLLECTORS) and self.ask(form_of(func)) is None

    def _runs(self, func: cst.BaseExpression) -> bool:
        return form_of(func) in {("a", ("n", "asyncio"), "run"), ("a", ("n", "asyncio"), "create_task")}


def _appended_to(node: cst.Call) -> str | None:
    match node.func:
        case cst.Attribute(value=cst.Name(value=name), attr=cst.Name(value="append")):
            return name
    return None
