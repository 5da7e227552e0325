"""Other libraries' names on batchio's machine: drop-in loaders, and what code that came from asynq leans on.

Use them to move a code base without touching its calls; new code wants ``@batchio.loader``, which needs no loader per
request. What differs is in the migration guides.
"""

from batchio.compat import aiodataloader, asynq, strawberry

__all__ = ["aiodataloader", "asynq", "strawberry"]
