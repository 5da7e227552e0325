"""The four DataLoaders behind one thin face, for the scoreboard of faults: `tests/faults/scoreboard`.

Rules:
- Each is used as its own documentation says: the peers make a loader for each request, batchio makes it once and enters
  a scope. Under one batch function, and one of lists in the order of the keys, since all four take that.
- An option that a library has not is left out, not emulated: what happens without it is what is looked for.
- A library is imported when its face is made, so that the suite, which has no peers, can ask batchio alone.
- What is read from memcached and MySQL is in face_stores.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

BatchFunction = Callable[[list[Any]], Awaitable[Any]]
Request = Callable[[], AbstractAsyncContextManager[Any]]  # enters a request, and gives its loader

# The words of the programs for what a loader may be told. `memo` is whether a request remembers what it has read.
OPTIONS = {"memo", "max_batch_size", "max_queued", "max_in_flight", "timeout", "split"}


class Peer:
    """What the peers have in common: a loader for each request, whose options are `cache` and `max_batch_size`."""

    name: str
    DataLoader: Any

    def declared(self, fetch: BatchFunction, **options: Any) -> Any:
        """A loader that is made where the program is, outside of requests and perhaps of event loops."""
        return self.DataLoader(fetch, **self._taken(options))

    def service(self, fetch: BatchFunction, **options: Any) -> Request:
        """What a service does for each of its requests."""

        @asynccontextmanager
        async def request() -> AsyncIterator[Any]:
            yield self.declared(fetch, **options)

        return request

    def gather(self, *awaitables: Any) -> Any:
        """How the documentation awaits several things."""
        return asyncio.gather(*awaitables)

    async def shutdown(self, loader: Any) -> None:
        """What the documentation says to do with a loader when the service ends: nothing."""

    def _taken(self, options: dict[str, Any]) -> dict[str, Any]:
        assert options.keys() <= OPTIONS, options
        return {"cache": options.get("memo", True), "max_batch_size": options.get("max_batch_size")}


class Aiodataloader(Peer):
    """aiodataloader; its README passes the function by its name, or derives a class."""

    name = "aiodataloader"

    def __init__(self) -> None:
        from aiodataloader import DataLoader

        self.DataLoader = DataLoader


class Strawberry(Peer):
    """strawberry's DataLoader."""

    name = "strawberry"

    def __init__(self) -> None:
        from strawberry.dataloader import DataLoader

        self.DataLoader = DataLoader


class Dloader(Peer):
    """dloader, whose loaders are closed by `async with` or by `shutdown()`."""

    name = "dloader"

    def __init__(self) -> None:
        from dloader import DataLoader

        self.DataLoader = DataLoader

    def service(self, fetch: BatchFunction, **options: Any) -> Request:
        return lambda: self.declared(fetch, **options)

    async def shutdown(self, loader: Any) -> None:
        await loader.shutdown()


class Batchio:
    """batchio: a loader is made once, and a request that remembers is a scope."""

    name = "batchio"

    def __init__(self) -> None:
        import batchio

        self.batchio = batchio

    def declared(self, fetch: BatchFunction, **options: Any) -> Any:
        assert options.keys() <= OPTIONS, options
        known = ("max_batch_size", "max_queued", "max_in_flight", "timeout")
        limits = self.batchio.Limits(**{name: options[name] for name in known if name in options})
        return self.batchio.Loader(fetch, name="users", limits=limits, split_on_error=options.get("split", False))

    def service(self, fetch: BatchFunction, **options: Any) -> Request:
        return self.entering(self.declared(fetch, **options), memo=options.get("memo", True))

    def entering(self, loader: Any, *, memo: bool = True) -> Request:
        """A scope for each request of a loader; none where nothing is to be remembered."""

        @asynccontextmanager
        async def request() -> AsyncIterator[Any]:
            if not memo:
                yield loader
                return
            with self.batchio.scope():
                yield loader

        return request

    def gather(self, *awaitables: Any) -> Any:
        return self.batchio.gather(*awaitables)

    async def shutdown(self, loader: Any) -> None:
        await self.batchio.drain(5.0)


FACES: dict[str, Callable[[], Any]] = {
    "batchio": Batchio,
    "aiodataloader": Aiodataloader,
    "strawberry": Strawberry,
    "dloader": Dloader,
}
