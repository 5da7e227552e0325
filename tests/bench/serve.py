"""The feed of ten questions as an aiohttp server, in one of the ways: a process that a run starts and ends.

    python -P -m tests.bench.serve WAY --loop asyncio --memcached HOST:PORT --mysql URL [--cpu N]

Rules:
- It prints its port when it is ready, and ends when its standard input does.
- The ways differ in how the page gets its data; route, ids, templates and stores are the same.
- /shape says how many keys the page has, /cpu how much process CPU was used: what a run asks between rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

import batchio.aiohttp
from batchio.memcached import MemcachedCache
from examples.qa import pages, places
from examples.qa.html import Html, Viewer, layout
from examples.qa.loaders import make_loaders
from tests.bench import measure
from tests.bench.peers import feed_aiodataloader, feed_primed
from tests.bench.peers.feed import KINDS, Stores

QUESTIONS = 10
FEED = f"SELECT id FROM posts WHERE type = 1 ORDER BY views DESC, id LIMIT {QUESTIONS}"

Render = Callable[[int, Sequence[int]], Awaitable[Html]]


@asynccontextmanager
async def by_batchio(given: argparse.Namespace, app: web.Application) -> AsyncIterator[Render]:
    """`examples/qa/pages.py`, as it is."""
    db = places.place(given.mysql).database()
    cache = MemcachedCache(given.memcached, prefix=given.way)
    loaders = make_loaders(db, cache=cache)
    batchio.aiohttp.setup(app, resources=[db, cache])
    yield lambda me, ids: pages.feed(loaders, me, ids)


@asynccontextmanager
async def by_aiodataloader(given: argparse.Namespace, _app: web.Application) -> AsyncIterator[Render]:
    """Loaders of each request's own."""
    async with Stores(given.memcached, given.mysql, f"{given.way}:") as stores:
        yield lambda me, ids: feed_aiodataloader.feed(stores, me, ids)


@asynccontextmanager
async def by_hand(given: argparse.Namespace, _app: web.Application) -> AsyncIterator[Render]:
    """Primed, on the drivers."""
    async with Stores(given.memcached, given.mysql, f"{given.way}:") as stores:
        yield lambda me, ids: feed_primed.feed(feed_primed.Primed(stores, me), ids)


@asynccontextmanager
async def by_hand_on_cache(given: argparse.Namespace, _app: web.Application) -> AsyncIterator[Render]:
    """Primed, on batchio's cache."""
    async with (
        Stores(given.memcached, given.mysql, "") as stores,
        MemcachedCache(given.memcached, prefix=given.way) as cache,
    ):
        bound = {kind: cache.bind(kind, KINDS[kind].value_type) for kind in KINDS}
        yield lambda me, ids: feed_primed.feed(feed_primed.PrimedOnCache(stores, me, bound), ids)


WAYS = {
    "batchio": by_batchio,
    "aiodataloader": by_aiodataloader,
    "primed": by_hand,
    "primed-on-cache": by_hand_on_cache,
}


async def serve(given: argparse.Namespace) -> None:
    """Serve until nobody holds the other end of standard input."""
    app = web.Application()
    async with Stores(given.memcached, given.mysql, "shape:") as stores, WAYS[given.way](given, app) as render:
        ids = await feed_ids(stores)

        async def show(request: web.Request) -> web.Response:
            me = int(request.query["viewer"])
            body = await render(me, ids)
            return web.Response(text=layout("Questions", body, Viewer(me, "somebody")), content_type="text/html")

        async def shape(_request: web.Request) -> web.Response:
            page = feed_primed.Primed(stores, 1)
            await feed_primed.prime(page, ids)
            return web.json_response(page.shape)

        app.add_routes([web.get("/", show), web.get("/shape", shape), web.get("/cpu", cpu)])
        await until_the_end(app)


async def feed_ids(stores: Stores) -> list[int]:
    """The most viewed questions; asked once, and the same for all ways."""
    async with stores.mysql.acquire() as connection, connection.cursor() as cursor:
        await cursor.execute(FEED)
        return [row[0] for row in await cursor.fetchall()]


async def cpu(_request: web.Request) -> web.Response:
    """Seconds of process CPU since the process began."""
    return web.json_response(time.process_time())


async def until_the_end(app: web.Application) -> None:
    """Run the application, say where, and wait."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        await runner.cleanup()


def main() -> None:
    """Read what to serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=list(WAYS))
    for option in ("--loop", "--memcached", "--mysql"):
        parser.add_argument(option, required=True)
    parser.add_argument("--cpu", type=int)
    given = parser.parse_args()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    measure.run(given.loop, lambda: serve(given))


if __name__ == "__main__":
    main()
