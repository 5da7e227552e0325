"""The verbs of `batchio.Cache` on memcached, with leases.

1. A lookup is one `get` for all loaders of a tick. What it does not find is asked for once more by meta commands, which
   leave a placeholder: whoever left it holds the lease, others see an empty value and wait for the filler.
2. The lease is the placeholder's `cas` number. A fill is stored only where the placeholder still stands; a deletion
   takes it away, and so a fill that was under way when somebody wrote comes to nothing. (Nishtala et al., "Scaling
   Memcache at Facebook", NSDI 2013, section 3.2.1; meta commands: memcached 1.6, doc/protocol.txt.)
3. A server that does not answer has no hits and gives no leases: its keys are misses that nobody fills. A deletion
   that it does not confirm is an error, for the writer.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

from batchio._core.cache import BoundCache, Lookup
from batchio._core.errors import BatchioError, BatchTimeout
from batchio.memcached._breaker import Breaker
from batchio.memcached._gets import Found, Get
from batchio.memcached._keys import KeyEncoder
from batchio.memcached._leases import Leasing
from batchio.memcached._link import ServerId
from batchio.memcached._ring import address, ring
from batchio.memcached._server import Answers, Command, Server, is_error, is_lost
from batchio.memcached._values import Codec, Format
from batchio.memcached._wire import Reply, delete, lease, store

P = TypeVar("P")

log = logging.getLogger("batchio")

LEASE_SECONDS = 10  # as in MemoryCache, and Facebook's: a filler that died frees the key then
LARGEST = 1024 * 1024 - 1024  # bytes; the server's default of 1 MiB counts the key and its own header, too
_LONGEST_RELATIVE = 30 * 24 * 3600  # seconds; what is more, memcached takes for a date
_END_OF_TIME = 2**31  # the first second that memcached cannot name; what would live so long lives for ever

Lease = tuple[bytes, ServerId]


class MemcachedCache:
    """A cache in memcached, shared by loaders and processes. Made at import; it may be used from any number of loops.

    Lookups of all loaders that leave in one tick travel together: one `get` for each server. Keys and values are typed:
    1, True and '1' are three keys, and a hit equals the miss that filled it. A value that would not come back as it
    is, or that is too large, is given to its readers and not stored; so is one under a key that memcached cannot hold
    safely. Both are said once in the log.

    A server that is down or slow is a miss, never an error for the reader. `invalidate` raises when a server did not
    confirm it. Needs memcached 1.6 or newer, for its meta commands.

    Args:
        *servers: "host:port" or "host", each with "memcached://" in front or not; a key belongs to one of them. All
            processes must name the same servers.
        prefix: What all keys begin with: for programs that share a server.
        codec: "msgpack", or "json" to be read by others.
        jitter: The share of its ttl by which a value may end earlier, at random, so that what was filled together
            does not end together. Values that live less than 10 seconds get none.
        timeout: Seconds that one exchange with a server may take; its connection is thrown away then.
        max_value_size: Bytes of a value that is still stored; the server's own limit is 1 MiB (`-I`).
        connections: How many may be open for reading, and as many for writing, to each server and on each loop.
        conn_args: More arguments for `asyncio.open_connection`, `ssl=` for one.

    Raises:
        ValueError: No server was named, one twice, or an address cannot be read.

    Example:
        >>> import asyncio, os, batchio
        >>> from batchio.memcached import MemcachedCache
        >>> mc = MemcachedCache(os.environ["MEMCACHED_URL"])  # as "127.0.0.1:11211"
        >>> @batchio.loader(name="word lengths", cache=mc, ttl=60.0)
        ... async def length(words: list[str]) -> dict[str, int]:
        ...     print("fetching", words)
        ...     return {word: len(word) for word in words}
        >>> async def main() -> list[int]:
        ...     async with mc:
        ...         return [await length("batch"), await length("batch")]
        >>> asyncio.run(main())
        fetching ['batch']
        [5, 5]
    """

    def __init__(
        self,
        *servers: str,
        prefix: str = "",
        codec: Format = "msgpack",
        jitter: float = 0.1,
        timeout: float = 0.2,
        max_value_size: int = LARGEST,
        connections: int = 4,
        conn_args: Mapping[str, Any] | None = None,
    ) -> None:
        addresses = [address(server) for server in servers]
        if not addresses or len(set(addresses)) < len(addresses):
            raise ValueError(f"MemcachedCache{servers!r}: name at least one server, each once, as '127.0.0.1:11211'")
        if codec not in ("msgpack", "json") or not 0 <= jitter < 1:
            raise ValueError(f"MemcachedCache: codec is {codec!r} and jitter {jitter!r}; 'msgpack' or 'json', 0 to 1")
        self._servers = [
            Server(host, port, timeout=timeout, connections=connections, conn_args=conn_args or {})
            for host, port in addresses
        ]
        self._place = ring(addresses)
        self._prefix, self._codec, self._jitter, self._largest = prefix, codec, jitter, max_value_size
        self._lock = threading.Lock()
        self._bound: weakref.WeakValueDictionary[str, _BoundMemcached] = weakref.WeakValueDictionary()
        self._down: set[Server] = set()
        self._orphans: dict[Server, set[bytes]] = {server: set() for server in self._servers}
        self._breakers = {server: Breaker() for server in self._servers}
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"<batchio.memcached.MemcachedCache {', '.join(server.name.split()[1] for server in self._servers)}>"

    def bind(self, name: str, value_type: Any, version: int | str = 0) -> BoundCache[Any, Any]:
        """Give one loader its own keys and its own codec.

        Args:
            name: The loader's name; all processes must use the same.
            value_type: The type of the values: what the codec reads and writes.
            version: Raised by the loader's author when the meaning of the values changes.

        Returns:
            The loader's bulk verbs.

        Raises:
            ValueError: A living loader of that name is bound already.
            TypeError: No value of that type can be stored.
        """
        try:
            codec = Codec(value_type, version, self._codec)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from error
        with self._lock:
            if name in self._bound:
                raise ValueError(f"{name}: this cache already has a loader of that name; give one of them name=...")
            bound = self._bound[name] = _BoundMemcached(self, name, KeyEncoder(self._prefix, name), codec)
        return bound

    async def close(self) -> None:
        """Close the running loop's connections; the next lookup opens one again.

        Example:
            >>> import asyncio
            >>> from batchio.memcached import MemcachedCache
            >>> asyncio.run(MemcachedCache("127.0.0.1:11211").close())
        """
        for server in self._servers:
            await server.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _by_server(self, keys: Iterable[bytes]) -> dict[Server, list[bytes]]:
        """Keys by the server that holds them."""
        if len(self._servers) == 1:
            return {self._servers[0]: list(keys)}
        parts: dict[Server, list[bytes]] = {}
        for key in keys:
            parts.setdefault(self._servers[self._place(key)], []).append(key)
        return parts

    async def _each(
        self, parts: Mapping[Server, P], ask: Callable[[Server, P], Any], *, always: bool = False
    ) -> BaseException | None:
        """Ask each server about its own part, all at once; gives the first error, which stopped none of the others.

        Args:
            parts: What each server is asked about.
            ask: How a server is asked.
            always: Ask a server that is taken for down, too: a deletion must reach it as soon as it is back.
        """
        told = [self._told(server, part, ask, always=always) for server, part in parts.items()]
        errors = [await told[0]] if len(told) == 1 else await asyncio.gather(*told)
        return next((error for error in errors if error is not None), None)

    async def _told(
        self, server: Server, part: P, ask: Callable[[Server, P], Any], *, always: bool
    ) -> BaseException | None:
        """Wait for a server's answer; say in the log when it stops to answer, and when it does again."""
        breaker = self._breakers[server]
        if not always and not breaker.lets_through():
            return None  # the reader has misses, and the log had its line
        try:
            await ask(server, part)
        except (OSError, BatchioError) as error:
            breaker.failed()
            told = self._explained(server, error)
            if server not in self._down:
                self._down.add(server)
                reason = f"{type(told).__name__}: {told}"
                log.warning("%s does not answer, its keys are misses meanwhile: %s", server.name, reason)
            return told
        breaker.succeeded()
        if server in self._down:
            self._down.discard(server)
            log.warning("%s answers again", server.name)
        if orphans := self._orphans[server]:
            server.leave([Command(delete(raw)) for raw in orphans])
            orphans.clear()  # and not another set: lookups under way hold this one
        return None

    def _explained(self, server: Server, error: Exception) -> Exception:
        """The error as a writer needs it: whose it is, and what can be set."""
        if isinstance(error, BatchTimeout):
            return BatchTimeout(
                f"{server.name} did not answer within {self._timeout} seconds; see whether it is up, or raise "
                f"MemcachedCache(timeout=...)"
            )
        error.add_note(f"{server.name} was asked")
        return error

    def _seconds(self, ttl: float | None) -> int:
        """A ttl as memcached counts it: whole seconds, never more than was said but for the least, which is 1."""
        if ttl is None or time.time() + ttl >= _END_OF_TIME:
            return 0
        seconds = max(1, int(ttl))
        seconds -= random.randrange(int(seconds * self._jitter) + 1)  # noqa: S311 - no secret
        return seconds if seconds <= _LONGEST_RELATIVE else int(time.time()) + seconds


