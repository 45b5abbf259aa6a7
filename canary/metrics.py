"""What a canary process says about itself to Prometheus (shell)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from canary.plan import Cell
from collector.observation import Outcome
from collector.series import LATENCY_BOUNDS_MS

_CELL = ("endpoint", "operation", "connection")
_SECONDS = tuple(bound / 1000 for bound in LATENCY_BOUNDS_MS)


class Metrics:
    """All metrics of one process; names live here alone."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._attempts = Counter("canary_probe_attempts", "Attempts by outcome", (*_CELL, "outcome"), registry=registry)
        self._duration = Histogram(
            "canary_probe_duration_seconds",
            "Good attempts, from the intended start to the last byte",
            _CELL,
            registry=registry,
            buckets=_SECONDS,
        )
        self._lateness = Histogram(
            "canary_probe_lateness_seconds",
            "From the intended to the real start",
            registry=registry,
            buckets=(0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1.0),
        )
        self._unobserved = Counter(
            "canary_unobserved_probes", "Intended probes that say nothing", ("reason",), registry=registry
        )
        self._calls = Counter(
            "canary_sdk_calls",
            "Calls of the stream that retries as an SDK does, by outcome of the whole call",
            ("endpoint", "operation", "outcome"),
            registry=registry,
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
        self._good = {}  # type: dict[tuple[Cell, Outcome], Counter]
        self._timed = {}  # type: dict[Cell, Histogram]

    def attempt(self, cell: Cell, outcome: Outcome, total_seconds: float) -> None:
        """One attempt came back."""
        counter = self._good.get((cell, outcome))
        if counter is None:
            counter = self._attempts.labels(cell.endpoint, cell.operation, cell.connection, outcome)
            self._good[cell, outcome] = counter
        counter.inc()
        if outcome is Outcome.SUCCESS:
            timed = self._timed.get(cell)
            if timed is None:
                timed = self._timed[cell] = self._duration.labels(cell.endpoint, cell.operation, cell.connection)
            timed.observe(total_seconds)

    def call(self, cell: Cell, outcome: Outcome) -> None:
        """One call of the SDK-like stream ended."""
        self._calls.labels(cell.endpoint, cell.operation, outcome).inc()

    def started(self, lateness_seconds: float) -> None:
        """One attempt began."""
        self._lateness.observe(lateness_seconds)

    def unobserved(self, reason: str, count: int) -> None:
        """Intended probes that say nothing about the target."""
        self._unobserved.labels(reason).inc(count)
