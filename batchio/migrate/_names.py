"""What asynq itself offers, by its names: calls whose arguments change, attributes, and functions used as values.

Rules of this room: a name that batchio has too is left to ``_imports``. Where another library does it well
(async-lru, stamina, unittest.mock) the call becomes that library's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import libcst as cst

from batchio.migrate._syntax import (
    call,
    dotted,
    first_name,
    form_of,
    in_parens,
    keyword_or_place,
    last,
    literal_number,
)
from batchio.migrate._values import Values
from batchio.migrate._vocabulary import ADVICE, DECORATORS, home

__all__ = ["Names"]

TASKS = {"asynq", "pure", "proxy", "pure_proxy"}


class Names(Values):
    """Changes what is asynq's own."""

    def api_call(self, name: str, original: cst.Call, updated: cst.Call) -> Any:
        if name in {"get_active_task", "scheduler.get_active_task"} and self.asynchronous:
            self.needs.add("asyncio")
            return updated.with_changes(func=dotted("asyncio.current_task"))
        if name in {"has_async_fn", "is_async_fn"}:
            self.needs.add("inspect")
            return updated.with_changes(func=dotted("inspect.iscoroutinefunction"))
        if name == "get_async_fn" and len(updated.args) == 2:
            return updated.with_changes(func=dotted("batchio.compat.asynq.as_async"), args=[last(updated.args[0])])
        if name == "debug.sync":
            return updated.with_changes(func=dotted("batchio.compat.asynq.sync"))
        if name == "debug.format_asynq_stack":
            return updated.with_changes(func=dotted("batchio.compat.asynq.format_stack"))
        if name in {"mock.patch", "mock.patch.object"}:
            return self._patch(name, original, updated)
        if name == "alazy_constant":
            return updated.with_changes(args=[_in_seconds(arg) for arg in updated.args])
        if name == "alru_cache":
            self.needs.add("async_lru")
            return updated.with_changes(func=dotted("async_lru.alru_cache"), args=_lru_arguments(updated.args))
        if name == "aretry":
            self.needs.add("stamina")
            return updated.with_changes(func=dotted("stamina.retry"), args=_retry_arguments(updated.args))
        return None

    def _patch(self, name: str, original: cst.Call, updated: cst.Call) -> cst.Call:
        """A plain function in the place of an async one is made async."""
        place = 1 if name == "mock.patch" else 2
        arguments = list(updated.args)
        for number, argument in enumerate(original.args):
            at = argument.keyword.value == "new" if argument.keyword else number == place
            if at and self._patches_async(name, original) and self._may_be_plain(argument.value):
                arguments[number] = arguments[number].with_changes(
                    value=call("batchio.compat.asynq.as_async", arguments[number].value)
                )
        return updated.with_changes(args=arguments)

    def _patches_async(self, name: str, node: cst.Call) -> bool:
        """Whether what is replaced is a function that is async now."""
        target = node.args[0].value
        if name == "mock.patch":
            answer = self.world.find(_text(target).split("."))
        else:
            attribute = _text(keyword_or_place(node.args, 1, "attribute"))
            answer = self.ask(("a", form_of(target), attribute)) if attribute else None
        return self.world.kind(answer) in {"asynq", "pure", "proxy"} and not self.world.kept(answer)

    def _may_be_plain(self, node: cst.BaseExpression) -> bool:
        kind = self.world.kind(self.ask(form_of(node)))
        return not isinstance(node, cst.SimpleString | cst.Integer | cst.Float) and kind not in {*TASKS, "native"}

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> Any:
        if self.frame.mode == "kept":
            self._note_kept(original_node)
            return updated_node
        self.give(original_node)
        above = self.above[-1] if self.above else None
        attr = original_node.attr.value
        if attr == "asynq" and not (isinstance(above, cst.Call) and above.func is original_node):
            return self._asynq_value(original_node, updated_node)
        if attr in {"on_computed", "creator", "iteration_index", "perf_stats"} and self._is_task_variable(
            original_node.value
        ):
            self.decide(f".{attr} is asynq's: what is awaited now has no such attribute")
        if attr == "decorator" and self.world.kind(self.ask(form_of(original_node.value))) in TASKS:
            return updated_node.value
        name = self.api(original_node)
        if name and name.startswith("mock.") and self.ask(form_of(original_node.value)) == ("api", ".mock"):
            self.needs.add("unittest.mock")
            return dotted(f"unittest.{name}").with_changes(lpar=updated_node.lpar, rpar=updated_node.rpar)
        if name in DECORATORS and not self._is_mark():
            self.decide(ADVICE["asynq"])
        module = home(name) if name else None
        if module and self.ask(form_of(original_node.value)):
            return dotted(f"{module}.{name}").with_changes(lpar=updated_node.lpar, rpar=updated_node.rpar)
        return updated_node

    def _is_mark(self) -> bool:
        """Whether a name is a decorator, or makes an async function by hand: these go."""
        call, above = self.above[-1], self.above[-2] if len(self.above) > 1 else None
        if not isinstance(call, cst.Call):
            return isinstance(call, cst.Attribute | cst.Decorator)
        return isinstance(above, cst.Decorator) or (isinstance(above, cst.Call) and above.func is call)

    def _is_task_variable(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Name):
            return self.frame.variables.kind(node.value, self.makes_task) == "task"
        return self.makes_task(node)

    def _asynq_value(self, original: cst.Attribute, updated: cst.Attribute) -> Any:
        """``f.asynq`` without a call: the function itself."""
        answer = self.ask(form_of(original.value))
        if self.api(original) in DECORATORS and not self._is_mark():
            self.decide(ADVICE["asynq"])
        if answer == ("api", ".") or self.world.kept(answer) or (answer and answer[0] == "module"):
            return updated
        if isinstance(self.above[-1], cst.Attribute):
            self.decide(".asynq of a mock or function is gone: the function itself is awaited")
            return updated
        return updated.value

    def _note_kept(self, node: cst.Attribute) -> None:
        self.kept_names.update(first_name(node))

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> Any:
        if self.frame.mode == "kept":
            self.kept_names.add(original_node.value)
        self.give(original_node)
        return updated_node


