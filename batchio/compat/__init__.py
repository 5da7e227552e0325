"""Drop-in loaders: other libraries' names on batchio's machine. Change the import, and nothing else.

Use them to move a code base without touching its calls; new code wants ``@batchio.loader``, which needs no loader per
request. What differs is in the migration guides.
"""

from batchio.compat import aiodataloader, strawberry

__all__ = ["aiodataloader", "strawberry"]
