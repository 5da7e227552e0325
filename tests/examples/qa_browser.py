"""A browser for the tests: the app behind a real server, and one who clicks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from examples.qa import app, places

SECRET = b"of the tests"


class Browser:
    """Sends forms as a browser does: with the page's address, and without following where they lead."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.client = client
        self.home = str(client.make_url("/")).rstrip("/")

    async def text(self, path: str) -> str:
        """A page that is there."""
        async with self.client.get(path) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def get(self, path: str) -> ClientResponse:
        """Whatever an address gives."""
        return await self.client.get(path, allow_redirects=False)

    async def send(
        self, path: str, page: str = "/", headers: dict[str, str] | None = None, **form: object
    ) -> ClientResponse:
        """Send a form that stands on `page`; other headers take the place of those that a browser sends."""
        own = {"Origin": self.home, "Referer": self.home + page} if headers is None else headers
        fields = {name: str(value) for name, value in form.items()}
        return await self.client.post(path, data=fields, headers=own, allow_redirects=False)

    async def sign_in(self, user: int) -> None:
        """Be a user from now on."""
        assert (await self.send("/login", user=user)).status == 303


@asynccontextmanager
async def serving(site: Path | str, **options: Any) -> AsyncIterator[Browser]:
    """A browser at the site in a file, or in a database of that address."""
    application = app.make_app(places.place(str(site)).database(), secret=SECRET, **options)
    async with TestClient(TestServer(application)) as client:
        yield Browser(client)
