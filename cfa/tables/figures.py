"""What the judging of tables costs and how far it has come (shell). Names of the metrics: ``docs/metrics.md``."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cfa.tables.assessment import VERDICTS
from cfa.tables.fleet import Fleet
from cfa.tables.policy import SEGMENTS


@dataclass(slots=True)
class Figures:
    """Counted by the lane."""

    ticks: int = 0
    tick_seconds: float = 0.0
    last_tick_seconds: float = 0.0
    entries: int = 0
    counters: int = 0
    gaps: int = 0
    tables: int = 0
    memory_bytes: int = 0
    hot_rows: int = 0
    fed_at: float | None = None
    """Monotonic time of the newest entry."""
    feed_error: str | None = None
    checkpoint_seconds: float = 0.0
    checkpoint_failures: int = 0
    verdicts: tuple[tuple[int, ...], ...] = ()

    def took(self, received_at: float, counters: int) -> None:  # noqa: ARG002 -- the collector's clock is not ours
        """An entry was counted."""
        self.entries, self.counters = self.entries + 1, self.counters + counters
        self.fed_at = time.monotonic()

    def ticked(self, seconds: float, fleet: Fleet) -> None:
        """A tick was judged."""
        self.ticks, self.last_tick_seconds = self.ticks + 1, seconds
        self.tick_seconds += seconds
        self.tables = len(fleet.roster.tables)
        self.memory_bytes = fleet.tables.rings.nbytes + fleet.tables.detector.r.nbytes
        self.hot_rows = len(fleet.tables.hot)
        self.verdicts = tuple(map(tuple, fleet.tables.assessment.tally.tolist()))


class TablesMetrics(Collector):
    """Computed when asked."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def describe(self) -> Iterator[Metric]:
        """Nothing: no names can collide."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families."""
        f = self._figures
        yield CounterMetricFamily("cfa_tables_ticks", "Ticks judged", value=f.ticks)
        yield CounterMetricFamily("cfa_tables_tick_cpu_seconds", "CPU of judging ticks", value=f.tick_seconds)
        yield CounterMetricFamily("cfa_tables_entries", "Entries of the counters' feed", value=f.entries)
        yield CounterMetricFamily("cfa_tables_counters", "Increments counted", value=f.counters)
        yield CounterMetricFamily("cfa_tables_gaps", "Times that counters were lost to us", value=f.gaps)
        yield CounterMetricFamily("cfa_tables_checkpoint_failures", "Checkpoints not made", value=f.checkpoint_failures)
        yield GaugeMetricFamily("cfa_tables_checkpoint_seconds", "Duration of the newest checkpoint", value=f.checkpoint_seconds)  # fmt: skip
        yield GaugeMetricFamily("cfa_tables_last_tick_cpu_seconds", "CPU of the newest tick", value=f.last_tick_seconds)
        yield GaugeMetricFamily("cfa_tables_judged", "Tables by vantage, each counted once", value=f.tables)
        yield GaugeMetricFamily("cfa_tables_memory_bytes", "Memory of counts and evidence", value=f.memory_bytes)
        yield GaugeMetricFamily("cfa_tables_hot_rows", "Table sides under suspicion", value=f.hot_rows)
        yield GaugeMetricFamily("cfa_tables_feed_up", "1 while counters can be had", value=float(f.feed_error is None))
        if f.fed_at is not None:
            yield GaugeMetricFamily("cfa_tables_feed_lag_seconds", "Seconds since the newest entry", value=time.monotonic() - f.fed_at)  # fmt: skip
        verdicts = GaugeMetricFamily("cfa_tables_verdict", "Table sides by window and verdict", labels=("window", "verdict"))  # fmt: skip
        for segment, counts in zip(SEGMENTS, f.verdicts, strict=False):
            for verdict, count in zip(VERDICTS, counts, strict=True):
                verdicts.add_metric([segment.name, str(verdict)], count)
        yield verdicts
