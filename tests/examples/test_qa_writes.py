"""A write whose client goes away in the middle: what it changed is not shown as it was."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import batchio
from batchio.sqlite import Database
from examples.qa import forms
from examples.qa.asking import DB, WRITING


class Slow(Database):
    """A database whose writes wait for the test, once it says so."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def execute(self, sql: str, params: Any = ()) -> int:
        self.began.set()
        await self.go.wait()
        return await super().execute(sql, params)


async def test_a_write_is_finished_and_told_to_the_cache_though_its_client_went_away() -> None:
    """The statement goes on without its client, so the invalidation comes after it, and the next read is new."""
    async with Slow() as db:
        await db.execute("CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT)")
        await db.execute("INSERT INTO posts VALUES (1, 'old')")
        title = db.row("posts", columns="title", cache=batchio.MemoryCache())
        db.began.clear()
        db.go.clear()
        request: Any = SimpleNamespace(app={DB: db, WRITING: set()})
        client = asyncio.create_task(
            forms.write(request, "UPDATE posts SET title = ? WHERE id = ?", ("new", 1), (title, 1))
        )
        await db.began.wait()
        client.cancel()
        await asyncio.wait([client])
        assert await title(1) == "old"  # and the cache has it
        db.go.set()
        await asyncio.wait(request.app[WRITING])
        assert await title(1) == "new"
