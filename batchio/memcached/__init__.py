"""memcached in front of loaders: `MemcachedCache`, on aiomcache's connections.

    keys      a loader's keys as memcached takes them          values    its values as bytes, and back
    ring      which server holds a key                         breaker   when to stop asking a server, and to try again
    wire      requests and replies as bytes                    link      one connection: a request, its reply
    gets      lookups on their way to a server                 server    one server: its connections, its commands
    leases    leases that may have to be given back            cache     the verbs of `batchio.Cache`, with leases

`cache` imports all others; `leases` imports `server`, that `gets`, that `link`, that `wire`; nothing else refers to its
neighbour.
"""

from batchio.memcached._cache import MemcachedCache

__all__ = ["MemcachedCache"]
