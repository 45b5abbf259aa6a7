"""The UTC-aligned five-minute interval, the unit of the ledger and of the SLA (pure)."""

INTERVAL_SECONDS = 300


def interval_of(at: float) -> int:
    """The start (UTC epoch seconds) of the interval that holds ``at``."""
    return int(at // INTERVAL_SECONDS) * INTERVAL_SECONDS


def intervals_between(start: float, end: float) -> range:
    """The starts of all intervals that begin in ``[start, end)``, where ``start`` is rounded down to its interval."""
    return range(interval_of(start), int(-(-end // 1)), INTERVAL_SECONDS)
