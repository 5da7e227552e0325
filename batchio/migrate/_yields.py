"""Yields, and the statements that are made of them: awaits, gathers, returns and ``async for``.

Rules of this room: a container becomes a ``batchio.gather``, so that what was fetched together still is. What nobody can
know is left to ``batchio.compat.asynq.unwrap``, which looks when it runs, as asynq did.
"""

from __future__ import annotations

from typing import Any

import libcst as cst

from batchio.migrate._place import Place
from batchio.migrate._syntax import (
    as_arguments,
    awaited,
    call,
    form_of,
    statement_of,
    without_parens,
)
from batchio.migrate._variables import variables_of

__all__ = ["Yields"]

CONTAINERS = (cst.Tuple, cst.List, cst.Set, cst.Dict, cst.ListComp, cst.DictComp, cst.SetComp)


class Yields(Place):
    """Changes yields and what they make of statements."""

    def leave_Yield(self, original_node: cst.Yield, updated_node: cst.Yield) -> Any:
        if self.frame.mode not in {"migrated", "generator"}:
            return updated_node
        value, was = updated_node.value, original_node.value
        if isinstance(value, cst.From):
            return updated_node
        if self.frame.mode == "generator" and isinstance(was, cst.Call) and self.api(was.func) == "Value":
            assert isinstance(value, cst.Call)
            return updated_node.with_changes(value=value.args[0].value)
        self.counts.yields += 1
        if was is None or (isinstance(was, cst.Name) and was.value == "None"):
            return cst.Name("None")
        if self.is_kept_call(was):
            return value
        tight = self.is_tight(original_node)
        return awaited(self._waited_for(was, value), parens_of=updated_node, tight=tight)

    def _waited_for(self, was: Any, value: Any) -> Any:
        """What an await gets in the place of a yield."""
        if isinstance(was, cst.Tuple) and was.elements and all(self.is_task(each.value) for each in was.elements):
            return as_arguments(value)
        if isinstance(was, CONTAINERS) or (isinstance(was, cst.Call) and self.collects(was.func)):
            return call("batchio.gather", value)
        if self.is_task(was):
            return without_parens(value)
        if isinstance(was, cst.Name):
            kind = self.frame.variables.kind(was.value, self.is_task)
            if kind == "container":
                return call("batchio.gather", value)
            if kind == "task":
                return value
        return call("batchio.compat.asynq.unwrap", value)

    def leave_Return(self, original_node: cst.Return, updated_node: cst.Return) -> Any:
        if self.frame.mode != "migrated" or not self.is_proxy or updated_node.value is None:
            return updated_node
        was, value = original_node.value, updated_node.value
        if isinstance(was, cst.Call) and self.api(was.func) == "ConstFuture":
            assert isinstance(value, cst.Call)
            return updated_node.with_changes(value=value.args[0].value)
        if self.is_task(was):
            return updated_node.with_changes(value=awaited(value))
        return updated_node.with_changes(value=awaited(call("batchio.compat.asynq.unwrap", value)))

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        if self.frame.mode not in {"migrated", "generator"}:
            return updated_node
        body: list[Any] = []
        for was, now in zip(original_node.body, updated_node.body, strict=True):
            if _was_yield(was) and isinstance(now, cst.Expr) and isinstance(now.value, cst.Name):
                continue  # yield None
            if result := self._result(was, now):
                body.append(result)
                break
            body.append(now)
        if len(body) == len(original_node.body) and all(map(lambda a, b: a is b, body, updated_node.body)):
            return updated_node
        if body:
            body[-1] = body[-1].with_changes(semicolon=cst.MaybeSentinel.DEFAULT)
            return updated_node.with_changes(body=body)
        comments = any(line.comment for line in updated_node.leading_lines)
        if updated_node.trailing_whitespace.comment or comments or self.reasons[-1]:
            return updated_node.with_changes(body=[cst.Pass()])
        return cst.RemoveFromParent()

    def leave_SimpleStatementSuite(
        self, original_node: cst.SimpleStatementSuite, updated_node: cst.SimpleStatementSuite
    ) -> Any:
        """``if x: result(5)``, all in one line."""
        if self.frame.mode not in {"migrated", "generator"}:
            return updated_node
        for place, (was, now) in enumerate(zip(original_node.body, updated_node.body, strict=True)):
            if result := self._result(was, now):
                last = result.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)
                return updated_node.with_changes(body=[*updated_node.body[:place], last])
        return updated_node

    def _result(self, was: cst.CSTNode, now: Any) -> cst.Return | None:
        """``result(x)`` as a statement is a return."""
        if isinstance(was, cst.Expr) and isinstance(was.value, cst.Call) and self.api(was.value.func) == "result":
            arguments = now.value.args
            value = without_parens(arguments[0].value) if arguments else None
            return cst.Return(value, semicolon=now.semicolon)
        return None

    def leave_For(self, original_node: cst.For, updated_node: cst.For) -> Any:
        """``for t in gen(): v = yield t`` becomes ``async for v in gen():``."""
        answer = self.ask(form_of(original_node.iter.func)) if isinstance(original_node.iter, cst.Call) else None
        if self.world.kind(answer) != "generator" or not self.asynchronous:
            return updated_node
        shape = _generator_loop(original_node)
        if shape is None:
            self.decide("a loop over an async generator: make it `async for value in ...`")
            return updated_node
        assert isinstance(updated_node.body, cst.IndentedBlock)
        rest = list(updated_node.body.body[1:])
        if rest and _skips_end(original_node.body.body[1]):
            rest = rest[1:]
        body = updated_node.body.with_changes(body=rest or [statement_of("pass")])
        target = cst.Name(shape)
        return updated_node.with_changes(asynchronous=cst.Asynchronous(), target=target, body=body)


def _generator_loop(node: cst.For) -> str | None:
    """The value's name in ``for t in ...: value = yield t``, where t is used for nothing else."""
    if not isinstance(node.target, cst.Name) or not isinstance(node.body, cst.IndentedBlock):
        return None
    match node.body.body[0]:
        case cst.SimpleStatementLine(
            body=[
                cst.Assign(
                    targets=[cst.AssignTarget(target=cst.Name(value=value))],
                    value=cst.Yield(value=cst.Name(value=task)),
                )
            ]
        ) if task == node.target.value:
            uses = variables_of(node).uses.get(task)
            return value if uses is None or uses.other == 0 else None
    return None


def _skips_end(node: cst.CSTNode) -> bool:
    """``if value is END_OF_GENERATOR: continue``."""
    match node:
        case cst.If(test=cst.Comparison(comparisons=[cst.ComparisonTarget(comparator=cst.Name(value=name))])):
            return name == "END_OF_GENERATOR"
    return False


def _was_yield(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.Yield)
