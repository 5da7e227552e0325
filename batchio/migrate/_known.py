"""All files together: whether what is called is a loader, or an async function that only loads.

Rules of this room: plain data in, plain answers out. What a name stands for is written as a *thing*: a dotted name from
where it was made, with ``()`` for what a call of it made, such as ``batchio.sqlite.Database().row()``. In doubt it is
nothing.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from batchio.migrate._effects import Effects
from batchio.migrate._facts import File
from batchio.migrate._modules import Modules

__all__ = ["Known"]

_DEPTH = 12  # imports of imports
DATABASES = [f"batchio.{kind}.Database()" for kind in ("mysql", "sqlite")]
MAKERS = {
    "batchio.loader",
    "batchio.Loader",
    *(f"{base}.{verb}" for base in DATABASES for verb in ("row", "rows", "select")),
}
COMPAT = {f"batchio.compat.{kind}.DataLoader" for kind in ("aiodataloader", "strawberry")}
LOADS = {f"{maker}(){verb}" for maker in MAKERS for verb in ("", ".load", ".load_many")}
LOADS |= {f"{maker}(){verb}" for maker in COMPAT for verb in (".load", ".load_many")}
GATHERS = {"batchio.gather", "batchio.tools.gather", "asyncio.gather"}

# Builtins that only compute. Those that call what they are given, as map does, are not among them.
PURE = frozenset(
    """abs all any bool bytes chr complex dict divmod enumerate float frozenset hash int isinstance issubclass len list max
    min ord pow range repr reversed round set slice sorted str sum tuple type zip""".split()  # noqa: SIM905  # a table
) | {name for name in dir(builtins) if name.endswith(("Error", "Exception"))}


@dataclass
class Known:
    """The effects of all files."""

    files: dict[str, Effects] = field(default_factory=dict)
    modules: Modules = field(default_factory=Modules)
    properties: set[str] = field(default_factory=set)
    clean: dict[str, bool] = field(default_factory=dict)
    """What was answered of an async function by its thing."""

    def add(self, file: Effects) -> None:
        """Take a file in."""
        self.files[file.module] = file
        self.modules.add(File(file.module, file.place, file.package))
        self.properties |= file.properties

    def kind(self, module: str, dotted: str) -> str | None:
        """`loader` or `function` for what surely only loads; None for anything else."""
        thing = self.thing(module, dotted)
        if thing in LOADS:
            return "loader"
        return "function" if thing and thing.startswith("async ") and self._is_clean(thing) else None

    def spends(self, module: str, dotted: str) -> bool:
        """Whether an async function may use up what it is given, or hand it to one that may."""
        thing = self.thing(module, dotted)
        ahead, seen = [thing], {thing}
        for each in _until_empty(ahead):
            if each in LOADS and not each.endswith("load_many"):
                continue
            if not each or not each.startswith("async "):
                return True
            inside, _, name = each.removeprefix("async ").rpartition(".")
            handed = self.files[inside].names[name][2]
            if handed is None:
                return True
            found = {self.thing(inside, one) for one in handed} - seen
            ahead += found
            seen |= found
        return False

    def thing(self, module: str, dotted: str, depth: int = _DEPTH) -> str | None:
        """What a dotted name stands for at the top of a module."""
        file = self.files.get(module)
        first, _, rest = dotted.partition(".")
        if file is None or not depth or first not in file.names:
            return None
        match file.names[first]:
            case ("import", name):
                return self._imported(f"{name}.{rest}" if rest else name, file, depth)
            case ("made", name):
                maker = self.thing(module, name, depth - 1)
                return maker and f"{maker}()" + (f".{rest}" if rest else "")
            case ("class", name):
                return None if rest else self.thing(module, name, depth - 1)
            case ("async", _, _):
                return None if rest else f"async {module}.{first}"
        return None

    def _imported(self, dotted: str, file: Effects, depth: int) -> str | None:
        """A name of another file of ours, or of elsewhere by its own name."""
        if dotted.partition(".")[0] == "batchio":
            return dotted
        found = self.modules.located(dotted, File(file.module, file.place, file.package))
        parts = found.split(".")
        for end in range(len(parts) - 1, 0, -1):
            module = ".".join(parts[:end])
            if module in self.files:
                return self.thing(module, ".".join(parts[end:]), depth - 1)
        return dotted

    def _is_clean(self, thing: str) -> bool:
        """Whether an async function only loads, and calls only what only loads."""
        if thing not in self.clean:
            seen, ahead = {thing}, [thing]
            self.clean[thing] = all(self._does_no_harm(each, seen, ahead) for each in _until_empty(ahead))
        return self.clean[thing]

    def _does_no_harm(self, thing: str, seen: set[str], ahead: list[str]) -> bool:
        """Whether a function does nothing else itself; the async functions that it calls are looked at next."""
        module, _, name = thing.removeprefix("async ").rpartition(".")
        calls = self.files[module].names[name][1]
        for call in calls or ():
            made = self.thing(module, call)
            if made and made.startswith("async "):
                ahead += [made] if made not in seen else []
                seen.add(made)
            elif not self._is_harmless(module, call, made):
                return False
        return calls is not None

    def _is_harmless(self, module: str, call: str, thing: str | None) -> bool:
        if call.startswith("?."):
            return call[2:] not in self.properties
        if call in PURE:
            return call not in self.files[module].bound
        return thing in LOADS or thing in GATHERS


def _until_empty(ahead: list[Any]) -> Iterator[Any]:
    """The items of a list that grows while it is gone through."""
    while ahead:
        yield ahead.pop()
