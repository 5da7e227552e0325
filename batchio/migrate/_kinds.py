"""What makes a function asynq's: its decorator, in this file or by another file's name for it.

Rules of this room:

- A file is read alone first, so its own imports tell what they can; the rest is found once all files are known.
- What nobody knows is left alone with one line, whole: a body that is half asynq's does nothing well.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchio.migrate._facts import Form, Function, Options
from batchio.migrate._vocabulary import DECORATORS, HARMLESS
from batchio.migrate._world import World

__all__ = ["keep_unknown", "recognize"]


def recognize(world: World) -> None:
    """Find the functions whose decorator has another name: an alias, or one that another file passes on."""
    for function in world.functions.values():
        if function.kind == "plain" and not function.kept:
            for form, options in function.marks:
                if found := _asynqs(world, form, options, _scope_of(function)):
                    function.mark(*found)
                    function.kept = function.odd or function.kept
            world.put_around(function)


def _asynqs(world: World, form: Form | None, options: Options | None, scope: str) -> tuple[str, Options] | None:
    """The decorator of asynq's that a decorator is, with its options."""
    answer = world.resolve(form, scope)
    if answer is None or answer[0] != ("made" if options is None else "api") or answer[1] not in DECORATORS:
        return None
    return answer[1], answer[2] if options is None and len(answer) > 2 else options or ()


def keep_unknown(world: World) -> None:
    """Find functions that must be asynq's, though nobody here knows what their decorators are."""
    _keep_made_by_hand(world)
    asked = set(_asked(world))
    for function in world.functions.values():
        if function.kind != "plain" or function.kept:
            continue
        steps = function.yields > 0 and any(how == "asynq" for how, _, _ in function.calls)
        by_hand = [each for each in _decorators(world, function) if _makes_by_hand(world, each)]
        if steps or by_hand or (function.path in asked and function.path not in world.wrapped):
            unknown = [form for form, _ in function.marks if not _is_harmless(world, form, _scope_of(function))]
            if unknown:
                function.kept = f"what its decorator {_text(unknown[-1])} is cannot be seen here"
                for each in by_hand:
                    each.kept = f"{function.name} stays asynq and is decorated with it"


def _keep_made_by_hand(world: World) -> None:
    """Find generators that are given to ``asynq()``, or to what it is called here: they have no decorator to change."""
    for file in world.files.values():
        for func, given, scope in file.made:
            answer = world.resolve(given, scope) if _is_made(world, func, scope) else None
            if answer and answer[0] == "function" and answer[1].kind == "plain" and answer[1].yields:
                answer[1].kept = "it is given to asynq() as a value: decorate it"
                world.undone.add((func, scope))


def _is_made(world: World, form: Form, scope: str) -> bool:
    answer = world.resolve(form, scope)
    return bool(answer and answer[0] == "made" and answer[1] in DECORATORS)


def _decorators(world: World, function: Function) -> Iterator[Function]:
    """The functions of these files that decorate a function."""
    for form, _ in function.marks:
        answer = world.resolve(form, _scope_of(function))
        if answer and answer[0] == "function" and answer[1].kind == "plain":
            yield answer[1]


def _makes_by_hand(world: World, function: Function) -> bool:
    """Whether a function gives something to ``asynq()``."""
    return any(_is_made(world, form, scope) for how, form, scope in function.calls if how == "call")


def _asked(world: World) -> Iterator[str]:
    """The functions of which ``.asynq`` is called."""
    forms = [(form, scope) for each in world.functions.values() for how, form, scope in each.calls if how == "asynq"]
    forms += [(("n", name), scope.path) for scope in world.scopes.values() for name in scope.asked]
    for form, scope in forms:
        answer = world.resolve(form, scope)
        if answer and answer[0] == "function":
            yield answer[1].path


def _is_harmless(world: World, form: Form | None, scope: str) -> bool:
    """Whether a decorator is known to have nothing to do with asynq."""
    while form and form[0] == "call":
        form = form[1]
    if form is None:
        return False
    first = form
    while first and first[0] in {"a", "call"}:
        first = first[1]
    if form[-1] in HARMLESS or (first and "pytest" in str(first[-1])):
        return True
    answer = world.resolve(form, scope)
    return bool(answer and answer[0] == "api") or world.comes_from_python(form, scope)


def _scope_of(function: Function) -> str:
    return function.path.removesuffix(f".{function.name}")


def _text(form: Form | None) -> str:
    return f"@{form[-1]}" if form and form[0] in {"n", "a"} else "there"
