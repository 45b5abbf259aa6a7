"""Counts of customers' attempts and calls, second by second, until they are handed on (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from collector.customers.directory import Who
from collector.customers.streams import LastPoint
from collector.merge import BUCKETS
from collector.observation import Level, Observation, OperationClass, Outcome, Vantage
from collector.series import Reading, Series

FAILURES_KEPT = 200
"""Whole failures that one customer may hand on at a time; their counts are complete all the same."""
READINGS_MAX = 5_000
"""Readings of one customer in a batch; more of them make another batch."""


@dataclass(slots=True)
class _Cell:
    counts: dict[Outcome, int] = field(default_factory=dict)
    latency: list[int] | None = None
    failures: list[Observation] = field(default_factory=list)
    points: list[LastPoint] = field(default_factory=list)


class Portion(NamedTuple):
    """Counts of one customer for one batch, and the last points of the metric streams that they came from."""

    customer: str
    zone: str
    readings: tuple[Reading, ...]
    points: tuple[LastPoint, ...] = ()


def series_of(who: Who, operation: OperationClass, level: Level, endpoint: str | None = None) -> Series:
    """The series of a customer's count."""
    return Series(
        vantage=Vantage.CUSTOMER,
        host=who.name,
        zone=who.zone,
        operation=operation,
        table=who.table,
        endpoint=endpoint,
        level=level,
    )


class Counting:
    """What was heard since the last :meth:`drain`. ``unkept`` counts failures whose details were let go."""

    def __init__(self) -> None:
        self._cells: dict[tuple[Series, int], _Cell] = {}
        self._kept: dict[str, int] = {}
        self.unkept = 0

    def add(
        self,
        series: Series,
        at: int,
        outcome: Outcome,
        count: int = 1,
        *,
        bucket: int | None = None,
        failure: Observation | None = None,
    ) -> None:
        """Count; ``bucket``: the place of a success's latency; ``failure``: the attempt, whole."""
        cell = self._cells.get((series, at))
        if cell is None:
            cell = self._cells[series, at] = _Cell()
        cell.counts[outcome] = cell.counts.get(outcome, 0) + count
        if bucket is not None:
            self.measure(series, at, bucket, count)
        if failure is not None:
            self._keep(cell, series.host, failure)

    def measure(self, series: Series, at: int, bucket: int, count: int) -> None:
        """Latencies of ``count`` successes."""
        cell = self._cells.setdefault((series, at), _Cell())
        if cell.latency is None:
            cell.latency = [0] * BUCKETS
        cell.latency[bucket] += count

    def remember(self, series: Series, at: int, point: LastPoint) -> None:
        """The stream's point that was counted as ``series``; nothing when it added nothing."""
        cell = self._cells.get((series, at))
        if cell is not None:
            cell.points.append(point)

    def _keep(self, cell: _Cell, host: str, failure: Observation) -> None:
        kept = self._kept.get(host, 0)
        if kept >= FAILURES_KEPT:
            self.unkept += 1
            return
        self._kept[host] = kept + 1
        cell.failures.append(failure)

    def __len__(self) -> int:
        return len(self._cells)

    def drain(self) -> list[Portion]:
        """All that was counted, which is forgotten here."""
        by_customer: dict[tuple[str, str], list[tuple[Reading, list[LastPoint]]]] = {}
        for (series, at), cell in self._cells.items():
            reading = Reading(
                series=series,
                at=at,
                counts=cell.counts,
                latency=tuple(cell.latency or ()),
                failures=tuple(cell.failures),
            )
            by_customer.setdefault((series.host, series.zone), []).append((reading, cell.points))
        self._cells, self._kept = {}, {}
        return [Portion(*who, *part) for who, counted in by_customer.items() for part in _pieces(counted)]


def _pieces(
    counted: list[tuple[Reading, list[LastPoint]]],
) -> Iterable[tuple[tuple[Reading, ...], tuple[LastPoint, ...]]]:
    for start in range(0, len(counted), READINGS_MAX):
        piece = counted[start : start + READINGS_MAX]
        yield tuple(reading for reading, _ in piece), tuple(point for _, points in piece for point in points)
