"""What the author of a store needs: the two halves of the ``batchio.Cache`` protocol and what a lookup gives.

A door, nothing else: the protocol and its rules are in the core. ``batchio.testing.check_cache`` checks an
implementation.
"""

from batchio._core.cache import BoundCache, Cache, Lookup, MemoryCache

__all__ = ["BoundCache", "Cache", "Lookup", "MemoryCache"]
