"""Functions that are given away as values: whoever calls them gets a coroutine afterwards.

Rules of this room:

- Nothing is changed here, only asked; and only where the function did its work in a plain call before, and where nobody
  here sees the call: an alias, a parameter or a result that is known is no gift.
- Who is known to await what it is given, or only looks at it, is not told of.
"""

from __future__ import annotations

import libcst as cst

from batchio.migrate._facts import Form
from batchio.migrate._place import Place
from batchio.migrate._syntax import first_name, form_of

__all__ = ["Values"]

PLAIN = "what is handed over here is async now, and is called as a plain function"
AWAY = "async functions are given away as values here: see that whoever calls them awaits them"

PLAIN_CALLERS = {"map", "filter", "reduce", "submit", "starmap", "groupby", "partial"}
PLAIN_KEYWORDS = {"key", "target", "default_factory"}
LOOKERS = {"callable", "cast", "getattr", "hasattr", "hash", "id", "isinstance", "issubclass", "object", "patch"}
LOOKERS |= {"print", "property", "repr", "str", "super", "type", "update_wrapper", "wraps"}
BINDING = [("n", "staticmethod"), ("n", "classmethod")]
LOOKING_MODULES = {"batchio", "copy", "inspect", "mock", "pickle", "typing"}


class Values(Place):
    """Tells of functions that become async and are given away."""

    def give(self, node: cst.Name | cst.Attribute) -> None:
        """Look at a name: is it a function that becomes async, and where does it go?"""
        if self.frame.mode == "kept" or isinstance(self.above[-1], cst.Attribute | cst.AssignTarget):
            return
        reason = self._gone(node)
        if reason and self._turns_async(form_of(node)):
            self.decide(reason)

    def _turns_async(self, form: Form | None) -> bool:
        answer = self.ask(form)
        if form and form[0] == "a" and self._is_guess(form[1]):
            return self.world.turns_async(answer) and form[2] not in self.world.attributes  # or it is just a value
        return self.world.turns_async(answer) or bool(answer and answer[0] == "maybe")

    def _is_guess(self, owner: Form | None) -> bool:
        """Whether an attribute of something is known by its name alone."""
        answer = self.ask(owner)
        return answer is None or answer[0] == "maybe"

    def _gone(self, node: cst.CSTNode) -> str:
        """The reason to ask, by what stands above; nothing for a use that gives nothing away."""
        direct, child = True, node
        for place in range(len(self.above) - 1, -1, -1):
            above = self.above[place]
            match above:
                case cst.Arg() if above.value is child:
                    call = self.above[place - 1]
                    return self._handed(call, above) if isinstance(call, cst.Call) else ""
                case cst.Assign() | cst.AnnAssign() | cst.NamedExpr() if above.value is child:
                    return "" if direct and self._is_followed(above) else AWAY
                case cst.Param():
                    return AWAY if above.default is child else ""
                case cst.Return():
                    return "" if direct and self._is_result() else AWAY
                case cst.Lambda():
                    return AWAY if above.body is child else ""
                case cst.For() | cst.CompFor():
                    return AWAY if above.iter is child and not direct else ""
                case cst.Call() | cst.Subscript() | cst.Attribute():
                    return "" if direct else AWAY  # of what is called at once: (f if x else g)(1), {"f": f}[x](1)
                case cst.ListComp() | cst.SetComp() | cst.GeneratorExp():
                    return AWAY if above.elt is child else ""
                case cst.DictComp():
                    return AWAY if above.value is child else ""
                case cst.IfExp() if above.test is not child:
                    direct = False
                case cst.DictElement() if above.value is child:
                    direct = False
                case (
                    cst.BooleanOperation()
                    | cst.Element()
                    | cst.StarredElement()
                    | cst.List()
                    | cst.Tuple()
                    | cst.Set()
                    | cst.Dict()
                ):
                    direct = False
                case _:
                    return ""
            child = above
        return ""

    def _is_followed(self, node: cst.Assign | cst.AnnAssign | cst.NamedExpr) -> bool:
        """Whether what is assigned to is known to be async, too."""
        targets = [each.target for each in node.targets] if isinstance(node, cst.Assign) else [node.target]
        return all(self._turns_async(form_of(target)) for target in targets)

    def _is_result(self) -> bool:
        """Whether the function returns nothing else, so that a call of its result is known."""
        function = self.frame.function
        if function is None or function.kind != "plain" or len(function.returns) != 1:
            return False
        return function.is_property or all(form in BINDING for form in function.decorators)

    def _handed(self, call: cst.Call, argument: cst.Arg) -> str:
        form = form_of(call.func)
        if form and form[0] == "a" and form[2] in {"asynq", "asyncio"}:
            form = form[1]
        answer = self.ask(form)
        if answer is not None and answer[0] in {"api", "made", "api method"}:
            return ""
        keyword = argument.keyword.value if argument.keyword else ""
        name = str(form[-1]) if form and form[0] in {"n", "a"} else ""
        if answer is None and (name in PLAIN_CALLERS or keyword in PLAIN_KEYWORDS):
            return PLAIN
        if name in LOOKERS or name.startswith("assert") or first_name(call.func) & LOOKING_MODULES:
            return ""
        if answer is not None and answer[0] == "function":
            place = keyword or next(place for place, each in enumerate(call.args) if each is argument)
            return "" if self.world.takes_async(answer[1], place) else AWAY
        return AWAY
