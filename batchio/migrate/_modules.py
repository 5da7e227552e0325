"""Which file an import names: by the packages it stands in, and else by the end of its path.

Rules of this room:

- A file's name in a run is its own. Two files that are imported by one name (``main`` in two folders) have their paths.
- Folders need no ``__init__.py``: ``app.models`` is any file whose path ends so, if there is one, and of several the one
  that shares most of its path with whoever imports it.
- A name without a dot is a file beside the one that imports it, or one that stands in no package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from batchio.migrate._facts import File

__all__ = ["Modules", "names_of", "place_of"]


def names_of(paths: Iterable[Path]) -> dict[Path, str]:
    """A name for each file that no other file has."""
    names = {path: module_name(path) for path in paths}
    times = Counter(names.values())
    return {path: name if times[name] == 1 else place_of(path) for path, name in names.items()}


def module_name(path: Path) -> str:
    """The dotted name under which a file is imported, by the packages it stands in."""
    path = path.resolve()
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name:
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def place_of(path: Path) -> str:
    """A file's whole path as a dotted name; a package's is that of its folder."""
    path = path.resolve()
    parts = path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts
    return ".".join(part.replace(".", "_") for part in parts[1:])


@dataclass
class Modules:
    """All files by what they can be imported as."""

    ends: dict[str, list[File]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    """The dotted names that files stand under."""

    def add(self, file: File) -> None:
        """Take a file in."""
        parts = file.place.split(".")
        for start in range(len(parts)):
            self.ends.setdefault(".".join(parts[start:]), []).append(file)
            self.folders.update(".".join(parts[start:end]) for end in range(start + 1, len(parts)))
        if file.module not in self.ends:  # it was given a name, and no path
            self.ends[file.module] = [file]

    def file(self, dotted: str) -> str | None:
        """The name in the run of the one file that can be imported so."""
        found = self.ends.get(dotted, [])
        if len(found) > 1 or "." not in dotted:
            found = [file for file in found if file.module == dotted]
        return found[0].module if len(found) == 1 else None

    def locate(self, file: File) -> None:
        """Give a file's imports the names in the run of what they name."""
        for scope in file.scopes.values():
            scope.stars = [self.located(base, file) for base in scope.stars]
            for name, binding in scope.names.items():
                if binding[0] == "m":
                    scope.names[name] = ("m", self.located(binding[1], file))

    def located(self, dotted: str, file: File) -> str:
        """A dotted name that a file imports, with the name in the run of the file that it begins with."""
        parts = dotted.split(".")
        for end in range(len(parts), 0, -1):
            if found := self._nearest(".".join(parts[:end]), file):
                return ".".join([found.module, *parts[end:]])
        return dotted

    def _nearest(self, dotted: str, file: File) -> File | None:
        found = self.ends.get(dotted, [])
        if "." not in dotted:
            beside = file.place.rpartition(".")[0]
            found = [each for each in found if each.module == dotted or each.place == f"{beside}.{dotted}"]
        shared = {each.place: _shared(each.place, file.place) for each in found}
        best = [each for each in found if shared[each.place] == max(shared.values())]
        return best[0] if len(best) == 1 else None


def _shared(one: str, other: str) -> int:
    """How many parts two paths begin with together."""
    pairs = zip(one.split("."), other.split("."), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
