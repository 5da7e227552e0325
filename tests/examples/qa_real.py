"""What the tests of the site on MySQL and memcached share: how to count statements, and another process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, CookieJar
from yarl import URL

from examples.qa import session
from tests.proxy import Proxy

from .qa_browser import SECRET

ROOT = Path(__file__).parents[2]


def statements(server: Any) -> int:
    """Com_select of a MariaDB: how many SELECT statements it was given so far."""
    ((_, count),) = server.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")
    return int(count)


def cookie(user: int) -> dict[str, str]:
    """The cookie of somebody who is signed in."""
    return {session.COOKIE: session.sign(SECRET, user)}


async def until(condition: Callable[[], object]) -> None:
    """Let the others run until something is so."""
    while not condition():
        await asyncio.sleep(0.001)


class Gate(Proxy):
    """A proxy that lets a statement pass, and holds its answer until it is opened; what travels beside it passes."""

    def __init__(self, host: str, port: int, at: bytes) -> None:
        super().__init__(host, port, on_up=self._asked, on_down=self._answered)
        self._at = at
        self._connection = 0  # the one on which the statement went up
        self._carrying: asyncio.Task[Any] | None = None  # what brings its answer down
        self._shut = asyncio.Event()
        self._opened = asyncio.Event()

    async def shut(self) -> None:
        """Wait until the statement was answered, and its answer is held."""
        await self._shut.wait()

    def release(self) -> None:
        """Let everything pass, from now on."""
        self._opened.set()

    def _asked(self, connection: int, chunk: bytes) -> None:
        if self._at in chunk and not self._connection:
            self._connection = connection

    def _answered(self, connection: int, _chunk: bytes) -> None:
        if connection == self._connection:
            self._carrying = asyncio.current_task()
            self._shut.set()

    async def _hold(self, piece: bytes) -> None:
        if asyncio.current_task() is self._carrying:
            await self._opened.wait()


class Visitor:
    """Somebody at a site that another process serves."""

    def __init__(self, home: str, client: ClientSession) -> None:
        self._home, self._client = home, client

    async def text(self, path: str) -> str:
        """A page that is there."""
        async with self._client.get(self._home + path) as response:
            assert response.status == 200
            return await response.text()

    async def send(self, path: str, **form: object) -> int:
        """Send a form; the status."""
        fields = {name: str(value) for name, value in form.items()}
        headers = {"Origin": self._home}
        async with self._client.post(
            self._home + path, data=fields, headers=headers, allow_redirects=False
        ) as response:
            return response.status


@asynccontextmanager
async def another_process(user: int, *words: str) -> AsyncIterator[Visitor]:
    """`python -m examples.qa serve WORDS`, and a user who is signed in there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.qa", "serve", "--port", "0", *words),
        cwd=ROOT,
        env=os.environ | {"QA_SECRET": SECRET.decode()},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    try:
        line = (await process.stdout.readline()).decode()
        home = re.search(r"http://[\d.:]+", line)
        assert home, line
        jar = CookieJar(unsafe=True)  # cookies for a number, and not a name
        jar.update_cookies(cookie(user), URL(home[0]))
        async with ClientSession(cookie_jar=jar) as client:
            yield Visitor(home[0], client)
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
