"""batchio in an aiohttp application: handlers just await loaders. The only file that imports aiohttp.

Rules of this room:

- A request is a scope: it remembers what it asked for, and nobody else sees that.
- ``QueueFull`` is the client's cue to come again: 503 with ``Retry-After``.
- On shutdown aiohttp lets handlers finish first; then batches are drained, then resources closed, so that no batch
  loses its database under way.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web

from batchio._core.errors import QueueFull
from batchio._core.scope import scope
from batchio._core.tick import drain

__all__ = ["setup"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

RETRY_AFTER = 1  # seconds; a queue of 100,000 keys is worked off in about that time, or the source is down


def setup(app: web.Application, resources: Iterable[Any] = (), *, drain_timeout: float = 10.0) -> web.Application:
    """Give each request of an application a scope, and its shutdown an order.

    Call it once, right after the application is made. The scope is outermost, so middlewares can load too. A websocket
    handler is one request for as long as it lives: enter ``batchio.scope()`` for each message there.

    Args:
        app: the application.
        resources: what loaders read from (databases, caches): objects with a ``close()``, plain or ``async``. They are
            closed on shutdown in the reverse order, each even if another one fails.
        drain_timeout: seconds that batches in flight get on shutdown before they are cancelled.

    Returns:
        The same application.

    Raises:
        TypeError: for a resource without ``close()``.

    Example:
        >>> import batchio, batchio.aiohttp
        >>> from aiohttp import web
        >>> @batchio.loader
        ... async def user_name(uids: list[int]) -> dict[int, str]:
        ...     return {uid: f"user {uid}" for uid in uids}
        >>> async def hello(request: web.Request) -> web.Response:
        ...     return web.Response(text=await user_name(int(request.match_info["uid"])))
        >>> app = batchio.aiohttp.setup(web.Application())
        >>> route = app.router.add_get("/{uid}", hello)
    """
    resources = list(resources)
    for resource in resources:
        if not callable(getattr(resource, "close", None)):
            raise TypeError(f"batchio.aiohttp.setup: resource {resource!r} has no close(); give databases and caches")

    async def lifetime(_: web.Application) -> AsyncIterator[None]:
        yield
        async with AsyncExitStack() as stack:
            for resource in resources:
                stack.push_async_callback(_close, resource)
            await drain(drain_timeout)

    app.middlewares.insert(0, _scoped)
    app.cleanup_ctx.append(lifetime)
    return app


@web.middleware
async def _scoped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One request, one scope."""
    with scope():
        try:
            return await handler(request)
        except QueueFull as error:
            headers = {"Retry-After": str(RETRY_AFTER)}
            raise web.HTTPServiceUnavailable(text="busy, please try again", headers=headers) from error


async def _close(resource: Any) -> None:
    """Close a resource whose ``close()`` may be plain or async."""
    closing = resource.close()
    if inspect.isawaitable(closing):
        await closing
