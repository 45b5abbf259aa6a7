"""The merged observations on the collector's own ``/metrics``, counted since it started (shell).

An exemplar carries the request id of the newest failure of its kind; it is shown to readers that ask for OpenMetrics.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from collector.merge import OUTCOMES
from collector.merged import BOUNDS, CELL_LABELS, MISSED, MISSED_LABELS, NAMES, Cell, Totals, cell_of
from collector.observation import Outcome, Vantage
from collector.series import Reading
from collector.submission import Scraped, Submission

_ID_MAX = 100
"""Characters of a request id: an exemplar's labels may have 128 in all."""


class MergedPage(Collector):
    """Counts what was stored; give it each submission once."""

    def __init__(self, totals: Totals | None = None) -> None:
        self.totals = totals or Totals()
        self._exemplars: dict[tuple[Cell, Outcome], Exemplar] = {}

    def stored(self, one: Submission, at: float) -> None:
        """Count a submission that is durable. ``at``: when it came, UTC epoch seconds."""
        if isinstance(one, Scraped):
            self.totals.fold(one.readings, recused=False)
            return
        recused = self.totals.hear(one.host, () if one.health is None else (one.health,), at)
        self.totals.fold(one.readings, recused=recused)
        self.totals.miss(one.zone, one.unobserved)
        for reading in one.readings:
            if reading.failures:
                self._remember(reading, recused=recused)

    def _remember(self, reading: Reading, *, recused: bool) -> None:
        cell = cell_of(reading.series, recused=recused)
        if cell not in self.totals.cells:
            return  # it was counted under another name: too many labels
        for failure in reading.failures:
            if failure.request_id and failure.request_id.isprintable():
                labels = {"request_id": failure.request_id[:_ID_MAX]}
                self._exemplars[cell, failure.outcome] = Exemplar(labels, 1.0, failure.at)

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there will be is not known before it is there."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All families that have something to show."""
        cells = dict(self.totals.cells)
        for (vantage, level), (counter, histogram) in NAMES.items():
            mine = {cell: tally for cell, tally in cells.items() if (cell[1], cell[0]) == (vantage, level)}
            if mine:
                yield self._counter(f"{counter}", f"{Vantage(vantage).value} vantage, {level}s by outcome", mine)
                yield _histogram(histogram, f"{Vantage(vantage).value} vantage, good {level}s", mine)
        missed = CounterMetricFamily(MISSED, "Intended probes that say nothing.", labels=MISSED_LABELS)
        for key, count in dict(self.totals.missed).items():
            missed.add_metric(list(key), count)
        yield missed
        yield CounterMetricFamily(
            "collector_merged_overflow", "Readings counted under _other: too many labels.", value=self.totals.overflow
        )

    def _counter(self, name: str, about: str, cells: dict[Cell, tuple[int, ...]]) -> Metric:
        family = CounterMetricFamily(name, about, labels=(*CELL_LABELS, "outcome"))
        for cell, tally in cells.items():
            for outcome, count in zip(OUTCOMES, tally, strict=False):
                if count:
                    exemplar = self._exemplars.get((cell, outcome))
                    family.add_metric([*cell[1:], outcome.value], count, exemplar=exemplar)
        return family


def _histogram(name: str, about: str, cells: dict[Cell, tuple[int, ...]]) -> Metric:
    """Buckets alone: the ledger keeps integers only and never had a sum, and a count without a sum is no OpenMetrics."""
    family = HistogramMetricFamily(name, about, labels=CELL_LABELS)
    for cell, tally in cells.items():
        latency = tally[len(OUTCOMES) :]
        if any(latency):
            below = [sum(latency[: i + 1]) for i in range(len(latency))]
            family.add_metric(list(cell[1:]), list(zip(BOUNDS, below, strict=True)), None)
    return family
