"""What a test of code that loads needs: virtual time, a record of the batches, and a contract for caches.

    Deadlock, VirtualLoop, run    time that waits for nobody, and a hang that says who waits
    Recorded, record              what the loaders did
    check_cache                   whether somebody's ``Cache`` keeps its promises

Standard library alone. pytest's fixtures are in ``batchio.pytest_plugin``.
"""

from batchio.testing._contract import check_cache
from batchio.testing._loop import Deadlock, VirtualLoop, run
from batchio.testing._record import Recorded, record

__all__ = ["Deadlock", "Recorded", "VirtualLoop", "check_cache", "record", "run"]
