"""What tells one format of a loader's values from another: it changes with the type, and with nothing else."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, NewType, TypedDict, TypeVar, Union

import attrs
import msgspec
import pytest

from batchio.memcached._values import Codec

T = TypeVar("T")


def print_of(value_type: Any, version: int | str = 0, how: Any = "msgpack") -> bytes:
    return Codec(value_type, version, how).flags


def named_tuple(**fields: Any) -> Any:
    return NamedTuple("Row", list(fields.items()))  # type: ignore[misc]


def dataclass(**fields: Any) -> Any:
    return dataclasses.make_dataclass("Row", list(fields.items()))


def generic(**fields: Any) -> Any:
    made: Any = dataclasses.make_dataclass("Row", list(fields.items()), bases=(Generic[T],))
    return made[int]


def struct(**fields: Any) -> Any:
    return msgspec.defstruct("Row", list(fields.items()))


def typed_dict(**fields: Any) -> Any:
    return TypedDict("Row", fields)  # type: ignore[operator]


def attrs_class(**fields: Any) -> Any:
    return attrs.make_class("Row", {name: attrs.field(type=kind) for name, kind in fields.items()})


MAKERS = [named_tuple, dataclass, generic, struct, typed_dict, attrs_class]
Make = Callable[..., Any]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_change_of_a_field_changes_it(make: Make) -> None:
    """A field that is added, removed, renamed, moved or given another type makes another format."""
    rows = [
        make(id=int, name=str),
        make(id=int),
        make(id=int, name=str, age=int),
        make(id=int, title=str),
        make(name=str, id=int),
        make(id=int, name=bytes),
        make(id=float, name=str),
        make(id=int, name=str | None),
    ]
    assert len({print_of(row) for row in rows}) == len(rows)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    "outer",
    [lambda row: list[row], lambda row: row | None, lambda row: dict[str, list[row]]],
    ids=["list", "or None", "dict"],
)
def test_a_change_further_down_changes_it(make: Make, outer: Any) -> None:
    """So does one in a class inside a field of a class inside a list."""
    inner, changed = make(id=int), make(id=float)
    assert print_of(outer(inner)) != print_of(outer(changed))
    assert print_of(outer(make(inside=inner))) != print_of(outer(make(inside=changed)))


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_same_class_made_again_has_the_same(make: Make) -> None:
    """A module that is loaded once more reads what it stored before."""
    assert print_of(make(id=int, name=str)) == print_of(make(id=int, name=str))


def test_a_structs_own_writing_is_part_of_it() -> None:
    """A tag, an array, other names of fields and defaults that are not written make other formats."""
    fields = [("one", int, 0), ("other_one", int, 0)]
    settings: list[dict[str, Any]] = [
        {},
        {"tag": "a"},
        {"tag": "b"},
        {"tag": "a", "tag_field": "kind"},
        {"array_like": True},
        {"rename": "camel"},
        {"omit_defaults": True},
    ]
    made: list[Any] = [msgspec.defstruct("Row", fields, **one) for one in settings]
    made.append(msgspec.defstruct("Row", [("one", int, 1), ("other_one", int, 0)], omit_defaults=True))
    assert len({print_of(one) for one in made}) == len(made)


def test_a_name_for_a_type_stands_for_what_it_means() -> None:
    """A NewType that means another type makes another format; what is noted beside a type does not."""
    assert print_of(NewType("Price", int)) != print_of(NewType("Price", float))
    assert print_of(Annotated[int, object()]) == print_of(Annotated[int, object()]) == print_of(int)


if sys.version_info >= (3, 12):

    def test_a_type_statement_stands_for_what_it_means() -> None:
        """An alias that means another type makes another format."""
        scope: dict[str, Any] = {}
        exec("type Price = int\nfirst = Price\ntype Price = float\nsecond = Price", scope)
        assert print_of(scope["first"]) != print_of(scope["second"])


def test_version_and_codec_are_part_of_it() -> None:
    """The author's version and the cache's codec make other formats; 1 and "1" are two versions."""
    prints = {print_of(int, version, how) for version in (0, 1, "1", "") for how in ("msgpack", "json")}
    assert len(prints) == 8


def test_it_fits_into_flags_and_is_never_nothing() -> None:
    """A number of 32 bits in decimal, and not 0, which placeholders and other programs' values have."""
    for number in range(2000):
        assert 0 < int(print_of(int, number)) < 2**32


class Node(msgspec.Struct):
    children: list[Node]
    label: str | None = None


class Color(Enum):
    RED = "red"


class Leaf(NamedTuple):
    node: Node
    weights: dict[str, float] | None


PROGRAM = """
import sys
sys.path[:0] = {path!r}
from tests.edges import test_memcached_fingerprints as here
print([here.print_of(one).decode() for one in (here.Node, here.Leaf, list[here.Leaf], dict[str, int | None])])
"""


def test_another_process_has_the_same() -> None:
    """It depends on no run: neither on the seed of hashes nor on addresses, also for a class inside itself."""
    path = [str(Path(__file__).parents[2]), *sys.path]
    told = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(path=path)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert told == {f"{[print_of(one).decode() for one in (Node, Leaf, list[Leaf], dict[str, int | None])]}\n"}


def test_another_python_has_the_same() -> None:
    """Processes of Python 3.11 and of newer ones read each other's values."""
    told = [print_of(one, "v").decode() for one in (dict[str, list[int] | None], list[Leaf], Color, Union[int, str])]  # noqa: UP007
    assert told == ["844630516", "1471235681", "98116438", "915339238"]
