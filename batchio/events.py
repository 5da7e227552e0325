"""What an observer is told: the events of ``batchio.observe``, for annotations and for tests.

A door, nothing else: the facts and their rules are in the core.
"""

from batchio._core.events import BatchDispatched, BatchDone, KeyAnswered, Load, Subscription

__all__ = ["BatchDispatched", "BatchDone", "KeyAnswered", "Load", "Subscription"]
