"""One file's code, changed: the rooms for each kind of node, put together.

Rules of these rooms:

- What something is comes from ``_world``; here it is only written down. When nobody knows, the code stays as it is.
- A function is changed as a whole or not at all. What stays asynq keeps its code, and gets a comment.
- New names are spelled in full, ``batchio.gather`` or ``batchio.compat.asynq.task``, so that no name of the user's can be
  in the way.
"""

from __future__ import annotations

from batchio.migrate._calls import Calls
from batchio.migrate._functions import Functions
from batchio.migrate._yields import Yields

__all__ = ["Rewriter"]


class Rewriter(Functions, Yields, Calls):
    """Changes one file; afterwards `kept_names` says which names stayed asynq's."""
