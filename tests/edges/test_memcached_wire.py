"""memcached's protocol as bytes: a reply is read the same however it is cut, and what is no reply never makes a value."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchio.memcached import _wire
from batchio.memcached._wire import ItemsReader, RepliesReader, Reply, StatsReader, WireError

HOSTILE = [
    b"",
    b"x",
    b"END\r\n",
    b"\r\n",
    b"\r\nEND\r\n",
    b"\r\nVALUE k 0 1\r\nx",
    b"\r\nVALUE k 0 1\r\nx\r\nEND\r\n",
    b"VALUE a 0 0\r\n\r\nEND\r\n",
    b"HD\r\n",
    b"VA 3 c1\r\n",
    bytes(range(256)),
    b"\r",
    b"\n",
]

Outcome: TypeAlias = Any


def value(key: bytes, data: bytes, flags: bytes = b"7") -> bytes:
    return b"VALUE %b %b %d\r\n%b\r\n" % (key, flags, len(data), data)


def outcome(reader: Any, result: Callable[[Any], Any], pieces: Iterable[bytes]) -> Outcome:
    """What came of feeding pieces: the result, "not whole", or "refused"."""
    whole = False
    try:
        for piece in pieces:
            assert not whole, "fed on after the end"
            whole = reader.feed(piece)
    except WireError:
        return "refused"
    return result(reader) if whole else "not whole"


def items(asked: Iterable[bytes], pieces: Iterable[bytes]) -> Outcome:
    return outcome(ItemsReader(b" ".join(asked)), lambda reader: reader.found, pieces)


def replies(count: int, pieces: Iterable[bytes]) -> Outcome:
    return outcome(RepliesReader(count), lambda reader: reader.replies, pieces)


def stats(pieces: Iterable[bytes]) -> Outcome:
    return outcome(StatsReader(), lambda reader: reader.stats, pieces)


def cuts(reply: bytes) -> Iterator[list[bytes]]:
    """A reply whole, byte by byte, and in all pairs of pieces."""
    yield [reply]
    yield [reply[place : place + 1] for place in range(len(reply))]
    yield from ([reply[:place], reply[place:]] for place in range(1, len(reply)))


# --- what get is answered -------------------------------------------------------------------------------------------


def test_a_reply_is_read_the_same_however_it_is_cut() -> None:
    """Whole, byte by byte or in two pieces cut anywhere: the same values, with all that looks like protocol in them."""
    for one, other in itertools.product(HOSTILE, [b"", b"y", b"\r\nEND\r\n", b"\r\nVALUE k 0 1\r\nx"]):
        reply = value(b"a", one) + value(b"b", other) + b"END\r\n"
        for pieces in cuts(reply):
            assert items([b"a", b"b", b"k"], pieces) == {b"a": (b"7", one), b"b": (b"7", other)}


def test_nothing_found_is_a_reply() -> None:
    """END alone, however it is cut, means that no key is there."""
    for pieces in cuts(b"END\r\n"):
        assert items([b"a"], pieces) == {}


@given(st.lists(st.sampled_from(HOSTILE) | st.binary(max_size=20), max_size=4), st.data())
def test_any_values_in_any_cut(values: list[bytes], data: st.DataObject) -> None:
    """Any bytes may be a value, and any places may be cut."""
    reply = b"".join(value(b"k%d" % place, one) for place, one in enumerate(values)) + b"END\r\n"
    places = sorted(data.draw(st.sets(st.integers(1, len(reply) - 1), max_size=6)))
    pieces = [reply[start:end] for start, end in itertools.pairwise([0, *places, len(reply)])]
    found = {b"k%d" % place: (b"7", one) for place, one in enumerate(values)}
    assert items([b"k%d" % place for place in range(4)], pieces) == found


def test_more_keys_than_one_command_takes_end_more_than_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply to several commands is whole at its last END: none before ends it, wherever the reply is cut."""
    monkeypatch.setattr(_wire, "KEYS_PER_GET", 2)
    asked = [b"a", b"b", b"c", b"d", b"e"]
    assert _wire.get_request(b" ".join(asked)) == b"get a b\r\nget c d\r\nget e\r\n"
    for held in itertools.product([True, False], repeat=5):
        here = [value(key, b"\r\nEND\r\n") if there else b"" for key, there in zip(asked, held, strict=True)]
        reply = here[0] + here[1] + b"END\r\n" + here[2] + here[3] + b"END\r\n" + here[4] + b"END\r\n"
        found = {key: (b"7", b"\r\nEND\r\n") for key, there in zip(asked, held, strict=True) if there}
        for pieces in cuts(reply):
            assert items(asked, pieces) == found


