"""What a router counts (shell: it writes into a Prometheus registry). Names as in docs/api.md."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

MAX_TABLES = 500
"""More tables than this share the label "": whoever creates tables must not be able to fill the memory."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class RouterMetrics:
    """The metrics of one router. Children are kept: finding one by its labels costs more than counting."""

    def __init__(self, registry: CollectorRegistry, *, version: str) -> None:
        self.registry = registry
        self._requests = Counter(
            "store_requests",
            "Requests answered, by what came of them",
            ("table", "operation", "endpoint", "outcome"),
            registry=registry,
        )
        self._duration = Histogram(
            "store_request_duration_seconds",
            "From the whole request being there to its answer being ready",
            ("table", "operation"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "store_refused", "Requests and connections refused before any operation", ("reason",), registry=registry
        )
        self.connections = Gauge("store_connections", "Connections that are open", registry=registry)
        self._build = Gauge("store_build_info", "Always 1", ("version",), registry=registry)
        self._version, self.own_version = "", version
        self.runs(version)
        ProcessCollector(registry=registry)  # its start time tells readers of the counters when these began anew
        self._tables = {""}
        self._counters: dict[tuple[str, str, str, str], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}

    def runs(self, version: str) -> None:
        """The version of the program that answers."""
        if version != self._version:
            self._version = version
            self._build.clear()
            self._build.labels(version).set(1)

    def answered(self, table: str, operation: str, endpoint: str, outcome: str, seconds: float) -> None:
        """A request was answered after ``seconds``; ``table`` must exist or be ""."""
        if table not in self._tables:
            if len(self._tables) < MAX_TABLES:
                self._tables.add(table)
            else:
                table = ""
        labels = (table, operation, endpoint, outcome)
        counter = self._counters.get(labels)
        if counter is None:
            counter = self._counters[labels] = self._requests.labels(*labels)
        counter.inc()
        histogram = self._histograms.get(labels[:2])
        if histogram is None:
            histogram = self._histograms[labels[:2]] = self._duration.labels(*labels[:2])
        histogram.observe(seconds)

    def refused(self, reason: str) -> None:
        """Something was refused; ``reason`` is of a bounded vocabulary."""
        self._refused.labels(reason).inc()
