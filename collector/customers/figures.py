"""What the customers' doors tell about themselves, on a registry that is passed in (shell)."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from collector.customers.csm import Ignored


class Figures:
    """All metrics of this package."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"collector_customers_{name}", about, labels, registry=registry)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(f"collector_customers_{name}", about, registry=registry)

        self.events = counter("csm_events", "SDK events counted, by level: attempt, call.", "level")
        self.ignored = counter("csm_ignored", "SDK events that do not count, by reason.", "reason")
        self.dropped = counter("csm_dropped", "Datagrams that the kernel dropped, as the buffer was full.")
        self.listening = gauge("csm_listening", "1 while SDK events are listened for.")
        self.lost = counter("csm_lost_readings", "Readings given up, as the ledger could not be written for too long.")
        self.other = gauge("overflowed", "Times that a customer or table beyond the bounds was counted as 'other'.")
        self.unkept = counter("failures_unkept", "Failures whose details were let go; they are counted all the same.")
        self.points = counter("points", "Metric points by protocol and what became of them.", "protocol", "result")
        self.refused = counter("refused", "Metric requests not taken, by protocol and reason.", "protocol", "reason")
        for reason in Ignored:
            self.ignored.labels(reason.value)
        for level in ("attempt", "call"):
            self.events.labels(level)
