"""SQL for loaders, as text and plain data: what the SQL edges share.

This room imports no database, no asyncio and nothing third-party. Its neighbour `_rows` reads what comes back.

1. A `Plan` is made once, when a loader is defined. It gives the text of the statement for n keys, and turns the rows
   that come back into `{key: value}`. An edge runs the text in between, and does nothing else.
2. Values are always bound. Only names from the definition become text: checked, then quoted.
3. Keys are typed, and checked at the load: what the database cannot hold exactly is refused, and nothing is guessed.
4. A dialect is a value, not a subclass: two databases differ in these few facts, and in nothing that decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from types import GenericAlias
from typing import Any

from batchio._rows import HIDDEN, Names, Reader, Row, names_of, shape_of

# ------------------------------------------------------------------------------------------------ dialects


@dataclass(frozen=True)
class Dialect:
    """The facts in which one database's SQL differs from another's."""

    name: str
    quote: str
    """The character around an identifier."""
    placeholder: str
    """Where a value is bound. With `%s` the driver formats the text, so every `%` of the user's SQL is doubled."""
    row_values: str
    """What opens a list of composite keys: SQLite reads `(a, b) IN (VALUES (?,?),(?,?))`, and nothing shorter."""
    exact: str
    """Expressions that are equal only for equal keys of one type, whatever the column's collation."""
    max_parameters: int
    """How many values one statement holds at most, where the connection cannot say."""
    pad: bool
    """Repeat the last key up to a power of two, so that a cache of prepared statements sees few texts."""
    tokens: re.Pattern[str]
    """Strings and comments (no group), `:keys` (group `keys`), any other placeholder (group `other`)."""
    kinds: Mapping[type, Callable[[Any], str]]
    """The types a key may have, each with a check that answers "" or what is wrong with a value."""


def _integer(low: int, high: int) -> Callable[[int], str]:
    return lambda key: "" if low <= key <= high else f"the database's integers end at {low} and {high}"


def _text(key: str) -> str:
    try:
        key.encode()
    except UnicodeEncodeError:
        return "it holds a lone surrogate, which no text has"
    return ""


def _bytes(_key: bytes) -> str:
    return ""


SQLITE = Dialect(
    name="sqlite",
    quote='"',
    placeholder="?",
    row_values="VALUES ",
    exact="typeof({0}), {0} COLLATE BINARY",
    max_parameters=32_766,  # SQLite's own default since 3.32; the edge asks its connection, which may allow others
    # To prepare a statement costs more than to run it: 60 us of 86 for 100 keys, 280 of 410 for 1000 (m); a repeated
    # key costs 0.1 us.
    pad=True,
    tokens=re.compile(
        r"""'[^']*(?:'|\Z) | "[^"]*(?:"|\Z) | `[^`]*(?:`|\Z) | \[[^\]]*(?:\]|\Z) | --[^\n]* | /\*.*?(?:\*/|\Z)
        | (?P<keys>(?<!\w):keys\b) | (?P<other>\?\d* | (?<!\w)[:@$]\w+)""",
        re.VERBOSE | re.DOTALL,
    ),
    kinds={int: _integer(-(2**63), 2**63 - 1), str: _text, bytes: _bytes},
)

MYSQL_FIXED = r"""'(?:[^'\\]|\\.)*(?:'|\Z) | "(?:[^"\\]|\\.)*(?:"|\Z) | `[^`]*(?:`|\Z)
    | --(?=\s|\Z)[^\n]* | \#[^\n]* | /\*.*?(?:\*/|\Z)"""
"""MySQL's strings, quoted names and comments: what stands in them is no placeholder. A verbose pattern."""

MYSQL = Dialect(
    name="mysql",
    quote="`",
    placeholder="%s",
    row_values="",
    # Hashed, because a window compares no more than the first `max_sort_length` bytes of a text: 1024 by default.
    exact="SHA2(CAST({0} AS BINARY), 256)",
    max_parameters=10_000,  # far from 8 MB, beyond which its optimizer gives indexes up (230 bytes a value)
    pad=False,
    tokens=re.compile(
        rf"{MYSQL_FIXED} | (?P<keys>(?<!\w):keys\b) | (?P<other>\? | (?<!\w):\w+)", re.VERBOSE | re.DOTALL
    ),
    kinds={int: _integer(-(2**63), 2**64 - 1), str: _text, bytes: _bytes},
)