class _BoundMemcached:
    """One loader's keys in a `MemcachedCache`."""

    def __init__(self, cache: MemcachedCache, name: str, keys: KeyEncoder, codec: Codec) -> None:
        self._cache = cache
        self._name = name
        self._keys = keys
        self._codec = codec
        self._said: set[str] = set()

    async def get_many(self, keys: Sequence[Any]) -> Lookup[Any, Any]:
        found: Lookup[Any, Any] = Lookup()
        leasing: list[Leasing] = []

        async def ask(server: Server, part: _Line) -> None:
            missing = self._sort(part, await server.get(Get(part.raws, self._codec.flags, self)), found)
            if missing:
                # Asked again, it would meet a placeholder of its own, and wait for itself.
                answering = server.send([Command(lease(raw, LEASE_SECONDS), again=delete(raw)) for raw in missing])
                leasing.append(Leasing(server, list(missing), answering, self._cache._orphans[server]))
                await asyncio.wait([answering])  # which does not cancel it: leases must not be lost with their asker
                self._sort_leases(missing, answering.result()[0], found)

        given = False
        try:
            await self._cache._each(self._lines(keys), ask)
            given = True
        finally:
            for one in leasing:
                if not given or is_error(one.answering):
                    one.answering.add_done_callback(one.free)
        return found

    async def fill_many(self, values: Mapping[Any, Any], leases: Mapping[Any, Lease], ttl: float | None) -> None:
        held = {
            self._keys.one(key): (lease, self._written(values[key]) if key in values else None)
            for key, lease in leases.items()
        }

        async def ask(server: Server, part: list[bytes]) -> None:
            def give_back(filling: asyncio.Future[list[Answers]]) -> None:
                if is_lost(filling):  # where the fill arrived after all, the lease is gone and this does nothing
                    server.leave([self._fill(raw, held[raw][0], None, ttl) for raw in part])

            filling = server.send([self._fill(raw, *held[raw], ttl) for raw in part])
            filling.add_done_callback(give_back)
            await asyncio.wait([filling])  # which does not cancel it, as above
            (answers,) = filling.result()
            refused = [raw for raw, reply in zip(part, answers.replies, strict=True) if reply.code.endswith(b"ERROR")]
            if refused:  # too large for this server: give the leases back
                await server.run([self._fill(raw, held[raw][0], None, ttl) for raw in refused])

        if held:
            await self._cache._each(self._cache._by_server(held), ask)

    async def set_many(self, values: Mapping[Any, Any], ttl: float | None) -> None:
        written = {raw: self._written(values[key]) for raw, key in self._encoded(values).items()}

        async def ask(server: Server, part: list[bytes]) -> None:
            answers = await server.run([self._set(raw, written[raw], ttl) for raw in part])
            refused = [raw for raw, reply in zip(part, answers.replies, strict=True) if reply.code.endswith(b"ERROR")]
            if refused:  # the old values must not stay
                _confirm(server, (await server.run([Command(delete(raw)) for raw in refused])).replies)

        if written:
            _raise(await self._cache._each(self._cache._by_server(written), ask, always=True))

    async def delete_many(self, keys: Sequence[Any]) -> None:
        async def ask(server: Server, part: list[bytes]) -> None:
            _confirm(server, (await server.run([Command(delete(raw)) for raw in part])).replies)

        if asked := self._encoded(keys):
            _raise(await self._cache._each(self._cache._by_server(asked), ask, always=True))

    # -- keys and values ---------------------------------------------------------------------------------------------

    def _lines(self, keys: Sequence[Any]) -> dict[Server, _Line]:
        """Keys as `get` takes them, by the server that holds them."""
        servers = self._cache._servers
        if len(servers) == 1 and keys:
            try:
                return {servers[0]: _Line(self._keys.line(keys), keys)}
            except (TypeError, ValueError):  # one of them cannot be sent
                pass
        asked = self._encoded(keys)
        parts = self._cache._by_server(asked).items()
        return {server: _Line(b" ".join(part), [asked[raw] for raw in part]) for server, part in parts if part}

    def _encoded(self, keys: Collection[Any]) -> dict[bytes, Any]:
        """Keys by what memcached calls them; those without a safe form are left out: they never were in it."""
        try:
            return self._keys.many(keys)
        except (TypeError, ValueError):
            pass
        encoded = {}
        for key in keys:
            try:
                encoded[self._keys.one(key)] = key
            except (TypeError, ValueError) as error:
                self._say(f"keys of type {type(key).__name__} are not cached: {error}")
        return encoded

    def _written(self, value: Any) -> bytes | None:
        """A value as bytes; None for one that is not stored."""
        try:
            data = self._codec.encode(value)
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            self._say(f"a value is not cached: {error}. Say with value_type= (or into=) what the values are")
            return None
        if not 0 < len(data) <= self._cache._largest:
            self._say(f"a value is not cached: it has {len(data)} bytes, and at most {self._cache._largest} are stored")
            return None
        return data

    def _say(self, text: str) -> None:
        """One line in the log for each thing that is worth saying."""
        if text not in self._said and len(self._said) < 10:
            self._said.add(text)
            log.warning("%s: %s", self._name, text)

    def _fill(self, raw: bytes, lease: Lease, data: bytes | None, ttl: float | None) -> Command:
        """Store a value where its lease still stands, or give the lease back."""
        cas, server = lease
        if data is None:
            return Command(delete(raw, cas), server)
        return Command(store(raw, data, self._codec.flags, self._cache._seconds(ttl), cas), server)

    def _set(self, raw: bytes, data: bytes | None, ttl: float | None) -> Command:
        if data is None:
            return Command(delete(raw))
        return Command(store(raw, data, self._codec.flags, self._cache._seconds(ttl)))

    # -- what a lookup found -----------------------------------------------------------------------------------------

    def _sort(self, part: _Line, came: Found, found: Lookup[Any, Any]) -> dict[bytes, Any]:
        """Take down the hits, and the keys that somebody is filling; gives those that are neither."""
        if isinstance(came, list):  # nothing but hits
            try:
                found.hits.update(zip(part.keys, map(self._codec.decode, came), strict=True))
            except ValueError:  # msgspec's errors are ValueErrors; somebody else's bytes
                came = {raw: (self._codec.flags, data) for raw, data in zip(part.split(), came, strict=True)}
            else:
                return {}
        missing, filling = {}, found.filling
        for raw, key in zip(part.split(), part.keys, strict=True):
            flags, data = came.get(raw, _NOTHING)
            if flags == self._codec.flags:
                try:
                    found.hits[key] = self._codec.decode(data)
                except ValueError:
                    missing[raw] = key
            elif data or flags is None:
                missing[raw] = key  # another version's, or nothing
            else:
                filling.append(key)
        return missing

    def _sort_leases(self, missing: Mapping[bytes, Any], answers: Answers, found: Lookup[Any, Any]) -> None:
        """Take down the leases that we got; some keys may have been filled in the meantime, or be somebody else's."""
        for (raw, key), reply in zip(missing.items(), answers.replies, strict=True):
            cas = reply.flag(b"c")
            if reply.flag(b"k") != raw or cas is None:
                continue  # the server is out of memory, say: a miss without a lease
            if reply.data and self._hit(key, reply, found):
                continue
            if not reply.data and reply.flag(b"W") is None and reply.flag(b"Z") is not None:
                found.filling.append(key)
            else:
                found.leases[key] = (cas, answers.server)

    def _hit(self, key: Any, reply: Reply, found: Lookup[Any, Any]) -> bool:
        if reply.flag(b"f") != self._codec.flags:
            return False
        try:
            found.hits[key] = self._codec.decode(reply.data)
        except ValueError:
            return False
        return True


_NOTHING = (None, b"")


class _Line(NamedTuple):
    """Keys that one server is asked for: as it names them, with a space between two, and as they are."""

    raws: bytes
    keys: Sequence[Any]

    def split(self) -> list[bytes]:
        return self.raws.split(b" ")


def _confirm(server: Server, replies: Iterable[Reply]) -> None:
    """Raise unless every key is gone."""
    for reply in replies:
        if reply.code not in (b"HD", b"NF"):
            raise ConnectionError(f"{server.name} did not confirm a deletion: {reply.code.decode(errors='replace')}")


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error
