"""A host's wall clock (shell): UTC, off by whatever skew is in force."""

import asyncio
import time
from collections.abc import Callable


class Clock:
    """Turns the loop's monotonic time into UTC epoch seconds; looks at the real clock each second, so steps are followed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, skew: Callable[[], float] = float) -> None:
        self._loop = loop
        self._skew = skew
        self._offset = time.time() - loop.time()
        self._read_at = loop.time()

    def wall(self, monotonic: float | None = None) -> float:
        """UTC epoch seconds at a monotonic time (now if left out)."""
        now = self._loop.time()
        if now - self._read_at > 1.0:
            self._offset, self._read_at = time.time() - now, now
        return (now if monotonic is None else monotonic) + self._offset + self._skew()
