"""The site while memcached or MariaDB is away: what readers and writers are told, and that all is well afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from batchio import Limits
from batchio.memcached import MemcachedCache
from examples.qa import __main__ as command
from tests import servers
from tests.proxy import Proxy

from .conftest import WriteDump
from .qa_browser import Browser, serving
from .qa_real import Gate, statements, until
from .test_qa_app import is_a_page, score

pytestmark = pytest.mark.patience(60)


@pytest.fixture
def memcached() -> Iterator[Any]:
    """A memcached that a test may stop."""
    with servers.memcached() as server:
        yield server


def gets(memcached: Any) -> int:
    """How many keys were asked of a memcached, and found."""
    return int(memcached.stats()["get_hits"])


# memcached -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("go", "come"), [("stop", "start"), ("pause", "resume")])
async def test_pages_come_from_mysql_while_memcached_is_away(
    go: str, come: str, tiny_mysql: str, mariadb_server: Any, memcached: Any
) -> None:
    """memcached stopped or hung: the same pages from MySQL. And from memcached once it is back, without a restart."""
    async with serving(tiny_mysql, cache=MemcachedCache(memcached.address)) as browser:
        whole = await browser.text("/")
        assert await browser.text("/") == whole
        getattr(memcached, go)()
        before = statements(mariadb_server)
        assert [await browser.text("/") for _ in range(3)] == [whole] * 3
        assert statements(mariadb_server) > before
        getattr(memcached, come)()
        cost = 1
        while cost:  # bounded by the test's patience
            before, found = statements(mariadb_server), gets(memcached)
            assert await browser.text("/") == whole
            cost = statements(mariadb_server) - before
        assert gets(memcached) > found


async def test_a_change_that_the_cache_was_not_told_of_is_saved_and_said_so(
    tiny_mysql: str, memcached: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """While memcached is away a vote is stored; its voter is told that some pages may show it later, and not to retry."""
    async with serving(tiny_mysql, cache=MemcachedCache(memcached.address)) as browser:
        await browser.sign_in(2)
        await browser.send("/vote", post=1, value=1)
        start = score(await browser.text("/q/1"), 1)
        memcached.stop()
        response = await browser.send("/vote", post=1, value=-1)
        assert "Your change is saved. Some pages may show it later." in await is_a_page(response, 503)
        assert "Retry-After" not in response.headers
        assert "POST /vote: saved, but not invalidated" in caplog.text
        assert score(await browser.text("/q/1"), 1) == start - 2


async def test_a_write_whose_answer_was_lost_is_invalidated_too(
    tiny_mysql: str, mariadb_server: Any, memcached: Any
) -> None:
    """A vote that MySQL stored, and whose answer never came, is 503; and the next read, from the cache, has it."""
    gate = Gate("127.0.0.1", mariadb_server.port, at=b"REPLACE INTO votes")
    line = tiny_mysql.replace(f":{mariadb_server.port}/", f":{gate.port}/")
    async with gate, serving(line, cache=MemcachedCache(memcached.address)) as browser:
        await browser.sign_in(2)
        await browser.send("/follow", user=3, on=1)  # a write whose answer comes
        start = score(await browser.text("/q/1"), 1)
        voting = asyncio.create_task(browser.send("/vote", post=1, value=-1))
        await gate.shut()  # it is stored
        await gate.reset()
        await is_a_page(await voting, 503)
        gate.release()
        assert score(await browser.text("/q/1"), 1) == start - 2


# MariaDB ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def readers(browser: Browser, count: int, statuses: Counter[int]) -> AsyncIterator[None]:
    """Some who read pages, one after another, as long as the block lasts."""
    reading = True

    async def read(path: str) -> None:
        while reading:
            response = await browser.get(path)
            await response.read()
            statuses[response.status] += 1

    tasks = [asyncio.create_task(read(path)) for path in ("/", "/q/1", "/q/4", "/u/2") * (count // 4)]
    try:
        yield
    finally:
        reading = False
        await asyncio.gather(*tasks)


async def test_mysql_restarted_under_load(write_dump: WriteDump) -> None:
    """While MySQL is away readers get 503 and nothing else; once it is back, 200, and nobody hangs."""
    folder = str(write_dump())
    with servers.mariadb() as mariadb:
        assert command.main(["import", "--data", folder, "--to", mariadb.url]) == 0
        async with serving(mariadb.url) as browser:
            statuses: Counter[int] = Counter()
            async with readers(browser, 8, statuses):
                await until(lambda: statuses[200] >= 20)
                await asyncio.to_thread(mariadb.stop)
                await until(lambda: statuses[503] >= 20)
                await asyncio.to_thread(mariadb.start)
                answered = statuses[200]
                await until(lambda: statuses[200] >= answered + 20)
            assert set(statuses) == {200, 503}
            assert [(await browser.get("/")).status for _ in range(5)] == [200] * 5


async def test_connections_that_died_at_rest_are_not_noticed(write_dump: WriteDump) -> None:
    """MySQL restarted while nobody asked: the next reads and the next write are answered as if nothing had been."""
    folder = str(write_dump())
    with servers.mariadb() as mariadb:
        assert command.main(["import", "--data", folder, "--to", mariadb.url]) == 0
        async with serving(mariadb.url) as browser:
            await browser.sign_in(2)
            whole = await browser.text("/")
            await asyncio.to_thread(mariadb.stop)
            await asyncio.to_thread(mariadb.start)
            assert await asyncio.gather(*(browser.text("/") for _ in range(8))) == [whole] * 8
            await asyncio.to_thread(mariadb.stop)
            await asyncio.to_thread(mariadb.start)
            assert (await browser.send("/follow", question=1, on=1)).status == 303


async def test_a_database_that_is_away_is_503(tiny_mysql: str, mariadb_server: Any) -> None:
    """While nobody listens where MySQL was, pages and writes are 503 with a time to try again, and tell no secrets."""
    line = Proxy("127.0.0.1", mariadb_server.port)
    async with line, serving(tiny_mysql.replace(f":{mariadb_server.port}/", f":{line.port}/")) as browser:
        await browser.sign_in(2)
        await line.down()
        for path in ("/", "/q/1", "/login"):
            response = await browser.get(path)
            text = await is_a_page(response, 503)
            assert response.headers["Retry-After"] == "1"
            assert "mysql" not in text.lower()
        await is_a_page(await browser.send("/vote", post=1, value=1), 503)
        line.up()
        assert (await browser.get("/")).status == 200


async def test_a_database_that_does_not_answer_is_503(tiny_mysql: str, mariadb_server: Any) -> None:
    """A statement that takes longer than its batch may is 503, and the next one is answered."""
    line = Proxy("127.0.0.1", mariadb_server.port)
    address = tiny_mysql.replace(f":{mariadb_server.port}/", f":{line.port}/")
    async with line, serving(address, limits=Limits(timeout=0.5)) as browser:
        whole = await browser.text("/q/1")
        line.black_hole = True
        response = await browser.get("/q/1")
        await is_a_page(response, 503)
        assert response.headers["Retry-After"] == "1"
        line.black_hole = False
        assert await browser.text("/q/1") == whole
