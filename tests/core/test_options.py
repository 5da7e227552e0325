"""What the author of a loader may say, what is refused, and in which words."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

import batchio
from batchio import Limits, Loader
from batchio.testing import record


async def echo(keys: list[Any]) -> dict[Any, Any]:
    return {key: key for key in keys}


def refusal(kind: type[Exception], *arguments: Any, **options: Any) -> str:
    """The words in which a definition is refused."""
    with pytest.raises(kind) as caught:
        Loader(*arguments, **options)
    return str(caught.value)


# --- the batch function -------------------------------------------------------------------------------------------


def test_a_plain_def_is_refused_with_what_to_write() -> None:
    """A batch function without async is the first mistake of all: the message shows the line to write."""

    def titles(keys: list[int]) -> dict[int, str]:
        return {}

    words = refusal(TypeError, titles)
    assert words.endswith("titles: the batch function is a plain def; write async def titles(...)")
    with pytest.raises(TypeError, match="write async def titles"):
        batchio.loader(titles)
    with pytest.raises(TypeError, match="t: the batch function is a plain def"):
        batchio.loader(name="t")(titles)


@pytest.mark.parametrize(("fetch", "shown"), [(42, "42"), ("users", "'users'")])
def test_what_cannot_be_called_is_refused(fetch: Any, shown: str) -> None:
    """A loader needs a batch function, and the message shows one and what came."""
    assert refusal(TypeError, fetch, name="x") == (
        f"x: a loader needs a batch function, async def f(keys): ...; got {shown}"
    )


def test_a_loader_of_nothing_is_refused() -> None:
    """Neither a function nor a subclass's load_batch: the message names both ways."""
    assert "write @batchio.loader above one, or subclass Loader with async def load_batch" in refusal(TypeError)


async def no_keys() -> dict[int, int]:
    return {}


async def only_keywords(*, keys: list[int]) -> dict[int, int]:
    return {}


async def two_positional(keys: list[int], locale: str) -> dict[int, int]:
    return {}


@pytest.mark.parametrize("fetch", [no_keys, only_keywords, two_positional])
def test_a_batch_function_takes_one_list_of_keys(fetch: Any) -> None:
    """Other signatures are refused at definition, with the signature that was found."""
    words = refusal(TypeError, fetch)
    assert "must take one positional argument, the list of keys, and others only by keyword (after a *)" in words
    assert words.endswith(f"its signature is {inspect.signature(fetch)}")


async def with_default(keys: list[int], page: int = 1) -> dict[int, int]:
    return dict.fromkeys(keys, page)


async def variadic(*keys: Any) -> dict[int, int]:
    return dict.fromkeys(keys[0], 1)


class Fetcher:
    """A batch function that is an object, with something of its own called load."""

    def __init__(self) -> None:
        self.load = "a number of my own"
        self.name = "mine"

    async def __call__(self, keys: list[int]) -> dict[int, int]:
        return dict.fromkeys(keys, 1)

    async def method(self, keys: list[int]) -> dict[int, int]:
        return dict.fromkeys(keys, 1)


def wrapped() -> Any:
    @functools.wraps(with_default)
    def passes_on(keys: list[int]) -> Any:
        return with_default(keys)

    return passes_on


CALLABLES = {
    "a second parameter with a default": with_default,
    "variadic": variadic,
    "an object": Fetcher(),
    "a method": Fetcher().method,
    "a partial": functools.partial(with_default, page=1),
    "a lambda": lambda keys: with_default(keys),  # noqa: PLW0108 - what is tested
    "a wrapper": wrapped(),
}


@pytest.mark.parametrize("how", CALLABLES)
async def test_a_batch_function_may_be_any_callable_that_gives_an_awaitable(how: str) -> None:
    """Objects, methods, partials, lambdas and wrappers are batch functions too, and do not disturb the loader."""
    loader: Loader[int, int] = Loader(CALLABLES[how])
    assert await loader.load(1) == 1
    assert await loader.load_many([1, 2]) == [1, 1]
    assert loader.name != "mine"


async def test_a_callable_without_a_signature_takes_no_parameters() -> None:
    """What Python cannot look into may still be a batch function; its loads take no parameters."""

    class Opaque:
        __signature__ = "unreadable"

        async def __call__(self, keys: list[int]) -> list[int]:
            return keys

    loader: Loader[int, int] = Loader(Opaque(), name="opaque")
    assert await loader(1) == 1
    with pytest.raises(TypeError, match="opaque: there is no parameter page"):
        loader(1, page=2)


