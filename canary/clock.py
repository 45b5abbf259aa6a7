"""A host's wall clock (shell): UTC, off by whatever skew is in force.

All durations of this room are differences of ``time.monotonic()``: the event loop's own clock may be as coarse as a millisecond.
"""

import time
from collections.abc import Callable


class Clock:
    """Turns monotonic time into UTC epoch seconds; looks at the real clock each second, so steps are followed."""

    def __init__(self, skew: Callable[[], float] = float) -> None:
        self._skew = skew
        self._read_at = time.monotonic()
        self._offset = time.time() - self._read_at

    def wall(self, monotonic: float | None = None) -> float:
        """UTC epoch seconds at a monotonic time (now if left out)."""
        now = time.monotonic()
        if now - self._read_at > 1.0:
            self._offset, self._read_at = time.time() - now, now
        return (now if monotonic is None else monotonic) + self._offset + self._skew()