def test_the_border_of_one_command_is_where_it_is() -> None:
    """10,000 keys are one command, one more makes two."""
    keys = [b"%d" % number for number in range(_wire.KEYS_PER_GET + 1)]
    assert _wire.get_request(b" ".join(keys[:-1])).count(b"get ") == 1
    assert _wire.get_request(b" ".join(keys)).count(b"get ") == 2
    assert items(keys[:-1], [b"END\r\n"]) == {}
    assert items(keys, [b"END\r\n"]) == "not whole"
    assert items(keys, [value(b"1", b"x") + b"END\r\n"]) == "not whole"
    assert items(keys, [b"END\r\nEND\r\n"]) == {}


@pytest.mark.parametrize(
    "reply",
    [
        b"ERROR\r\n",
        b"SERVER_ERROR out of memory writing get response\r\n",
        b"CLIENT_ERROR line too long\r\n",
        b"VERSION 1.6.18\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02",
        b"HD\r\n",
        b"ENDED\r\n",
        b"\r\n",
        value(b"other", b"x") + b"END\r\n",
        value(b"a", b"x") + value(b"other", b"y") + b"END\r\n",
        b"VALUE a 0 1\r\nxx\r\nEND\r\n",
        b"VALUE a 0 2\r\nxxx\r\nEND\r\n",
        b"VALUE a 0 -1\r\n\r\nEND\r\n",
        b"VALUE a 0\r\nx\r\nEND\r\n",
        b"VALUE  0 1\r\nx\r\nEND\r\n",
        b"VALUE a 0 1 77 8\r\nx\r\nEND\r\n",
        b"VALUE a 0 12345678901\r\nx\r\nEND\r\n",
    ],
)
def test_what_is_no_reply_is_refused_however_it_is_cut(reply: bytes) -> None:
    """Errors, other protocols, other keys, other lengths, bytes too many: no cut of them makes a value."""
    assert items([b"a", b"b"], [reply]) == "refused"
    for pieces in cuts(reply):
        assert items([b"a", b"b"], pieces) in ("refused", "not whole")


@pytest.mark.parametrize("more", [b"END\r\n", b"x", b"VALUE", value(b"a", b"y") + b"END\r\n"])
def test_bytes_behind_a_reply_make_it_none(more: bytes) -> None:
    """What comes with more behind it is not taken for a reply: the connection is not in step."""
    for reply in (b"END\r\n", value(b"a", b"x") + b"END\r\n"):
        assert items([b"a", b"b"], [reply + more]) in ("refused", "not whole")


def test_a_part_of_a_reply_is_never_a_reply() -> None:
    """Whatever is cut off at the end, the rest is waited for, or refused."""
    reply = value(b"a", b"\r\nEND\r\n") + value(b"b", b"x" * 20) + b"END\r\n"
    for length in range(len(reply)):
        for pieces in ([reply[:length]], [reply[place : place + 1] for place in range(length)]):
            assert items([b"a", b"b"], pieces) == "not whole"


@given(st.binary(max_size=60) | st.lists(st.sampled_from([b"VALUE ", b"a ", b"0 ", b"1", b"\r\n", b"x", b"END", b" "])).map(b"".join), st.data())  # fmt: skip
@settings(max_examples=300)
def test_cuts_never_change_what_rubbish_is(reply: bytes, data: st.DataObject) -> None:
    """Bytes that are a reply when they come at once are that reply in pieces, and others never become one."""
    place = data.draw(st.integers(0, len(reply)))
    at_once = items([b"a"], [reply])
    in_two = ItemsReader(b"a")
    try:
        whole = [in_two.feed(piece) for piece in (reply[:place], reply[place:]) if piece]
    except WireError:
        assert at_once in ("refused", "not whole")
        return
    if whole and whole[-1] and not any(whole[:-1]):
        assert at_once == in_two.found