# --------------------------------------------------------------------------------------------- identifiers

_IDENTIFIER = re.compile(r"[A-Za-z0-9_]+")


def identifier(what: str, name: object) -> str:
    """Check one name of a definition, before it may become SQL.

    Raises:
        ValueError: It is not made of letters, digits and underscores alone.
    """
    if isinstance(name, str) and _IDENTIFIER.fullmatch(name) and not name.startswith(HIDDEN):
        return name
    raise ValueError(
        f"{what} is {name!r}: a name may hold ASCII letters, digits and underscores, and may not begin with {HIDDEN}. "
        "For anything else write the SQL yourself: select(...)"
    )


def quoted(dialect: Dialect, *parts: str) -> str:
    """Join checked names to one quoted identifier."""
    return ".".join(f"{dialect.quote}{part}{dialect.quote}" for part in parts)


def _table(name: object) -> tuple[str, ...]:
    parts = tuple(name.split(".")) if isinstance(name, str) else (name,)
    if len(parts) > 2:
        raise ValueError(f"table is {name!r}: write 'table' or 'schema.table'")
    return tuple(identifier("table", part) for part in parts)


def _order(dialect: Dialect, table: str, order_by: Names) -> str:
    terms = []
    for term in names_of("order_by", order_by):
        column = quoted(dialect, table, identifier("order_by", term.removeprefix("-")))
        terms.append(f"{column} DESC" if term.startswith("-") else column)
    return ", ".join(terms)


# ---------------------------------------------------------------------------------------------------- keys


def key_check(dialect: Dialect, loader: str, columns: int) -> Callable[[Any], Any]:
    """Make the function that each key goes through at its load.

    At the load and not in the batch, because the core keeps keys in dicts, where 1 == True == 1.0: whoever came
    second would be answered for the first.

    Args:
        dialect: Whose keys.
        loader: The loader's name, for the error.
        columns: How many columns a key has; from two on it is a tuple.

    Returns:
        A function that returns its key, or raises TypeError.
    """
    kinds = dialect.kinds

    def one(key: Any) -> Any:
        # An int first, and inline: nearly every key is one, and this is on the path of every load. The range is what
        # every database holds; a dialect may allow more below.
        if type(key) is int and -0x8000000000000000 <= key <= 0x7FFFFFFFFFFFFFFF:
            return key
        check = kinds.get(type(key))
        complaint = check(key) if check else "its type is not one that the database compares exactly"
        if complaint:
            raise TypeError(_refusal(dialect, loader, columns, key, complaint))
        return key

    def several(key: Any) -> Any:
        if type(key) is not tuple or len(key) != columns:
            raise TypeError(_refusal(dialect, loader, columns, key, f"it is not a tuple of exactly {columns}"))
        for part in key:
            one(part)
        return key

    return one if columns == 1 else several


def _refusal(dialect: Dialect, loader: str, columns: int, key: Any, complaint: str) -> str:
    """No key is shown: a loader may have asked for that, with show_keys=False."""
    kinds = ", ".join(kind.__name__ for kind in dialect.kinds)
    wanted = kinds if columns == 1 else f"a tuple of {columns}, each of them {kinds}"
    return (
        f"{loader}: this {type(key).__name__} cannot be a key: {complaint}. A key is {wanted}; nothing is converted "
        "for you. Convert it before the load, or define the loader with convert=str (or int, or your own function)"
    )


