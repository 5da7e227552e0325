"""Calls: of tasks, of functions that were asynq's, and of what stays so.

Rules of this room:

- A task that is awaited once is a coroutine; one that goes elsewhere is a ``batchio.compat.asynq.task``, which may be awaited
  often, as asynq's could.
- A synchronous call waits: with ``await`` where that may stand, and with ``batchio.tools.run_sync`` in plain code.
"""

from __future__ import annotations

from typing import Any

import libcst as cst

from batchio.migrate._facts import Form
from batchio.migrate._names import Names
from batchio.migrate._syntax import (
    awaited,
    call,
    code,
    dotted,
    first_name,
    form_of,
    is_text,
    last,
    named,
    without_parens,
)
from batchio.migrate._vocabulary import BUILTIN_ATTRIBUTES
from batchio.migrate._world import Answer

__all__ = ["Calls"]

ASYNC_ALREADY = "this is async already, and gives a coroutine: await it, or batchio.tools.run_sync in plain code"
BY_NAME = "this gets something by its name that may be async now: see that it is awaited"
IN_DEFAULT = (
    "no await may stand in a default: it waits when the function is defined, and its loads make a batch of their own"
)
AWAITERS = {"as_completed", "create_task", "ensure_future", "gather", "run", "run_coroutine_threadsafe", "run_sync"}
AWAITERS |= {"run_until_complete", "shield", "start_soon", "task", "unwrap", "wait", "wait_for"}
CONTAINED = (
    *(cst.Arg, cst.Element, cst.StarredElement, cst.List, cst.Tuple, cst.Set, cst.Dict, cst.DictElement),
    *(cst.IfExp, cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp),
)


