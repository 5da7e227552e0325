"""When to stop asking a server that does not answer, and when to try it again. Pure; knows no server.

1. Three failures in a row open it (mcrouter's number): one lost packet is no outage, and a black hole costs each lookup
   its whole time limit.
2. While it is open, one request at a time is let through, to see. The first soon, since most outages are restarts; then
   with pauses that double up to 5 seconds, each a random part shorter, so that a hundred processes do not come at once.
3. One answer closes it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FAILURES = 3
FIRST_PAUSE = 0.1  # seconds
LONGEST_PAUSE = 5.0


class Breaker:
    """Counts what one server answered."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._failures = 0  # in a row
        self._pauses = 0  # probes that failed
        self._probing = False
        self._try_at = 0.0

    @property
    def open(self) -> bool:
        """Whether the server is taken for down."""
        return self._failures >= FAILURES

    def lets_through(self) -> bool:
        """Whether to ask now. While it is open, one probe at a time; if it is never answered, another one later."""
        if not self.open:
            return True
        if self._clock() < self._try_at:
            return False
        self._probing = True
        self._wait()
        return True

    def succeeded(self) -> None:
        """The server answered."""
        self._failures = self._pauses = 0
        self._probing = False

    def failed(self) -> None:
        """The server did not answer. Requests that were under way when it opened, and fail after it, say nothing new."""
        if self.open and not self._probing:
            return
        if self._probing:
            self._probing = False
            self._pauses += 1
        self._failures += 1
        if self._failures >= FAILURES:
            self._wait()

    def _wait(self) -> None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._pauses, 10))
        self._try_at = self._clock() + pause * (0.5 + 0.5 * self._chance())
