"""From rows back to keys: which row belongs to which key of a batch, and what value it becomes.

This room sees rows as tuples and columns as names. It knows no SQL, no database and no loop.

1. A row belongs to the key of the same type and value. The database's `=` is never believed: `id IN ('1')` finds 1,
   a NOCASE column finds neighbours, and 1.0 == 1 in Python too.
2. What is decided per row is decided by loops in C (`map`, `dict`, `starmap`); a loop of ours runs only over a result
   that holds strangers. 1000 rows take a third of the time that way.
3. Columns are found by name, once per statement shape, so that a `SELECT *` survives an altered table.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from inspect import Parameter, signature
from itertools import chain, starmap
from operator import itemgetter
from typing import Any, TypeAlias

Names: TypeAlias = str | tuple[str, ...]
Row: TypeAlias = tuple[Any, ...]

HIDDEN = "batchio_"
"""Names of columns that are read for our own sake begin so; they are no part of a value."""


def names_of(what: str, given: object) -> tuple[str, ...]:
    """Read an option that is a column's name or a tuple of names.

    Raises:
        ValueError: It is neither, or a name stands in it twice.
    """
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"{what} is {given!r}: write a column's name, or a tuple of names")
    if len(set(names)) < len(names):
        raise ValueError(f"{what} is {given!r}: a column stands in it twice")
    return names


@lru_cache(maxsize=512)
def row_class(names: tuple[str, ...]) -> type[Any]:
    """Give the named tuple for rows of these columns; a column whose name cannot be a field is reached by position."""
    return namedtuple("Row", names, rename=True)  # noqa: PYI024 - its fields are data


# -------------------------------------------------------------------------------------------------- values


@dataclass(frozen=True)
class Shape:
    """What a row becomes: the bare value of a column, a named tuple, or an object of the user's class."""

    columns: tuple[str, ...] | None
    """None: every column that the statement gives."""
    bare: bool = False
    into: type[Any] | None = None
    keywords: bool = False

    @property
    def value_type(self) -> Any:
        """The type of a value, as far as the definition can know it; Any where it cannot."""
        if self.into is not None:
            return self.into
        return Any if self.bare or self.columns is None else row_class(self.columns)

    def maker(self, names: tuple[str, ...]) -> Callable[[Iterable[Row]], Iterator[Any]]:
        """Give the function that makes values of rows that hold these columns and no others."""
        if self.bare:
            return partial(map, itemgetter(0))
        into = self.into or row_class(names)
        if self.keywords:
            return lambda rows: (into(**dict(zip(names, row, strict=True))) for row in rows)
        if issubclass(into, tuple):
            # What `_make` does, without its second look at the length: 2.5 times as fast.
            return partial(map, partial(tuple.__new__, into))
        return partial(starmap, into)