class Calls(Names):
    """Changes calls."""

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> Any:
        func = original_node.func
        if self.frame.mode == "kept":
            self._ask_about(original_node)
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
        if self.world.kept(self.ask(form_of(original.args[0].value))):
            self.kept_names.update(first_name(original.func.func))
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
        if answer == ("api", ".") or (answer and answer[0] == "module") or isinstance(self.above[-1], cst.Decorator):
            return self._plain_call(original, updated)  # asynq.asynq(...), or helpers.asynq(...) of another file
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
        if self._is_in_default():
            self.decide(IN_DEFAULT)
        self.counts.sync_calls += 1
        return call("batchio.tools.run_sync", made)

    def _is_in_default(self) -> bool:
        for node in reversed(self.above):
            if isinstance(node, cst.Param):
                return True
            if isinstance(node, cst.Lambda | cst.BaseStatement):
                return False
        return False

    def _recurs_by(self, made: Any) -> bool:
        return isinstance(made, cst.Call) and self.recurs(made)

    def _plain_call(self, original: cst.Call, updated: cst.Call) -> Any:
        """``f(x)``: a synchronous call of an asynq function, a task of a pure one, or something of asynq itself."""
        answer = self._called(original)
        kind = self.world.kind(answer)
        self._ask_about(original)
        if named(original.func, {"hasattr"}) and len(original.args) == 2 and is_text(original.args[1].value, "asynq"):
            self.needs.add("inspect")
            return updated.with_changes(func=dotted("inspect.iscoroutinefunction"), args=[last(updated.args[0])])
        if named(original.func, {"next", "iter"}) and original.args:
            self._iterates(original.args[0].value)
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
        if kind == "native" and self._was_asynq(original) and self.frame.mode in {"migrated", "generator"}:
            return self._wait_now(original, updated)
        return updated

    def _called(self, node: cst.Call) -> Answer | None:
        """What is called: of an instance its ``__call__``; nothing that only has a method's name, and takes other arguments."""
        form = form_of(node.func)
        answer = self.ask(form)
        if answer and answer[0] == "instance":
            return self.world.method(answer[1], "__call__")
        return None if answer and self._is_another(node, form) else answer

    def _is_another(self, node: cst.Call, form: Form | None) -> bool:
        """Whether a method is known by its name alone, and takes other arguments than those that are given."""
        if not form or form[0] != "a" or form[2] in {"asynq", "asyncio"} or any(each.star for each in node.args):
            return False
        return self._is_guess(form[1]) and not self.world.fits(form[2], len(node.args))

    def _was_asynq(self, node: cst.Call) -> bool:
        """Whether a coroutine function is called as it was before an earlier run changed it, in a file that is changed now."""
        return self.module in self.world.old and not self._is_awaited(node)

    def _is_awaited(self, node: cst.Call) -> bool:
        """Whether a call's result is awaited here, or handed to what awaits it."""
        if self.role(node) == "waited":
            return True
        above = next(above for above in reversed(self.above) if not isinstance(above, CONTAINED))
        if isinstance(above, cst.Call):
            return str((form_of(above.func) or ("",))[-1]) in AWAITERS
        return isinstance(above, cst.Await) or (isinstance(above, cst.Assign) and self._is_awaited_later(above))

    def _is_awaited_later(self, node: cst.Assign) -> bool:
        """Whether the function awaits a name that this binds."""
        names = set(_names_of(node))
        found = _Awaits()
        if self.frame.node is not None:
            self.frame.node.visit(found)
        return bool(names & found.names)

    def _ask_about(self, node: cst.Call) -> None:
        """Tell of calls of what may be async, or is so already, where that cannot be mended."""
        answer = self._called(node)
        if answer and answer[0] == "maybe" and not self._is_awaited(node):
            self.decide(
                f"{answer[1]} may be async here, and gives a coroutine then: await it, or batchio.tools.run_sync"
            )
        kept = self.frame.mode == "kept"
        if self.world.kind(answer) == "native" and self._is_lost(node):
            self.decide(ASYNC_ALREADY)
        if (
            answer is None
            and self.module in self.world.old
            and self._may_be_native(node)
            and not self._is_awaited(node)
        ):
            self.decide(f"{code(node.func)} may be async already, and gives a coroutine then: see what it is")
        if named(node.func, {"getattr"}) and len(node.args) > 1 and not kept:
            self._ask_about_name(node)

    def _may_be_native(self, node: cst.Call) -> bool:
        """Whether a method is called of who knows what, and some class has an async one of that name."""
        form = form_of(node.func)
        if not form or form[0] != "a" or form[2] in BUILTIN_ATTRIBUTES or self.ask(form[1]) is not None:
            return False
        found = self.world.methods.get(form[2], ())
        return any(function.kind == "native" for function in found) and self.world.fits(form[2], len(node.args))

    def _is_lost(self, node: cst.Call) -> bool:
        """Whether a coroutine goes where nobody awaits it, and it cannot be awaited here."""
        if self.frame.mode == "kept":
            return not self._is_awaited(node)
        return self.frame.mode in {"plain", "native"} and self._was_asynq(node)

    def _ask_about_name(self, node: cst.Call) -> None:
        """``getattr(x, "name")``."""
        name = node.args[1].value
        if isinstance(name, cst.SimpleString) and isinstance(name.evaluated_value, str):
            found = self.ask(("a", form_of(node.args[0].value), name.evaluated_value))
            if self.world.turns_async(found) or (found and found[0] == "maybe"):
                self.decide(BY_NAME)

    def _iterates(self, node: cst.BaseExpression) -> None:
        if self.ask(form_of(node)) == ("generator",):
            self.decide("this iterates over an async generator: `async for`, or `await anext(...)`")


class _Awaits(cst.CSTVisitor):
    """Whether something awaits, and which names."""

    found = False

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def visit_Await(self, node: cst.Await) -> None:
        self.found = True
        self.names |= {node.expression.value} if isinstance(node.expression, cst.Name) else set()


def _names_of(node: cst.Assign) -> list[str]:
    return [each.target.value for each in node.targets if isinstance(each.target, cst.Name)]


def _awaits(node: cst.CSTNode) -> bool:
    looker = _Awaits()
    node.visit(looker)
    return looker.found


def _unwrapped(node: Any) -> Any:
    """What is inside ``batchio.compat.asynq.task(...)``, if anything is."""
    if isinstance(node, cst.Call) and code(node.func) == "batchio.compat.asynq.task":
        return node.args[0].value
    return node
