"""What is known of a file, as plain data that travels to other processes.

Rules of this room: no questions and no answers, only what was seen. An expression that may name something is kept as a
*form*: ``("n", name)``, ``("a", form, attribute)``, ``("call", form)``, ``("item", form, place)`` of what a call returns,
``("super",)``, or ``("builtin",)`` for what is a list, a string, or the like; anything else is None.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from batchio.migrate._vocabulary import DECORATORS

__all__ = ["BUILTIN", "IS_PROPERTY", "Class", "File", "Form", "Function", "Options", "Scope", "form_of", "options_of"]

Form = tuple[Any, ...]
Options = tuple[tuple[str | None, Any], ...]
"""The arguments of a decorator: (keyword, value), where value is True or False, a form, or None."""

IS_PROPERTY = "it is a property, and every access to it would have to be awaited"

BUILTIN: Form = ("builtin",)
BUILTIN_KINDS = (
    *(ast.Dict, ast.List, ast.Set, ast.Tuple, ast.Constant, ast.JoinedStr),
    *(ast.DictComp, ast.ListComp, ast.SetComp, ast.GeneratorExp),
)


@dataclass
class Function:
    """One function: `kind` is asynq, pure, proxy, pure_proxy, generator, native or plain."""

    path: str
    name: str
    kind: str
    owner: str | None
    params: list[str]
    yields: int = 0
    sync_fn: str | None = None
    asyncio_fn: Form | None = None
    kept: str = ""
    overload: bool = False
    calls: list[tuple[str, Form, str]] = field(default_factory=list)
    """What it calls: (how, form, scope), where how is `call`, `asynq` or `asyncio`."""
    contexts: list[tuple[Form, str]] = field(default_factory=list)
    """What stands in its `with` statements around yields."""
    returns: list[Form | tuple[Form | None, ...] | None] = field(default_factory=list)
    """What it returns: a form, or for a tuple ("tuple", form, ...)."""
    inside: list[tuple[Form, str]] = field(default_factory=list)
    """What is called inside such `with` statements."""
    hands: list[tuple[Form, str]] = field(default_factory=list)
    """What it hands over to others in its calls."""
    decorators: list[Form] = field(default_factory=list)
    """What decorates it, in the scope of its definition."""
    marks: list[tuple[Form | None, Options | None]] = field(default_factory=list)
    """Its decorators again, with their options; None of one that is not called."""
    odd: str = ""
    """Why it would have to stay asynq if it were asynq's."""
    hint: Form | None = None
    """The class that the annotation of its result names."""
    is_property: bool = False
    least: int = 0
    """How many arguments it needs, besides the instance."""
    most: int | None = None
    """How many it takes at most; None for any number."""

    def mark(self, name: str, options: Options) -> None:
        """Make it what a decorator of asynq's makes of it."""
        self.kind = DECORATORS[name]
        for keyword, value in options:
            if keyword == "pure" and value is True:
                self.kind = {"asynq": "pure", "proxy": "pure_proxy"}[self.kind]
            elif keyword == "sync_fn":
                self.kept = "sync_fn makes two functions of one: keep both, and choose at each call"
            elif keyword == "asyncio_fn" and value:
                self.asyncio_fn = value
            elif keyword != "pure" or value is not False:
                self.kept = f"{keyword or '**'}= of an asynq decorator has no counterpart"
        if self.is_property:
            self.kept = IS_PROPERTY
        if self.name.startswith("__") and self.name.endswith("__") and self.name != "__call__":
            self.kept = "Python calls it by itself, and awaits nothing"


@dataclass
class Class:
    """One class, and its bases as forms in the scope of its definition."""

    path: str
    scope: str
    bases: list[Form | None]


@dataclass
class Scope:
    """What the names of a module, class or function stand for.

    A binding is ("f", path), ("c", path), ("m", dotted name), ("p", place), ("=", form), ("@", form, scope) for what a
    method puts into its instance, ("i", form) for an instance of an annotation's class, ("|", name, bindings) for one of
    several, or ("?",).
    """

    path: str
    kind: str
    parent: str | None
    names: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    owner: str | None = None
    """The class whose method this scope is."""
    first: str | None = None
    """The name of the parameter that is the instance or the class."""
    hints: dict[str, Form] = field(default_factory=dict)
    """The classes that its parameters' annotations name."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """The names that it declares global or nonlocal, and the scope that has them."""
    asked: set[str] = field(default_factory=set)
    """The names of which ``.asynq`` is called in it."""
    stars: list[str] = field(default_factory=list)
    """The modules that it imports ``*`` from, in order."""
    public: set[str] | None = None
    """What its ``__all__`` says; None for none, or for one that is not written down."""


@dataclass
class File:
    """All that one file defines."""

    module: str
    """The name by which the run knows it, which no other file has."""
    place: str = ""
    """Its path as a dotted name: whatever it is imported as is the end of that."""
    package: bool = False
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    arguments: list[tuple[str, int | str, Form, str]] = field(default_factory=list)
    """Names that are handed over in calls: (callee's last name, place, form, scope)."""
    made: list[tuple[Form, Form, str]] = field(default_factory=list)
    """Calls with one argument, as those of a decorator by hand: (callee, argument, scope)."""
    words: set[str] = field(default_factory=set)
    """All names in it."""
    pairs: set[tuple[str, str]] = field(default_factory=set)
    """All attributes in it: (last word of what has it, its name)."""


def form_of(node: ast.AST | None) -> Form | None:
    """An expression as a form."""
    match node:
        case ast.Name(id=name):
            return ("n", name)
        case ast.Attribute(value=value, attr=attr):
            base = form_of(value)
            return ("a", base, attr)
        case ast.Call(func=ast.Name(id="super")):
            return ("super",)
        case ast.Call(func=ast.Name(id="type"), args=[argument]):
            return form_of(argument)
        case ast.Call(func=func):
            base = form_of(func)
            return base and ("call", base)
    return BUILTIN if isinstance(node, BUILTIN_KINDS) and not _is_none(node) else None


def options_of(call: ast.Call) -> Options:
    """The arguments of a call, as options of a decorator."""
    given: list[tuple[str | None, Any]] = [("*", None) for _ in call.args]
    for keyword in call.keywords:
        value = keyword.value
        known = value.value if isinstance(value, ast.Constant) and isinstance(value.value, bool) else form_of(value)
        given.append((keyword.arg, known))
    return tuple(given)


def _is_none(node: ast.AST) -> bool:
    """None says nothing of what else may come into its place."""
    return isinstance(node, ast.Constant) and node.value is None
