"""Functions and classes: what was a generator for asynq becomes ``async def``, whole or not at all.

Rules of this room:

- What stays asynq keeps its code, and gets a comment.
- Decorators keep their order, but for ``classmethod`` and ``staticmethod``, which go to the top: below them stands a
  plain function for the other decorators.
"""

from __future__ import annotations

from typing import Any

import libcst as cst

from batchio.migrate._facts import Function
from batchio.migrate._place import Frame, Place
from batchio.migrate._proxies import has_no_effects
from batchio.migrate._syntax import (
    call,
    dotted,
    first_name,
    form_of,
    keyword_or_place,
    named,
    statement_of,
)
from batchio.migrate._vocabulary import DECORATORS, HARMLESS

__all__ = ["Functions"]

RUNS_ASYNC = "IsolatedAsyncioTestCase"
MACHINERY = {
    "AsyncDecorator",
    "AsyncDecoratorBinder",
    "AsyncProxyDecorator",
    "AsyncTask",
    "FutureBase",
    "PureAsyncDecorator",
    "TaskScheduler",
}


class Functions(Place):
    """Changes functions and classes."""

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        path = f"{self.frame.path}.{node.name.value}"
        if path in self.world.kept_classes:
            for base in node.bases:
                self.kept_names.update(first_name(base.value))
        inner = self.world.classes.get(path)
        own = inner is not None and self.world.derives(inner, MACHINERY)
        self.frames.append(Frame(path, "kept" if own or self.frame.mode == "kept" else "plain"))
        if own:
            self.decide(
                f"{node.name.value} is made of asynq's own classes: a decorator is a functools.wraps function now"
            )

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> Any:
        self.frames.pop()
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self.frames.append(self._frame_of(node))

    def visit_FunctionDef_decorators(self, node: cst.FunctionDef) -> None:
        """Decorators and defaults are evaluated where the function stands; those of what stays asynq stay with it."""
        self.frames.append(self.frames[-1 if self.frame.mode == "kept" else -2])

    def leave_FunctionDef_decorators(self, node: cst.FunctionDef) -> None:
        self.frames.pop()

    def visit_Param_default(self, node: cst.Param) -> None:
        self.frames.append(self.frames[-2 if self._is_of_a_function() else -1])

    def leave_Param_default(self, node: cst.Param) -> None:
        self.frames.pop()

    def _is_of_a_function(self) -> bool:
        """Whether the parameter that is being read is a function's, and no lambda's."""
        return isinstance(self.above[-3], cst.FunctionDef)

    def _frame_of(self, node: cst.FunctionDef) -> Frame:
        path = f"{self.frame.path}.{node.name.value}"
        function = self.world.functions.get(path)
        kind = function.kind if function else "plain"
        if kind == "plain" and node.asynchronous:
            kind = "native"
        mode = {"asynq": "migrated", "pure": "migrated", "proxy": "migrated"}.get(kind, kind)
        mode = "plain" if mode == "pure_proxy" else mode
        if (function and function.kept) or self.frame.mode == "kept":
            mode = "kept"
        return Frame(path, mode, function, node)

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> Any:
        frame = self.frames.pop()
        function = frame.function
        if frame.mode == "kept":
            if function and function.kept:
                self.decide(f"{function.name} stays asynq: {function.kept}")
            return updated_node
        if function and function.path in self.world.apart:
            self.decide(
                f"this is plain, and {self.world.apart[function.path]} is async: who calls one may get the other"
            )
        if function is None or function.kind not in {"asynq", "pure", "proxy", "pure_proxy", "generator"}:
            return updated_node
        if self._is_run_by_a_runner(function):
            self.decide(
                "a test runner calls this, and must know async tests: unittest.IsolatedAsyncioTestCase, pytest-asyncio"
            )
        if function.name == "__call__" and function.kind != "pure_proxy":
            self.decide("who calls an instance gets a coroutine now: see that it is awaited")
        if function.kind == "proxy" and not has_no_effects(original_node.body):
            self.decide(
                "what this does ran when it was called, and now runs when it is awaited: see that this is the same"
            )
        self.counts.functions += 1
        changed = self._decorators(function, original_node, updated_node)
        if function.kind == "pure_proxy":
            return changed
        asynchronous = cst.Asynchronous()
        return changed.with_changes(
            asynchronous=asynchronous, returns=_result_annotation(changed.returns), body=_filled(changed.body)
        )

    def _is_run_by_a_runner(self, function: Function) -> bool:
        """Whether it is a test, by its name and by that of its file or class."""
        if not function.name.startswith("test"):
            return False
        if function.owner is None:
            last = self.module.rpartition(".")[2]
            return function.path == f"{self.module}.{function.name}" and (
                last.startswith("test") or last.endswith("_test")
            )
        bases = self.world.classes[function.owner].bases
        return any(base and str(base[-1]).endswith("TestCase") and base[-1] != RUNS_ASYNC for base in bases)

    def _marks(self, decorator: cst.Decorator) -> bool:
        if isinstance(decorator.decorator, cst.Call):
            return self.api(decorator.decorator.func) in DECORATORS
        answer = self.ask(form_of(decorator.decorator))
        return bool(answer and answer[0] == "made" and answer[1] in DECORATORS)

    def _decorators(self, function: Function, original: cst.FunctionDef, node: cst.FunctionDef) -> cst.FunctionDef:
        """Without asynq's decorator, with classmethod and staticmethod on top, and pausing contexts if there are any."""
        kept: list[cst.Decorator] = []
        above: list[cst.EmptyLine] = []
        for place, decorator in enumerate(node.decorators):
            if self._marks(original.decorators[place]):
                above += [*decorator.leading_lines, *_comment_of(decorator)]
                if twin := self._twin(function, decorator):
                    kept.append(decorator.with_changes(decorator=twin))
                    above = []
                continue
            self._warn(original.decorators[place].decorator)
            there = decorator.with_changes(leading_lines=[*above, *decorator.leading_lines])
            above = []
            kept.insert(0 if _is_binding(there) and not _is_binding(original.decorators[0]) else len(kept), there)
        if function.path in self.world.stepped and function.kind != "pure_proxy":
            kept.append(cst.Decorator(dotted("batchio.compat.asynq.pausing")))
        after = [*above, *node.lines_after_decorators] if kept else []
        leading = list(node.leading_lines) if kept else [*node.leading_lines, *above, *node.lines_after_decorators]
        return node.with_changes(decorators=kept, lines_after_decorators=after, leading_lines=leading)

    def _warn(self, decorator: cst.BaseExpression) -> None:
        """A decorator that nobody here knows may call what it decorates, and get a coroutine."""
        form = form_of(decorator.func if isinstance(decorator, cst.Call) else decorator)
        answer = self.ask(form)
        known = answer and (answer[0] == "api" or (answer[0] == "function" and self.world.makes_asynq(answer[1])))
        if form and not known and form[-1] not in HARMLESS and "pytest" not in first_name(decorator):
            self.decide(f"@{form[-1]} decorates an async function now: see that it does not call it as a plain one")

    def _twin(self, function: Function, decorator: cst.Decorator) -> cst.Call | None:
        """A function with an asyncio_fn has two bodies, and goes on having them."""
        if function.asyncio_fn is None:
            return None
        self.decide(f"{function.name} has two bodies, as its asyncio_fn was: keep one")
        assert isinstance(decorator.decorator, cst.Call)
        other = keyword_or_place(decorator.decorator.args, 99, "asyncio_fn")
        assert other is not None
        return call("batchio.compat.asynq.twin", other)


def _is_binding(decorator: cst.Decorator) -> bool:
    return named(decorator.decorator, {"classmethod", "staticmethod"})


def _comment_of(decorator: cst.Decorator) -> list[cst.EmptyLine]:
    comment = decorator.trailing_whitespace.comment
    return [cst.EmptyLine(comment=comment)] if comment else []


def _result_annotation(annotation: cst.Annotation | None) -> cst.Annotation | None:
    """``Generator[Any, Any, T]`` as ``T``."""
    match annotation:
        case cst.Annotation(annotation=cst.Subscript(value=kind, slice=[_, _, last])):
            form = form_of(kind)
            if form and form[-1] == "Generator" and isinstance(last.slice, cst.Index):
                return annotation.with_changes(annotation=last.slice.value)
    return annotation


def _filled(body: Any) -> Any:
    """A body that lost its last statement."""
    if isinstance(body, cst.IndentedBlock) and not body.body:
        return body.with_changes(body=[statement_of("pass")])
    return body
