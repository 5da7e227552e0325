"""Reading public names and their docstrings, for test_house.

Rules:
- A docstring is Google style: a summary, then sections (`Args:`, `Returns:`, `Raises:`, `Example:` ...).
- What a name lacks is said in words: a list of complaints, empty when all is well.
- A class's `Args:` (or `Attributes:`) are those of its constructor; its methods share its example.
- Overloads spell out what `*aws` or `**options` take; an entry for those covers them.
- A method that the standard library's base class defines needs a summary only: the library says the rest.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_overloads

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Examples?|Note|Notes|Guarantees):$", re.MULTILINE)
ENTRY = re.compile(r"^    \*{0,2}(\w+)(?: \([^)]*\))?:", re.MULTILINE)
UNITS = re.compile(r"\b(seconds?|milliseconds?|microseconds?|bytes|keys|items|ratio|fraction)\b", re.IGNORECASE)
NAMES_A_TIME = re.compile(r"(^|_)(timeout|delay|ttl|seconds)$")


def public_modules(package: ModuleType) -> Iterator[ModuleType]:
    """Every module that a user may import: no part of its name begins with an underscore."""
    root = Path(package.__file__ or "").parent
    for file in sorted(root.rglob("*.py")):
        parts = [package.__name__, *file.relative_to(root).with_suffix("").parts]
        name = ".".join(part for part in parts if part != "__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            yield importlib.import_module(name)


def public_names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Each name of a module's `__all__` that can carry a docstring, and each public method of its classes."""
    for name in module.__all__:
        thing = getattr(module, name)
        thing = inspect.unwrap(thing) if callable(thing) else thing  # a pytest fixture wraps its function
        if inspect.isclass(thing) or inspect.isroutine(thing):
            yield f"{module.__name__}.{name}", thing
        if inspect.isclass(thing):
            for method, function in public_methods(thing):
                yield f"{module.__name__}.{name}.{method}", function


def public_methods(owner: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties that a class itself defines."""
    for name, member in vars(owner).items():
        plain = getattr(member, "__func__", member)  # of a classmethod or staticmethod
        if not name.startswith("_") and isinstance(plain, FunctionType | property):
            yield name, plain


def sections(thing: Any) -> dict[str, str]:
    """A docstring's sections by name; what precedes them is its summary."""
    pieces = SECTION.split(inspect.getdoc(thing) or "")
    return {"summary": pieces[0].strip(), **dict(zip(pieces[1::2], pieces[2::2], strict=True))}


def entries(section: str) -> dict[str, str]:
    """What a section says of each name."""
    pieces = ENTRY.split(section)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def parameters(thing: Any) -> dict[str, inspect.Parameter]:
    """The parameters a caller may give; those that only an overload names must be such as can be named."""
    if inspect.isclass(thing):
        return constructor_parameters(thing)
    own = inspect.signature(thing).parameters
    takes_any = any(one.kind is one.VAR_KEYWORD and not is_hidden(one) for one in own.values())
    spelled = {} if takes_any else {name: one for name, one in in_overloads(thing) if one.kind is one.KEYWORD_ONLY}
    found = {**spelled, **own}
    return {name: one for name, one in found.items() if name not in ("self", "cls") and not is_hidden(one)}


def in_overloads(thing: Any) -> Iterator[tuple[str, inspect.Parameter]]:
    """The parameters of a function's overloads."""
    for overload in get_overloads(thing):
        yield from inspect.signature(overload).parameters.items()


def is_hidden(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is nobody's to give: private, or there to refuse what is unknown (`**unknown: Never`)."""
    return parameter.name.startswith("_") or "Never" in str(parameter.annotation)


def constructor_parameters(owner: type) -> dict[str, inspect.Parameter]:
    """Those of `__init__`, where the class or its dataclass decorator wrote one; errors and protocols take none."""
    if getattr(owner, "_is_protocol", False) or issubclass(owner, BaseException) or "__init__" not in vars(owner):
        return {}
    own = inspect.signature(owner.__init__).parameters  # type: ignore[misc]
    return {name: one for name, one in own.items() if name != "self" and not is_hidden(one)}


def returns_something(thing: Any) -> bool:
    """Whether a function's signature promises a value."""
    return isinstance(thing, FunctionType) and inspect.signature(thing).return_annotation not in (
        None,
        "None",
        "NoReturn",
        inspect.Signature.empty,
    )


def overrides_the_library(name: str, thing: Any) -> bool:
    """Whether a method fills a place that a base class outside batchio made."""
    owner = vars(importlib.import_module(thing.__module__)).get(name.split(".")[-2]) if "." in name else None
    bases = owner.__mro__[1:] if inspect.isclass(owner) and isinstance(thing, FunctionType) else ()
    return any(thing.__name__ in vars(base) for base in bases if not base.__module__.startswith("batchio"))


def complaints(name: str, thing: Any, raises_nothing: Callable[[str], bool]) -> list[str]:
    """Everything that a public name's docstring lacks."""
    told = sections(thing)
    if not told["summary"]:
        return [f"{name} has no docstring"]
    if isinstance(thing, property) or (told["summary"] and overrides_the_library(name, thing)):
        return []
    return [f"{name}: {complaint}" for complaint in [*lacks(name, thing, told, raises_nothing), *args(thing, told)]]


def lacks(name: str, thing: Any, told: dict[str, str], raises_nothing: Callable[[str], bool]) -> Iterator[str]:
    """Sections that should be there."""
    if returns_something(thing) and not told.keys() & {"Returns", "Yields"}:
        yield "no Returns"
    if isinstance(thing, FunctionType) and "Raises" not in told and not raises_nothing(name):
        yield "no Raises; if it raises nothing, add it to RAISES_NOTHING in test_house.py"
    is_method = isinstance(thing, FunctionType) and name.rsplit(".", 1)[0].rsplit(".", 1)[-1][:1].isupper()
    if not is_method and ">>> " not in (inspect.getdoc(thing) or ""):
        yield "no example that runs (>>>)"


def args(thing: Any, told: dict[str, str]) -> Iterator[str]:
    """Parameters without an entry, entries without a parameter, quantities without a unit."""
    described = entries(told.get("Args", "") + told.get("Attributes", ""))
    wanted = parameters(thing)
    for parameter in wanted.values():
        if parameter.name not in described:
            yield f"Args does not tell what {parameter.name} is"
        elif is_quantity(parameter) and not UNITS.search(parameter.name + " " + described[parameter.name]):
            yield f"Args does not tell the unit of {parameter.name} (seconds, bytes, keys ...)"
    for entry in entries(told.get("Args", "")).keys() - wanted.keys():
        yield f"Args tells of {entry}, which is no parameter"


def is_quantity(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a number that means nothing without a unit."""
    return "float" in str(parameter.annotation) or bool(NAMES_A_TIME.search(parameter.name))