def test_rubbish_without_an_end_is_refused_early() -> None:
    """A megabyte without a line break is not collected: the first two kilobytes tell."""
    for start in (b"", b"VALUE ", b"END", b"V", b"x"):
        rubbish = start + b"y" * 1_000_000
        for size in (1, 1000, 300_000):
            pieces = (rubbish[place : place + size] for place in range(0, 4000, size))
            assert items([b"a"], pieces) == "refused"


# --- what get is answered when all keys are there --------------------------------------------------------------------


def hits(asked: list[bytes], pieces: Iterable[bytes], flags: bytes = b"7") -> Outcome:
    """What a reader that expects nothing but hits makes of a reply: values in order, or what was found."""
    line = b" ".join(asked)
    reader = ItemsReader(line, _wire.hit_heads(line, flags))
    return outcome(reader, lambda reader: reader.found if reader.values is None else reader.values, pieces)


PLAIN = [data for data in HOSTILE if b"\r\n" not in data]
KEYS = [b"a", b"%d", b"a%20b", b"%"]  # a key may hold what means something where lengths are written


def test_a_reply_of_nothing_but_hits_is_read_as_values_in_order() -> None:
    """However it is cut, when each key came under the flags that were expected and no value has a line break."""
    for one, other in itertools.product(PLAIN, PLAIN):
        reply = value(b"%d", one) + value(b"a%20b", other) + b"END\r\n"
        for pieces in cuts(reply):
            assert hits([b"%d", b"a%20b"], pieces) == [one, other]


@given(
    st.lists(st.sampled_from(KEYS), unique=True, min_size=1),
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(HOSTILE), st.sampled_from([b"7", b"0"])), max_size=4),
    st.data(),
)
def test_what_is_expected_changes_nothing_of_what_is_found(
    asked: list[bytes], came: list[tuple[bytes, bytes, bytes]], data: st.DataObject
) -> None:
    """Hits, misses, other flags, line breaks, keys of nobody, in any order and any cut: the same values, or refused."""
    reply = b"".join(value(key, one, flags) for key, one, flags in came) + b"END\r\n"
    places = sorted(data.draw(st.sets(st.integers(1, len(reply) - 1), max_size=4)))
    pieces = [reply[start:end] for start, end in itertools.pairwise([0, *places, len(reply)])]
    found = hits(asked, pieces)
    if isinstance(found, list):
        found = {key: (b"7", one) for key, one in zip(asked, found, strict=True)}
    assert found == items(asked, pieces)


@pytest.mark.parametrize(
    "reply",
    [
        value(b"b", b"x") + value(b"a", b"y") + b"END\r\n",
        value(b"a", b"x") + value(b"a", b"y") + b"END\r\n",
        value(b"a", b"x") + value(b"b", b"y", b"8") + b"END\r\n",
        value(b"a", b"x") + value(b"b", b"y\r\nz") + b"END\r\n",
        value(b"a", b"x\r\nEND") + b"END\r\n",
        value(b"a", b"x") + b"END\r\n",
    ],
)
def test_other_replies_are_not_taken_for_hits(reply: bytes) -> None:
    """Another order, a key twice, other flags, a line break in a value, a miss: they are looked at one by one."""
    assert isinstance(hits([b"a", b"b"], [reply]), dict)


@pytest.mark.parametrize(
    "reply",
    [
        b"VALUE a 7 2\r\nx\r\nVALUE b 7 0\r\ny\r\nEND\r\n",
        b"VALUE a 7 1\r\nx\r\nVALUE b 7 1\r\ny\r\nxEND\r\n",
        b"VALUE a 7 1\r\nx\r\nVALUE b 7 1 1\r\ny\r\nEND\r\n",
        b"VALUE a 7 1\r\nx\r\nVALUX b 7 1\r\ny\r\nEND\r\n",
        b"VALUE a 7\r\nx\r\n1 VALUE b 7 1\r\ny\r\nEND\r\n",
    ],
)
def test_a_reply_that_only_resembles_hits_is_none(reply: bytes) -> None:
    """Lengths and heads must be right, each one."""
    assert hits([b"a", b"b"], [reply]) in ("refused", "not whole")


