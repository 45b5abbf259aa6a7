"""What the collector tells about itself, on a registry that is passed in (shell)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collector.ingest import Refusal

_COMMIT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """All metrics of the collector."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.batches = Counter(
            "collector_batches",
            "Batches by what became of them: accepted, duplicate, refused.",
            ["result"],
            registry=registry,
        )
        self.refused = Counter("collector_refused", "Batches not taken, by reason.", ["reason"], registry=registry)
        self.readings = Counter("collector_readings", "Readings accepted.", registry=registry)
        self.commit_seconds = Histogram(
            "collector_commit_seconds", "Duration of a durable commit.", buckets=_COMMIT_BUCKETS, registry=registry
        )
        self.commit_batches = Histogram(
            "collector_commit_batches",
            "Submissions that shared a commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self.feed_newest = Gauge(
            "collector_feed_newest_cursor", "Cursor of the newest durable feed entry.", registry=registry
        )
        self.feed_lag = Gauge(
            "collector_feed_lag_entries",
            "How many entries the last reader of the feed was behind when it asked.",
            registry=registry,
        )
        self.feed_lag_seconds = Gauge(
            "collector_feed_lag_seconds", "How long ago a reader last asked for the feed.", registry=registry
        )
        self.clock_held = Gauge(
            "collector_clock_held_seconds",
            "How far received_at is ahead of the clock, so as not to go back.",
            registry=registry,
        )
        self.ledger_writable = Gauge("collector_ledger_writable", "1 when the last write succeeded.", registry=registry)
        self.sealed = Counter(
            "collector_intervals_sealed", "Versions of intervals sealed.", ["kind"], registry=registry
        )
        self.connections_refused = Counter(
            "collector_connections_refused", "Connections over the limit or too slow.", ["reason"], registry=registry
        )
        self.scrape_up = Gauge(
            "collector_scrape_up", "1 when the server answered its last scrape.", ["target"], registry=registry
        )
        self.scrapes = Counter("collector_scrapes", "Scrapes of servers by result.", ["result"], registry=registry)
        self.samples_skipped = Counter(
            "collector_scrape_samples_skipped",
            "Samples with a label outside the vocabulary, or too many.",
            registry=registry,
        )
        for reason in Refusal:
            self.refused.labels(reason.value)
        for result in ("accepted", "duplicate", "refused"):
            self.batches.labels(result)

    def refuse(self, reason: Refusal) -> None:
        """Count one refusal."""
        self.batches.labels("refused").inc()
        self.refused.labels(reason.value).inc()

    def committed(self, seconds: float, batches: int) -> None:
        """Count one commit."""
        self.commit_seconds.observe(seconds)
        self.commit_batches.observe(batches)
