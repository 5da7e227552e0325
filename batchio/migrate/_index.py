"""What a file defines: its functions and their kinds, its classes, and what each name in each scope stands for.

Rules of this room:

- Reads with the standard library's ``ast``: it is quick, and what comes out is plain data that travels to processes.
- One file at a time; nothing here knows the other files. What a name from elsewhere means is ``world``'s business.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from batchio.migrate._facts import BUILTIN, IS_PROPERTY, Class, File, Form, Function, Scope, form_of, options_of
from batchio.migrate._scopes import FUNCTIONS, Binder, Unclear, apart, hint_of, public_names
from batchio.migrate._vocabulary import DECORATORS, canonical

__all__ = ["Unclear", "imports_of", "index", "is_asynq"]

PROPERTIES = {("n", "property"), ("n", "cached_property"), ("a", ("n", "functools"), "cached_property")}


def index(source: str, module: str, *, package: bool, place: str = "") -> File:
    """Read one file; SyntaxError if it is not Python."""
    file = File(module, place or module, package)
    tree = apart(ast.parse(source))
    scope = file.scopes[module] = Scope(module, "module", None, public=public_names(tree))
    _Reader(file, package=package).block(tree.body, scope)
    marks = [each for node in ast.walk(tree) for each in getattr(node, "decorator_list", [])]
    gone = {id(each) for mark in marks for each in ast.walk(mark)}
    for node in ast.walk(tree):
        match node:
            case ast.Name() | ast.Attribute() if id(node) in gone:  # what stays has its decorators among its marks
                pass
            case ast.Name(id=name):
                file.words.add(name)
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
                file.pairs.add((owner, name))
    return file


def is_asynq(file: File) -> bool:
    """Whether a file defines functions of asynq, or has something of asynq that others may import from it."""
    if any(function.kind not in {"plain", "native"} for function in file.functions.values()):
        return True
    return any(binding[0] == "m" and canonical(binding[1]) for binding in file.scopes[file.module].names.values())


def imports_of(file: File) -> set[str]:
    """Every word of the dotted names that a file imports."""
    return set[str]().union(*map(_words, file.scopes.values()))


def _words(scope: Scope) -> set[str]:
    imported = [binding[1] for binding in scope.names.values() if binding[0] == "m"]
    return {word for dotted in (*imported, *scope.stars) for word in dotted.split(".")}


class _Reader(Binder):
    """Walks a file, scope by scope."""

    def block(self, body: list[ast.stmt], scope: Scope) -> None:
        """Bind all names of a scope first, and look into its functions then: a body sees what stands below it."""
        inner: list[tuple[ast.AST, Scope, Function | None]] = []
        for statement in body:
            self.bind(statement, scope, inner)
        for node, below, function in inner:
            self.block(node.body, below)  # type: ignore[attr-defined]
            if function is not None:
                self._study(node, below, function)
        if scope.kind != "function":
            self._calls(body, scope, None)
        if scope.kind == "class":
            self._properties(body, scope)

    def define(self, node: Any, scope: Scope, inner: list[Any]) -> None:
        """Take in a function or class."""
        if isinstance(node, ast.ClassDef):
            self._class(node, scope, inner)
        else:
            self._function(node, scope, inner)

    def _properties(self, body: list[ast.stmt], scope: Scope) -> None:
        """``name = property(_name)``: what is called there is called at every access."""
        for statement in body:
            match statement:
                case ast.Assign(value=ast.Call(func=func) as made) if form_of(func) in PROPERTIES:
                    for value in (*made.args, *(keyword.value for keyword in made.keywords)):
                        binding = scope.names.get(value.id, ()) if isinstance(value, ast.Name) else ()
                        function = self.file.functions.get(binding[1]) if binding[:1] == ("f",) else None
                        if function is not None and function.kind not in {"plain", "native"}:
                            function.kept = IS_PROPERTY

    def _class(self, node: ast.ClassDef, scope: Scope, inner: list[Any]) -> None:
        path = self._path(scope, node.name)
        self.file.classes[path] = Class(path, scope.path, [form_of(base) for base in node.bases])
        self.put(scope, node.name, ("c", path))
        below = self.file.scopes[path] = Scope(path, "class", scope.path)
        inner.append((node, below, None))

    def _path(self, scope: Scope, name: str) -> str:
        return f"{scope.path}.{name}"

    def _function(self, node: Any, scope: Scope, inner: list[Any]) -> None:
        path = self._path(scope, node.name)
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        owner = scope.path if scope.kind == "class" else None
        function = Function(path, node.name, "plain", owner, names, hint=hint_of(node.returns))
        self._kind(node, scope, function)
        below = Scope(path, "function", scope.path)
        static = any(form_of(item) == ("n", "staticmethod") for item in node.decorator_list)
        if owner and names and not static:
            below.owner, below.first = owner, names[0]
            function.params = names[1:]
        _parameters(node, function, below)
        known = self.file.functions.get(path)
        if known is not None and _overloaded(node):
            return
        if known is not None and known.kind != function.kind and not known.overload:
            function.kind = known.kind if known.kind not in {"plain", "native"} else function.kind
            function.kept = "it is defined twice in one place, once for asynq and once not"
        function.overload = _overloaded(node)
        self.put(scope, node.name, ("f", path))
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
        function.is_property = any(form_of(each) in PROPERTIES for each in node.decorator_list)
        for decorator in node.decorator_list:
            made = isinstance(decorator, ast.Call)
            form = form_of(decorator.func if made else decorator)
            options = options_of(decorator) if made else None
            function.decorators += [form] if form else []
            function.marks.append((form, options))
            name = self.api(form, scope)
            if name in DECORATORS and options is not None:
                function.mark(name, options)

    # --- what a function does -----------------------------------------------------------------------------------

    def _study(self, node: Any, scope: Scope, function: Function) -> None:
        own = list(_own(node))
        function.yields = sum(isinstance(each, ast.Yield | ast.YieldFrom) for each in own)
        self._calls(node.body, scope, function)
        function.returns = [_returned(each.value) for each in own if isinstance(each, ast.Return)]
        if function.kind not in {"asynq", "pure", "proxy"} and not (function.kind == "plain" and function.marks):
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
                function.odd = "`yield from` in an asynq function"
        self._odd_results(node, scope, function)
        self._odd_tasks(own, scope, function)
        if any(isinstance(below, ast.Yield) for each in _lambdas(node) for below in ast.walk(each.body)):
            function.odd = "there is a yield in a lambda: make that a function of its own"
        if function.kind != "plain":
            function.kept = function.odd or function.kept

    def _odd_results(self, node: Any, scope: Scope, function: Function) -> None:
        """result() raises GeneratorExit, which `except BaseException` sees and a return statement does not raise."""
        for attempt in _own(node):
            if isinstance(attempt, ast.Try) and any(_catches_all(handler) for handler in attempt.handlers):
                for statement in attempt.body:
                    for call in (statement, *_own(statement)):
                        if isinstance(call, ast.Call) and self.api(form_of(call.func), scope) == "result":
                            function.odd = "result() inside a try that catches it: say what the handler is to see"

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
                function.odd = f"it looks at asynq's own task: .{each.attr}"

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
                self._arguments(node, form[-1], scope, function)
            if len(node.args) == 1 and not node.keywords and (made := form_of(node.args[0])):
                self.file.made.append((form, made, scope.path))

    def _arguments(self, call: ast.Call, name: str, scope: Scope, function: Function | None) -> None:
        given: list[tuple[int | str, ast.expr]] = list(enumerate(call.args))
        given += [(keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg]
        for place, value in given:
            form = form_of(value)
            self.file.arguments.append((name, place, form if form and form[0] in {"n", "a"} else ("?",), scope.path))
            if function is not None and form and form[0] in {"n", "a"}:
                function.hands.append((form, scope.path))


def _parameters(node: Any, function: Function, below: Scope) -> None:
    """Bind a function's parameters in its scope."""
    for place, name in enumerate(function.params):
        below.names[name] = ("p", place)
    arguments = node.args
    defaults = len(arguments.defaults) + sum(each is not None for each in arguments.kw_defaults)
    total = len(function.params) + len(arguments.kwonlyargs)
    function.least = max(0, total - defaults)
    function.most = None if arguments.vararg or arguments.kwarg else total
    for argument in arguments.kwonlyargs:
        below.names[argument.arg] = ("p", argument.arg)
    for argument in filter(None, (node.args.vararg, node.args.kwarg)):
        below.names[argument.arg] = ("=", BUILTIN)
    for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
        if hint := hint_of(argument.annotation):
            below.hints[argument.arg] = hint


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


def _lambdas(node: ast.AST) -> Iterator[ast.Lambda]:
    """The lambdas of a function's own body, but for those that ``asynq()(lambda x: ...)`` makes functions of."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Lambda):
            yield child
        if not isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            yield from _lambdas(
                child.func if isinstance(child, ast.Call) and isinstance(child.func, ast.Call) else child
            )


def _catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        each is None or (isinstance(each, ast.Name) and each.id in {"BaseException", "GeneratorExit"})
        for each in caught
    )
