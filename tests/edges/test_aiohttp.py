"""The aiohttp edge, on real servers and sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, web

import batchio
import batchio.aiohttp

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """An application served on a free port of 127.0.0.1 for the length of a ``with``."""

    def __init__(self, handler: Handler, resources: tuple[object, ...] = (), **options: object) -> None:
        self.app = batchio.aiohttp.setup(web.Application(), resources=resources)
        self.app.router.add_get("/{key}", handler)
        self.runner = web.AppRunner(self.app, **options)
        self.client = ClientSession()

    async def __aenter__(self) -> Site:
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.client.close()
        await self.runner.cleanup()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(self.address + path) as response:
            return response.status, await response.text()


async def test_requests_share_batches_and_not_memos() -> None:
    """Two requests that run at once share one batch, and each remembers only what it asked for."""
    batches: list[list[str]] = []
    gate = asyncio.Event()
    arrived: list[str] = []

    @batchio.loader(name="upper")
    async def upper(words: list[str]) -> dict[str, str]:
        batches.append(words)
        return {word: word.upper() for word in words}

    async def page(request: web.Request) -> web.Response:
        word = request.match_info["key"]
        arrived.append(word)
        if len(arrived) == 2:
            gate.set()
        await gate.wait()
        first = await upper(word)
        again = await upper(word)
        return web.Response(text=first + again)

    async with Site(page) as site:
        answers = await asyncio.gather(site.get("/tea"), site.get("/milk"))
    assert answers == [(200, "TEATEA"), (200, "MILKMILK")]
    assert sorted(batches[0]) == ["milk", "tea"]
    assert len(batches) == 1


async def test_a_full_queue_is_503_with_retry_after() -> None:
    """A client that meets a full queue is told to come again."""

    @batchio.loader(name="small", limits=batchio.Limits(max_queued=1))
    async def small(keys: list[int]) -> dict[int, int]:
        return {key: key for key in keys}

    async def page(request: web.Request) -> web.Response:
        values = await small.load_many([1, 2])
        return web.Response(text=str(values))

    async with Site(page) as site, site.client.get(site.address + "/x") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert "small" not in await response.text()


async def test_a_client_that_leaves_disturbs_nobody() -> None:
    """With handler_cancellation, a disconnect cancels its own handler; the other client of the same key is served."""
    started, go = asyncio.Event(), asyncio.Event()
    cancelled: list[str] = []

    @batchio.loader(name="slow")
    async def slow(keys: list[str]) -> dict[str, str]:
        started.set()
        await go.wait()
        return {key: key for key in keys}

    waiting: list[str] = []
    both = asyncio.Event()

    async def page(request: web.Request) -> web.Response:
        try:
            load = slow("same")
            waiting.append("one")
            if len(waiting) == 2:
                both.set()
            return web.Response(text=await load)
        except asyncio.CancelledError:
            cancelled.append("one")
            go.set()
            raise

    async with Site(page, handler_cancellation=True) as site:
        patient = asyncio.create_task(site.get("/patient"))
        impatient = asyncio.create_task(site.get("/impatient"))
        await both.wait()
        await started.wait()
        impatient.cancel()
        assert await patient == (200, "same")
    assert cancelled == ["one"]
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_shutdown_drains_batches_before_it_closes_resources() -> None:
    """A batch in flight at shutdown finishes while its database is still open; then resources close in reverse."""
    story: list[str] = []

    class Resource:
        def __init__(self, name: str) -> None:
            self.name = name

        async def close(self) -> None:
            story.append(f"{self.name} closed")

    class Plain(Resource):
        def close(self) -> None:  # type: ignore[override]
            story.append(f"{self.name} closed")

    @batchio.loader(name="late")
    async def late(keys: list[str]) -> dict[str, str]:
        for _ in range(20):
            await asyncio.sleep(0)
        story.append("batch done")
        return {key: key for key in keys}

    async def page(request: web.Request) -> web.Response:
        late("for nobody")  # started, and not awaited
        return web.Response(text="ok")

    async with Site(page, (Resource("db"), Plain("cache"))) as site:
        assert await site.get("/x") == (200, "ok")
    assert story == ["batch done", "cache closed", "db closed"]


async def test_each_resource_is_closed_though_another_fails() -> None:
    """A resource whose close() raises keeps no other one open."""
    story: list[str] = []

    class Fine:
        def close(self) -> None:
            story.append("fine closed")

    class Broken:
        async def close(self) -> None:
            raise OSError("will not close")

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    site = Site(page, (Fine(), Broken()))
    with pytest.raises(OSError, match="will not close"):
        async with site:
            await site.get("/x")
    assert story == ["fine closed"]


def test_a_resource_without_close_is_refused_at_once() -> None:
    """A resource that cannot be closed is a mistake of the author, told at setup."""
    with pytest.raises(TypeError, match=r"has no close\(\)"):
        batchio.aiohttp.setup(web.Application(), resources=[object()])


async def test_middlewares_are_inside_the_scope() -> None:
    """A middleware may load, and the handler finds it in the memo."""
    batches: list[list[str]] = []

    @batchio.loader(name="names")
    async def names(keys: list[str]) -> dict[str, str]:
        batches.append(keys)
        return {key: key for key in keys}

    @web.middleware
    async def who(request: web.Request, handler: Handler) -> web.StreamResponse:
        await names("viewer")
        return await handler(request)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=await names("viewer"))

    app = web.Application(middlewares=[who])
    app.router.add_get("/", page)
    runner = web.AppRunner(batchio.aiohttp.setup(app))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client, client.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as response:
        assert await response.text() == "viewer"
    await runner.cleanup()
    assert batches == [["viewer"]]
