"""What a name stands for, across imports, classes and calls.

Rules of this room:

- An answer that is not certain is None, or ("maybe", name) where it may be an async function: then a human is asked.
- The one guess: a method that is known by its name alone, when every method of that name in all files is of one kind and
  no builtin type has one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from batchio.migrate._exports import Exports, Found
from batchio.migrate._facts import BUILTIN, Class, Form, Function, Scope
from batchio.migrate._vocabulary import API_METHODS, ASYNC_API, BUILTIN_ATTRIBUTES, DECORATORS, canonical

__all__ = ["DEPTH", "KINDS", "Answer", "Names"]

KINDS = {"asynq", "pure", "proxy", "pure_proxy", "generator"}
BUILTIN_MAKERS = {("n", kind.__name__) for kind in (bytes, dict, frozenset, int, list, set, str, tuple)}
CLOSED = {("n", name) for name in ("object", "Exception", "ABC", "NamedTuple", "Enum", "dict", "list", "str", "tuple")}
DEPTH = 12  # aliases of aliases, bases of bases

Answer = tuple[Any, ...]
"""("function", Function), ("class", Class), ("instance", Class), ("api", name), ("made", name of an api class),
("module", dotted), ("builtin",), ("maybe", name of what may be an async function)."""


@dataclass
class Names(Exports):
    """The names of all files."""

    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    methods: dict[str, list[Function]] = field(default_factory=dict)
    parameters: dict[tuple[str, int | str], set[str]] = field(default_factory=dict)
    asked: set[tuple[str, str]] = field(default_factory=set)
    """Names of which ``.asynq`` is called somewhere, with the scope that binds them."""
    wrapped: set[str] = field(default_factory=set)
    """Plain functions that a decorator makes async."""
    undone: set[tuple[Form, str]] = field(default_factory=set)
    """What is called with a generator that stays asynq, as ``asynq()(generator)``, and where."""
    below: dict[str, list[Class]] = field(default_factory=dict)
    """The classes that derive from a class, by its path."""
    answers: dict[tuple[Form, str], Answer | None] | None = None
    """What was answered before, once all is settled."""
    asking: set[tuple[str, str]] = field(default_factory=set)
    """The names of several bindings that are being resolved: one of these may be made of the name itself."""

    def kind(self, answer: Answer | None) -> str | None:
        """The kind of function that an answer is, if any."""
        if answer is None:
            return None
        if answer[0] == "function":
            return answer[1].kind  # type: ignore[no-any-return]
        if answer[0] == "api" and answer[1] in ASYNC_API:
            return "asynq"
        if answer[0] == "api method":
            return "asynq"
        return answer[2] if answer[0] == "parameter" else None

    def kept(self, answer: Answer | None) -> bool:
        """Whether an answer is a function that stays asynq."""
        return bool(answer and answer[0] == "function" and answer[1].kept)

    def turns_async(self, answer: Answer | None) -> bool:
        """Whether an answer is a function that a plain call did run, and that is a coroutine function afterwards."""
        return self.kind(answer) in {"asynq", "proxy"} and not self.kept(answer)

    # --- names ------------------------------------------------------------------------------------------------

    def resolve(self, form: Form | None, scope: str, depth: int = DEPTH) -> Answer | None:
        """What a form stands for in a scope."""
        if form is None or depth <= 0:
            return None
        if depth < DEPTH or self.answers is None:
            return self._resolved(form, scope, depth)
        if (form, scope) not in self.answers:
            self.answers[form, scope] = self._resolved(form, scope, depth)
        return self.answers[form, scope]

    def _resolved(self, form: Form, scope: str, depth: int) -> Answer | None:
        if form[0] == "n":
            return self._name(form[1], scope, depth)
        if form[0] == "super":
            return self._super(scope, depth)
        if form == BUILTIN or (form[0] == "a" and form[2] == "__dict__"):
            return BUILTIN
        if form[0] == "item":
            return self._item(form, scope, depth - 1)
        if form[0] == "call":
            made = self.resolve(form[1], scope, depth - 1)
            if made and made[0] == "class":
                return ("instance", made[1])
            if made and made[0] == "function":
                return ("generator",) if made[1].kind == "generator" else self._returned(made[1], None, depth - 1)
            if made is None and form[1] in BUILTIN_MAKERS:
                return BUILTIN
            if made and made[0] == "made" and made[1] in DECORATORS and form[1][0] == "call":
                return None if (form[1], scope) in self.undone else ("parameter", made[1], "asynq")  # asynq()(function)
            return ("made", made[1], *form[2:]) if made and made[0] == "api" else None
        if form[0] == "a":
            base = self.resolve(form[1], scope, depth - 1)
            if form[2] == "asynq" and form[1] and not (base and base[0] in {"api", "module"}) and not self.kept(base):
                return ("parameter", "asynq", "pure")
            if base is None or base[0] == "maybe":
                return self._of_unknown(form[1], form[2], scope)
            found = self._attribute(base, form[2], depth)
            if found and found[0] == "function" and found[1].is_property and found[1].kind == "plain":
                return self._returned(found[1], None, depth - 1)
            return found if found or form[1] == ("super",) else self._of_others(base, form[2], depth)
        return None

    def _item(self, form: Form, scope: str, depth: int) -> Answer | None:
        made = self.resolve(form[1][1], scope, depth)
        return self._returned(made[1], form[2], depth) if made and made[0] == "function" else None

    def _returned(self, function: Function, place: int | None, depth: int) -> Answer | None:
        """What a plain function returns, if it always returns the same."""
        if function.kind == "plain" and function.hint and place is None and function.path in self.scopes:
            return self._instance(function.hint, self.scopes[function.path], depth)
        if function.kind != "plain" or len(function.returns) != 1 or depth <= 0:
            return None
        form = function.returns[0]
        if form and place is not None:
            form = form[place + 1] if form[0] == "tuple" and place + 1 < len(form) else None
        if form is None or form[0] == "tuple":
            return None
        return self.resolve(form, function.path, depth)

    def _of_unknown(self, owner: Form | None, name: str, scope: str) -> Answer | None:
        """A method of who knows what: not of a module, and of what Python's library gives only if it has not that name."""
        if owner and owner[0] == "n" and (found := self._binding(owner[1], scope)):
            binding = found[0]
            if binding[0] == "m" and ("." not in binding[1] or _is_of_python(binding[1])):
                return None
        answer = self._by_name(name)
        if answer is None or not self.comes_from_python(owner, scope):
            return answer
        return None if name in BUILTIN_ATTRIBUTES or self.kind(answer) == "native" else ("maybe", name)

    def comes_from_python(self, form: Form | None, scope: str, depth: int = DEPTH) -> bool:
        """Whether an expression is made by Python's own library, or named after it by an annotation."""
        while form and form[0] in {"a", "call", "item"} and not self._is_own(form):
            form = form[1]
        if not form or depth <= 0:
            return False
        found = self._binding(form[1], scope) if form[0] == "n" else self._own(form, scope)
        if found is None:
            return form == BUILTIN
        binding, where = found
        match binding:
            case ("m", dotted):
                return _is_of_python(dotted)
            case ("=" | "i", made):
                return self.comes_from_python(made, where.path, depth - 1)
            case ("@", made, path):
                return self.comes_from_python(made, path, depth - 1)
            case ("p", _) if form[0] == "n" and form[1] in where.hints:
                return self.comes_from_python(where.hints[form[1]], where.path, depth - 1)
        return False

    def _is_own(self, form: Form) -> bool:
        """Whether an expression is an attribute of a name, as ``self.x``."""
        return form[0] == "a" and bool(form[1]) and form[1][0] == "n" and form[1][1] in {"self", "cls"}

    def _own(self, form: Form, scope: str) -> Found | None:
        """What ``self.x`` is bound to."""
        answer = self.resolve(form[1], scope, 2) if self._is_own(form) else None
        where = self.scopes.get(answer[1].path) if answer and answer[0] in {"class", "instance"} else None
        return (where.names[form[2]], where) if where and form[2] in where.names else None

    def _binding(self, name: str, scope: str) -> Found | None:
        """What binds a name, and where."""
        where = start = self.scopes.get(scope)
        while where is not None:
            if (where is start or where.kind != "class") and (found := self.bound_in(where, name)):
                return found
            where = self.scopes.get(where.parent) if where.parent else None
        return None

    def _of_others(self, base: Answer, name: str, depth: int) -> Answer | None:
        """A method that a class has not, but those below it, or bases of it that nobody here sees, may have."""
        if base[0] not in {"class", "instance"}:
            return None
        lower = [self.method(each, name, depth - 1) for each in self.below.get(base[1].path, ()) if depth > 0]
        if found := [answer for answer in lower if answer]:
            return self._one_of(name, found)
        return self._by_name(name) if self._is_open(base[1], depth) else None

    def _is_open(self, kind: Class, depth: int) -> bool:
        """Whether a class has bases that nobody here sees."""
        for base in kind.bases:
            answer = self.resolve(base, kind.scope, depth - 1) if base and depth > 0 else None
            if answer is None and base not in CLOSED:
                return True
            if answer and answer[0] == "class" and self._is_open(answer[1], depth - 1):
                return True
        return False

    def _one_of(self, name: str, answers: Sequence[Answer | None]) -> Answer | None:
        """What is one of several things: of the kind that all have, or maybe async."""
        if all(answer == answers[0] for answer in answers):
            return answers[0]
        kinds = {self.kind(answer) for answer in answers}
        if len(kinds) == 1 and None not in kinds and not any(map(self.kept, answers)):
            return ("parameter", name, kinds.pop())
        may = any(self.turns_async(answer) or (answer and answer[0] == "maybe") for answer in answers)
        return ("maybe", name) if may else None

    def _name(self, name: str, scope: str, depth: int) -> Answer | None:
        where: Scope | None = self.scopes.get(scope)
        start = where
        while where is not None:
            if where.first == name and where.owner in self.classes:
                return ("instance", self.classes[where.owner])
            asked = (where.path, name) in self.asked
            if (where is start or where.kind != "class") and (found := self.bound_in(where, name)):
                answer = self._bound(*found, depth) or self._hinted(name, where, depth)
                return ("parameter", name, "asynq") if answer is None and asked else answer
            if asked and where.stars:
                return ("parameter", name, "asynq")
            where = self.scopes.get(where.parent) if where.parent else None
        return None

    def _bound(self, binding: tuple[Any, ...], where: Scope, depth: int) -> Answer | None:
        match binding:
            case ("f", path):
                if path in self.wrapped and not self.functions[path].kept:
                    return ("maybe", self.functions[path].name)
                return ("function", self.functions[path]) if path in self.functions else None
            case ("c", path):
                return ("class", self.classes[path]) if path in self.classes else None
            case ("m", dotted):
                return self._imported(dotted, depth - 1)
            case ("=", form):
                return self.resolve(form, where.path, depth - 1)
            case ("@", form, scope):
                return self.resolve(form, scope, depth - 1)
            case ("i", form):
                return self._instance(form, where, depth)
            case ("|", name, several):
                return self._several(name, several, where, depth)
            case ("p", place):
                return self._parameter(where, place)
        return None

    def _several(self, name: str, several: tuple[Any, ...], where: Scope, depth: int) -> Answer | None:
        if (where.path, name) in self.asking or depth <= 0:
            return None
        self.asking.add((where.path, name))
        answers = [self._bound(each, where, depth - 1) for each in several]
        self.asking.discard((where.path, name))
        return self._one_of(name, answers)

    def _hinted(self, name: str, where: Scope, depth: int) -> Answer | None:
        """A parameter by its annotation."""
        only = name in where.hints and where.names[name][0] == "p"
        return self._instance(where.hints[name], where, depth) if only else None

    def _instance(self, form: Form, where: Scope, depth: int) -> Answer | None:
        """An instance of the class that an annotation names."""
        answer = self.resolve(form, where.path, depth - 1)
        if answer and answer[0] == "class":
            return ("instance", answer[1])
        return answer if answer == BUILTIN else None

    def _parameter(self, where: Scope, place: int | str) -> Answer | None:
        function = self.functions.get(where.path)
        if function is None:
            return None
        keys: list[int | str] = [place]
        if isinstance(place, int):
            keys.append(function.params[place])
        kinds = set().union(*(self.parameters.get((function.name, key), set()) for key in keys))
        return ("parameter", function.name, kinds.pop()) if len(kinds) == 1 and kinds <= KINDS else None

    def _imported(self, dotted: str, depth: int) -> Answer | None:
        dotted, found = self.traced(dotted)
        if found:
            return self._bound(*found, depth) if depth > 0 else None
        if name := canonical(dotted):
            return ("api", name)
        ours = dotted.partition(".")[0] == "batchio"  # batchio.compat.asynq is no function's .asynq
        if ours or self.modules.file(dotted):
            return ("module", dotted)
        return ("module", dotted) if dotted in self.modules.folders else None

    def _attribute(self, base: Answer, name: str, depth: int) -> Answer | None:
        match base:
            case ("api", "."):
                return self._imported(f"asynq.{name}", depth)
            case ("api", module) if module.startswith("."):
                return self._imported(f"asynq{module}.{name}", depth)
            case ("api", outer):
                return ("api", f"{outer}.{name}")
            case ("module", dotted):
                return self._imported(f"{dotted}.{name}", depth)
            case ("class" | "instance", kind):
                return self.method(kind, name, depth - 1)
            case ("made", maker, *_):
                return ("api method", name) if name in API_METHODS.get(maker, ()) else None
        return None

    def method(self, kind: Class, name: str, depth: int = DEPTH) -> Answer | None:
        """A method by its class or the class's bases; of a class with unknown bases too, if it is there."""
        scope = self.scopes.get(kind.path)
        if scope and name in scope.names:
            return self._bound(scope.names[name], scope, depth)
        for base in kind.bases:
            answer = self.resolve(base, kind.scope, depth - 1) if base and depth > 0 else None
            if answer and answer[0] == "class" and (found := self.method(answer[1], name, depth - 1)):
                return found
            if answer and answer[0] == "api" and name in API_METHODS.get(answer[1], ()):
                return ("api method", name)
        return None

    def _super(self, scope: str, depth: int) -> Answer | None:
        where: Scope | None = self.scopes.get(scope)
        while where is not None and not where.owner:
            where = self.scopes.get(where.parent) if where.parent else None
        if where is None or where.owner not in self.classes:
            return None
        kind = self.classes[where.owner]
        for base in kind.bases:
            answer = self.resolve(base, kind.scope, depth - 1) if base else None
            if answer and answer[0] == "class":
                return ("instance", answer[1])
        return None

    def _by_name(self, name: str) -> Answer | None:
        found = self.methods.get(name, [])
        kinds = {function.kind for function in found}
        if len(kinds) == 1 and kinds <= KINDS | {"native"} and name not in BUILTIN_ATTRIBUTES:
            return ("function", next((function for function in found if function.kept), found[0]))
        return ("maybe", name) if any(self.turns_async(("function", function)) for function in found) else None


def _is_of_python(dotted: str) -> bool:
    return dotted.partition(".")[0] in sys.stdlib_module_names