def shape_of(columns: Names | None, into: type[Any] | None) -> Shape:
    """Read `columns=` and `into=` of a definition.

    Raises:
        ValueError: They do not fit each other.
        TypeError: `into` is not a class with named fields.
    """
    if into is None:
        return Shape(None if columns is None else names_of("columns", columns), bare=isinstance(columns, str))
    fields = _fields(into)
    chosen = fields if columns is None else names_of("columns", columns)
    parameters = signature(into).parameters
    missing = [name for name in fields if name not in chosen and parameters[name].default is Parameter.empty]
    if missing or isinstance(columns, str) or not set(chosen) <= set(fields):
        raise ValueError(
            f"columns={columns!r} does not fit into={into.__name__}: columns is a tuple of its fields, {fields}, "
            "and only a field with a default may be left out"
        )
    positional = [name for name, one in parameters.items() if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
    return Shape(chosen, into=into, keywords=list(chosen) != positional[: len(chosen)])


def _fields(into: Any) -> tuple[str, ...]:
    """A msgspec Struct is known by an attribute of its class, so that nobody has to have msgspec."""
    names: Iterable[str] = getattr(into, "__struct_fields__", ()) or getattr(into, "_fields", ())
    if isinstance(into, type) and dataclasses.is_dataclass(into):
        names = (one.name for one in dataclasses.fields(into) if one.init)
    found = tuple(names)
    if not isinstance(into, type) or not found:
        raise TypeError(f"into is {into!r}: give a NamedTuple, a dataclass or a msgspec Struct with at least one field")
    return found


# ---------------------------------------------------------------------------------------------------- keys


@dataclass(frozen=True)
class Layout:
    """How to read the rows of a result with certain columns."""

    keys: Callable[[Iterable[Row]], Iterator[Any]]
    values: Callable[[Iterable[Row]], Iterator[Any]]


@dataclass(frozen=True)
class Reader:
    """Gives each key of a batch its rows."""

    name: str
    """The loader's, for errors. Those never show a key: a loader may have asked for that, with show_keys=False."""
    key: tuple[str, ...]
    """The key's columns, as the result names them."""
    shape: Shape
    many: bool
    _layouts: dict[tuple[str, ...], Layout] = field(default_factory=dict, compare=False, repr=False)

    def collect(self, keys: Sequence[Any], names: Iterable[str], rows: Sequence[Row]) -> dict[Any, Any]:
        """Give each key its own rows, and nobody else's.

        Args:
            keys: What the batch asked for, each once.
            names: The result's columns.
            rows: What came back, in the statement's order.

        Returns:
            For a loader of many, a list of its own for every key. Else a value for every key that has a row; two rows
            for one key are a ValueError in the place of the value, since either row could be the wrong one.

        Raises:
            ValueError: The result lacks a column, or has it twice.
        """
        if not rows:
            return {key: [] for key in keys} if self.many else {}
        layout = self.layout(tuple(names))
        found = list(layout.keys(rows))
        if not _all_asked(keys, found):
            asked = {key: _typed(key) for key in keys}
            rows = [row for key, row in zip(found, rows, strict=True) if asked.get(key) == _typed(key)]
            found = list(layout.keys(rows))
        values = layout.values(rows)
        return self._grouped(keys, found, values) if self.many else self._single(found, values)

    def _grouped(self, keys: Sequence[Any], found: Iterable[Any], values: Iterable[Any]) -> dict[Any, Any]:
        groups: dict[Any, list[Any]] = {key: [] for key in keys}
        for key, value in zip(found, values, strict=True):
            groups[key].append(value)
        return groups

    def _single(self, found: Sequence[Any], values: Iterable[Any]) -> dict[Any, Any]:
        answer = dict(zip(found, values, strict=True))
        if len(answer) < len(found):
            for key, count in Counter(found).items():
                if count > 1:
                    answer[key] = self._too_many(count)
        return answer

    def _too_many(self, count: int) -> ValueError:
        return ValueError(
            f"{self.name}: the statement gives {count} rows for one key, where this loader promises one. "
            "Say which comes first with row(..., order_by=...), or load them all: rows(...), or select(..., many=True)"
        )

    def layout(self, names: tuple[str, ...]) -> Layout:
        """Give the layout of a result with these columns; kept, for they change only when a table is altered."""
        layout = self._layouts.get(names)
        if layout is None:
            layout = self._layouts[names] = self._laid_out(names)
        return layout

    def _laid_out(self, names: tuple[str, ...]) -> Layout:
        if self.shape.columns is None:
            places = [place for place, name in enumerate(names) if not name.startswith(HIDDEN)]
        else:
            places = [self.place(names, name) for name in self.shape.columns]
        make = self.shape.maker(self.shape.columns or tuple(names[place] for place in places))
        keys = partial(map, itemgetter(*(self.place(names, name) for name in self.key)))
        if places == list(range(len(names))):
            return Layout(keys, make)
        if len(places) == 1:
            only = places[0]
            return Layout(keys, lambda rows: make((row[only],) for row in rows))
        pick = itemgetter(*places)
        return Layout(keys, lambda rows: make(map(pick, rows)))

    def place(self, names: tuple[str, ...], wanted: str) -> int:
        """Find a column. A database may name a column as the table spells it, so a name also matches in another case."""
        places = [place for place, name in enumerate(names) if name == wanted]
        places = places or [place for place, name in enumerate(names) if name.lower() == wanted.lower()]
        if len(places) == 1:
            return places[0]
        raise ValueError(
            f"{self.name}: the statement gives {len(places) or 'no'} columns named {wanted}; it gives "
            f"{', '.join(names)}. Select it once, or name it: AS {wanted}"
        )


_NOBODY: Any = object()  # stands for a key that was not asked: of a type that no key has


def _all_asked(keys: Sequence[Any], found: Sequence[Any]) -> bool:
    """Whether every row's key was asked, type and all. The usual answer is yes, reached without a loop of ours."""
    kinds = set(map(type, found))
    if len(kinds) == 1 and tuple not in kinds and kinds == set(map(type, keys)):
        return set(keys).issuperset(found)
    own = dict(zip(keys, keys, strict=True))
    asked = [own.get(key, _NOBODY) for key in found]
    if list(map(type, found)) != list(map(type, asked)):
        return False
    return type(found[0]) is not tuple or _part_types(found) == _part_types(asked)


def _part_types(keys: Iterable[tuple[Any, ...]]) -> list[type]:
    return list(map(type, chain.from_iterable(keys)))


def _typed(key: Any) -> list[type]:
    return list(map(type, key)) if type(key) is tuple else [type(key)]
