"""The merged observations as ever-growing totals with few, bounded labels: what Prometheus wants to see of a ledger (pure).

Hosts, partitions, routers and nodes are added up: they are in the ledger. What counts attempts and what counts calls has
another name, so that nobody adds the one to the other. The number of label sets is bounded: what comes after the bound is
counted under ``_other`` and counted as overflow, so that totals stay right.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from collector.merge import BUCKETS, EMPTY, OUTCOMES, Tally, merge, tally_of
from collector.observation import Level, Vantage
from collector.series import LATENCY_BOUNDS_MS, Health, Reading, Series, Unobserved
from collector.spans import GAP_SECONDS

CELL_LABELS = ("vantage", "zone", "endpoint", "operation", "connection", "table", "recused")
MISSED_LABELS = ("vantage", "zone", "endpoint", "operation", "connection", "reason")
CELLS_MAX = 2000
"""Label sets of either kind; each of a cell has at most 7 counters and 13 buckets."""
OTHER = "_other"
TEXT_MAX = 100
"""Characters of a label's value; what is longer ends in ``…``."""

BOUNDS: tuple[str, ...] = (*(f"{bound / 1000:g}" for bound in LATENCY_BOUNDS_MS), "+Inf")
"""``le`` of the latency buckets, in seconds."""

NAMES: dict[tuple[str, str], tuple[str, str]] = {
    (Vantage.CANARY, Level.ATTEMPT): ("canary_probe_attempts", "canary_probe_duration_seconds"),
    (Vantage.CANARY, Level.CALL): ("canary_probe_calls", "canary_probe_call_duration_seconds"),
    (Vantage.CANARY, Level.CONFIRM): ("canary_confirm_probes", "canary_confirm_probe_duration_seconds"),
    (Vantage.CUSTOMER, Level.ATTEMPT): ("customer_attempts", "customer_attempt_duration_seconds"),
    (Vantage.CUSTOMER, Level.CALL): ("customer_calls", "customer_call_duration_seconds"),
    (Vantage.SERVER, Level.ATTEMPT): ("server_requests", "server_request_duration_seconds"),
    (Vantage.SERVER, Level.CALL): ("server_calls", "server_call_duration_seconds"),
    # Nobody sends these; a page that fell over them would be a door for whoever does.
    (Vantage.CUSTOMER, Level.CONFIRM): ("customer_confirm_attempts", "customer_confirm_attempt_duration_seconds"),
    (Vantage.SERVER, Level.CONFIRM): ("server_confirm_requests", "server_confirm_request_duration_seconds"),
}
"""Counter (without ``_total``) and histogram by vantage and level."""
MISSED = "canary_probe_unobserved"
"""Counter of intended probes that say nothing (without ``_total``)."""

Cell = tuple[str, ...]
"""The level, then the values of :data:`CELL_LABELS`."""
Missed = tuple[str, ...]
"""The values of :data:`MISSED_LABELS`."""
Sample = tuple[str, tuple[tuple[str, str], ...], int]
"""Metric name, labels (without those that are empty), value."""


@dataclass(slots=True)
class Changed:
    """What a fold has touched."""

    cells: set[Cell] = field(default_factory=set)
    missed: set[Missed] = field(default_factory=set)


@dataclass(slots=True)
class Totals:
    """All totals. ``overflow``: readings and statements that came after the bound; ``hosts``: the last word of each about itself."""

    cells: dict[Cell, Tally] = field(default_factory=dict)
    missed: dict[Missed, int] = field(default_factory=dict)
    hosts: dict[str, tuple[bool, float]] = field(default_factory=dict)
    overflow: int = 0
    cells_max: int = CELLS_MAX
    _cell_of: dict[tuple[Series, bool], Cell] = field(default_factory=dict)

    def hear(self, host: str, said: Iterable[Health], at: float) -> bool:
        """Keep the host's word; whether it is recused, as the ledger decides it: its last word holds for a minute."""
        known = self.hosts.get(host)
        for one in said:
            if known is None or one.at >= known[1]:
                known = self.hosts[host] = (one.recused, one.at)
            return one.recused
        return known is not None and known[0] and at <= known[1] + GAP_SECONDS

    def fold(self, readings: Iterable[Reading], *, recused: bool, changed: Changed | None = None) -> None:
        """Add readings."""
        for reading in readings:
            cell = self._cell(reading.series, recused)
            self.cells[cell] = merge(self.cells.get(cell, EMPTY), tally_of(reading))
            if changed is not None:
                changed.cells.add(cell)

    def miss(self, zone: str, unobserved: Iterable[Unobserved], changed: Changed | None = None) -> None:
        """Add probes that were intended and say nothing."""
        for one in unobserved:
            key = tuple(map(_short, (Vantage.CANARY, zone, one.endpoint, one.operation, one.connection, one.reason)))
            if key not in self.missed and len(self.missed) >= self.cells_max:
                self.overflow += 1
                key = (Vantage.CANARY.value, OTHER, "", "", "", OTHER)
            self.missed[key] = self.missed.get(key, 0) + one.count
            if changed is not None:
                changed.missed.add(key)

    def _cell(self, series: Series, recused: bool) -> Cell:
        asked = (series, recused)
        cell = self._cell_of.get(asked)
        if cell is None:
            cell = cell_of(series, recused=recused)
            if cell not in self.cells and len(self.cells) >= self.cells_max:
                self.overflow += 1
                return (series.level.value, series.vantage.value, OTHER, OTHER, "", "", OTHER, _flag(recused))
            if len(self._cell_of) >= 20 * self.cells_max:
                self._cell_of.clear()
            self._cell_of[asked] = cell
        return cell


def cell_of(series: Series, *, recused: bool) -> Cell:
    """The cell that a series is counted in."""
    return (
        series.level.value,
        series.vantage.value,
        _short(series.zone),
        _short(series.endpoint or ""),
        series.operation.value,
        series.connection.value if series.connection else "",
        _short(series.table),
        _flag(recused),
    )


def samples(cell: Cell, tally: Tally) -> Iterator[Sample]:
    """A cell's counters (outcomes that have come at least once) and, if latency was measured, its buckets (``+Inf`` counts all)."""
    counter, histogram = NAMES[cell[1], cell[0]]
    labels = labels_of(CELL_LABELS, cell[1:])
    for outcome, count in zip(OUTCOMES, tally, strict=False):
        if count:
            yield f"{counter}_total", (*labels, ("outcome", outcome.value)), count
    latency = tally[len(OUTCOMES) :]
    if any(latency):
        below = 0
        for i in range(BUCKETS):
            below += latency[i]
            yield f"{histogram}_bucket", (*labels, ("le", BOUNDS[i])), below


def missed_sample(key: Missed, count: int) -> Sample:
    """The counter of probes that say nothing."""
    return f"{MISSED}_total", labels_of(MISSED_LABELS, key), count


def labels_of(names: Iterable[str], values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Label pairs without the empty ones: to Prometheus an empty label is none."""
    return tuple((name, value) for name, value in zip(names, values, strict=True) if value)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _short(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"