def key_function(plan: Plan, convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Give the loader's `key=`: the user's own function first, if there is one, then the check."""
    check = key_check(plan.dialect, plan.name, len(plan.key))
    return check if convert is None else lambda key: check(convert(key))


# --------------------------------------------------------------------------------------------------- plans


@dataclass(frozen=True)
class Plan:
    """One loader's SQL, and the way back from its rows to its keys. Made by `table_plan` and `select_plan`."""

    name: str
    dialect: Dialect
    head: str
    tail: str
    key: tuple[str, ...]
    reader: Reader
    whole: dict[int, bool] = field(default_factory=dict, compare=False, repr=False)
    """Whether a column of the key holds integers, by its place in the key: for an edge to note from an answer."""

    @property
    def value_type(self) -> Any:
        """The type of what one load gives, for caches; Any where only the database knows."""
        one = self.reader.shape.value_type
        return GenericAlias(list, one) if self.reader.many else one

    def statement(self, count: int) -> str:
        """Give the text for a number of keys. Not remembered: making it takes 0.5 us, and 1000 texts are megabytes."""
        mark = self.dialect.placeholder
        if len(self.key) == 1:
            return f"{self.head}({mark}{f',{mark}' * (count - 1)}){self.tail}"
        one = f"({mark}{f',{mark}' * (len(self.key) - 1)})"
        return f"{self.head}({self.dialect.row_values}{one}{f',{one}' * (count - 1)}){self.tail}"

    def statements(
        self, keys: Sequence[Any], max_parameters: int | None = None, max_bytes: int | None = None
    ) -> Iterator[tuple[str, list[Any]]]:
        """Give the statements for these keys, each with its values: one, unless they are too many; none for none.

        Args:
            keys: What a batch asks for.
            max_parameters: How many values one statement may bind; None for the dialect's own number.
            max_bytes: How long one statement may be with its values in it; the keys are SQL text then, and no values.
        """
        most = max(1, (max_parameters or self.dialect.max_parameters) // len(self.key))
        for part in self._parts(keys, most, max_bytes):
            if self.dialect.pad:
                part.extend(part[-1:] * (min(most, 1 << (len(part) - 1).bit_length()) - len(part)))
            yield self.statement(len(part)), part if len(self.key) == 1 else list(chain.from_iterable(part))

    def _parts(self, keys: Sequence[Any], most: int, max_bytes: int | None) -> Iterator[list[Any]]:
        """Cut by count, then by length; a key that is too long for any statement gets one of its own all the same."""
        for start in range(0, len(keys), most):
            part = list(keys[start : start + most])
            yield from [part] if max_bytes is None else self._short_parts(part, max_bytes)

    def _short_parts(self, texts: list[Any], max_bytes: int) -> Iterator[list[Any]]:
        start, size = 0, self.overhead
        for place, more in enumerate(map(self.size, texts)):
            if size + more > max_bytes and place > start:
                yield texts[start:place]
                start, size = place, self.overhead
            size += more
        yield texts[start:]

    @cached_property
    def overhead(self) -> int:
        """The bytes of a statement without its values."""
        return len(self.statement(1).encode())

    def size(self, text: Any) -> int:
        """The bytes that one more key takes in a statement: its values as SQL text, brackets and commas."""
        parts = (text,) if len(self.key) == 1 else text
        return sum(len(part.encode()) + 1 for part in parts) + 2

    def collect(self, keys: Sequence[Any], names: Iterable[str], rows: Sequence[Row]) -> dict[Any, Any]:
        """Give each key its own rows: see `Reader.collect`."""
        return self.reader.collect(keys, names, rows)


def table_plan(
    dialect: Dialect,
    table: str,
    *,
    key: Names,
    columns: Names | None = None,
    into: type[Any] | None = None,
    many: bool = False,
    order_by: Names | None = None,
    limit: int | None = None,
    name: str | None = None,
) -> Plan:
    """Plan `row` (many=False) and `rows` (many=True).

    Every column is written with its table, because SQLite takes a lone "typo" for the string 'typo'.

    Raises:
        ValueError: A name is not a plain one, or the options do not fit each other.
        TypeError: `into` is not a class with named fields.
    """
    parts = _table(table)
    key = tuple(identifier("key", part) for part in names_of("key", key))
    shape = shape_of(columns, into)
    listed = [identifier("columns", column) for column in shape.columns or ()]
    own = partial(quoted, dialect, parts[-1])
    selected = [own(column) for column in listed] or [f"{own()}.*"]
    selected += [f"{own(part)} AS {quoted(dialect, HIDDEN + part)}" for part in key if part not in listed]
    where = own(key[0]) if len(key) == 1 else f"({', '.join(map(own, key))})"
    found = f"FROM {quoted(dialect, *parts)} WHERE {where} IN "
    order = "" if order_by is None else f" ORDER BY {_order(dialect, parts[-1], order_by)}"
    limit = _limit(many, order_by, limit)
    if limit is None:
        head, tail = f"SELECT {', '.join(selected)} {found}", order
    else:
        number = quoted(dialect, f"{HIDDEN}n")
        same = ", ".join(dialect.exact.format(own(part)) for part in key)
        selected.append(f"ROW_NUMBER() OVER (PARTITION BY {same}{order}) AS {number}")
        head = f"SELECT * FROM (SELECT {', '.join(selected)} {found}"  # noqa: S608 - all names in it were checked
        tail = f") AS {own()} WHERE {number} <= {limit} ORDER BY {number}"
    named = tuple(part if part in listed else HIDDEN + part for part in key)
    name = name or f"{dialect.name}:{table}.{','.join(key)}"
    return Plan(name, dialect, head, tail, key, Reader(name, named, shape, many))


def _limit(many: bool, order_by: Names | None, limit: int | None) -> int | None:
    """A loader of one row that has an order takes the first; without an order "the first" would be nobody's choice."""
    if not many:
        return None if order_by is None else 1
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"limit is {limit!r}: it is a number of rows per key, 1 or more")
    if limit is not None and order_by is None:
        raise ValueError(f"limit={limit} without order_by: say which {limit}, as in order_by='-id'")
    return limit


def select_plan(
    dialect: Dialect,
    sql: str,
    *,
    key: Names,
    columns: Names | None = None,
    into: type[Any] | None = None,
    many: bool = False,
    name: str | None = None,
) -> Plan:
    """Plan `select`: the user's own SQL, with one `:keys` that grows with the batch.

    Raises:
        ValueError: Not exactly one `IN :keys`, another placeholder, several statements, or options that do not fit
            each other.
        TypeError: `into` is not a class with named fields.
    """
    key = names_of("key", key)
    head, tail = _around_keys(dialect, sql)
    name = name or f"{dialect.name}:select.{','.join(key)}"
    return Plan(name, dialect, head, tail, key, Reader(name, key, shape_of(columns, into), many))


def _outside(match: re.Match[str]) -> str:
    """Leave placeholders as they are, and nothing of strings and comments but the quotes."""
    return match[0] if match.lastgroup else "''" if match[0][0] in "'\"`[" else " "


def _around_keys(dialect: Dialect, sql: str) -> tuple[str, str]:
    """Split the user's SQL at its one `:keys`; what stands in strings and comments is not looked at."""
    found = [match for match in dialect.tokens.finditer(sql) if match.lastgroup]
    keys = [match for match in found if match.lastgroup == "keys"]
    others = sorted({match.group() for match in found if match.lastgroup == "other"})
    if len(keys) != 1:
        raise ValueError(
            f"the SQL has {len(keys)} places for :keys and needs exactly one, as in WHERE post_id IN :keys"
        )
    if re.search(r";\s*[^\s;]", dialect.tokens.sub(_outside, sql)):
        raise ValueError("the SQL holds several statements: a loader runs one")
    if others:
        raise ValueError(f"the SQL has {', '.join(others)} besides :keys: a loader binds its keys and nothing else")
    head, tail = sql[: keys[0].start()], sql[keys[0].end() :]
    if not re.search(r"\bIN\s*\Z", head, re.IGNORECASE) or re.search(r"\bNOT\s+IN\s*\Z", head, re.IGNORECASE):
        raise ValueError("write :keys straight after IN, with no brackets of your own: WHERE post_id IN :keys")
    if dialect.placeholder == "%s":
        head, tail = head.replace("%", "%%"), tail.replace("%", "%%")
    return head, tail