def _text(node: cst.CSTNode | None) -> str:
    """What a string says; nothing for anything else."""
    return str(node.evaluated_value) if isinstance(node, cst.SimpleString) else ""


def _in_seconds(argument: cst.Arg) -> cst.Arg:
    number = literal_number(argument.value)
    if number is not None:
        seconds = number / 1_000_000
        return argument.with_changes(value=cst.parse_expression(f"{seconds:g}"))
    value = cst.BinaryOperation(in_parens(argument.value), cst.Divide(), cst.parse_expression("1_000_000"))
    return argument.with_changes(value=value)


def _keyword(name: str, value: cst.BaseExpression | str) -> cst.Arg:
    value = cst.parse_expression(value) if isinstance(value, str) else value
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    return cst.Arg(value, keyword=cst.Name(name), equal=equal)


def _lru_arguments(arguments: Sequence[cst.Arg]) -> list[cst.Arg]:
    size = keyword_or_place(arguments, 0, "maxsize")
    key = keyword_or_place(arguments, 1, "key_fn")
    made = [_keyword("maxsize", size or "128")]
    if key is not None:
        function = key if isinstance(key, cst.Name | cst.Attribute) else in_parens(key)
        asked = cst.Call(function, [cst.Arg(cst.Name("args")), cst.Arg(cst.Name("kwargs"))])
        made.append(_keyword("key", cst.parse_expression("lambda *args, **kwargs: 0").with_changes(body=asked)))
    return made


def _retry_arguments(arguments: Sequence[cst.Arg]) -> list[cst.Arg]:
    sleep = keyword_or_place(arguments, 2, "sleep") or "0.05"
    made = [
        _keyword("on", keyword_or_place(arguments, 0, "exception_cls") or "Exception"),
        _keyword("attempts", keyword_or_place(arguments, 1, "max_tries") or "10"),
        _keyword("timeout", "None"),
    ]
    made += [_keyword(name, sleep) for name in ("wait_initial", "wait_max")]
    return [*made, _keyword("wait_jitter", "0"), _keyword("wait_exp_base", "1")]
