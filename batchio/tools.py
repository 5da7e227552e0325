"""Tools over async functions: gather, the standard library's map, filter and sort, and single flight.

Rules of this room: a door and nothing else; each tool is made in a room of its own. Whatever a tool calls, it calls for
all items before it awaits the first, so that their loads leave together. (asyncstdlib's tools of the same names await one
after another, which is a batch for each item.) LRU caches are async-lru's business, retries are stamina's.
"""

from batchio._caches import acached_per_instance, alazy_constant, deduplicate
from batchio._collections import afilter, afilterfalse, amap, amax, amin, asift, asorted
from batchio._gather import gather
from batchio._plain_code import run_sync
from batchio._scoped import AsyncScopedValue, call_with_context

__all__ = [
    "AsyncScopedValue",
    "acached_per_instance",
    "afilter",
    "afilterfalse",
    "alazy_constant",
    "amap",
    "amax",
    "amin",
    "asift",
    "asorted",
    "call_with_context",
    "deduplicate",
    "gather",
    "run_sync",
]
