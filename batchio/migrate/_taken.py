"""Which names other files take from a file: these stay in it, though it uses them no more itself.

Rules of this room: only names that a file imports matter. In doubt a name is taken: an import too many breaks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchio.migrate._facts import File, Form, Function, Scope
from batchio.migrate._vocabulary import canonical, home
from batchio.migrate._world import World

__all__ = ["find_taken"]

Taken = tuple[str, str, str]
"""A file that a name is taken from, the name there, and the word for it where it is taken."""

REPLACED = {"alru_cache", "aretry", "result"}  # calls of these are something else afterwards


def find_taken(world: World) -> None:
    """Note for each file the names that others take from it, and those of them that others' functions keep asynq's."""
    ends: dict[str, list[Scope]] = {}
    for module in world.files:
        ends.setdefault(module.rpartition(".")[2], []).append(world.scopes[module])
    for file in world.files.values():
        kept = {word for each in file.functions.values() if each.kept for word in _words(each)}
        taken = [*_by_name(world, file), *_by_star(world, file, kept), *_by_attribute(world, file, kept, ends)]
        for module, name, bound in taken:
            world.taken.setdefault(module, set()).add(name)
            if bound in kept:
                world.lent.setdefault(module, set()).add(name)


def _by_name(world: World, file: File) -> Iterator[Taken]:
    for bound, dotted in _bindings(file):
        module, _, name = dotted.rpartition(".")
        if home := world.modules.file(module):
            yield home, name, bound


def _by_star(world: World, file: File, kept: set[str]) -> Iterator[Taken]:
    scope = world.scopes[file.module]
    for base in scope.stars:
        if below := world.scopes.get(world.modules.file(base) or ""):
            for name in _imports(below) & (file.words | kept) - set(scope.names):
                if name in kept or canonical(below.names[name][1]) not in REPLACED:
                    yield below.path, name, name


def _by_attribute(world: World, file: File, kept: set[str], ends: dict[str, list[Scope]]) -> Iterator[Taken]:
    """By ``module.name``; `ends` has the files by the last parts of their names."""
    aliases = {bound: world.scopes[dotted] for bound, dotted in _bindings(file) if dotted in world.files}
    for owner, name in file.pairs | {pair for each in file.functions.values() if each.kept for pair in _marks(each)}:
        for below in [*ends.get(owner, ()), *([aliases[owner]] if owner in aliases else [])]:
            binding = below.names.get(name, ("",))
            if below.path != file.module and binding[0] == "m" and (name in kept or not _is_rewritten(binding[1])):
                yield below.path, name, name


def _bindings(file: File) -> Iterator[tuple[str, str]]:
    """All imports of a file: (name, what it imports)."""
    for scope in file.scopes.values():
        for bound, binding in scope.names.items():
            for each in binding[2] if binding[0] == "|" else (binding,):
                if each[0] == "m":
                    yield bound, each[1]


def _marks(function: Function) -> Iterator[tuple[str, str]]:
    for form, _ in function.marks:
        if form and form[0] == "a" and form[1] and form[1][0] in {"n", "a"}:
            yield form[1][-1], form[2]


def _imports(scope: Scope) -> set[str]:
    return {name for name, binding in scope.names.items() if binding[0] == "m"}


def _is_rewritten(dotted: str) -> bool:
    """Whether a name of asynq's is another one everywhere but in what stays, when it is written in full."""
    name = canonical(dotted)
    return name is not None and (home(name) is not None or name in REPLACED)


def _words(function: Function) -> Iterator[str]:
    """The words of what a function uses."""
    forms: list[Form | None] = [form for _, form, _ in function.calls]
    forms += [form for form, _ in (*function.hands, *function.contexts)]
    forms += [form for form, _ in function.marks]
    while forms:
        if (form := forms.pop()) and form[0] in {"n", "a"}:
            yield form[-1]
        if form and form[0] in {"a", "call"}:
            forms.append(form[1])
