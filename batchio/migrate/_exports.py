"""Where a name that a file imports is defined: through any number of files that pass it on, and through ``import *``.

Rules of this room:

- What binds a name is found here; what it stands for is ``_resolve``'s business.
- A package's own binding of a name is taken before the file of that name in it, as Python does.
- ``import *`` gives what ``__all__`` says, or all names without an underscore; what a file binds itself comes first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchio.migrate._facts import File, Scope
from batchio.migrate._modules import Modules
from batchio.migrate._vocabulary import canonical

__all__ = ["Exports", "Found"]

Found = tuple[tuple[Any, ...], Scope]
"""What binds a name, and the scope where it does."""


@dataclass
class Exports:
    """All files, by what can be imported from them."""

    files: dict[str, File] = field(default_factory=dict)
    scopes: dict[str, Scope] = field(default_factory=dict)
    modules: Modules = field(default_factory=Modules)

    def traced(self, dotted: str) -> tuple[str, Found | None]:
        """The name that an imported one has where it comes from, and what binds it there if that is no import."""
        seen = set[str]()
        while dotted not in seen and canonical(dotted) is None:
            seen.add(dotted)
            module, _, name = dotted.rpartition(".")
            scope = self.scopes.get(self.modules.file(module) or "")
            found = self.bound_in(scope, name) if scope else None
            if found is None or found[0][0] != "m":
                return dotted, found
            dotted = found[0][1]
        return dotted, None

    def bound_in(self, scope: Scope, name: str) -> Found | None:
        """What binds a name in a scope, by itself or by an ``import *``."""
        if name in scope.names:
            return scope.names[name], scope
        return self._starred(scope, name, {scope.path}) if scope.stars else None

    def _starred(self, scope: Scope, name: str, seen: set[str]) -> Found | None:
        for base in reversed(scope.stars):
            below = self.scopes.get(self.modules.file(base) or "")
            if below is None or below.path in seen or not _gives(below, name):
                continue
            seen.add(below.path)
            found = (below.names[name], below) if name in below.names else self._starred(below, name, seen)
            if found:
                return found
        return None

    def unseen_star(self, scope: Scope) -> str | None:
        """A module that a scope imports ``*`` from, and that is not among the files."""
        return next((base for base in scope.stars if self.modules.file(base) is None), None)


def _gives(scope: Scope, name: str) -> bool:
    return not name.startswith("_") if scope.public is None else name in scope.public
