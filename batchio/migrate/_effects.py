"""What a file's names do when they are called: which are loaders, which async functions only load, and which may do more.

Rules of this room:

- Reads with ``ast``, one file at a time; what comes out is plain data. Other files are ``_known``'s business.
- A name counts only if the module binds it exactly once, and nobody declares it global. In doubt a name is unknown.
- A function is clean when it assigns to names of its own alone, and does nothing but compute, load and raise. What it
  calls is kept as dotted names, to be looked at when all files are known. Reading an attribute counts as computing,
  unless some class of the files has a property of that name.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batchio.migrate._spent import dotted_of, hands

__all__ = ["Effects", "dotted_of", "effects", "stored"]

Definition = tuple[Any, ...]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# What a clean function may be made of, besides expressions that do nothing by themselves.
CLEAN = (
    *(ast.Return, ast.Assign, ast.AnnAssign, ast.If, ast.For, ast.While, ast.Raise, ast.Try, ast.ExceptHandler),
    *(ast.Pass, ast.Break, ast.Continue, ast.Expr, ast.Assert, ast.expr, ast.expr_context, ast.operator),
    *(ast.boolop, ast.unaryop, ast.cmpop, ast.comprehension, ast.keyword),
)
UNCLEAN = (ast.Lambda, ast.Yield, ast.YieldFrom)


@dataclass
class Effects:
    """What is known of one file."""

    module: str
    place: str
    package: bool
    names: dict[str, Definition] = field(default_factory=dict)
    """("import", dotted), ("made", dotted), ("class", dotted) of its base, or ("async", calls, hands), where calls is None
    unless it is clean, and hands is what gets a parameter of its own, None if it may use one up itself."""
    bound: set[str] = field(default_factory=set)
    properties: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    """What some function declares global or nonlocal: it may change while another waits."""


def effects(source: str, module: str, *, package: bool, place: str = "") -> Effects:
    """Read one file; SyntaxError if it is not Python."""
    tree = ast.parse(source)
    found = Effects(module, place or module, package)
    bindings = list(_bindings(tree, found))
    imports = {(name, known) for name, known in bindings if known and known[0] == "import"}  # the same twice is once
    others = [(name, known) for name, known in bindings if (name, known) not in imports]
    times = Counter(name for name, _ in [*imports, *others])
    found.bound = set(times)
    found.shared = {
        name for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names
    }
    once = {name: known for name, known in bindings if known and times[name] == 1}
    found.names = {name: known for name, known in once.items() if name not in found.shared}
    found.properties = set(_properties(tree))
    return found


def stored(node: ast.AST) -> set[str]:
    """Every name that is bound anywhere inside a function or class, whoever sees it."""
    names: set[str] = set()
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                names.add(name)
            case ast.Global(names=many) | ast.Nonlocal(names=many):
                names.update(many)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.update({name} if each is not node else ())
    return names


# --- what a module binds ----------------------------------------------------------------------------------------------


def _bindings(tree: ast.Module, file: Effects) -> Iterator[tuple[str, Definition | None]]:
    """Each binding of a module's scope, wherever in it: in its ifs and tries too."""
    ahead: list[ast.AST] = list(reversed(tree.body))
    while ahead:
        node = ahead.pop()
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, _defined(node)
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imported(node, file)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id, None
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and len(node.targets) == 1:
            yield node.targets[0].id, _made(node.value)
            ahead.append(node.value)
            continue
        ahead += reversed(list(ast.iter_child_nodes(node)))


def _made(value: ast.expr) -> Definition | None:
    maker = dotted_of(value.func) if isinstance(value, ast.Call) else None
    return ("made", maker) if maker else None


def _imported(node: ast.Import | ast.ImportFrom, file: Effects) -> Iterator[tuple[str, Definition]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, ("import", f"{_absolute(node, file)}.{alias.name}")
        elif alias.asname:
            yield alias.asname, ("import", alias.name)
        else:  # `import a.b` and `import a.c` bind one thing
            yield alias.name.partition(".")[0], ("import", alias.name.partition(".")[0])


def _absolute(node: ast.ImportFrom, file: Effects) -> str:
    if not node.level:
        return node.module or ""
    parts = file.module.split(".")
    keep = len(parts) - node.level + (1 if file.package else 0)
    return ".".join([*parts[:keep], *filter(None, [node.module])])


def _defined(node: Any) -> Definition | None:
    """A definition at the top of a file: decorated by one thing, or by none."""
    decorators = [dotted_of(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list]
    if isinstance(node, ast.ClassDef):
        own = {each.name for each in node.body if isinstance(each, FUNCTIONS)}
        plain = len(node.bases) == 1 and not decorators and not own & {"__call__", "load", "load_many"}
        base = dotted_of(node.bases[0]) if plain else None
        return ("class", base) if base else None
    if len(decorators) == 1 and decorators[0]:
        return ("made", decorators[0])
    return ("async", _calls(node), hands(node)) if isinstance(node, ast.AsyncFunctionDef) and not decorators else None


def _properties(tree: ast.Module) -> Iterator[str]:
    """What runs code when it is read: decorated methods that are no static or class methods."""
    for node in ast.walk(tree):
        for each in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(each, FUNCTIONS) and {dotted_of(one) for one in each.decorator_list} - {
                "staticmethod",
                "classmethod",
            }:
                yield each.name


# --- what a function does ---------------------------------------------------------------------------------------------


def _calls(function: ast.AsyncFunctionDef) -> tuple[str, ...] | None:
    """What a clean function calls, by dotted names; None for one that is not clean."""
    own = stored(function)
    calls: list[str] = []
    for statement in function.body:
        for node in ast.walk(statement):
            if not isinstance(node, CLEAN) or isinstance(node, UNCLEAN) or not _writes_names_alone(node):
                return None
            if isinstance(node, ast.comprehension) and node.is_async:
                return None
            if isinstance(node, ast.Await) and not isinstance(node.value, ast.Call):
                return None
            if isinstance(node, ast.Call):
                name = _called(node)
                if name is None or name.partition(".")[0] in own:
                    return None
                calls.append(name)
            elif isinstance(node, ast.Attribute):
                calls.append(f"?.{node.attr}")  # is it a property of somebody's?
    return tuple(calls)


def _writes_names_alone(node: ast.AST) -> bool:
    return not (isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del))


def _called(node: ast.Call) -> str | None:
    """What is called, by its name; a method of a string that is written down is nobody's else."""
    if any(keyword.arg == "key" for keyword in node.keywords):
        return None  # sorted(xs, key=...) calls that
    match node.func:
        case ast.Attribute(value=ast.Constant(value=str()) | ast.JoinedStr(), attr="join" | "format"):
            return "str"
    return dotted_of(node.func)
