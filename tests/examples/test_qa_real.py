"""The site on aiohttp, memcached and MariaDB: what a page costs on the wire, and that nobody reads what is no longer so."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import batchio
from batchio.memcached import MemcachedCache
from examples.qa import __main__ as command
from examples.qa import places
from tests.proxy import MemcachedCounter, Proxy

from .qa_browser import Browser, serving
from .qa_real import Gate, another_process, cookie, statements
from .test_qa_app import score
from .test_qa_page import DUMP, REAL

VIEWER = 1


class Twins(NamedTuple):
    """The same site twice."""

    file: Path
    url: str
    viewer: int


@pytest.fixture(scope="session")
def mysql_site(mariadb_server: Any) -> str:
    """The generated site in MySQL; nobody writes to it."""
    return built(mariadb_server, "qa_generated", "generate", "--questions", "200")


@pytest.fixture(scope="session", params=["generated", pytest.param("real", marks=REAL)])
def twins(request: pytest.FixtureRequest, mariadb_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    """One site in both databases, and somebody who has an account there."""
    if request.param == "generated":
        names = ("generated_site", "mysql_site")
        return Twins(*map(request.getfixturevalue, names), viewer=1)
    file = tmp_path_factory.mktemp("qa") / "real.db"
    assert command.main(["import", "--data", DUMP, "--to", f"sqlite:{file}"]) == 0
    return Twins(file, built(mariadb_server, "qa_real", "import", "--data", DUMP), viewer=2)


def built(mariadb: Any, name: str, *words: str) -> str:
    """The address of a site that a command makes in a database of its own."""
    mariadb.execute(f"CREATE DATABASE {name}")
    url: str = mariadb.url_of(name)
    assert command.main([*words, "--to", url]) == 0
    return url


def sha256(page: str) -> str:
    return hashlib.sha256(page.encode()).hexdigest()


# What a page costs -----------------------------------------------------------------------------------------------


async def test_the_page_is_the_same_bytes_and_cheap_on_the_wire(
    twins: Twins, mariadb_server: Any, memcached_address: str
) -> None:
    """From MySQL, cold or warm, the page is SQLite's; cold it takes 28 statements at most, warm none and 6 gets."""
    async with serving(twins.file) as browser:
        await browser.sign_in(twins.viewer)
        expected = sha256(await browser.text("/"))
    counter = MemcachedCounter()
    host, _, port = memcached_address.partition(":")
    async with (
        Proxy(host, int(port), on_up=counter) as line,
        serving(twins.url, cache=MemcachedCache(line.address)) as browser,
    ):
        browser.client.session.cookie_jar.update_cookies(cookie(twins.viewer))
        before = statements(mariadb_server)
        assert sha256(await browser.text("/")) == expected
        assert statements(mariadb_server) - before <= 28
        await batchio.drain()  # answers come first, the fills after them
        for _ in range(3):
            before = statements(mariadb_server)
            counter.clear()
            assert sha256(await browser.text("/")) == expected
            assert statements(mariadb_server) == before
            assert counter.commands.total() == counter.commands["get"] <= 6


@pytest.mark.flavours("asyncio", "uvloop")  # 65 pages are seconds of work, and the loop is no part of the count
async def test_a_herd_costs_little_more_than_one(
    mysql_site: str, mariadb_server: Any, memcached_server: Any, memcached_address: str
) -> None:
    """64 readers at once of one cold page make at most twice the statements of one."""
    costs = []
    for readers in (1, 64):
        memcached_server.flush()
        async with serving(mysql_site, cache=MemcachedCache(memcached_address)) as browser:
            browser.client.session.cookie_jar.update_cookies(cookie(VIEWER))
            before = statements(mariadb_server)
            pages = await asyncio.gather(*(browser.text("/") for _ in range(readers)))
            costs.append(statements(mariadb_server) - before)
            assert len(set(pages)) == 1
    assert costs[1] <= 2 * costs[0]


