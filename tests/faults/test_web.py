"""Faults 83 to 86: clients that leave, scopes that have ended, a service that is told to end, observers that raise.

Rules:
- A service is a real one, on a socket; that a client has left is read off the server, and not off a clock.
- The service that is told to end is a program of its own, in development mode, with warnings as errors.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector, web

import batchio
import batchio.aiohttp
from tests.faults.helpers import Source, program
from tests.faults.stores import tell, until
from tests.private import free_port


@asynccontextmanager
async def site(handler: Any, **options: Any) -> AsyncIterator[str]:
    """A service with one handler for /KEY; gives its address."""
    app = batchio.aiohttp.setup(web.Application())
    app.router.add_get("/{key}", handler)
    runner = web.AppRunner(app, **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)


async def leaver(address: str, key: str) -> asyncio.StreamWriter:
    """A client that asks and does not wait."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(address.rsplit(":", 1)[1]))
    writer.write(f"GET /{key} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
    await writer.drain()
    return writer


@pytest.mark.parametrize("cancelled", [True, False], ids=["handlers are cancelled", "handlers go on"])
async def test_fault_83_a_client_that_disconnects_disturbs_nobody(cancelled: bool) -> None:
    """Others are answered. If its handler is cancelled, a key in flight stays so, and one that waits is not fetched."""
    source = Source(opened=False)
    load = source.loader(max_in_flight=1)
    story: list[str] = []
    asking: dict[str, web.Request] = {}

    async def page(request: web.Request) -> web.Response:
        key = request.match_info["key"]
        asking[key] = request
        story.append(f"{key} came")
        try:
            text = await load(key)
        except asyncio.CancelledError:
            story.append(f"{key} left")
            raise
        story.append(f"{key} done")
        return web.Response(text=text)

    async with site(page, handler_cancellation=cancelled) as address, ClientSession() as client:
        flying = await leaver(address, "flying")
        await source.called()
        waiting = await leaver(address, "waiting")
        await until(lambda: "waiting came" in story)
        patient = asyncio.create_task(text_of(client, f"{address}/patient"))
        await until(lambda: "patient came" in story)
        for writer in (flying, waiting):
            writer.close()
            await writer.wait_closed()
        await until(lambda: asking["flying"].transport is asking["waiting"].transport is None)  # the server has seen it
        if cancelled:
            await until(lambda: {"flying left", "waiting left"} <= set(story))
        source.gate.set()
        assert await patient == (200, "value patient")
        if not cancelled:
            await until(lambda: {"flying done", "waiting done"} <= set(story))
        assert await text_of(client, f"{address}/late") == (200, "value late")
    assert source.ended == ["done"] * 3
    assert source.calls == [["flying"], ["patient"] if cancelled else ["waiting", "patient"], ["late"]]


async def text_of(client: ClientSession, url: str) -> tuple[int, str]:
    async with client.get(url) as response:
        return response.status, await response.text()


async def test_fault_84_a_task_that_outlives_its_request_loads_as_with_no_scope() -> None:
    """Not refused and never a hang: it has its values, shares batches with whoever is there, and nothing is remembered."""
    source = Source()
    load = source.loader()
    ended = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def afterwards() -> list[Any]:
        await ended.wait()
        with pytest.raises(RuntimeError, match="scope"):
            load.prime("seen", "foreign")
        return [await load("seen"), await load("seen"), await load.load_many(["seen", "new"])]

    async def page(request: web.Request) -> web.Response:
        tasks.append(asyncio.create_task(afterwards()))
        return web.Response(text=await load("seen") + await load("seen"))

    async with site(page) as address, ClientSession() as client:
        assert await text_of(client, f"{address}/x") == (200, "value seen" * 2)
        assert source.calls == [["seen"]]
        ended.set()
        assert await tasks[0] == ["value seen", "value seen", ["value seen", "value new"]]
    assert source.calls == [["seen"], ["seen"], ["seen"], ["seen", "new"]]


SERVICE = """
    import batchio.aiohttp
    from aiohttp import web

    port = int(sys.argv[1])
    came = answered = batches = 0
    closed, left_behind = [], []

    @batchio.loader
    async def names(keys):
        global batches
        batches += 1
        await asyncio.sleep({"held": 1.0, "left behind": 1.5}.get(keys[0], 0.02))
        assert not closed, "the database was closed under a batch"
        return {key: f"value {key}" for key in keys}

    class Database:
        async def close(self):
            closed.append(True)

    async def page(request):
        global came, answered
        came += 1
        text = await names(request.match_info["key"])
        text += (await batchio.gather(names("common"), names(f"second {request.match_info['key']}")))[0]
        answered += 1
        if text.startswith("value held"):
            names("left behind").add_done_callback(lambda load: left_behind.append(load.result()))
        return web.Response(text=text)

    async def told(app):
        print("up", flush=True)
        yield
        print(came, answered, batches, flush=True)

    app = batchio.aiohttp.setup(web.Application(), resources=[Database()])
    app.router.add_get("/{key}", page)
    app.cleanup_ctx.append(told)
    loop = new_loop()
    loop.slow_callback_duration = 60  # of a machine that is busy with something else, development mode says so
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, loop=loop, shutdown_timeout=10)
    print("ended", closed, left_behind)
"""


@pytest.mark.patience(60)
async def test_fault_85_a_service_that_is_told_to_end_under_load_answers_what_it_has_accepted(
    flavour: Any, tmp_path: Path, record_property: Any
) -> None:
    """SIGTERM while 40 clients ask: whoever got in has an answer, also a load that nobody waits for; 0, and nothing on stderr."""
    port, statuses, pid = free_port(), Counter[int](), tmp_path / "pid"
    first = f"import os, pathlib; pathlib.Path({str(pid)!r}).write_text(str(os.getpid()))"
    service = asyncio.create_task(program(flavour, SERVICE, str(port), first=first))
    refused = 0

    async def visit(client: ClientSession, key: str) -> bool:
        nonlocal refused
        try:
            async with client.get(f"http://127.0.0.1:{port}/{key}") as response:
                assert await response.text() == f"value {key}value common"
                statuses[response.status] += 1
        except ClientError:  # refused, or in the kernel's queue when the socket was closed
            refused += 1
            return False
        return True

    async def visitor(client: ClientSession, name: int) -> None:
        number = 0
        while await visit(client, f"{name}-{number}"):
            number += 1

    async with ClientSession(connector=TCPConnector(force_close=True, limit=0)) as client:
        while not service.done() and not await visit(client, "first"):
            await asyncio.sleep(0.02)
        held = asyncio.create_task(visit(client, "held"))
        visitors = [asyncio.create_task(visitor(client, name)) for name in range(40)]
        await until(lambda: statuses[200] > 200 or service.done())
        os.kill(int(pid.read_text()), signal.SIGTERM)
        await asyncio.gather(*visitors)
        assert await held, "it was under way when the signal came"
    code, output, errors = await service
    assert (code, errors) == (0, "")
    up, counts, end = output.splitlines()
    came, answered, batches = map(int, counts.split())
    assert (up, end) == ("up", "ended [True] ['value left behind']")
    assert came == answered == statuses[200]
    record_property("accepted", came)
    tell(f"fault 85: {came} accepted, {answered} answered in {batches} batches, {refused} found no service")


class Own(BaseException):
    """Of somebody's own, and no Exception."""


@pytest.mark.parametrize("raised", [ValueError("x"), asyncio.CancelledError(), StopIteration(), Own()], ids=repr)
@pytest.mark.parametrize("hook", ["on_load", "on_dispatch", "on_done", "on_answer"])
async def test_fault_86_an_observer_that_raises_is_dropped_and_nobody_else_notices(
    hook: str, raised: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Loads are answered, the other observers are told everything, the log has it once, and it is not called again."""
    calls: Counter[str] = Counter()

    def bad(self: Any, event: Any) -> None:
        calls["bad"] += 1
        raise raised

    def good(name: str) -> Any:
        return lambda self, event: calls.update([name])

    hooks = ["on_load", "on_dispatch", "on_done", "on_answer"]
    Bad = type("Bad", (batchio.Observer,), {hook: bad})  # noqa: N806
    Good = type("Good", (batchio.Observer,), {name: good(name) for name in hooks})  # noqa: N806
    load = Source().loader()
    with caplog.at_level(logging.ERROR), batchio.observe(Bad()), batchio.observe(Good()):
        for key in (1, 3):
            with batchio.scope():
                assert await load(key) == f"value {key}"
                assert await load.load_many([key, key + 1]) == [f"value {key}", f"value {key + 1}"]
    assert calls == {"bad": 1, "on_load": 6, "on_dispatch": 4, "on_done": 4, "on_answer": 4}
    assert [line for line in caplog.messages if "raised and was dropped" in line] == caplog.messages
    assert len(caplog.messages) == 1
