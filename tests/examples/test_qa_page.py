"""The model page three ways: the same bytes, and what each way costs at the database."""

from __future__ import annotations

import html
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import batchio
from examples.qa import __main__ as command
from examples.qa import compare, places, primed

FEED = 1  # the statement that finds the ids of the page's questions

DUMP = os.environ.get("QA_DUMP", "")
REAL = pytest.mark.skipif(not (DUMP and Path(DUMP).is_dir()), reason="QA_DUMP names no dump")


@pytest.fixture(scope="module")
def results(generated_site: Path) -> dict[str, compare.Result]:
    ways = compare.three_ways(places.File(generated_site), 10, cache=batchio.MemoryCache(max_items=10_000))
    return {result.way: result for result in ways}


def test_all_ways_give_the_same_bytes(results: dict[str, compare.Result]) -> None:
    """One by one, by hand, in batches or from a cache: the reader sees no difference."""
    assert len({result.sha256 for result in results.values()}) == 1


def test_all_ways_read_the_same(results: dict[str, compare.Result]) -> None:
    """The page asks for the same keys in each way, over four levels."""
    asked = {(result.loads, result.keys, result.levels) for result in results.values()}
    assert asked == {(842, 668, 4)}


def test_batches_are_as_few_as_by_hand(results: dict[str, compare.Result]) -> None:
    """Priming by hand takes one statement for each key type and level; batchio hardly more; one by one, hundreds."""
    assert results["primed"].calls <= 23 + FEED
    assert results["batchio"].calls <= min(28, 1.2 * results["primed"].calls)
    assert results["naive"].calls >= 500


def test_a_warm_cache_leaves_no_statement(results: dict[str, compare.Result]) -> None:
    """All comes from the cache: what readers share, the viewer's own votes and follows, and the feed."""
    assert results["batchio, warm cache"].calls == 0


def test_the_page_holds_its_ten_questions(generated_site: Path) -> None:
    """All ten titles are on the page."""
    with closing(sqlite3.connect(generated_site)) as connection:
        page = primed.page(connection, 1, 10).html
        titles = connection.execute(
            "SELECT title FROM posts WHERE type = 1 ORDER BY views DESC, id LIMIT 10"
        ).fetchall()
    assert len(titles) == 10
    assert [title for (title,) in titles if html.escape(title) not in page] == []


def test_json_is_one_object_a_line(generated_site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json each way is a line of its own, for other programs."""
    assert command.main(["page", "--questions", "2", "--db", f"sqlite:{generated_site}", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["way"] for line in lines] == ["naive", "primed", "batchio"]
    assert [list(line) for line in lines] == [["way", "loads", "keys", "calls", "levels", "ms", "sha256"]] * 3


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json there is an aligned table; with no site given, one is made."""
    assert command.main(["page", "--questions", "2", "--generate", "5"]) == 0
    head, *ways, foot = capsys.readouterr().out.splitlines()
    assert head == "way      queries  ms per page"
    assert [line.split()[0] for line in ways] == ["naive", "primed", "batchio"]
    assert {len(line) for line in ways} == {len(head)}
    assert "the same HTML in each way" in foot


@pytest.mark.parametrize("cache", ["memory", "redis://127.0.0.1", "memcached://", "memcached://127.0.0.1:x"])
def test_a_cache_is_named(cache: str, generated_site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--cache takes an address, or nothing for the cache in memory; what is no address is told in one line."""
    words = ["page", "--questions", "2", "--db", f"sqlite:{generated_site}", "--cache"]
    assert command.main(words) == 0
    assert "warm cache" in capsys.readouterr().out
    expected = 0 if cache == "memory" else 2
    assert command.main([*words, cache]) == expected
    assert capsys.readouterr().err.count("\n") == bool(expected)


@pytest.mark.parametrize("content", [None, b"", b"not a database, and long enough to look at" * 100])
def test_what_is_no_site_is_one_line(content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is missing, empty or something else is told in one line, and is not created."""
    path = tmp_path / "site.db"
    if content is not None:
        path.write_bytes(content)
    assert command.main(["page", "--db", f"sqlite:{path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert path.exists() is (content is not None)


def test_the_primed_page_imports_nothing_of_batchio() -> None:
    """The hand-primed twin stands on its own."""
    code = "import sys; import examples.qa.primed; print([name for name in sys.modules if name.startswith('batchio')])"
    root = Path(command.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_site_in_a_file_needs_no_driver() -> None:
    """The demo and a site in a file run where no driver of MySQL or memcached is installed."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['aiomysql', 'pymysql', 'aiomcache', 'msgspec']))\n"
        "from examples.qa import __main__ as command, app\n"
        "command.main(['page', '--generate', '2', '--cache'])\n"
        "command.main(['generate', '--questions', '1', '--to', 'mysql://ada@127.0.0.1/qa'])"
    )
    root = Path(command.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert "batchio, warm cache" in done.stdout
    assert done.stderr == "examples.qa: a site in MySQL needs batchio[mysql]: no module named pymysql\n"


@REAL
def test_the_real_page(capsys: pytest.CaptureFixture[str]) -> None:
    """On the real dump the feed of ten takes 800 loads of 566 keys over 4 levels, and as few calls as by hand."""
    assert command.main(["page", "--questions", "10", "--data", DUMP, "--json"]) == 0
    naive, by_hand, batched = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert {(way["loads"], way["keys"], way["levels"]) for way in (naive, by_hand, batched)} == {(800, 566, 4)}
    assert len({way["sha256"] for way in (naive, by_hand, batched)}) == 1
    assert naive["calls"] >= 500
    assert by_hand["calls"] <= 23 + FEED
    assert batched["calls"] <= min(28, 1.2 * by_hand["calls"])


@REAL
def test_the_real_titles(tmp_path: Path) -> None:
    """The real page holds its ten titles, and none of the dump's markup acts."""
    site = tmp_path / "site.db"
    assert command.main(["import", "--data", DUMP, "--to", f"sqlite:{site}"]) == 0
    with closing(sqlite3.connect(site)) as connection:
        page = primed.page(connection, 2, 10).html
        titles = connection.execute(
            "SELECT title FROM posts WHERE type = 1 ORDER BY views DESC, id LIMIT 10"
        ).fetchall()
    assert [title for (title,) in titles if html.escape(title) not in page] == []
    assert re.findall(r"<(?:script|img|iframe|style)\b|\son\w+=", page) == []
