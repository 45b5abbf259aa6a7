"""One host's readings of the current moment: failures whole, successes as counts (pure)."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

from canary.plan import Cell
from collector.observation import Connection, Observation, OperationClass, Outcome
from collector.series import LATENCY_BOUNDS_MS, Reading, Series, Unobserved

BUCKETS = len(LATENCY_BOUNDS_MS) + 1


@dataclass(slots=True)
class _Second:
    counts: dict[Outcome, int] = field(default_factory=dict)
    latency: list[int] | None = None
    failures: list[Observation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Content:
    """What a batch will carry."""

    readings: tuple[Reading, ...] = ()
    unobserved: tuple[Unobserved, ...] = ()


class Tally:
    """Counts until flushed; the same series and second may appear in several flushes, and adds up."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[Series, int], _Second] = {}
        self._unobserved: dict[tuple[str, Connection, OperationClass, int, str], int] = {}

    def success(self, series: Series, at: float, total_ms: float) -> None:
        """One good attempt; ``total_ms`` counts from its intended start."""
        second = self._second(series, at)
        second.counts[Outcome.SUCCESS] = second.counts.get(Outcome.SUCCESS, 0) + 1
        if second.latency is None:
            second.latency = [0] * BUCKETS
        second.latency[bisect_left(LATENCY_BOUNDS_MS, total_ms)] += 1

    def failure(self, series: Series, observation: Observation) -> None:
        """One bad or excluded attempt, kept whole."""
        second = self._second(series, observation.at)
        second.counts[observation.outcome] = second.counts.get(observation.outcome, 0) + 1
        second.failures.append(observation)

    def unobserved(self, cell: Cell, at: float, reason: str, count: int = 1) -> None:
        """``count`` intended probes that say nothing about the target."""
        key = (cell.endpoint, cell.connection, cell.operation, int(at), reason)
        self._unobserved[key] = self._unobserved.get(key, 0) + count

    def flush(self) -> Content:
        """All that was counted since the last time."""
        readings = tuple(_reading(series, at, second) for (series, at), second in self._seconds.items())
        content = Content(readings, as_unobserved(self._unobserved))
        self._seconds, self._unobserved = {}, {}
        return content

    def _second(self, series: Series, at: float) -> _Second:
        key = (series, int(at))
        second = self._seconds.get(key)
        if second is None:
            second = self._seconds[key] = _Second()
        return second


def _reading(series: Series, at: int, second: _Second) -> Reading:
    latency = tuple(second.latency) if second.latency else ()
    return Reading(series=series, at=at, counts=second.counts, latency=latency, failures=tuple(second.failures))


def as_unobserved(counts: dict[tuple[str, Connection, OperationClass, int, str], int]) -> tuple[Unobserved, ...]:
    """Counts by (endpoint, connection, operation, second, reason) as values of the contract."""
    return tuple(
        Unobserved(endpoint=e, connection=c, operation=o, at=at, count=count, reason=reason)
        for (e, c, o, at, reason), count in counts.items()
    )


def given_up(readings: Iterable[Reading], reason: str) -> tuple[Unobserved, ...]:
    """Readings that will never be delivered, as unobserved probes: nothing vanishes without a count."""
    counts: dict[tuple[str, Connection, OperationClass, int, str], int] = {}
    for reading in readings:
        series = reading.series
        key = (
            series.endpoint or "",
            series.connection or Connection.FRESH,
            series.operation,
            reading.at // 60 * 60,
            reason,
        )
        counts[key] = counts.get(key, 0) + sum(reading.counts.values())
    return as_unobserved(counts)
