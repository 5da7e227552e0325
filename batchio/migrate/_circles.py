"""Functions that call each other in a circle, over all files.

Rules of this room: only calls whose names are resolved make a circle. Each level of one needs a task of its own, as of a
function that calls itself, for Python's stack is short; so the walk here has a stack of its own, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchio.migrate._facts import Function
from batchio.migrate._world import KINDS, World

__all__ = ["find_circles"]


def find_circles(world: World) -> None:
    """Give all functions of a circle the same number."""
    calls = {path: sorted(set(_called(world, each))) for path, each in world.functions.items() if _is_migrated(each)}
    for number, circle in enumerate(_circles(calls)):
        world.circles.update(dict.fromkeys(circle, number))


def _is_migrated(function: Function) -> bool:
    return function.kind in KINDS and not function.kept


def _called(world: World, function: Function) -> Iterator[str]:
    for _, form, scope in function.calls:
        if form[0] == "a" and form[1] == ("super",):
            continue
        answer = world.resolve(form, scope)
        if answer and answer[0] == "function" and _is_migrated(answer[1]):
            yield answer[1].path


def _circles(calls: dict[str, list[str]]) -> Iterator[list[str]]:
    """The strongly connected parts of a graph, of two and more; Tarjan's way, without recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    inside: set[str] = set()
    for start, first in calls.items():
        trail = [] if start in order else [(start, iter(first))]
        while trail:
            node, ahead = trail[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                open_.append(node)
                inside.add(node)
            below = next((each for each in ahead if each not in order or each in inside), None)
            if below is not None and below not in order:
                trail.append((below, iter(calls[below])))
                continue
            if below is not None:
                low[node] = min(low[node], order[below])
                continue
            trail.pop()
            if trail:
                low[trail[-1][0]] = min(low[trail[-1][0]], low[node])
            if low[node] == order[node]:
                place = open_.index(node)
                circle = open_[place:]
                del open_[place:]
                inside.difference_update(circle)
                if len(circle) > 1:
                    yield circle
