"""Small questions about libcst nodes, and small pieces of code made of them.

Rules of this room: no decisions about asynq, and no state. Formatting is kept wherever a node is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import libcst as cst

from batchio.migrate._facts import BUILTIN, Form

__all__ = [
    "as_arguments",
    "awaited",
    "call",
    "code",
    "commented",
    "dotted",
    "first_name",
    "form_of",
    "in_parens",
    "is_text",
    "keyword_or_place",
    "last",
    "literal_number",
    "named",
    "statement_of",
    "without_parens",
]

MARK = "# batchio: "

_BUILTIN_KINDS = (
    *(cst.Dict, cst.List, cst.Set, cst.Tuple, cst.BaseString, cst.BaseNumber),
    *(cst.DictComp, cst.ListComp, cst.SetComp, cst.GeneratorExp),
)


def form_of(node: cst.CSTNode | None) -> Form | None:
    """An expression as a form, as ``_facts`` does it."""
    match node:
        case cst.Name(value=name):
            return ("n", name)
        case cst.Attribute(value=value, attr=attr):
            return ("a", form_of(value), attr.value)
        case cst.Call(func=cst.Name(value="super")):
            return ("super",)
        case cst.Call(func=cst.Name(value="type"), args=[argument]):
            return form_of(argument.value)
        case cst.Call(func=func):
            base = form_of(func)
            return base and ("call", base)
    return BUILTIN if isinstance(node, _BUILTIN_KINDS) else None


def code(node: cst.CSTNode) -> str:
    """A node's text."""
    return cst.Module([]).code_for_node(node)


def dotted(name: str) -> cst.BaseExpression:
    """``a.b.c`` as an expression."""
    first, *rest = name.split(".")
    made: cst.BaseExpression = cst.Name(first)
    for part in rest:
        made = cst.Attribute(made, cst.Name(part))
    return made


def call(function: str, *arguments: cst.BaseExpression) -> cst.Call:
    """A call by a dotted name."""
    return cst.Call(dotted(function), [cst.Arg(without_parens(argument)) for argument in arguments])


def without_parens(node: Any) -> Any:
    """An expression without its outer parentheses, which inside a call's it does not need; tuples have some."""
    if isinstance(node, cst.Tuple):
        return in_parens(node)  # its commas would be the call's
    if isinstance(node, cst.GeneratorExp) or not getattr(node, "lpar", None) or _many_lines(node):
        return node
    return node.with_changes(lpar=[], rpar=[])


def _many_lines(node: cst.CSTNode) -> bool:
    return "\n" in code(node)


def in_parens(node: Any) -> Any:
    """An expression in parentheses of its own, if it has none."""
    return node if node.lpar else node.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


def awaited(node: Any, *, parens_of: Any = None, tight: bool = False) -> cst.Await:
    """``await node``. The parentheses of what it replaces stay where they are needed: over lines, and in ``(..).x``."""
    if not isinstance(node, cst.Call | cst.Name | cst.Attribute | cst.Subscript) and not node.lpar:
        node = in_parens(node)
    made = cst.Await(node)
    if tight:
        return in_parens(made)  # type: ignore[no-any-return]
    if parens_of is not None and parens_of.lpar and _many_lines(parens_of.with_changes(lpar=[], rpar=[])):
        return made.with_changes(lpar=parens_of.lpar, rpar=parens_of.rpar)
    if parens_of is not None and parens_of.lpar and "\n" in code(parens_of):
        return made.with_changes(lpar=parens_of.lpar, rpar=parens_of.rpar)
    return made


def as_arguments(container: cst.Tuple) -> cst.Call:
    """``batchio.gather(a, b)`` of a tuple, with the tuple's commas, lines and comments."""
    elements: Sequence[Any] = container.elements
    arguments = [cst.Arg(element.value, comma=element.comma) for element in elements]
    before: Any = cst.SimpleWhitespace("")
    if container.lpar:
        before = container.lpar[-1].whitespace_after
        final = arguments[-1]
        end = container.rpar[0].whitespace_before
        if isinstance(final.comma, cst.Comma):
            many = code(final.comma).strip() == "," and "\n" not in code(final.comma)
            comma: Any = final.comma.with_changes(whitespace_after=end) if many else final.comma
            if isinstance(end, cst.SimpleWhitespace) and len(elements) == 1:
                comma = cst.MaybeSentinel.DEFAULT
            arguments[-1] = final.with_changes(comma=comma)
        else:
            arguments[-1] = final.with_changes(whitespace_after_arg=end)
    elif isinstance(arguments[-1].comma, cst.Comma):
        arguments[-1] = arguments[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return cst.Call(dotted("batchio.gather"), arguments, whitespace_before_args=before)


def literal_number(node: cst.BaseExpression) -> float | None:
    """The value of a number that is written down."""
    if isinstance(node, cst.Integer | cst.Float):
        return float(node.evaluated_value)
    return None


def commented(
    lines: Sequence[cst.EmptyLine], reasons: Sequence[str], header: Sequence[cst.EmptyLine] = ()
) -> list[cst.EmptyLine]:
    """Leading lines with one comment more for each reason that does not stand there yet.

    What stands above a file's first statement is no part of it, but of the module's header.
    """
    there = {line.comment.value for line in (*header, *lines) if line.comment}
    new = [f"{MARK}{reason}" for reason in dict.fromkeys(reasons) if f"{MARK}{reason}" not in there]
    return [*lines, *(cst.EmptyLine(comment=cst.Comment(text)) for text in new)]


def statement_of(text: str) -> cst.SimpleStatementLine:
    """A one-line statement from its text."""
    made = cst.parse_statement(text)
    assert isinstance(made, cst.SimpleStatementLine)
    return made


def named(node: cst.CSTNode, names: set[str]) -> bool:
    """Whether a node is one of these bare names."""
    return isinstance(node, cst.Name) and node.value in names


def first_name(node: cst.CSTNode) -> set[str]:
    """The name at the left end of a dotted one."""
    form: Form | None = form_of(node)
    while form and form[0] == "a":
        form = form[1]
    return {form[1]} if form and form[0] == "n" else set()


def keyword_or_place(arguments: Sequence[cst.Arg], place: int, name: str) -> cst.BaseExpression | None:
    """An argument of a call by its keyword, or by its place."""
    for argument in arguments:
        if argument.keyword and argument.keyword.value == name:
            return argument.value
    if place < len(arguments) and arguments[place].keyword is None:
        return arguments[place].value
    return None


def is_text(node: cst.CSTNode, text: str) -> bool:
    """Whether a node is a string of that text."""
    return isinstance(node, cst.SimpleString) and node.evaluated_value == text


def last(argument: cst.Arg) -> cst.Arg:
    """An argument as the last one of its call."""
    return argument.with_changes(comma=cst.MaybeSentinel.DEFAULT)
