"""What a process counts with every probe, as plain integers (pure); :mod:`canary.metrics` shows them to Prometheus.

A metrics library's own counters take a lock, labels and a float for each: more than the signature of a request.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from collector.observation import Outcome


class Delays:
    """A histogram of times. ``bounds``: upper ends of its buckets in seconds; one more bucket holds what is longer."""

    __slots__ = ("bounds", "buckets", "seconds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.buckets = [0] * (len(self.bounds) + 1)
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """One more."""
        self.note_in(bisect_left(self.bounds, seconds), seconds)

    def note_in(self, bucket: int, seconds: float) -> None:
        """One more, by someone who knows the bucket already."""
        self.buckets[bucket] += 1
        self.seconds += seconds

    def cumulative(self) -> list[int]:
        """How many were at most as long as each bound, then how many there are."""
        return list(accumulate(self.buckets))


class Figures:
    """What the attempts of one cell (or the calls of one operation) came to."""

    __slots__ = ("good", "outcomes")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.outcomes: dict[Outcome, int] = {}
        self.good = Delays(bounds)

    def success(self, bucket: int, seconds: float) -> None:
        """A good one, so long after its intended start; ``bucket``: of the latency histogram."""
        self.outcomes[Outcome.SUCCESS] = self.outcomes.get(Outcome.SUCCESS, 0) + 1
        self.good.note_in(bucket, seconds)

    def failure(self, outcome: Outcome) -> None:
        """A bad or an excluded one."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
