"""Which names an expression or a file uses: in its code, and in annotations that are written as text.

Rules of this room: questions only. What a name stands for is nobody's business here, so a name too many may be given.
"""

from __future__ import annotations

import ast

import libcst as cst

__all__ = ["names_in", "names_in_annotations", "names_in_strings", "used_names"]


class _Names(cst.CSTVisitor):
    """Every name, but for those of attributes and keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def visit_Name(self, node: cst.Name) -> None:
        self.found.add(node.value)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        node.value.visit(self)
        return False

    def visit_Arg(self, node: cst.Arg) -> bool:
        node.value.visit(self)
        return False


class _Used(_Names):
    """The same but for those that are defined or imported."""

    def __init__(self) -> None:
        super().__init__()
        self.named: set[int] = set()

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self.named.add(id(node.name))

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self.named.add(id(node.name))

    def visit_Name(self, node: cst.Name) -> None:
        if id(node) not in self.named:
            super().visit_Name(node)

    def visit_Param(self, node: cst.Param) -> None:
        self.named.add(id(node.name))

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False


def names_in(node: cst.CSTNode) -> set[str]:
    """The names that an expression reads."""
    names = _Names()
    node.visit(names)
    return names.found


def used_names(module: cst.Module) -> set[str]:
    """The names that a file uses, and does not only define or import."""
    names = _Used()
    module.visit(names)
    return names.found


def names_in_annotations(text: str) -> set[str]:
    """Every name in an annotation that is written as text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(annotation, ast.expr):
                found |= names_in_strings(ast.unparse(annotation))
    return found


def names_in_strings(text: str) -> set[str]:
    """Every name in a string that is an expression, as annotations are that are written as text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                inner = ast.parse(node.value.strip(), mode="eval")
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            found |= {each.id for each in ast.walk(inner) if isinstance(each, ast.Name)}
    return found
