"""All files together: what is asked about them, by what a name stands for.

Rules of this room:

- Plain data in, plain answers out; no text of any file is here. What a name stands for is ``_resolve``'s business.
- What follows from all files together is put down here once, by ``_settle``, before anybody asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from batchio.migrate._facts import Class, File, Form, Function
from batchio.migrate._resolve import DEPTH, KINDS, Answer, Names
from batchio.migrate._vocabulary import CONTEXTS, canonical

__all__ = ["KINDS", "Answer", "World"]


@dataclass
class World(Names):
    """What all the files define."""

    around: set[str] = field(default_factory=set)
    """The functions that have an asynq function inside."""
    stepped: set[str] = field(default_factory=set)
    apart: dict[str, str] = field(default_factory=dict)
    """Plain methods by their path, and the async one of the same name that they override, or that overrides them."""
    kept_classes: set[str] = field(default_factory=set)
    """Those whose instances kept functions make: they stay on asynq's bases."""
    attributes: set[str] = field(default_factory=set)
    """The names of what classes and instances have besides methods."""
    circles: dict[str, int] = field(default_factory=dict)
    """The functions that call each other in a circle, by their paths, and the circle's number."""
    taken: dict[str, set[str]] = field(default_factory=dict)
    """The names that other files take from a file, by the file's."""
    lent: dict[str, set[str]] = field(default_factory=dict)
    """Those of them that functions take which stay asynq."""
    old: set[str] = field(default_factory=set)
    """The files that have functions to migrate: what they call was asynq's when they were written."""

    def add(self, file: File) -> None:
        """Take a file in."""
        self.files[file.module] = file
        self.modules.add(file)
        for function in file.functions.values():
            self.put_around(function)
        self.functions |= file.functions
        self.classes |= file.classes
        self.scopes |= file.scopes
        for scope in file.scopes.values():
            if scope.kind == "class":
                self.attributes.update(name for name, binding in scope.names.items() if binding[0] != "f")
        for function in file.functions.values():
            if function.owner:
                self.methods.setdefault(function.name, []).append(function)

    def put_around(self, function: Function) -> None:
        """Note which functions have this one inside, if it is asynq's."""
        if function.kind in KINDS:
            self.around.update(_prefixes(function.path))

    # --- questions --------------------------------------------------------------------------------------------

    def kept_item(self, answer: Answer | None) -> bool:
        """Whether an answer is a class of batch items that stays asynq, because a function that does makes some."""
        kept = answer and answer[0] == "class" and answer[1].path in self.kept_classes
        return bool(kept and answer and self.derives(answer[1], {"BatchItemBase"}))

    def takes_async(self, function: Function, place: int | str) -> bool:
        """Whether a function's parameter is known to be async."""
        if isinstance(place, int):
            place = function.params[place] if place < len(function.params) else ""
        return self.turns_async(self._name(place, function.path, DEPTH))

    def fits(self, name: str, count: int) -> bool:
        """Whether a method of that name that was asynq's takes so many arguments; another decorator may change them."""
        found = [function for function in self.methods.get(name, ()) if function.kind != "plain"]
        return any(
            len(each.decorators) > 1 or (each.least <= count and (each.most is None or count <= each.most))
            for each in found
        )

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

    def derives(self, kind: Class, names: set[str], depth: int = DEPTH) -> bool:
        """Whether a class has one of asynq's classes among its bases."""
        for base in kind.bases:
            answer = self.resolve(base, kind.scope) if base and depth > 0 else None
            if answer and answer[0] == "api" and answer[1] in names:
                return True
            if answer and answer[0] == "class" and self.derives(answer[1], names, depth - 1):
                return True
        return False

    def outside(self, form: Form | None, scope: str) -> str | None:
        """The module that a form comes from, if it is imported from one that is not among the files."""
        while form and form[0] in {"a", "call"}:
            form = form[1]
        where = self.scopes.get(scope)
        while form and form[0] == "n" and where is not None:
            if (binding := where.names.get(form[1])) is not None:
                if binding[0] != "m" or canonical(binding[1]) or self._imported(binding[1], DEPTH):
                    return None
                return str(binding[1]).rpartition(".")[0] or str(binding[1])
            if where.stars and not self.bound_in(where, form[1]):
                return self.unseen_star(where)
            where = self.scopes.get(where.parent) if where.parent else None
        return None

    def is_starred(self, module: str, name: str) -> bool:
        """Whether a file that imports ``*`` from another uses a name of it."""
        files = [file for file in self.files.values() if module in self.scopes[file.module].stars]
        return any(name in file.words for file in files)

    def find(self, parts: list[str]) -> Answer | None:
        """What a dotted name in a string stands for, as in ``mock.patch("module.function")``."""
        for end in range(len(parts) - 1, 0, -1):
            if self.modules.file(".".join(parts[:end])):
                answer: Answer | None = ("module", ".".join(parts[:end]))
                for part in parts[end:]:
                    answer = self._attribute(answer, part, DEPTH) if answer else None
                return answer
        return None


def _prefixes(dotted: str) -> list[str]:
    """`a` and `a.b` for `a.b.c`."""
    parts = dotted.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]
