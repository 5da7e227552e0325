"""Which modules of loaders are replaced, and what other files take from a file that imports one.

Rules of this room:

- A file is known by the last part of its name here. In doubt a name is taken: an import too many breaks nothing.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

__all__ = ["MOVED", "Alone", "Imports", "has_loaders", "words_of"]

# The modules that are replaced, by what, and the names that the replacement has.
MOVED = {
    "aiodataloader": ("batchio.compat.aiodataloader", {"DataLoader"}),
    "strawberry.dataloader": ("batchio.compat.strawberry", {"AbstractCache", "DataLoader", "DefaultCache"}),
}


@dataclass
class Imports:
    """What a file imports, and takes from other files."""

    module: str
    place: str
    package: bool
    dotted: set[str]
    """All that it imports, by its full name."""
    takes: set[tuple[str, str]]
    """(last part of a module's name, name there) of what it imports, or uses as the module's attribute."""

    def __init__(self, source: str, module: str, *, package: bool, place: str = "") -> None:
        self.module, self.place, self.package = module, place or module, package
        self.dotted, self.takes = set(), set()
        aliases: dict[str, str] = {}
        nodes = list(ast.walk(ast.parse(source)))
        for node in nodes:
            if isinstance(node, ast.Import):
                self.dotted.update(alias.name for alias in node.names)
                aliases |= {alias.asname: _last(alias.name) for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom):
                base = self._absolute(node)
                self.dotted.update(f"{base}.{alias.name}" for alias in node.names)
                self.takes.update((_last(base), alias.name) for alias in node.names)
                aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        words = {node.id for node in nodes if isinstance(node, ast.Name)}
        stars = {owner for owner, name in self.takes if name == "*"}
        self.takes.update((owner, word) for owner in stars for word in words)
        for node in nodes:
            match node:
                case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
                    self.takes.add((aliases.get(owner, owner), name))

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.place.split(".")
        keep = len(parts) - node.level + (1 if self.package else 0)
        return ".".join([*parts[:keep], *filter(None, [node.module])])


def _last(dotted: str) -> str:
    return dotted.rpartition(".")[2]


def has_loaders(file: Imports) -> bool:
    """Whether a file imports a module that is replaced, so that others may take it from there."""
    return any(name in MOVED or name.rpartition(".")[0] in MOVED for name in file.dotted)


def words_of(file: Imports) -> set[str]:
    """Every word of the dotted names that a file imports."""
    return {word for name in file.dotted for word in name.split(".")}


@dataclass
class Alone:
    """All files: each is changed for itself, but for what others take from it."""

    takers: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def add(self, file: Imports) -> None:
        """Take a file in."""
        for each in file.takes:
            self.takers.setdefault(each, set()).add(file.module)

    def taken(self, module: str) -> set[str]:
        """The names that other files take from a file."""
        return {name for (owner, name), files in self.takers.items() if owner == _last(module) and files - {module}}
