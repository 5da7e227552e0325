"""batchio: write data access one item at a time, and let asyncio's event loop batch it.

The front door: names, and nothing else. What they do is in the files they come from.
"""

from batchio._core.cache import Cache, MemoryCache
from batchio._core.errors import (
    BatchAborted,
    BatchFailed,
    BatchioError,
    BatchShapeError,
    BatchTimeout,
    KeyNotFound,
    LoadCycle,
    QueueFull,
)
from batchio._core.events import Observer, observe
from batchio._core.loader import Loader, loader
from batchio._core.options import Limits
from batchio._core.scope import Scope, scope
from batchio._core.tick import drain
from batchio._gather import gather

__version__ = "0.1.0"

__all__ = [
    "BatchAborted",
    "BatchFailed",
    "BatchShapeError",
    "BatchTimeout",
    "BatchioError",
    "Cache",
    "KeyNotFound",
    "Limits",
    "LoadCycle",
    "Loader",
    "MemoryCache",
    "Observer",
    "QueueFull",
    "Scope",
    "__version__",
    "drain",
    "gather",
    "loader",
    "observe",
    "scope",
]
