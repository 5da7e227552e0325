"""Invented asynq programs give the same answers after the migration, and no more batches.

Hypothesis writes them: functions that call each other and load from a batch, through everything that asynq could yield.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from batchio.migrate._convert import convert
from batchio.migrate._index import index
from batchio.migrate._settle import settle
from batchio.migrate._world import World

pytestmark = [
    pytest.mark.patience(300),
    pytest.mark.network,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # asynq throws into generators as Python no longer wants
]

HEAD = """\
from asynq import asynq, async_proxy, result, AsyncScopedValue, BatchBase, BatchItemBase, ConstFuture
from asynq.tools import amap, asorted, deduplicate

LOG = []
scoped = AsyncScopedValue(0)


class Batch(BatchBase):
    def _try_switch_active_batch(self):
        global active
        if active is self:
            active = Batch()

    def _flush(self):
        LOG.append([item.key for item in self.items])
        for item in self.items:
            if item.key % 7 == 6:
                item.set_error(KeyError(item.key))
            else:
                item.set_value(item.key + 1)


active = Batch()


class Item(BatchItemBase):
    def __init__(self, key):
        super().__init__(active)
        self.key = key


class PairBatch(BatchBase):
    def _try_switch_active_batch(self):
        global active_pairs
        if active_pairs is self:
            active_pairs = PairBatch()

    def _flush(self):
        LOG.append([(item.a, item.b) for item in self.items])
        for item in self.items:
            item.set_value(item.a - item.b)


active_pairs = PairBatch()


class PairItem(BatchItemBase):
    def __init__(self, a, b=1):
        super(PairItem, self).__init__(active_pairs)
        self.a = a
        self.b = b


class Parent:
    def __init__(self, k):
        self.k = k

    @asynq()
    def load(self, x):
        return (yield Item(self.k)) + x

    @asynq()
    @classmethod
    def of(cls, x):
        return (yield cls(x).load.asynq(1))


class Child(Parent):
    @asynq()
    def load(self, x):
        inner = yield super().load.asynq(x)
        return inner + (yield PairItem(inner, b=x))


@deduplicate()
@asynq()
def single(x):
    return (yield Item(x))


@asynq()
def negative(x):
    return -(yield Item(x))


def number(value):
    if isinstance(value, int):
        return value
    if isinstance(value, dict):
        return sum(map(number, value.values()))
    return sum(map(number, value)) if value else 0


"""

FOOT = """
def main():
    try:
        return f{last}(1)
    except Exception as error:
        return type(error).__name__
"""

DECORATORS = {"asynq": "@asynq()", "pure": "@asynq(pure=True)", "proxy": "@async_proxy()"}


@st.composite
def programs(draw: st.DrawFn) -> str:
    """A program's text, with a `main`."""
    kinds: list[str] = []
    text = HEAD
    for place in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["asynq", "asynq", "pure", "proxy"])) if place else "asynq"
        text += f"{DECORATORS[kind]}\ndef f{place}(x):\n"
        text += draw(proxy_bodies(kinds)) if kind == "proxy" else draw(bodies(kinds))
        text += "\n\n"
        kinds.append(kind)
    text += "@asynq()\ndef last(x):\n" + draw(bodies(kinds))
    return text + "\n" + FOOT.replace("f{last}", "last")


def values(kinds: list[str]) -> st.SearchStrategy[str]:
    return st.sampled_from(["x", "y", "1", "2", "x + 1", "x + y", "x * 2"])


@st.composite
def tasks(draw: st.DrawFn, kinds: list[str]) -> str:
    """Something to yield that is one future."""
    more = [
        "PairItem(value, b=2)",
        "PairItem(value)",
        "Child(value).load.asynq(1)",
        "Child.of.asynq(value)",
        "single.asynq(value)",
    ]
    value = draw(values(kinds))
    places = list(range(len(kinds)))
    made = draw(st.sampled_from(["item", "const", *more, *("call" for _ in places)]))
    if made in more:
        return made.replace("value", value)
    if made == "item":
        return f"Item({value})"
    if made == "const":
        return f"ConstFuture({value})"
    place = draw(st.sampled_from(places))
    return f"f{place}({value})" if kinds[place] == "pure" else f"f{place}.asynq({value})"


