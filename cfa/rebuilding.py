"""Feed entries out of the ledger's five-minute intervals, for times of which the feed is no longer kept (pure).

Failures are kept whole and stand at their own time, on their own path. What was only counted (successes; failures of customers
and servers without details) is spread evenly over its interval in steps of two seconds: so a burst within five minutes, silence
of a host within them, and when exactly a server began to fail, are not in what comes out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from collector.interval import INTERVAL_SECONDS
from collector.observation import Outcome, Vantage
from collector.series import FeedEntry, Health, Reading, Series
from collector.wire import FailureRow, HealthSpan, IntervalRow

STEP_SECONDS = 2
_STEPS = INTERVAL_SECONDS // STEP_SECONDS
_STRIDE = 61
"""Has no divisor in common with the number of steps."""
_Counts = dict[Outcome, int]


@dataclass(frozen=True, slots=True)
class _Said:
    """Something that a host said ``at``."""

    at: float
    host: str
    zone: str
    vantage: Vantage
    readings: tuple[Reading, ...] = ()
    health: tuple[Health, ...] = ()


def rebuilt(
    start: int, rows: Sequence[IntervalRow], failures: Sequence[FailureRow], spans: Iterable[HealthSpan]
) -> list[FeedEntry]:
    """The entries of the interval ``start``, in order of time; their cursors are 0 (:class:`Numbered` gives others)."""
    counts: dict[Series, _Counts] = defaultdict(dict)
    for row in rows:
        for outcome, count in row.counts.items():
            counts[row.series][outcome] = counts[row.series].get(outcome, 0) + count
    said = [_failed(one, counts) for one in failures]
    said += [_health(one) for one in spans if start <= one.since < start + INTERVAL_SECONDS]
    said += _spread(start, counts)
    return [_entry(one) for one in sorted(said, key=lambda one: one.at)]


def _failed(row: FailureRow, counts: dict[Series, _Counts]) -> _Said:
    """A whole failure, which is taken out of what was counted of its series."""
    seen = row.observation
    series = _series_of(row, counts)
    left = counts.get(series, {})
    if left.get(seen.outcome, 0) > 0:
        left[seen.outcome] -= 1
    reading = Reading(series=series, at=int(seen.at), counts={seen.outcome: 1}, failures=(seen,))
    return _Said(max(row.received_at, seen.at), row.host, row.zone, row.vantage, readings=(reading,))


def _series_of(row: FailureRow, counts: dict[Series, _Counts]) -> Series:
    """The counted series that a failure is of; one made of what it says itself when none fits."""
    seen = row.observation
    wanted = (row.host, row.vantage, seen.operation, seen.table)
    fitting = [
        series
        for series, left in counts.items()
        if (series.host, series.vantage, series.operation, series.table) == wanted and left.get(seen.outcome, 0) > 0
    ]
    place = (seen.endpoint, seen.connection, seen.partition, seen.router)
    fitting.sort(
        key=lambda s: (
            -sum(a == b for a, b in zip((s.endpoint, s.connection, s.partition, s.router), place, strict=True))
        )
    )
    if fitting:
        return fitting[0]
    return Series(
        vantage=row.vantage, host=row.host, zone=row.zone, operation=seen.operation, table=seen.table,
        endpoint=seen.endpoint, connection=seen.connection, partition=seen.partition, router=seen.router,
        router_zone=seen.router_zone, node=seen.node, node_zone=seen.node_zone,
    )  # fmt: skip


def _health(span: HealthSpan) -> _Said:
    health = Health(host=span.host, zone=span.zone, at=span.since, recused=span.recused, reasons=span.reasons)
    return _Said(span.since, span.host, span.zone, Vantage.CANARY, health=(health,))


def _spread(start: int, counts: dict[Series, _Counts]) -> list[_Said]:
    """What was counted, step by step and host by host."""
    found = []
    hosts: dict[tuple[str, str, Vantage], list[tuple[Series, _Counts, int]]] = defaultdict(list)
    for number, (series, left) in enumerate(counts.items()):
        phase = number * _STRIDE % _STEPS  # else all series with few counts would have theirs at the same moments
        hosts[series.host, series.zone, series.vantage].append((series, left, phase))
    for step in range(_STEPS):
        at = start + step * STEP_SECONDS
        for (host, zone, vantage), mine in hosts.items():
            readings = tuple(
                Reading(series=series, at=at, counts=share)
                for series, left, phase in mine
                if (share := _share(left, step, phase))
            )
            if readings:
                found.append(_Said(at + 1.0, host, zone, vantage, readings=readings))
    return found


def _share(counts: _Counts, step: int, phase: int) -> _Counts:
    shares = {o: (n * (step + 1) + phase) // _STEPS - (n * step + phase) // _STEPS for o, n in counts.items()}
    return {outcome: n for outcome, n in shares.items() if n}


def _entry(one: _Said) -> FeedEntry:
    return FeedEntry(
        cursor=0,
        received_at=one.at,
        host=one.host,
        zone=one.zone,
        vantage=one.vantage,
        readings=one.readings,
        health=one.health,
    )


class Numbered:
    """Gives entries from anywhere cursors that grow and times that never go back, as the feed promises."""

    def __init__(self) -> None:
        self._cursor = 0
        self._at = 0.0

    def next(self, entry: FeedEntry) -> FeedEntry:
        """The entry with the next number."""
        self._cursor += 1
        self._at = max(self._at, entry.received_at)
        return replace(entry, cursor=self._cursor, received_at=self._at)
