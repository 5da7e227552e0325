"""Imports the peers, and what is behind them, once for many processes that are forked; one that is not there is left."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

for name in ("aiodataloader", "strawberry.dataloader", "dloader", "aiomcache", "aiomysql", "uvloop"):
    with suppress(ImportError):
        import_module(name)
for name in ("batchio", "batchio.memcached", "batchio.mysql"):
    import_module(name)
