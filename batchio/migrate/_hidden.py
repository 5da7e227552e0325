"""Names that comprehensions and lambdas bind: inside they hide what stands outside.

Rules of this room: only scopes that have no name of their own; those of functions and classes are ``_scopes``'s business.
What the first loop of a comprehension goes through is evaluated outside of it, and so are a lambda's defaults.
"""

from __future__ import annotations

from typing import Any

import libcst as cst

from batchio.migrate._facts import Form

__all__ = ["Hidden"]

_COMPREHENSIONS = (cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp)


class Hidden:
    """The names that are hidden where the change stands."""

    def __init__(self) -> None:
        self.sets: list[set[str]] = []
        self.lifted: list[set[str]] = []

    def enter(self, node: cst.CSTNode) -> None:
        """Go into a node."""
        if isinstance(node, _COMPREHENSIONS):
            self.sets.append(set().union(*(_bound(loop.target) for loop in _loops(node.for_in))))
        elif isinstance(node, cst.Lambda):
            self.sets.append({name for each in _parameters(node.params) for name in _bound(each.name)})

    def leave(self, node: cst.CSTNode) -> None:
        """Come out of it."""
        if isinstance(node, (*_COMPREHENSIONS, cst.Lambda)):
            self.sets.pop()

    def lift(self) -> None:
        """What follows is evaluated outside of the innermost of them."""
        self.lifted.append(self.sets[-1])
        self.sets[-1] = set()

    def drop(self) -> None:
        """What follows is evaluated inside again."""
        self.sets[-1] = self.lifted.pop()

    def form(self, form: Form | None) -> Form | None:
        """A form in which a hidden name stands for nothing."""
        if not form or not any(self.sets):
            return form
        if form[0] == "n":
            return ("n", f"<{form[1]}>") if any(form[1] in names for names in self.sets) else form
        return (form[0], self.form(form[1]), *form[2:]) if form[0] in {"a", "call"} else form


def _loops(loop: cst.CompFor) -> list[cst.CompFor]:
    return [loop, *(_loops(loop.inner_for_in) if loop.inner_for_in else [])]


def _parameters(params: cst.Parameters) -> list[cst.Param]:
    stars: list[Any] = [params.star_arg, params.star_kwarg]
    named = [*params.params, *params.kwonly_params, *params.posonly_params]
    return [*named, *(each for each in stars if isinstance(each, cst.Param))]


def _bound(target: cst.CSTNode) -> set[str]:
    if isinstance(target, cst.Name):
        return {target.value}
    return set[str]().union(*map(_bound, target.children)) if isinstance(target, _TARGETS) else set()


_TARGETS = (cst.Tuple, cst.List, cst.Element, cst.StarredElement)
