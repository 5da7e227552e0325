"""What each name of a scope stands for, by the statements that bind it.

Rules of this room:

- A name that is bound twice stands for either. Only a definition or an import takes a name for itself, because what it
  hides is seldom called any more; and the second of two equal bindings is none.
- What a comprehension binds is its own: there a name is spelled so that it stands for nothing.
- What is declared global or nonlocal is bound where it lives, and not in the function that does it.
"""

from __future__ import annotations

import ast
from typing import Any

from batchio.migrate._facts import BUILTIN, File, Form, Scope, form_of, options_of
from batchio.migrate._vocabulary import canonical

__all__ = ["Binder", "Unclear", "apart", "hint_of", "public_names"]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
UNKNOWN = ("?",)
BUILTIN_TYPES = frozenset(
    """bool bytes dict float frozenset int list set str tuple Dict Iterable Iterator List Mapping MutableMapping Sequence
    Set Tuple""".split()  # noqa: SIM905  # a table
)


class Unclear(Exception):
    """A file that cannot be understood: a sentence."""


class Binder:
    """Binds the names of a file's scopes; functions and classes are its subclass's business."""

    def __init__(self, file: File, *, package: bool) -> None:
        self.file, self.package = file, package

    def define(self, node: Any, scope: Scope, inner: list[Any]) -> None:
        """Take in a function or class."""
        raise NotImplementedError

    def bind(self, node: ast.AST, scope: Scope, inner: list[Any]) -> None:
        """Bind what a statement binds; the bodies within it are put into `inner`, to be looked at later."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.define(node, scope, inner)
                return
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return
            case ast.Import() | ast.ImportFrom():
                self._import(node, scope)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                self._declare(names, scope, module=isinstance(node, ast.Global))
            case ast.Assign() if self._assign(node, scope):
                self.bind(node.value, scope, inner)
                return
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                form = form_of(value)
                hint = hint_of(annotation)
                self.put(scope, name, ("=", form) if form else ("i", hint) if hint else UNKNOWN)
                return
            case ast.AnnAssign(target=ast.Attribute(value=ast.Name(id=name), attr=attr), annotation=annotation):
                if scope.owner and name == scope.first:
                    hint = hint_of(annotation)
                    self.put(self.file.scopes[scope.owner], attr, ("i", hint) if hint else UNKNOWN)
                return
            case ast.Name(id=name, ctx=ast.Store()):
                self.put(scope, name, UNKNOWN)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                self.put(scope, name, UNKNOWN)
            case ast.ExceptHandler(name=str(name)):
                self.put(scope, name, UNKNOWN)
        for child in ast.iter_child_nodes(node):
            self.bind(child, scope, inner)

    def put(self, scope: Scope, name: str, binding: tuple[Any, ...]) -> None:
        """Bind a name, beside what it is bound to already."""
        where = self.file.scopes.get(scope.elsewhere.get(name, ""), scope)
        known = where.names.get(name)
        taken = where is scope and binding[0] in {"f", "c", "m"}
        if known is None or known == binding or taken:
            where.names[name] = binding
            return
        several = known[2] if known[0] == "|" else (known,)
        where.names[name] = ("|", name, several if binding in several else (*several, binding))

    def _declare(self, names: list[str], scope: Scope, *, module: bool) -> None:
        for name in names:
            home = self.file.module if module else scope.parent
            while not module and home and name not in self.file.scopes[home].names:
                home = self.file.scopes[home].parent
            if home:
                scope.elsewhere[name] = home

    def _import(self, node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                first = alias.name.split(".")[0]
                self.put(scope, alias.asname or first, ("m", alias.name if alias.asname else first))
                continue
            base = self._absolute(node)
            if alias.name == "*" and canonical(f"{base}.x"):
                raise Unclear("imports * from asynq: import the names that it uses, and run again")
            if alias.name == "*":
                scope.stars.append(base)
            else:
                self.put(scope, alias.asname or alias.name, ("m", f"{base}.{alias.name}"))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.file.module.split(".")
        keep = len(parts) - node.level + (1 if self.package else 0)
        return ".".join([*parts[:keep], *filter(None, [node.module])])

    def _assign(self, node: ast.Assign, scope: Scope) -> bool:
        """An assignment of which something is known: to one name, to several from a call, or to an attribute."""
        form = form_of(node.value)
        match node.targets:
            case [ast.Name(id=name)]:
                if form and isinstance(node.value, ast.Call) and form[0] == "call":
                    form = (*form, options_of(node.value))  # it may be a decorator that is made here
                self.put(scope, name, ("=", form) if form else UNKNOWN)
            case [ast.Tuple(elts=targets)] if isinstance(node.value, ast.Call) and all(map(_is_name, targets)):
                for place, target in enumerate(targets):
                    assert isinstance(target, ast.Name)
                    self.put(scope, target.id, ("=", ("item", form, place)) if form else UNKNOWN)
            case [ast.Attribute(value=ast.Name(id=name), attr=attr)] if scope.owner and name == scope.first:
                self.put(self.file.scopes[scope.owner], attr, ("@", form, scope.path) if form else UNKNOWN)
            case _:
                return False
        return True


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


def hint_of(annotation: ast.expr | None) -> Form | None:
    """The class that an annotation names: of ``C``, ``"C"``, ``C | None`` and ``Optional[C]``."""
    match annotation:
        case ast.Constant(value=str(text)):
            try:
                return hint_of(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return None
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            named = [each for each in (left, right) if not (isinstance(each, ast.Constant) and each.value is None)]
            return hint_of(named[0]) if len(named) == 1 else None
        case ast.Subscript(value=kind, slice=inner):
            form = form_of(kind)
            return hint_of(inner) if form and form[-1] in {"Optional", "Annotated", "Final"} else hint_of(kind)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in BUILTIN_TYPES:
            return BUILTIN
        case ast.Name() | ast.Attribute():
            return form_of(annotation)
    return None


def public_names(tree: ast.Module) -> set[str] | None:
    """What ``__all__`` says, if it is written down as a list."""
    found: set[str] | None = None
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=value)
                | ast.AugAssign(target=ast.Name(id="__all__"), value=value)
            ):
                names = [each.value for each in getattr(value, "elts", [None]) if isinstance(each, ast.Constant)]
                if len(names) != len(getattr(value, "elts", [None])):
                    return None
                found = (found or set()) | set(map(str, names))
    return found


def apart(tree: ast.Module) -> ast.Module:
    """A tree in which what comprehensions bind has names that stand for nothing else."""
    for node in ast.walk(tree):
        if isinstance(node, COMPREHENSIONS):
            names = {
                each.id for loop in node.generators for each in ast.walk(loop.target) if isinstance(each, ast.Name)
            }
            outside = set(map(id, ast.walk(node.generators[0].iter)))
            for each in ast.walk(node):
                if isinstance(each, ast.Name) and each.id in names and id(each) not in outside:
                    each.id = f"<{each.id}>"
    return tree
