"""Whether an async function may use up what it is given, as going through an iterator does.

Rules of this room: reads with ``ast``, one function at a time. A parameter is safe where it is only looked at, or where its
annotation says that it is a container or a plain value; in doubt it is used up. Two calls that use up one thing may not
run at the same time: each would get a part of it.
"""

from __future__ import annotations

import ast

__all__ = ["dotted_of", "hands"]

LOOKING = (ast.Attribute, ast.FormattedValue, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.If, ast.IfExp, ast.While)
BUILTINS = frozenset(
    """abs bool chr complex divmod float hash id int isinstance issubclass len ord pow range repr round slice str
    type""".split()  # noqa: SIM905  # a table
)
LASTING = frozenset(
    """bool bytes date datetime dict float frozenset int list set str tuple Decimal Dict FrozenSet List Mapping Sequence Set
    Tuple UUID""".split()  # noqa: SIM905  # a table
)


def dotted_of(node: ast.AST) -> str | None:
    """``a.b.c`` of such an expression."""
    if isinstance(node, ast.Name):
        return node.id
    base = dotted_of(node.value) if isinstance(node, ast.Attribute) else None
    return f"{base}.{node.attr}" if base and isinstance(node, ast.Attribute) else None


def hands(function: ast.AsyncFunctionDef) -> tuple[str, ...] | None:
    """What a function hands its parameters to, by dotted names; None if it may use one up itself."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    names = {each.arg for each in given if not _lasts(each.annotation)}
    above = {child: node for line in function.body for node in ast.walk(line) for child in ast.iter_child_nodes(node)}
    found: list[str] = []
    for node, parent in above.items():
        if isinstance(node, ast.Name) and node.id in names and not _only_looks(node, parent):
            called = _called(node, parent, above)
            if called is None:
                return None
            found += [called] if called not in BUILTINS else []
    return tuple(found)


def _lasts(annotation: ast.expr | None) -> bool:
    """Whether an annotation names something that can be gone through twice, or not at all."""
    match annotation:
        case ast.Subscript(value=kind):
            return _lasts(kind)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _lasts(left) and _lasts(right)
        case ast.Constant(value=value):
            return value is None
    return (dotted_of(annotation) or "").rpartition(".")[2] in LASTING if annotation else False


def _only_looks(node: ast.Name, parent: ast.AST) -> bool:
    match parent:
        case ast.Subscript():
            return True
        case ast.Compare(ops=ops, comparators=others):  # `x in them` goes through them, and not through x
            pairs = zip(ops, others, strict=True)
            return not any(other is node and isinstance(op, ast.In | ast.NotIn) for op, other in pairs)
    return isinstance(parent, LOOKING)


def _called(node: ast.AST, parent: ast.AST, above: dict[ast.AST, ast.AST]) -> str | None:
    """What gets a name as an argument."""
    if isinstance(parent, ast.keyword):
        node, parent = parent, above[parent]
    return dotted_of(parent.func) if isinstance(parent, ast.Call) and node is not parent.func else None