# --- what meta commands are answered --------------------------------------------------------------------------------

ANSWERS = [
    (b"HD\r\n", Reply(b"HD", [])),
    (b"HD c12 W\r\n", Reply(b"HD", [b"c12", b"W"])),
    (b"NF\r\n", Reply(b"NF", [])),
    (b"EX\r\n", Reply(b"EX", [])),
    (b"EN\r\n", Reply(b"EN", [])),
    (b"VA 0 c5 f0 ka W\r\n\r\n", Reply(b"VA", [b"c5", b"f0", b"ka", b"W"])),
    (b"VA 7 c6\r\n\r\nHD\r\nx\r\n", Reply(b"VA", [b"c6"], b"\r\nHD\r\nx")),
    (b"SERVER_ERROR object too large for cache\r\n", Reply(b"SERVER_ERROR", b"object too large for cache".split())),
    (b"ERROR\r\n", Reply(b"ERROR", [])),
]


@given(st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=3))
@settings(max_examples=60)
def test_answers_are_read_the_same_however_they_are_cut(several: list[tuple[bytes, Reply]]) -> None:
    """Each command gets its own answer, in order, also when a value looks like answers."""
    expected = [reply for _, reply in several]
    for pieces in cuts(b"".join(raw for raw, _ in several)):
        assert replies(len(several), pieces) == expected


def test_many_commands_that_were_done_are_many_answers() -> None:
    """Also in pieces, and none too many."""
    done = b"HD\r\n"
    for pieces in ([done * 3], [done, done * 2], [done * 2 + b"H", b"D\r\n"]):
        assert replies(3, pieces) == [Reply(b"HD", [])] * 3
    assert replies(3, [done, done * 3]) == "refused"
    assert replies(3, [done * 4]) == "refused"


def test_a_part_of_the_answers_is_not_all() -> None:
    """Whatever is cut off, the rest is waited for."""
    whole = b"".join(raw for raw, _ in ANSWERS)
    for length in range(len(whole)):
        assert replies(len(ANSWERS), [whole[:length]]) == "not whole"


@pytest.mark.parametrize(
    "raw",
    [
        b"STORED\r\n",
        b"END\r\n",
        b"\r\n",
        b"VA\r\n",
        b"VA x\r\n",
        b"VA -1\r\n",
        b"VA 12345678901 c1\r\n",
        b"VA 1 c1\r\nxy\r\n",
        b"HD\r\nHD\r\n",
        b"HD\r\nx",
        b"hd\r\n",
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    """Other words, values without a length, answers too many."""
    assert replies(1, [raw]) == "refused"


def test_endless_lines_are_refused_early() -> None:
    """Neither answers nor stats are collected beyond two kilobytes of one line."""
    assert replies(1, itertools.repeat(b"y" * 100, 40)) == "refused"
    assert stats(itertools.repeat(b"y" * 100, 40)) == "refused"


def test_a_flag_is_found_by_its_letter() -> None:
    """A flag has its value, nothing, or is not there."""
    reply = Reply(b"VA", [b"c12", b"W"])
    assert (reply.flag(b"c"), reply.flag(b"W"), reply.flag(b"Z")) == (b"12", b"", None)


# --- what stats are answered ----------------------------------------------------------------------------------------


def test_stats_are_read_the_same_however_they_are_cut() -> None:
    """Names and values, which may hold spaces."""
    for pieces in cuts(b"STAT pid 12\r\nSTAT version 1.6.18 (patched)\r\nSTAT empty\r\nEND\r\n"):
        assert stats(pieces) == {b"pid": b"12", b"version": b"1.6.18 (patched)", b"empty": b""}


@pytest.mark.parametrize("raw", [b"ERROR\r\n", b"x\r\n", b"STATS a b\r\n", b"END\r\nx", b"END\r\nEND\r\n", b"\r\n"])
def test_what_are_no_stats_is_refused(raw: bytes) -> None:
    """Neither errors nor bytes after the end pass."""
    assert stats([raw]) == "refused"
