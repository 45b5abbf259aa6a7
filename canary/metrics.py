"""What a canary process says about itself to Prometheus (shell)."""

from collections import Counter as Sum
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from canary.figures import Delays, Figures
from canary.plan import Cell
from collector.observation import Level
from collector.series import LATENCY_BOUNDS_MS

_CELL = ("endpoint", "operation", "connection")
_SECONDS = tuple(bound / 1000 for bound in LATENCY_BOUNDS_MS)
_LATENESS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0)


class _Probes(Collector):
    """Shows what is counted with every probe."""

    def __init__(self) -> None:
        self.attempts: dict[Cell, Figures] = {}
        self.calls: dict[Cell, Figures] = {}
        self.confirmations: dict[Cell, Figures] = {}
        self.asks: Sequence[Mapping[str, int]] = ()
        self.lateness = Delays(_LATENESS_SECONDS)

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        attempts = CounterMetricFamily("canary_probe_attempts", "Attempts by outcome", labels=(*_CELL, "outcome"))
        duration = HistogramMetricFamily(
            "canary_probe_duration_seconds", "Good attempts, from the intended start to the last byte", labels=_CELL
        )
        for cell, figures in list(self.attempts.items()):
            labels = (cell.endpoint, cell.operation, cell.connection)
            for outcome, count in list(figures.outcomes.items()):
                attempts.add_metric((*labels, outcome), count)
            _add(duration, labels, figures.good)
        calls = CounterMetricFamily(
            "canary_sdk_calls",
            "Calls of the stream that retries as an SDK does, by outcome of the whole call",
            labels=("endpoint", "operation", "outcome"),
        )
        for cell, figures in list(self.calls.items()):
            for outcome, count in list(figures.outcomes.items()):
                calls.add_metric((cell.endpoint, cell.operation, outcome), count)
        lateness = HistogramMetricFamily(
            "canary_probe_lateness_seconds", "From the intended to the real start", labels=()
        )
        _add(lateness, (), self.lateness)
        yield from (attempts, duration, calls, lateness, *self._confirm())

    def _confirm(self) -> Iterator[Metric]:
        probes = CounterMetricFamily(
            "canary_confirm_probes",
            "Attempts made because another zone's had failed, by outcome",
            labels=(*_CELL, "outcome"),
        )
        for cell, figures in list(self.confirmations.items()):
            for outcome, count in list(figures.outcomes.items()):
                probes.add_metric((cell.endpoint, cell.operation, cell.connection, outcome), count)
        asks = CounterMetricFamily(
            "canary_confirm_asks", "Asks of other zones, by what became of them", labels=("result",)
        )
        total = Sum[str]()
        for counts in self.asks:
            total.update(counts)
        for result, count in total.items():
            asks.add_metric((result,), count)
        yield from (probes, asks)


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], delays: Delays) -> None:
    bounds = [*map(str, delays.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, delays.cumulative(), strict=True)), delays.seconds)


class Metrics:
    """All metrics of one process; names live here alone."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._probes = _Probes()
        registry.register(self._probes)
        self._unobserved = Counter(
            "canary_unobserved_probes", "Intended probes that say nothing", ("reason",), registry=registry
        )
        self.partitions = Gauge("canary_partitions_covered", "Partitions that have a key", registry=registry)
        self.quarantined = Gauge(
            "canary_quarantined_places", "Cells and keys that are asked more often", ("host",), registry=registry
        )
        self.queue = Gauge("canary_queue_length", "Batches not yet acknowledged", ("host",), registry=registry)
        self.in_doubt = Gauge(
            "canary_batches_in_doubt", "Batches that only one collector can answer for", ("host",), registry=registry
        )
        self.recused = Gauge("canary_recused", "1 while the host does not believe itself", ("host",), registry=registry)
        self.loop_lag = Gauge("canary_loop_lag_seconds", "Longest stall of the last second", registry=registry)
        self.refused = Counter("canary_admin_refused", "Refused admin requests", ("reason",), registry=registry)

    def figures(self, cell: Cell, level: Level = Level.ATTEMPT) -> Figures:
        """Where the attempts of a cell are counted; the calls of the stream that retries as an SDK does; what was asked for others."""
        probes = self._probes
        kept = {Level.ATTEMPT: probes.attempts, Level.CALL: probes.calls, Level.CONFIRM: probes.confirmations}[level]
        found = kept.get(cell)
        if found is None:
            found = kept[cell] = Figures(_SECONDS)
        return found

    def show_asks(self, counts: Sequence[Mapping[str, int]]) -> None:
        """What became of asks, as each host counts it."""
        self._probes.asks = counts

    def started(self, lateness_seconds: float) -> None:
        """One attempt began."""
        self._probes.lateness.note(lateness_seconds)

    def unobserved(self, reason: str, count: int) -> None:
        """Intended probes that say nothing about the target."""
        self._unobserved.labels(reason).inc(count)