async def test_a_function_that_is_no_coroutine_function_is_told_at_its_first_batch() -> None:
    """What cannot be seen at definition is seen at the first batch, in the same words."""
    loader: Loader[int, int] = Loader(lambda keys: dict.fromkeys(keys, 1), name="hidden")
    with pytest.raises(
        batchio.BatchShapeError, match="hidden: the batch function is no coroutine function, it returned"
    ):
        await loader(1)


# --- subclasses ---------------------------------------------------------------------------------------------------


class Names(Loader[int, str]):
    """A loader with state of its own."""

    def __init__(self, prefix: str, **options: Any) -> None:
        self.prefix = prefix
        super().__init__(**options)

    async def load_batch(self, keys: list[int], *, loud: bool = False) -> dict[int, str]:
        """Prefix the keys."""
        return {key: f"{self.prefix}{key}{'!' if loud else ''}" for key in keys}


async def test_a_subclass_brings_its_batch_function_as_load_batch() -> None:
    """A subclass loads by its load_batch, with its own state, parameters and options, and is named after the class."""
    ada, bob = Names("ada"), Names("bob", name="bobs")
    assert await asyncio.gather(ada(1), bob(1), ada(2, loud=True)) == ["ada1", "bob1", "ada2!"]
    assert (ada.name, bob.name) == (f"{__name__}:Names", "bobs")


async def test_load_batch_of_a_loader_made_from_a_function_is_not_used() -> None:
    """Called by hand it says so."""
    with pytest.raises(NotImplementedError, match=r"echo: write async def load_batch\(self, keys\)"):
        await Loader(echo, name="echo").load_batch([1])


# --- names --------------------------------------------------------------------------------------------------------


def test_a_loader_is_named_after_its_function() -> None:
    """The default name is module:qualname, and name= replaces it."""
    assert Loader(echo).name == f"{__name__}:echo"
    assert Loader(echo, name="e").name == "e"
    assert Loader(functools.partial(with_default, page=1)).name.endswith(":partial")


def test_a_loader_keeps_the_looks_of_its_function() -> None:
    """Name, docstring and module of the batch function show on the loader, for help() and for the docs."""

    @batchio.loader
    async def titles(keys: list[int]) -> dict[int, str]:
        """The titles of posts."""
        return {}

    assert (titles.__name__, titles.__doc__, titles.__module__) == ("titles", "The titles of posts.", __name__)  # type: ignore[attr-defined]


async def test_repr_says_what_a_loader_is_doing() -> None:
    """The name alone when there is nothing to do, and the state of its queue on this loop when there is."""
    go = asyncio.Event()

    async def slow(keys: list[int]) -> dict[int, int]:
        await go.wait()
        return {key: key for key in keys}

    loader: Loader[int, int] = Loader(slow, name="slow")
    assert repr(loader) == "<Loader slow>"
    loads = loader.load_many([1, 2])
    assert repr(loader) == "<Loader slow 2 keys queued, 0 batches in flight>"
    while "2 keys" in repr(loader):
        await asyncio.sleep(0)
    assert repr(loader) == "<Loader slow 0 keys queued, 1 batches in flight>"
    go.set()
    await loads
    assert repr(loader) == "<Loader slow>"


# --- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit", ["max_batch_size", "max_in_flight", "max_queued", "max_delay", "timeout", "cache_timeout"]
)
def test_an_unknown_option_that_is_a_limit_says_where_limits_go(limit: str) -> None:
    """Whoever writes max_batch_size=100 on the loader is shown the line to write."""
    words = refusal(TypeError, echo, name="e", **{limit: 1})
    assert words == f"e: {limit} is a limit; write limits=batchio.Limits({limit}=...)"