def test_page_counts_at_the_server(
    generated_site: Path, mysql_site: str, memcached_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`page` on MySQL and memcached has all ways, and the counts that it has on SQLite."""
    words = ["page", "--questions", "1", "--json"]
    found = []
    for site, cache in ((f"sqlite:{generated_site}", "memory"), (mysql_site, f"memcached://{memcached_address}")):
        assert command.main([*words, "--db", site, "--cache", cache]) == 0
        found.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    for small, real in zip(*found, strict=True):
        assert {name: real[name] for name in ("way", "loads", "keys", "levels", "sha256")}.items() <= small.items()
    for naive, primed, batched, warm in found:
        assert naive["calls"] > 2 * primed["calls"]
        assert primed["calls"] == found[0][1]["calls"]
        assert batched["calls"] <= 28
        assert warm["calls"] == 0


# What a write changes --------------------------------------------------------------------------------------------


PAGES = ("/", "/q/1", "/q/4", "/u/2", "/u/3", "/login")
WRITES: dict[str, dict[str, object]] = {
    "vote against an answer": {"path": "/vote", "post": 10, "value": -1},
    "vote for another, which comes first now": {"path": "/vote", "post": 11, "value": 1},
    "vote for a question": {"path": "/vote", "post": 4, "value": 1},
    "take a vote back": {"path": "/vote", "post": 4, "value": 0},
    "follow a question": {"path": "/follow", "question": 4, "on": 1},
    "unfollow a question": {"path": "/follow", "question": 4, "on": 0},
    "follow a user": {"path": "/follow", "user": 2, "on": 1},
    "unfollow a user": {"path": "/follow", "user": 2, "on": 0},
    "comment": {"path": "/comment", "post": 10, "text": "By steam."},
}


async def all_pages(browser: Browser) -> list[str]:
    """Every page of the tiny site."""
    return [await browser.text(path) for path in PAGES]


async def test_each_write_is_seen_on_every_page(tiny_mysql: str, memcached_address: str) -> None:
    """After each kind of write, whoever reads through the cache sees what whoever reads the database alone sees."""
    with places.place(tiny_mysql).connected() as connection:
        connection.execute("UPDATE posts SET accepted_id = 0")  # so that votes alone order the answers
    cached = [MemcachedCache(memcached_address) for _ in range(2)]  # as of two processes
    async with (
        serving(tiny_mysql) as plain,
        serving(tiny_mysql, cache=cached[0]) as writer,
        serving(tiny_mysql, cache=cached[1]) as reader,
    ):
        for browser in (plain, writer, reader):
            await browser.sign_in(3)
        for name, form in WRITES.items():
            before = await all_pages(reader)
            assert await all_pages(writer) == before
            assert (await writer.send(**form)).status == 303  # type: ignore[arg-type]
            expected = await all_pages(plain)
            assert expected != before, f"{name} changes nothing: a test of nothing"
            assert await all_pages(reader) == expected, name
            assert await all_pages(writer) == expected, name


async def test_a_vote_is_seen_in_another_process(tiny_mysql: str, memcached_address: str) -> None:
    """A vote that one process takes is in the next page of another, and the other way round."""
    words = ("--db", tiny_mysql, "--cache", f"memcached://{memcached_address}")
    async with another_process(3, *words) as there, another_process(2, *words) as here:
        seen = []
        for voter, value in ((here, 0), (there, 0), (here, 1), (there, 1), (here, -1), (there, -1)):
            assert await voter.send("/vote", post=1, value=value) == 303
            seen.append([score(await visitor.text("/"), 1) for visitor in (here, there)])
        start = seen[1][0]
        assert seen[1:] == [[start + change] * 2 for change in (0, 1, 2, 0, -2)]


@pytest.mark.parametrize("read_between", [False, True])
async def test_a_late_fill_does_not_bring_the_old_number_back(
    tiny_mysql: str, mariadb_server: Any, memcached_address: str, read_between: bool
) -> None:
    """A fill that read the old votes, and comes to the cache after the vote, is refused there."""
    gate = Gate("127.0.0.1", mariadb_server.port, at=b"FROM votes WHERE post_id IN")
    async with (
        gate,
        serving(
            tiny_mysql.replace(f":{mariadb_server.port}/", f":{gate.port}/"), cache=MemcachedCache(memcached_address)
        ) as slow,
        serving(tiny_mysql, cache=MemcachedCache(memcached_address)) as quick,
        serving(tiny_mysql) as plain,
    ):
        old = score(await plain.text("/q/1"), 1)
        reading = asyncio.create_task(slow.text("/q/1"))
        await gate.shut()  # the old number is read, and under way
        await quick.sign_in(2)
        assert (await quick.send("/vote", post=1, value=-1)).status == 303
        new = score(await plain.text("/q/1"), 1)
        assert new < old
        if read_between:
            assert score(await quick.text("/q/1"), 1) == new
        gate.release()
        assert score(await reading, 1) == old  # it was asked before the vote
        assert [score(await browser.text("/q/1"), 1) for browser in (slow, quick, slow)] == [new] * 3
