"""Time to page: from the first failure's intended start until a destination had the page (pure).

An SLI of its own: it holds everything between a customer's failure and a person's telephone except the telephone.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

BUCKETS_SECONDS = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
FIRST = "first"
"""The name under which the first destination beside the log is counted."""


class TimeToPage:
    """Histograms by destination since the start."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[int]] = {}
        self._sums: dict[str, float] = {}
        self._paged: dict[str, None] = {}

    def observe(self, destination: str, incident: str, seconds: float, *, first: bool) -> None:
        """A destination has taken the trigger. ``first``: it counts for the time to the first destination, if it is that."""
        self._add(destination, seconds)
        if first and incident not in self._paged:
            self._paged[incident] = None
            self._add(FIRST, seconds)
            while len(self._paged) > 1000:
                del self._paged[next(iter(self._paged))]

    def _add(self, name: str, seconds: float) -> None:
        self._counts.setdefault(name, Counter())[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self._sums[name] = self._sums.get(name, 0.0) + seconds

    def histograms(self) -> dict[str, tuple[list[tuple[str, float]], float]]:
        """By destination: cumulative buckets as Prometheus has them, and the sum."""
        found: dict[str, tuple[list[tuple[str, float]], float]] = {}
        for name, counts in self._counts.items():
            total, buckets = 0, []
            for index, edge in enumerate((*(f"{edge:g}" for edge in BUCKETS_SECONDS), "+Inf")):
                total += counts[index]
                buckets.append((edge, float(total)))
            found[name] = buckets, self._sums[name]
        return found


def summary(seconds: Iterable[float]) -> dict[str, float | int | None]:
    """Count, median, 95th percentile and the worst: nearest rank; null when there is none."""
    ordered = sorted(seconds)
    if not ordered:
        return {"pages": 0, "p50_seconds": None, "p95_seconds": None, "most_seconds": None}

    def rank(share: float) -> float:
        return round(ordered[max(0, -int(-share * len(ordered) // 1) - 1)], 3)

    return {"pages": len(ordered), "p50_seconds": rank(0.5), "p95_seconds": rank(0.95), "most_seconds": rank(1.0)}
