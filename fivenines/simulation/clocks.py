"""The monotonic clock of a simulated machine: it began somewhere, and runs a little too fast or too slow (pure)."""

from collections.abc import Callable
from dataclasses import dataclass

RATE_BOUND = 0.03
"""Clocks run at 1 ± this.

A leader trusts its lease for ``lease - bound`` of its own seconds, a follower is bound for ``lease + bound`` of its own; both
configurations of the simulation keep ``(1 + RATE_BOUND) / (1 - RATE_BOUND)`` below the quotient of the two. Faster drift is
outside of what the store promises to survive (``drift_bound_seconds``).
"""


@dataclass(slots=True)
class DriftingClock:
    """``reading`` at the true time ``since``; from then on it runs at ``rate``. Called, it tells the time."""

    true: Callable[[], float]
    reading: float
    since: float
    rate: float = 1.0

    def __call__(self) -> float:
        """The machine's own monotonic seconds now."""
        return self.reading + self.rate * (self.true() - self.since)

    def run_at(self, rate: float) -> None:
        """Run faster or slower from now on, without a jump."""
        assert abs(rate - 1.0) <= RATE_BOUND, rate
        self.reading, self.since = self(), self.true()
        self.rate = rate
