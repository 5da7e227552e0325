"""Calls: of tasks, of functions that were asynq's, and of what stays so.

Rules of this room:

- A task that is awaited once is a coroutine; one that goes elsewhere is a ``batchio.compat.asynq.task``, which may be awaited
  often, as asynq's could.
- A synchronous call waits: with ``await`` where that may stand, and with ``batchio.tools.run_sync`` in plain code.
"""

from __future__ import annotations

from typing import Any

import libcst as cst

from batchio.migrate._names import Names
from batchio.migrate._syntax import (
    awaited,
    call,
    code,
    dotted,
    form_of,
    is_text,
    last,
    named,
    without_parens,
)
from batchio.migrate._world import Answer

__all__ = ["Calls"]

PLAIN_CALLERS = {"map", "filter", "reduce", "submit", "starmap", "groupby", "partial"}
PLAIN_KEYWORDS = {"key", "target", "default_factory"}


class Calls(Names):
    """Changes calls."""

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> Any:
        func = original_node.func
        if self.frame.mode == "kept":
            return updated_node
        if isinstance(func, cst.Call) and self.api(func.func) == "asynq" and len(updated_node.args) == 1:
            return self._made_by_hand(original_node, updated_node)
        if isinstance(func, cst.Attribute) and func.attr.value in {"asynq", "asyncio"}:
            return self._asynq_call(original_node, updated_node)
        if (waited := self._task_inside(original_node)) is not None:
            return self._wait_now(original_node, waited(updated_node))
        return self._plain_call(original_node, updated_node)

    def _made_by_hand(self, original: cst.Call, updated: cst.Call) -> Any:
        """``asynq()(function)``."""
        assert isinstance(original.func, cst.Call)
        if original.func.args or isinstance(self.above[-1], cst.Decorator):
            return updated
        made = updated.args[0].value
        if isinstance(made, cst.Lambda) and _awaits(made.body):
            return self._hoisted(made)
        return call("batchio.compat.asynq.as_async", made)

    def _hoisted(self, node: cst.Lambda) -> cst.Name:
        """A lambda that waits becomes a function, before the statement in which it stands."""
        name = f"_lambda_{sum(map(len, self.hoisted)) + 1}"
        body = cst.IndentedBlock([cst.SimpleStatementLine([cst.Return(without_parens(node.body))])])
        params = node.params.with_changes(
            params=[each.with_changes(comma=cst.MaybeSentinel.DEFAULT) for each in node.params.params]
        )
        self.hoisted[-1].append(cst.FunctionDef(cst.Name(name), params, body, asynchronous=cst.Asynchronous()))
        return cst.Name(name)

    def _asynq_call(self, original: cst.Call, updated: cst.Call) -> Any:
        """``f.asynq(x)`` and ``f.asyncio(x)``."""
        assert isinstance(original.func, cst.Attribute)
        answer = self.ask(form_of(original.func.value))
        if answer == ("api", "."):
            return self._plain_call(original, updated)  # asynq.asynq(...)
        if self.world.kept(answer):
            return self._kept_call(original, updated)
        unseen = answer is None or answer[0] == "parameter"
        if unseen and (module := self.world.outside(form_of(original.func.value), self.frame.path)):
            self.outside.add(module)
        assert isinstance(updated.func, cst.Attribute)
        made = self._paused(original.func.value, updated.with_changes(func=updated.func.value))
        return self._task(original, made) if original.func.attr.value == "asynq" else made

    def _paused(self, func: cst.BaseExpression, made: cst.Call) -> cst.Call:
        """``call_with_context`` of a context that asynq pauses."""
        if self.api(func) != "call_with_context" or not made.args:
            return made
        if not self.world.is_context(form_of(made.args[0].value), self.frame.path):
            return made
        return made.with_changes(func=call("batchio.compat.asynq.pausing", made.func))

    def _kept_call(self, original: cst.Call, updated: cst.Call) -> Any:
        """A call of what stays asynq, from what does not: it runs at once, and blocks."""
        if self.frame.mode not in {"migrated", "generator"}:
            return updated
        self.decide("what is called here stays asynq: it runs alone, and blocks the event loop")
        value = cst.Call(cst.Attribute(updated, cst.Name("value")))
        direct = isinstance(self.above[-1], cst.Yield | cst.Element | cst.DictElement | cst.ListComp | cst.DictComp)
        return value if direct else call("batchio.compat.asynq.ConstFuture", value)

    def _task(self, original: cst.Call, made: Any) -> Any:
        """An awaitable that was a task: as it is where it is awaited once, and else as something to await often."""
        role = self.role(original)
        if role == "waited" or (role == "returned" and self.is_proxy):
            name = self.frame.function.name if self.frame.function else None
            if role == "waited" and self.recurs(original) and name and self._single(original):
                return call("batchio.compat.asynq.task", made)
            return made
        return call("batchio.compat.asynq.task", made)

    def _single(self, node: cst.Call) -> bool:
        above = self.above[-1] if self.above else None
        return isinstance(above, cst.Yield) or not isinstance(above, cst.Element | cst.ListComp)

    def _task_inside(self, node: cst.Call) -> Any:
        """For ``task.value()`` and ``pure(x)()``: how to find the task in the changed node."""
        func = node.func
        if node.args:
            return None
        if isinstance(func, cst.Attribute) and func.attr.value == "value" and self.makes_task(func.value):
            return lambda updated: _unwrapped(updated.func.value)
        if isinstance(func, cst.Call) and self.makes_task(func):
            return lambda updated: _unwrapped(updated.func)
        return None

    def _wait_now(self, original: cst.Call, made: Any) -> Any:
        """Wait for an awaitable here, where asynq waited too; what somebody awaits already was changed before."""
        if isinstance(self.above[-1], cst.Await):
            return made
        if self.asynchronous:
            if self._recurs_by(made):
                made = call("batchio.compat.asynq.task", made)
            return awaited(made, tight=self.is_tight(original))
        if self.frame.mode in {"migrated", "native"}:
            self.decide("no await may stand here: the call runs in a thread, and its loads make a batch of their own")
        self.counts.sync_calls += 1
        return call("batchio.tools.run_sync", made)

    def _recurs_by(self, made: Any) -> bool:
        return isinstance(made, cst.Call) and self.recurs(made)

    def _plain_call(self, original: cst.Call, updated: cst.Call) -> Any:
        """``f(x)``: a synchronous call of an asynq function, a task of a pure one, or something of asynq itself."""
        answer = self.ask(form_of(original.func))
        kind = self.world.kind(answer)
        if named(original.func, {"hasattr"}) and len(original.args) == 2 and is_text(original.args[1].value, "asynq"):
            self.needs.add("inspect")
            return updated.with_changes(func=dotted("inspect.iscoroutinefunction"), args=[last(updated.args[0])])
        if named(original.func, {"next", "iter"}) and original.args:
            self._iterates(original.args[0].value)
        self._hands_over(original, answer)
        if answer and answer[0] == "api":
            changed = self.api_call(answer[1], original, updated)
            if changed is not None:
                return changed
        if self.world.kept_item(answer) or (self.world.kept(answer) and kind in {"pure", "pure_proxy"}):
            return self._kept_call(original, updated)
        if self.world.kept(answer) or kind is None:
            return updated
        if kind in {"asynq", "proxy"}:
            if isinstance(self.above[-1], cst.Decorator):
                return updated
            return self._wait_now(original, self._paused(original.func, updated))
        if kind == "pure":
            return self._task(original, updated)
        return updated

    def _hands_over(self, node: cst.Call, answer: Answer | None) -> None:
        """A function that is handed to something plain is called there, and gives a coroutine."""
        if answer is not None or not isinstance(node.func, cst.Name | cst.Attribute):
            return
        plain = (form_of(node.func) or ("",))[-1] in PLAIN_CALLERS
        for argument in node.args:
            by_name = argument.keyword is not None and argument.keyword.value in PLAIN_KEYWORDS
            given = self.ask(form_of(argument.value))
            if (plain or by_name) and self.world.kind(given) in {"asynq", "proxy"} and not self.world.kept(given):
                self.decide("what is handed over here is async now, and is called as a plain function")

    def _iterates(self, node: cst.BaseExpression) -> None:
        if self.ask(form_of(node)) == ("generator",):
            self.decide("this iterates over an async generator: `async for`, or `await anext(...)`")


class _Awaits(cst.CSTVisitor):
    found = False

    def visit_Await(self, node: cst.Await) -> None:
        self.found = True


def _awaits(node: cst.CSTNode) -> bool:
    looker = _Awaits()
    node.visit(looker)
    return looker.found


def _unwrapped(node: Any) -> Any:
    """What is inside ``batchio.compat.asynq.task(...)``, if anything is."""
    if isinstance(node, cst.Call) and code(node.func) == "batchio.compat.asynq.task":
        return node.args[0].value
    return node