@st.composite
def yielded(draw: st.DrawFn, kinds: list[str]) -> str:
    """Something to yield."""
    one, two = draw(tasks(kinds)), draw(tasks(kinds))
    return draw(
        st.sampled_from(
            [
                one,
                one,
                f"{one}, {two}",
                f"({one}, {two})",
                f"[{one.replace('x', 'i')} for i in range(3)]",
                f"{{i: {one.replace('x', 'i')} for i in range(3)}}",
                f"{{'a': {one}, 'b': [{two}, None]}}",
                f"{one}, [{two}]",
                f"({one} if x % 2 else None)",
                f"tuple({one.replace('x', 'i')} for i in range(2))",
                "[]",
            ]
        )
    )


@st.composite
def statements(draw: st.DrawFn, kinds: list[str]) -> str:
    """One statement, or a few, of an asynq function."""
    what, task = draw(yielded(kinds)), draw(tasks(kinds))
    plain = [place for place, kind in enumerate(kinds) if kind != "pure"]
    sync = f"f{draw(st.sampled_from(plain))}({draw(values(kinds))})" if plain else "x"
    return draw(
        st.sampled_from(
            [
                f"y = number((yield {what}))",
                f"y += number((yield ({what})))",
                f"yield {what}",
                "yield None",
                f"t = {task}\n    x = x + 1\n    y = number((yield t))",
                f"t = {task}\n    y = number((yield t)) + number((yield t))",
                f"ts = [{task.replace('x', 'i')} for i in range(2)]\n    y = number((yield ts))",
                f"ts = []\n    for i in range(3):\n        ts.append({task.replace('x', 'i')})\n    y = number((yield ts))",
                f"for i in range(2):\n        y += number((yield {task.replace('x', 'i')}))",
                f"if x % 2:\n        y = number((yield {task}))\n    else:\n        yield {what}",
                f"try:\n        y = number((yield {what}))\n    except KeyError as error:\n        y = error.args[0]",
                f"try:\n        yield {what}\n    finally:\n        x += 1",
                f"y = number({sync})",
                f"x = number((yield {task})) if y % 2 else x",
                "y = number((yield amap.asynq(negative, [x, y, 1])))",
                "y = number((yield asorted.asynq([x, 1, 2], key=negative))[:1])",
                f"with scoped.override(x):\n        y = number((yield {task})) + scoped.get()",
                f"with scoped.override(x):\n        yield {what}\n    y += scoped.get()",
                "y = Parent(x).load(1) + Child.of(y)",
            ]
        )
    )


@st.composite
def bodies(draw: st.DrawFn, kinds: list[str]) -> str:
    """The body of an asynq function."""
    lines = draw(st.lists(statements(kinds), min_size=1, max_size=4))
    end = draw(
        st.sampled_from(
            ["return x + y", "result(x + y); return", f"return number((yield {draw(tasks(kinds))})) % 50", "return y"]
        )
    )
    return "    y = 0\n" + "".join(f"    {line}\n" for line in [*lines, end])


@st.composite
def proxy_bodies(draw: st.DrawFn, kinds: list[str]) -> str:
    """The body of a proxy."""
    first, second = draw(tasks(kinds)), draw(tasks(kinds))
    return f"    y = 0\n    if x % 3:\n        return {first}\n    return {second}\n"


@pytest.fixture(scope="module", autouse=True)
def _asynq(sdist: Path) -> Iterator[None]:
    """asynq can be imported, and leaves nothing behind."""
    hook, path = sys.excepthook, list(sys.path)
    sys.path[:0] = [str(sdist.parent / "untouched" / "asynq-1.6.0"), str(sdist.parent / "beside")]
    yield
    sys.path[:] = path
    sys.excepthook = hook
    for name in [name for name in sys.modules if name.split(".")[0] in {"asynq", "qcore"}]:
        del sys.modules[name]


def outcome(text: str) -> tuple[Any, list[list[int]]]:
    """What a program answers, and its batches."""
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(text, "<program>", "exec"), names)
    return names["main"](), names["LOG"]


def migrated(text: str) -> str:
    world = World()
    world.add(index(text, "program", package=False))
    settle(world)
    done = convert(text, "program", world, package=False)
    assert done.left == []
    assert not re.search(r"(?<!batchio\.compat\.)\basynq\b", done.new)
    return done.new


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(programs())
def test_a_program_answers_the_same_after_its_migration(text: str) -> None:
    """With no yield left, and no more batches, where all loads are of one kind.

    Of two kinds asynq flushes one after the other, so that what needs the first's answer may join the second's batch.
    Here both leave at once, and it leaves after them.
    """
    new = migrated(text)
    note(text[len(HEAD) :])
    note(new)
    answer, batches = outcome(text)
    new_answer, new_batches = outcome(new)
    assert new_answer == answer
    if not re.search(r"PairItem|Child", text[len(HEAD) :]):
        assert len(new_batches) <= len(batches)
