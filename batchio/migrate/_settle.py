"""What follows from all files together, once each has been looked at.

Rules of this room:

- Only the ``World`` is changed, and only once; the order of the steps below is that of their needs.
- Functions that stay asynq keep what they call with them, because a generator that asynq runs cannot await.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from batchio.migrate._circles import find_circles
from batchio.migrate._facts import Class, Function, Scope
from batchio.migrate._kinds import keep_unknown, recognize
from batchio.migrate._taken import find_taken
from batchio.migrate._world import KINDS, World

__all__ = ["settle"]

ASYNC = {"asynq", "pure", "proxy"}  # native ones were there before, and so was what they override


def settle(world: World, locked: Collection[str] = ()) -> None:
    """Say where names come from, what parameters are, what stays asynq, what is paused, what does not fit together.

    The functions of `locked` files stay asynq.
    """
    for file in world.files.values():
        world.modules.locate(file)
    recognize(world)
    _find_below(world)
    _find_wrapped(world)
    keep_unknown(world)
    for function in (
        each for module in locked if module in world.files for each in world.files[module].functions.values()
    ):
        if function.kind in KINDS and not function.kept:
            function.kept = "its file is read-only"
    _learn_parameters(world)
    for function in list(world.functions.values()):
        if function.kept:
            _keep(world, function)
    _keep_batches(world)
    _ask(world)
    for function in list(world.functions.values()):
        if function.kind in KINDS and any(world.is_context(form, scope) for form, scope in function.contexts):
            _step(world, function)
    _compare(world)
    find_circles(world)
    find_taken(world)
    for name, file in world.files.items():
        if any(function.kind in KINDS and not function.kept for function in file.functions.values()):
            world.old.add(name)
    world.answers = {}


def _find_below(world: World) -> None:
    """Find the classes that derive from each class, over all steps."""
    for known in world.classes.values():
        seen, ahead = set[str](), [known]
        while ahead:
            kind = ahead.pop()
            for base in kind.bases:
                answer = world.resolve(base, kind.scope) if base else None
                if answer and answer[0] == "class" and answer[1].path not in seen:
                    seen.add(answer[1].path)
                    ahead.append(answer[1])
                    world.below.setdefault(answer[1].path, []).append(known)


def _find_wrapped(world: World) -> None:
    """Find plain functions that a decorator with an asynq function inside makes async."""
    for function in world.functions.values():
        if function.kind == "plain":
            scope = function.path.removesuffix(f".{function.name}")
            answers = [world.resolve(form, scope) for form in function.decorators]
            if any(answer and answer[0] == "function" and world.makes_asynq(answer[1]) for answer in answers):
                world.wrapped.add(function.path)


def _ask(world: World) -> None:
    """Whoever calls ``f.asynq`` says that f is asynq's, also where nobody can see its definition.

    But not who stays asynq: after an earlier run the same f may be called as a coroutine function beside it.
    """
    for scope in world.scopes.values():
        if scope.asked and not _stays(world, scope):
            for name in scope.asked:
                where = scope
                while name not in where.names and where.parent in world.scopes:
                    where = world.scopes[where.parent]
                world.asked.add((where.path, name))


def _stays(world: World, scope: Scope) -> bool:
    """Whether a scope is in a function that stays asynq."""
    function = world.functions.get(scope.path)
    if function is not None and function.kept:
        return True
    return scope.parent in world.scopes and _stays(world, world.scopes[scope.parent])


def _learn_parameters(world: World) -> None:
    """A parameter is what all calls hand over in its place."""
    for file in world.files.values():
        for name, place, form, scope in file.arguments:
            answer = world.resolve(form, scope) if form[0] != "?" else None
            world.parameters.setdefault((name, place), set()).add(world.kind(answer) or "other")


def _keep(world: World, function: Function) -> None:
    for _, form, scope in function.calls:
        answer = world.resolve(form, scope)
        if answer and answer[0] == "class":
            world.kept_classes.add(answer[1].path)
        if answer and answer[0] == "function" and answer[1].kind in KINDS and not answer[1].kept:
            answer[1].kept = f"{function.name} stays asynq and calls it"
            _keep(world, answer[1])
    for form, scope in function.hands:
        known = form[0] == "n" or world.resolve(form[1], scope)  # what is known by its name alone may be just a value
        answer = world.resolve(form, scope) if known else None
        if answer and answer[0] == "function" and answer[1].kind in KINDS and not answer[1].kept:
            answer[1].kept = f"{function.name} stays asynq and hands it over"
            _keep(world, answer[1])


def _keep_batches(world: World) -> None:
    """Items that stay have batches that stay."""
    scopes = {known.scope for path, known in world.classes.items() if path in world.kept_classes}
    for known in world.classes.values():
        if known.scope in scopes and world.derives(known, {"BatchBase"}):
            world.kept_classes.add(known.path)


def _step(world: World, function: Function) -> None:
    """A function with a context is run step by step, and so is what it calls inside."""
    world.stepped.add(function.path)
    for form, scope in function.inside:
        called = form[1] if form[0] == "a" and form[2] == "asynq" else form
        answer = world.resolve(called, scope) if called else None
        if answer and answer[0] == "function" and answer[1].kind in KINDS:
            world.stepped.add(answer[1].path)


def _compare(world: World) -> None:
    """Find plain methods that override an async one, or are overridden by one."""
    for known in world.classes.values():
        for upper, lower in _overriding(world, known):
            for one, other in ((upper, lower), (lower, upper)):
                if one.kind == "plain" and other.kind in ASYNC and not other.kept:
                    world.apart[one.path] = other.path.split(".", other.path.count(".") - 1)[-1]


def _overriding(world: World, known: Class) -> Iterator[tuple[Function, Function]]:
    """Pairs of methods: a base's, and the one of a class that stands in its place."""
    for binding in list(world.scopes[known.path].names.values()):
        if binding[0] != "f":
            continue
        lower = world.functions[binding[1]]
        for base in known.bases:
            answer = world.resolve(base, known.scope) if base else None
            upper = world.method(answer[1], lower.name) if answer and answer[0] == "class" else None
            if upper and upper[0] == "function":
                yield upper[1], lower
