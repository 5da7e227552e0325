"""What a file defines: its functions and their kinds, its classes, and what each name in each scope stands for.

Rules of this room:

- Reads with the standard library's ``ast``: it is quick, and what comes out is plain data that travels to processes.
- One file at a time; nothing here knows the other files. What a name from elsewhere means is ``world``'s business.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from batchio.migrate._facts import Class, File, Form, Function, Scope, form_of
from batchio.migrate._vocabulary import DECORATORS, canonical

__all__ = ["Unclear", "index", "is_asynq"]

PROPERTIES = {("n", "property"), ("n", "cached_property"), ("a", ("n", "functools"), "cached_property")}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Unclear(Exception):
    """A file that cannot be understood: a sentence."""


def index(source: str, module: str, *, package: bool, place: str = "") -> File:
    """Read one file; SyntaxError if it is not Python."""
    file = File(module, place or module, package)
    tree = ast.parse(source)
    scope = file.scopes[module] = Scope(module, "module", None)
    _Reader(file, package=package).block(tree.body, scope)
    return file


def is_asynq(file: File) -> bool:
    """Whether a file defines functions of asynq."""
    return any(function.kind not in {"plain", "native"} for function in file.functions.values())


class _Reader:
    """Walks a file, scope by scope."""

    def __init__(self, file: File, *, package: bool) -> None:
        self.file, self.package = file, package

    def block(self, body: list[ast.stmt], scope: Scope) -> None:
        """Bind all names of a scope first, and look into its functions then: a body sees what stands below it."""
        inner: list[tuple[ast.AST, Scope, Function | None]] = []
        for statement in body:
            self._bind(statement, scope, inner)
        for node, below, function in inner:
            self.block(node.body, below)  # type: ignore[attr-defined]
            if function is not None:
                self._study(node, below, function)
        if scope.kind != "function":
            self._calls(body, scope, None)

    def _bind(self, node: ast.AST, scope: Scope, inner: list[Any]) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, scope, inner)
                return
            case ast.ClassDef():
                self._class(node, scope, inner)
                return
            case ast.Import():
                for alias in node.names:
                    scope.names[alias.asname or alias.name.split(".")[0]] = (
                        "m",
                        alias.name if alias.asname else alias.name.split(".")[0],
                    )
            case ast.ImportFrom():
                base = self._absolute(node)
                for alias in node.names:
                    scope.names[alias.asname or alias.name] = ("m", f"{base}.{alias.name}")
                    if alias.name == "*" and canonical(f"{base}.x"):
                        raise Unclear("imports * from asynq: import the names that it uses, and run again")
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assign(scope, name, form_of(value))
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Call() as value):
                for place, target in enumerate(targets):
                    if isinstance(target, ast.Name):
                        form = form_of(value)
                        self._assign(scope, target.id, form and ("item", form, place))
            case ast.Name(id=name, ctx=ast.Store()):
                scope.names.setdefault(name, ("?",))
            case ast.Lambda() | ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return
        for child in ast.iter_child_nodes(node):
            self._bind(child, scope, inner)

    def _assign(self, scope: Scope, name: str, form: Form | None) -> None:
        known = scope.names.get(name)
        scope.names[name] = ("=", form) if form and known in {None, ("=", form)} else ("?",)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.file.module.split(".")
        keep = len(parts) - node.level + (1 if self.package else 0)
        return ".".join([*parts[:keep], *filter(None, [node.module])])

    def _class(self, node: ast.ClassDef, scope: Scope, inner: list[Any]) -> None:
        path = self._path(scope, node.name)
        self.file.classes[path] = Class(path, scope.path, [form_of(base) for base in node.bases])
        scope.names[node.name] = ("c", path)
        below = self.file.scopes[path] = Scope(path, "class", scope.path)
        inner.append((node, below, None))

    def _path(self, scope: Scope, name: str) -> str:
        return f"{scope.path}.{name}"

    def _function(self, node: Any, scope: Scope, inner: list[Any]) -> None:
        path = self._path(scope, node.name)
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        owner = scope.path if scope.kind == "class" else None
        function = Function(path, node.name, "plain", owner, names)
        self._kind(node, scope, function)
        below = Scope(path, "function", scope.path)
        static = any(form_of(item) == ("n", "staticmethod") for item in node.decorator_list)
        if owner and names and not static:
            below.owner, below.first = owner, names[0]
            function.params = names[1:]
        for place, name in enumerate(function.params):
            below.names[name] = ("p", place)
        for argument in (*node.args.kwonlyargs, node.args.vararg, node.args.kwarg):
            if argument:
                below.names[argument.arg] = ("p", argument.arg)
        known = self.file.functions.get(path)
        if known is not None and _overloaded(node):
            return
        if known is not None and known.kind != function.kind and not known.overload:
            function.kind = known.kind if known.kind not in {"plain", "native"} else function.kind
            function.kept = "it is defined twice in one place, once for asynq and once not"
        function.overload = _overloaded(node)
        scope.names[node.name] = ("f", path)
        self.file.functions[path] = function
        self.file.scopes[path] = below
        inner.append((node, below, function))

    # --- what kind of function --------------------------------------------------------------------------------

    def api(self, form: Form | None, scope: Scope) -> str | None:
        """The canonical asynq name of a form, as far as this file's imports tell."""
        if form is None:
            return None
        dotted = self._dotted(form, scope)
        return canonical(dotted) if dotted else None

    def _dotted(self, form: Form, scope: Scope) -> str | None:
        if form[0] == "a" and form[1]:
            base = self._dotted(form[1], scope)
            return base and f"{base}.{form[2]}"
        if form[0] != "n":
            return None
        where: Scope | None = scope
        while where is not None:
            if binding := where.names.get(form[1]):
                if binding[0] == "m":
                    return str(binding[1])
                return (
                    f"asynq.{form[1]}"
                    if where.path.startswith("asynq.") and binding[0] == "f" and where.kind == "module"
                    else None
                )
            where = self.file.scopes.get(where.parent) if where.parent else None
        return None

    def _kind(self, node: Any, scope: Scope, function: Function) -> None:
        if isinstance(node, ast.AsyncFunctionDef):
            function.kind = "native"
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call):
                continue
            name = self.api(form_of(decorator.func), scope)
            if name in DECORATORS:
                function.kind = DECORATORS[name]
                self._options(decorator, function)

        if function.kind != "plain" and any(form_of(each) in PROPERTIES for each in node.decorator_list):
            function.kept = "it is a property, and every access to it would have to be awaited"

    def _options(self, decorator: ast.Call, function: Function) -> None:
        for keyword in decorator.keywords:
            match keyword:
                case ast.keyword(arg="pure", value=ast.Constant(value=True)):
                    function.kind = {"asynq": "pure", "proxy": "pure_proxy"}[function.kind]
                case ast.keyword(arg="pure", value=ast.Constant(value=False)):
                    pass
                case ast.keyword(arg="sync_fn"):
                    function.kept = "sync_fn makes two functions of one: keep both, and choose at each call"
                case ast.keyword(arg="asyncio_fn", value=value) if form_of(value):
                    function.asyncio_fn = form_of(value)
                case ast.keyword(arg=name):
                    function.kept = f"{name or '**'}= of an asynq decorator has no counterpart"

    # --- what a function does -----------------------------------------------------------------------------------

    def _study(self, node: Any, scope: Scope, function: Function) -> None:
        own = list(_own(node))
        function.yields = sum(isinstance(each, ast.Yield | ast.YieldFrom) for each in own)
        self._calls(node.body, scope, function)
        function.returns = [_returned(each.value) for each in own if isinstance(each, ast.Return)]
        if function.kind not in {"asynq", "pure", "proxy"}:
            return
        for each in own:
            if isinstance(each, ast.With) and any(isinstance(below, ast.Yield) for below in _own(each)):
                forms = [form_of(item.context_expr) for item in each.items]
                function.contexts += [(form, scope.path) for form in forms if form]
                function.inside += [
                    (form, scope.path)
                    for below in _own(each)
                    if isinstance(below, ast.Call) and (form := form_of(below.func))
                ]
            if isinstance(each, ast.YieldFrom):
                function.kept = function.kept or "`yield from` in an asynq function"
        self._odd_results(node, scope, function)
        self._odd_tasks(own, scope, function)

    def _odd_results(self, node: Any, scope: Scope, function: Function) -> None:
        """result() raises GeneratorExit, which `except BaseException` sees and a return statement does not raise."""
        for attempt in _own(node):
            if isinstance(attempt, ast.Try) and any(_catches_all(handler) for handler in attempt.handlers):
                for statement in attempt.body:
                    for call in (statement, *_own(statement)):
                        if isinstance(call, ast.Call) and self.api(form_of(call.func), scope) == "result":
                            function.kept = "result() inside a try that catches it: say what the handler is to see"

    def _odd_tasks(self, own: list[ast.AST], scope: Scope, function: Function) -> None:
        """What looks inside asynq's AsyncTask has no task to look into afterwards."""
        tasks = {
            each.targets[0].id
            for each in own
            if isinstance(each, ast.Assign)
            and isinstance(each.targets[0], ast.Name)
            and isinstance(each.value, ast.Call)
            and (self.api(form_of(each.value.func), scope) or "").endswith("get_active_task")
        }
        for each in own:
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id in tasks:
                function.kept = f"it looks at asynq's own task: .{each.attr}"

    def _calls(self, body: list[ast.stmt], scope: Scope, function: Function | None) -> None:
        for node in (
            each
            for statement in body
            for each in (statement, *_own(statement))
            if not isinstance(statement, (*FUNCTIONS, ast.ClassDef))
        ):
            if not isinstance(node, ast.Call):
                continue
            how, form = "call", form_of(node.func)
            if form and form[0] == "a" and form[2] in {"asynq", "asyncio"}:
                how, form = form[2], form[1]
            if form is None:
                continue
            if function is not None:
                function.calls.append((how, form, scope.path))
            if how == "asynq" and form[0] == "n":
                scope.asked.add(form[1])
            if form[0] in {"n", "a"}:
                self._arguments(node, form[-1], scope)

    def _arguments(self, call: ast.Call, name: str, scope: Scope) -> None:
        given: list[tuple[int | str, ast.expr]] = list(enumerate(call.args))
        given += [(keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg]
        for place, value in given:
            form = form_of(value)
            self.file.arguments.append((name, place, form if form and form[0] in {"n", "a"} else ("?",), scope.path))


def _overloaded(node: Any) -> bool:
    return any((form_of(each) or ("",))[-1] == "overload" for each in node.decorator_list)


def _returned(value: ast.expr | None) -> Form | None:
    if isinstance(value, ast.Tuple):
        return ("tuple", *map(form_of, value.elts))
    return form_of(value)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function's own body: not those of functions and classes within it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            continue
        yield child
        yield from _own(child)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        each is None or (isinstance(each, ast.Name) and each.id in {"BaseException", "GeneratorExit"})
        for each in caught
    )