def test_an_unknown_option_is_refused() -> None:
    """Options that do not exist are refused by name, on the decorator too."""
    assert refusal(TypeError, echo, cahce=None) == "echo: there is no option 'cahce'"
    with pytest.raises(TypeError, match="there is no option 'batch'"):
        batchio.loader(batch=True)(echo)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ttl": 60}, "e: ttl is for a cache; give cache=... too, or leave ttl out"),
        ({"isolated": True, "coalesce": True}, "e: isolated keeps scopes apart and coalesce joins their flights"),
        ({"isolated": True, "cache": "memory"}, "e: an isolated loader may read its scope's context"),
        ({"cache": "memory", "ttl": 0}, "e: ttl is 0; it must be more than 0 seconds"),
        ({"cache": "memory", "ttl": -1.5}, "e: ttl is -1.5; it must be more than 0 seconds"),
        ({"cache": "memory", "ttl": math.nan}, "e: ttl is nan; it must be more than 0 seconds"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_pairs_that_make_no_sense_are_refused_at_definition(options: dict[str, Any], words: str) -> None:
    """What cannot both be meant is refused when the loader is made, with what to choose."""
    cache = batchio.MemoryCache()
    given = {name: cache if value == "memory" else value for name, value in options.items()}
    assert refusal(ValueError, echo, name="e", **given).startswith(words)
    Loader(echo, name="e", cache=cache)  # a refused definition has not taken the name


def test_options_of_the_wrong_type_are_refused() -> None:
    """limits takes Limits and key takes a function."""
    assert refusal(TypeError, echo, name="e", limits=100) == "e: limits is 100; write limits=batchio.Limits(...)"
    assert (
        refusal(TypeError, echo, name="e", key="int") == "e: key is 'int'; it must be a function of one key, as key=int"
    )


@pytest.mark.parametrize("name", ["max_batch_size", "max_in_flight", "max_queued"])
@pytest.mark.parametrize("count", [0, -1, 1.5, True, "10", None], ids=repr)
def test_a_count_of_limits_is_a_whole_number_of_at_least_one(name: str, count: Any) -> None:
    """Anything else is refused by name and value."""
    with pytest.raises(ValueError, match=re.escape(f"Limits: {name} is {count!r}; it must be a whole number")):
        Limits(**{name: count})
    assert getattr(Limits(**{name: 1}), name) == 1


@pytest.mark.parametrize("name", ["max_delay", "timeout", "cache_timeout"])
@pytest.mark.parametrize("seconds", [-1, math.nan, "1", True, None, 0], ids=repr)
def test_seconds_of_limits_are_numbers(name: str, seconds: Any) -> None:
    """Seconds are numbers above zero; only max_delay may be zero, and only timeout None."""
    if (name, seconds) in {("timeout", None), ("max_delay", 0)}:
        assert getattr(Limits(**{name: seconds}), name) is seconds
        return
    with pytest.raises(ValueError, match=re.escape(f"Limits: {name} is {seconds!r}; it must be")):
        Limits(**{name: seconds})


def test_limits_are_values_with_the_defaults_of_the_design() -> None:
    """Limits compare by value, cannot be changed, and have the documented defaults."""
    limits = Limits()
    assert limits == Limits(1_000, 8, 100_000, 0.005, 30.0)
    assert Loader(echo).limits == limits
    assert Loader(echo, limits=Limits(max_in_flight=2)).limits.max_in_flight == 2
    with pytest.raises(AttributeError):
        limits.timeout = 1.0  # type: ignore[misc]


# --- key= ---------------------------------------------------------------------------------------------------------


async def test_key_checks_and_normalises_each_key() -> None:
    """Keys that key= makes equal are one key, for load, load_many, prime and clear; the batch function sees it so."""
    batches: list[list[Any]] = []

    @batchio.loader(key=int)
    async def numbers(keys: list[int]) -> dict[int, int]:
        batches.append(keys)
        return {key: key for key in keys}

    with batchio.scope():
        assert await asyncio.gather(numbers("1"), numbers(1), numbers.load_many([" 1 ", 2.9])) == [1, 1, [1, 2]]
        numbers.prime("3", 33)
        assert await numbers(3) == 33
        numbers.clear("3")
        assert await numbers(3) == 3
    assert batches == [[1, 2], [3]]


async def test_an_error_of_key_is_raised_at_the_call() -> None:
    """A key that key= refuses is refused before anything is queued."""
    numbers: Loader[Any, Any] = Loader(echo, name="numbers", key=int)
    with pytest.raises(ValueError, match="invalid literal"):
        numbers("x")
    with pytest.raises(ValueError, match="invalid literal"):
        numbers.load_many([1, "x"])
    assert repr(numbers) == "<Loader numbers>"


async def test_key_may_make_an_unhashable_key_hashable() -> None:
    """key=tuple lets callers give lists."""
    assert await Loader(echo, key=tuple)([1, 2]) == (1, 2)


# --- calls that are wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scoped", [False, True], ids=["no scope", "scope"])
@pytest.mark.parametrize("many", [False, True], ids=["load", "load_many"])
async def test_a_key_that_cannot_be_hashed_is_refused_at_the_call(many: bool, scoped: bool) -> None:
    """TypeError at the call, with the loader's name, the key's type, and what to use."""
    loader: Loader[Any, Any] = Loader(echo, name="e")
    with batchio.scope() if scoped else batchio.observe(batchio.Observer()), pytest.raises(TypeError) as caught:
        (loader.load_many([1, [2]]) if many else loader([2]))
    assert str(caught.value) == (
        "e: a key of type list cannot be hashed: [2]; use a str, an int, a tuple ..., or give the loader key=... to "
        "make one"
    )


@pytest.mark.virtual
async def test_a_refused_load_leaves_no_trace_in_the_queue() -> None:
    """Loads after a refused one leave as if it had not been made: all in one batch, none of them late."""
    batches: list[list[Any]] = []

    async def fetch(keys: list[Any]) -> dict[Any, Any]:
        batches.append(keys)
        return {key: key for key in keys}

    loader: Loader[Any, Any] = Loader(fetch)
    with pytest.raises(TypeError):
        loader([])
    await asyncio.sleep(60)

    assert await asyncio.gather(*(hop(loader, depth) for depth in range(4))) == [0, 1, 2, 3]
    assert batches == [[0, 1, 2, 3]]


async def hop(loader: Loader[Any, Any], depth: int, key: Any = None) -> Any:
    """Load so many gathers deep."""
    key = depth if key is None else key
    return await loader(key) if depth == 0 else (await asyncio.gather(hop(loader, depth - 1, key)))[0]


@pytest.mark.parametrize("keys", ["abc", b"abc"], ids=repr)
async def test_load_many_of_a_string_is_refused(keys: Any) -> None:
    """A string is one key, and its letters are not keys."""
    with pytest.raises(TypeError, match=r"e: load_many takes many keys and got one (str|bytes); write \[key\]"):
        Loader(echo, name="e").load_many(keys)


async def test_load_many_takes_any_iterable() -> None:
    """Generators, sets and dict views are fine; the answer is a list in their order."""
    loader: Loader[int, int] = Loader(echo)
    assert await loader.load_many(key for key in (3, 1)) == [3, 1]
    assert await loader.load_many({1: "a", 2: "b"}.keys()) == [1, 2]
    assert await loader.load_many(()) == []


# --- parameters ---------------------------------------------------------------------------------------------------


@batchio.loader(name="title")
async def title(keys: list[int], *, locale: str, size: int = 10) -> dict[int, str]:
    return {key: f"{key}.{locale}.{size}" for key in keys}


async def test_keyword_only_parameters_are_parameters_of_the_load() -> None:
    """They reach the batch function, with its defaults, and loads with different values share no batch."""
    assert await asyncio.gather(
        title(1, locale="fr"), title(2, locale="en", size=3), title.load_many([3, 4], locale="fr")
    ) == ["1.fr.10", "2.en.3", ["3.fr.10", "4.fr.10"]]


@pytest.mark.parametrize(
    "call",
    [
        lambda **params: title(1, **params),
        lambda **params: title.load_many([1], **params),
        lambda **params: title.clear(1, **params),
        lambda **params: title.clear_all(**params),  # noqa: PLW0108 - as the others
        lambda **params: title.prime(1, "x", **params),
    ],
    ids=["load", "load_many", "clear", "clear_all", "prime"],
)
async def test_wrong_parameters_are_refused_at_the_call(call: Any) -> None:
    """A parameter that is missing or unknown is named, with those that there are."""
    takes = "the batch function's keyword-only parameters are: locale, size"
    with pytest.raises(TypeError, match=f"title: a load lacks locale; {takes}"):
        call()
    with pytest.raises(TypeError, match=f"title: there is no parameter colour, lang; {takes}"):
        call(lang="fr", colour=1)


async def test_a_loader_without_parameters_says_so() -> None:
    """The message of an unknown parameter says that there are none."""
    with pytest.raises(TypeError, match=r"e: there is no parameter locale; .* are: none"):
        Loader(echo, name="e")(1, locale="fr")


async def test_a_parameter_that_cannot_be_hashed_is_refused_at_the_call() -> None:
    """Parameters are part of the key, so they are hashable; the message names the parameter."""
    for call in (title.load, title.load_many, title.clear):
        with pytest.raises(TypeError, match="title: the parameter locale cannot be hashed: a list"):
            call([1], locale=["fr"])  # type: ignore[operator]


async def test_bind_fixes_parameters() -> None:
    """A bound loader is the same loader: it shares batches, memo and name, and can be bound further."""
    french = title.bind(locale="fr")
    small = french.bind(size=1)
    with record() as recorded, batchio.scope():
        assert await asyncio.gather(french(1), title(2, locale="fr"), small(3)) == ["1.fr.10", "2.fr.10", "3.fr.1"]
        assert await title(1, locale="fr") == "1.fr.10"
        french.clear(1)
        await french.load_many([1, 2])
    assert recorded.batches(title) == [[1, 2], [3], [1]]
    assert repr(french) == "<Loader title>"
    with pytest.raises(TypeError, match="title: there is no parameter lang"):
        title.bind(lang="fr")


async def test_parameters_of_different_types_are_different() -> None:
    """page=1 and page=True are equal in Python and two things to a source."""

    @batchio.loader
    async def pages(keys: list[int], *, page: Any) -> dict[int, str]:
        return {key: repr(page) for key in keys}

    assert await asyncio.gather(pages(1, page=1), pages(1, page=True), pages(1, page=1.0)) == ["1", "True", "1.0"]


# --- show_keys ----------------------------------------------------------------------------------------------------

SECRET = "ada@example.com"


async def nothing(keys: list[Any]) -> dict[Any, Any]:
    return {}


async def too_few(keys: list[Any]) -> list[Any]:
    return []


async def wrong_type(keys: list[Any]) -> Any:
    return None


async def wrong_pairs(keys: list[Any]) -> AsyncIterator[Any]:
    yield "no pair"


async def endless(keys: list[Any]) -> Any:
    await asyncio.Event().wait()


async def aborted(keys: list[Any]) -> Any:
    raise asyncio.CancelledError


FAILING = [nothing, too_few, wrong_type, wrong_pairs, endless, aborted]


@pytest.mark.parametrize("fetch", FAILING, ids=lambda fetch: fetch.__name__)
async def test_show_keys_false_hides_keys_in_every_error_of_a_batch(fetch: Any) -> None:
    """Keys can be e-mail addresses, and messages end in logs."""
    loader: Loader[str, Any] = Loader(fetch, show_keys=False, limits=Limits(timeout=0.01))
    with pytest.raises(batchio.BatchioError) as caught:
        await loader(SECRET)
    assert SECRET not in f"{caught.value} {caught.value!r}"


async def test_show_keys_false_hides_keys_in_every_refusal() -> None:
    """The same for what is raised at the call, and for a cycle."""

    async def round_and_round(keys: list[Any]) -> Any:
        return await circle.load_many(keys)

    circle: Loader[Any, Any] = Loader(round_and_round, show_keys=False, limits=Limits(max_queued=1))
    with pytest.raises(TypeError) as unhashable:
        circle([SECRET])
    with pytest.raises(TypeError) as text:
        circle.load_many(SECRET)
    with pytest.raises(batchio.QueueFull) as full:
        circle.load_many([SECRET, SECRET * 2])
    with pytest.raises(batchio.LoadCycle) as cycle:
        await circle(SECRET)
    for caught in (unhashable, text, full, cycle):
        assert "ada" not in str(caught.value)
    assert "(hidden)" in str(unhashable.value)
    assert "1 keys (hidden)" in str(cycle.value)


async def test_keys_are_shown_briefly() -> None:
    """Of a batch at most three keys are shown, of a key at most forty characters, and a key without a repr by its type."""

    class Mute:
        def __repr__(self) -> str:
            raise ValueError

    loader: Loader[Any, Any] = Loader(too_few, name="few")
    with pytest.raises(batchio.BatchShapeError, match=re.escape("few: asked for 5 keys [1, 2, 3, and 2 more], and")):
        await loader.load_many([1, 2, 3, 4, 5])
    with pytest.raises(batchio.BatchShapeError, match=r"asked for 1 keys \['x{38}…\], and"):
        await loader("x" * 1_000_000)
    with pytest.raises(batchio.BatchShapeError, match=r"asked for 2 keys \[\(0, 1, 2, [0-9, ]{28,32}…, <Mute>\], and"):
        await loader.load_many([tuple(range(100)), Mute()])


# --- value types, for caches --------------------------------------------------------------------------------------


class Typed:
    """A cache that keeps what it was told of its loaders."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any, int | str]] = []

    def bind(self, name: str, value_type: Any, version: int | str) -> Any:
        self.told.append((name, value_type, version))
        return object()


async def mapping(keys: list[int]) -> Mapping[int, str]:
    return {}


async def sequence(keys: list[int]) -> Sequence[str]:
    return []


async def listing(keys: list[int]) -> dict[int, list[str]]:
    return {}


async def other(keys: list[int]) -> int:
    return 0


async def unknown_name(keys: list[int]) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821, UP037
    raise NotImplementedError


async def silent(keys: list[int]):
    return {}


async def bare(keys: list[int]) -> dict:  # type: ignore[type-arg]
    return {}


@pytest.mark.parametrize(
    ("fetch", "value_type"),
    [(mapping, str), (sequence, str), (other, Any), (unknown_name, Any), (silent, Any), (bare, Any), (echo, Any)],
)
def test_a_cache_is_told_the_type_of_the_values(fetch: Any, value_type: Any) -> None:
    """It is read off the annotations of the batch function; value_type= says it otherwise, version= what it means."""
    cache = Typed()
    Loader(fetch, name="a", cache=cache)
    Loader(fetch, name="b", cache=cache, value_type=bytes, version=3)
    assert cache.told == [("a", value_type, 0), ("b", bytes, 3)]


@pytest.mark.parametrize(
    ("fetch", "default", "value_type"),
    [
        (mapping, "", str),
        (mapping, None, str | None),
        (sequence, 0, str | int),
        (silent, None, Any),
        (listing, [], list[str]),
    ],
)
def test_a_cache_is_told_that_the_default_may_be_another_type(fetch: Any, default: Any, value_type: Any) -> None:
    """A default is a value that the cache keeps, so its type belongs to the values' type, where it is not in it yet."""
    cache = Typed()
    Loader(fetch, name="a", cache=cache, default=default)
    assert cache.told == [("a", value_type, 0)]


def test_every_option_may_be_given_to_the_decorator() -> None:
    """@loader(...) takes what Loader takes."""
    made = batchio.loader(
        name="all", limits=Limits(), key=int, default=None, cache=batchio.MemoryCache(), ttl=1.5, memo=False,
        isolated=False, coalesce=True, cancel_abandoned=True, show_keys=False, split_on_error=True, version="2",
        value_type=str,
    )(echo)  # fmt: skip
    assert isinstance(made, Loader)
    assert made.name == "all"


# --- override -----------------------------------------------------------------------------------------------------


async def test_override_answers_from_a_mapping_or_a_function() -> None:
    """Tests replace a loader's source by plain data, by a plain def or by an async def; the last one counts."""
    loader: Loader[int, str] = Loader(nothing, name="overridden", cache=batchio.MemoryCache())

    async def slow(keys: list[int]) -> list[str]:
        return [f"slow {key}" for key in keys]

    with loader.override({1: "one"}):
        assert await loader(1) == "one"
        with pytest.raises(batchio.KeyNotFound):
            await loader(2)
        with loader.override(lambda keys: {key: f"plain {key}" for key in keys}):
            assert await loader(1) == "plain 1"
        with loader.override(slow):
            assert await loader.load_many([1, 2]) == ["slow 1", "slow 2"]
        assert await loader(1) == "one"
    with pytest.raises(batchio.KeyNotFound):
        await loader(1)  # neither the stand-ins nor the cache, which an override leaves alone, know it


async def test_override_gives_parameters_to_functions_and_not_to_mappings() -> None:
    """A mapping answers whatever the parameters are; a function gets them."""
    with title.override({1: "mapped"}):
        assert await title(1, locale="fr") == "mapped"
    with title.override(lambda keys, *, locale, size: dict.fromkeys(keys, f"{locale} {size}")):
        assert await title(1, locale="fr") == "fr 10"


def test_override_refuses_what_is_neither() -> None:
    """A list is no stand-in."""
    with pytest.raises(TypeError, match=r"title: override takes a mapping or a function, and got \[1\]"):
        title.override([1]).__enter__()  # type: ignore[arg-type]
