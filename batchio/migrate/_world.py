"""All files together: what a name stands for, across imports, classes and calls.

Rules of this room:

- Plain data in, plain answers out; no text of any file is here.
- An answer that is not certain is None. The one guess: a method that is known by its name alone, when every method of
  that name in all files is of one kind and no builtin type has one.
- What follows from all files together is put down here once, by ``_settle``, before anybody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchio.migrate._facts import Class, File, Form, Function, Scope
from batchio.migrate._modules import Modules
from batchio.migrate._vocabulary import API_METHODS, ASYNC_API, BUILTIN_ATTRIBUTES, CONTEXTS, canonical

__all__ = ["World"]

KINDS = {"asynq", "pure", "proxy", "pure_proxy", "generator"}
_DEPTH = 12  # aliases of aliases, bases of bases

Answer = tuple[Any, ...]
"""("function", Function), ("class", Class), ("instance", Class), ("api", name), ("made", name of an api class),
("module", dotted)."""


@dataclass
class World:
    """What all the files define."""

    files: dict[str, File] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    methods: dict[str, list[Function]] = field(default_factory=dict)
    parameters: dict[tuple[str, int | str], set[str]] = field(default_factory=dict)
    modules: Modules = field(default_factory=Modules)
    around: set[str] = field(default_factory=set)
    """The functions that have an asynq function inside."""
    stepped: set[str] = field(default_factory=set)
    asked: set[tuple[str, str]] = field(default_factory=set)
    """Names of which ``.asynq`` is called somewhere, with the scope that binds them."""
    apart: dict[str, str] = field(default_factory=dict)
    """Plain methods by their path, and the async one of the same name that they override, or that overrides them."""
    kept_classes: set[str] = field(default_factory=set)
    """Those whose instances kept functions make: they stay on asynq's bases."""

    def add(self, file: File) -> None:
        """Take a file in."""
        self.files[file.module] = file
        self.modules.add(file)
        for function in file.functions.values():
            if function.kind in KINDS:
                self.around.update(_prefixes(function.path))
        self.functions |= file.functions
        self.classes |= file.classes
        self.scopes |= file.scopes
        for function in file.functions.values():
            if function.owner:
                self.methods.setdefault(function.name, []).append(function)

    # --- questions --------------------------------------------------------------------------------------------

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

    def kept_item(self, answer: Answer | None) -> bool:
        """Whether an answer is a class of batch items that stays asynq, because a function that does makes some."""
        kept = answer and answer[0] == "class" and answer[1].path in self.kept_classes
        return bool(kept and answer and self.derives(answer[1], {"BatchItemBase"}))

    def kept(self, answer: Answer | None) -> bool:
        """Whether an answer is a function that stays asynq."""
        return bool(answer and answer[0] == "function" and answer[1].kept)

    def makes_asynq(self, function: Function) -> bool:
        """Whether a decorator has an asynq function inside, which is what it gives."""
        return function.path in self.around

    def is_context(self, form: Form | None, scope: str) -> bool:
        """Whether an expression is an AsyncContext, so far as can be seen."""
        answer = self.resolve(form, scope) if form else None
        if answer is None:
            return False
        if answer[0] == "made":
            return answer[1] in CONTEXTS
        return answer[0] == "instance" and self.derives(answer[1], CONTEXTS)

    def derives(self, kind: Class, names: set[str], depth: int = _DEPTH) -> bool:
        """Whether a class has one of asynq's classes among its bases."""
        for base in kind.bases:
            answer = self.resolve(base, kind.scope) if base and depth else None
            if answer and answer[0] == "api" and answer[1] in names:
                return True
            if answer and answer[0] == "class" and self.derives(answer[1], names, depth - 1):
                return True
        return False

    def _item(self, form: Form, scope: str, depth: int) -> Answer | None:
        made = self.resolve(form[1][1], scope, depth)
        return self._returned(made[1], form[2], depth) if made and made[0] == "function" else None

    def _returned(self, function: Function, place: int | None, depth: int) -> Answer | None:
        """What a plain function returns, if it always returns the same."""
        if function.kind != "plain" or len(function.returns) != 1 or not depth:
            return None
        form = function.returns[0]
        if form and place is not None:
            form = form[place + 1] if form[0] == "tuple" and place + 1 < len(form) else None
        if form is None or form[0] == "tuple":
            return None
        return self.resolve(form, function.path, depth)

    # --- names ------------------------------------------------------------------------------------------------

    def resolve(self, form: Form | None, scope: str, depth: int = _DEPTH) -> Answer | None:
        """What a form stands for in a scope."""
        if form is None or not depth:
            return None
        if form[0] == "n":
            return self._name(form[1], scope, depth)
        if form[0] == "super":
            return self._super(scope)
        if form[0] == "item":
            return self._item(form, scope, depth - 1)
        if form[0] == "call":
            made = self.resolve(form[1], scope, depth - 1)
            if made and made[0] == "class":
                return ("instance", made[1])
            if made and made[0] == "function":
                return ("generator",) if made[1].kind == "generator" else self._returned(made[1], None, depth - 1)
            return ("made", made[1]) if made and made[0] == "api" else None
        if form[0] == "a":
            base = self.resolve(form[1], scope, depth - 1)
            if form[2] == "asynq" and form[1] and not (base and base[0] in {"api", "module"}) and not self.kept(base):
                return ("parameter", "asynq", "pure")
            return self._attribute(base, form[2], depth) if base else self._by_name(form[2])
        return None

    def _name(self, name: str, scope: str, depth: int) -> Answer | None:
        where: Scope | None = self.scopes.get(scope)
        start = where
        while where is not None:
            if where.first == name and where.owner in self.classes:
                return ("instance", self.classes[where.owner])
            if (where is start or where.kind != "class") and name in where.names:
                answer = self._bound(where.names[name], where, depth)
                return ("parameter", name, "asynq") if answer is None and (where.path, name) in self.asked else answer
            where = self.scopes.get(where.parent) if where.parent else None
        return None

    def _bound(self, binding: tuple[Any, ...], where: Scope, depth: int) -> Answer | None:
        match binding:
            case ("f", path):
                return ("function", self.functions[path]) if path in self.functions else None
            case ("c", path):
                return ("class", self.classes[path]) if path in self.classes else None
            case ("m", dotted):
                return self._imported(dotted, depth - 1)
            case ("=", form):
                return self.resolve(form, where.path, depth - 1)
            case ("p", place):
                return self._parameter(where, place)
        return None

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
        if name := canonical(dotted):
            return ("api", name)
        ours = dotted.partition(".")[0] == "batchio"  # batchio.compat.asynq is no function's .asynq
        if ours or self.modules.file(dotted):
            return ("module", dotted)
        module, _, name = dotted.rpartition(".")
        scope = self.scopes.get(self.modules.file(module) or "")
        if scope and name in scope.names and depth:
            return self._bound(scope.names[name], scope, depth)
        return ("module", dotted) if dotted in self.modules.folders else None

    def outside(self, form: Form | None, scope: str) -> str | None:
        """The module that a form comes from, if it is imported from one that is not among the files."""
        while form and form[0] in {"a", "call"}:
            form = form[1]
        where = self.scopes.get(scope)
        while form and form[0] == "n" and where is not None:
            if (binding := where.names.get(form[1])) is not None:
                if binding[0] != "m" or canonical(binding[1]) or self._imported(binding[1], _DEPTH):
                    return None
                return str(binding[1]).rpartition(".")[0] or str(binding[1])
            where = self.scopes.get(where.parent) if where.parent else None
        return None

    def find(self, parts: list[str]) -> Answer | None:
        """What a dotted name in a string stands for, as in ``mock.patch("module.function")``."""
        for end in range(len(parts) - 1, 0, -1):
            if self.modules.file(".".join(parts[:end])):
                answer: Answer | None = ("module", ".".join(parts[:end]))
                for part in parts[end:]:
                    answer = self._attribute(answer, part, _DEPTH) if answer else None
                return answer
        return None

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
                return self.method(kind, name)
            case ("made", maker):
                return ("api method", name) if name in API_METHODS.get(maker, ()) else None
        return None

    def method(self, kind: Class, name: str, depth: int = _DEPTH) -> Answer | None:
        """A method by its class or the class's bases; of a class with unknown bases too, if it is there."""
        scope = self.scopes.get(kind.path)
        if scope and name in scope.names:
            return self._bound(scope.names[name], scope, depth)
        for base in kind.bases:
            answer = self.resolve(base, kind.scope) if base and depth else None
            if answer and answer[0] == "class" and (found := self.method(answer[1], name, depth - 1)):
                return found
            if answer and answer[0] == "api" and name in API_METHODS.get(answer[1], ()):
                return ("api method", name)
        return None

    def _super(self, scope: str) -> Answer | None:
        where: Scope | None = self.scopes.get(scope)
        while where is not None and not where.owner:
            where = self.scopes.get(where.parent) if where.parent else None
        if where is None or where.owner not in self.classes:
            return None
        kind = self.classes[where.owner]
        for base in kind.bases:
            answer = self.resolve(base, kind.scope) if base else None
            if answer and answer[0] == "class":
                return ("instance", answer[1])
        return None

    def _by_name(self, name: str) -> Answer | None:
        found = self.methods.get(name, [])
        kinds = {function.kind for function in found}
        if len(kinds) == 1 and kinds <= KINDS and name not in BUILTIN_ATTRIBUTES:
            return ("function", next((function for function in found if function.kept), found[0]))
        return None


def _prefixes(dotted: str) -> list[str]:
    """`a` and `a.b` for `a.b.c`."""
    parts = dotted.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
