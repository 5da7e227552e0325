"""Batch classes of the usual two shapes become a loader, with the body of ``_flush`` as its batch function.

Both are a pair of classes: a ``BatchBase`` with ``_flush`` and ``_try_switch_active_batch``, and a ``BatchItemBase`` whose
``__init__`` keeps its arguments. With one argument that is the loader's key. With several the key is a named tuple, and a
small function with the item's name makes it.

Rules of this room:

- The items are used in ``_flush`` through their attributes, ``set_value``, ``set_error`` and ``is_computed``, and the
  batch through ``self.items``. A pair that does more stays a pair, on bases in ``batchio.compat.asynq``.
- Whoever calls the item's name goes on doing so: a call gives an awaitable, as before.
- asynq remembers nothing between batches, so the loader does not either: ``memo=False``.
"""

from __future__ import annotations

from typing import Any

import libcst as cst

from batchio.migrate._pairs import Pair, is_text, pairs
from batchio.migrate._syntax import form_of, statement_of
from batchio.migrate._world import World

__all__ = ["loaders"]


def loaders(tree: cst.Module, module: str, world: World) -> cst.Module:
    """A file in which the usual pairs of batch classes are loaders."""
    for pair in pairs(tree, module, world):
        tree = _replaced(tree, pair)
    return tree


def _replaced(tree: cst.Module, pair: Pair) -> cst.Module:
    """The file with the loader where the later of the two classes stood."""
    body: list[Any] = []
    over: list[cst.EmptyLine] = []
    left = 2
    for statement in tree.body:
        if statement is pair.batch or statement is pair.item:
            left -= 1
            over += [line for line in statement.leading_lines if line.comment]
            if not left:
                lines = _loader(pair)
                blank = [line for line in statement.leading_lines if not line.comment]
                lines[0] = lines[0].with_changes(leading_lines=[*blank, *over])
                body += lines
        elif not any(statement is each for each in pair.dropped):
            body.append(statement)
    return tree.with_changes(body=body)


def _loader(pair: Pair) -> list[Any]:
    name = pair.item.name.value
    single = len(pair.attributes) == 1
    turned = pair.flush.body.visit(_Turn(next(iter(pair.attributes)) if single else None))
    assert isinstance(turned, cst.IndentedBlock)
    text = next((line for line in pair.batch.body.body if is_text(line) and not _is_pass(line)), None)
    flush = list(turned.body)
    if flush and is_text(flush[0]) and not _is_pass(flush[0]):
        text = text or flush[0]
        flush = flush[1:]
    lines = [*([text] if text else []), statement_of("answers = {}"), *flush, statement_of("return answers")]
    made = cst.parse_statement(
        f"@batchio.loader(memo=False)\nasync def {name if single else _private(name)}(keys):\n    pass\n"
    )
    assert isinstance(made, cst.FunctionDef)
    loader = made.with_changes(body=made.body.with_changes(body=lines))
    return [loader] if single else [_key_class(pair), _apart(loader), _apart(_door(pair))]


def _is_pass(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Pass)


def _private(name: str) -> str:
    return f"_load_{''.join(f'_{c.lower()}' if c.isupper() else c for c in name).strip('_')}"


def _apart(node: Any) -> Any:
    return node.with_changes(leading_lines=[cst.EmptyLine(indent=False)] * 2)


def _key_class(pair: Pair) -> Any:
    fields = "".join(f"    {name}: object\n" for name in pair.attributes)
    return cst.parse_statement(f"class _{pair.item.name.value}Key(typing.NamedTuple):\n{fields}")


def _door(pair: Pair) -> Any:
    """The function that callers call where they made an item."""
    name = pair.item.name.value
    arguments = ", ".join(parameter.name.value for parameter in pair.attributes.values())
    made = cst.parse_statement(f"def {name}():\n    return {_private(name)}(_{name}Key({arguments}))\n")
    assert isinstance(made, cst.FunctionDef)
    return made.with_changes(params=cst.Parameters(params=list(pair.attributes.values())))


class _Turn(cst.CSTTransformer):
    """A flush's body about keys: ``self.items`` are the keys, and what items are given goes into ``answers``."""

    def __init__(self, attribute: str | None) -> None:
        super().__init__()
        self.attribute = attribute

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> Any:
        if form_of(original_node) == ("a", ("n", "self"), "items"):
            return cst.Name("keys")
        if isinstance(original_node.value, cst.Name) and original_node.attr.value == self.attribute:
            return updated_node.value
        return updated_node

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> Any:
        match updated_node.func:
            case cst.Attribute(value=cst.Name() as item, attr=cst.Name(value="is_computed")):
                return cst.Comparison(
                    item, [cst.ComparisonTarget(cst.In(), cst.Name("answers"))], [cst.LeftParen()], [cst.RightParen()]
                )
        return updated_node

    def leave_Expr(self, original_node: cst.Expr, updated_node: cst.Expr) -> Any:
        match updated_node.value:
            case cst.Call(
                func=cst.Attribute(value=cst.Name() as item, attr=cst.Name(value="set_value" | "set_error")),
                args=[argument],
            ):
                target = cst.Subscript(cst.Name("answers"), [cst.SubscriptElement(cst.Index(item))])
                return cst.Assign([cst.AssignTarget(target)], argument.value, semicolon=updated_node.semicolon)
        return updated_node
