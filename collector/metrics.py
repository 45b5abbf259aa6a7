"""What the collector tells about itself, on a registry that is passed in (shell)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collector.ingest import Refusal

_COMMIT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All metrics of the collector."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"collector_{name}", about, labels, registry=registry)

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"collector_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"collector_{name}", about, buckets=buckets, registry=registry)

        self.batches = counter("batches", "Batches by what became of them: accepted, duplicate, refused.", "result")
        self.refused = counter("refused", "Batches not taken, by reason.", "reason")
        self.readings = counter("readings", "Readings accepted.")
        self.commit_seconds = histogram("commit_seconds", "Duration of a durable commit.", _COMMIT_BUCKETS)
        self.commit_batches = histogram("commit_batches", "Submissions that shared a commit.", _GROUP_BUCKETS)
        self.feed_newest = gauge("feed_newest_cursor", "Cursor of the newest durable feed entry.")
        self.feed_lag = gauge(
            "feed_lag_entries", "How many entries the last reader of the feed was behind when it asked."
        )
        self.feed_lag_seconds = gauge("feed_lag_seconds", "How long ago a reader last asked for the feed.")
        self.clock_held = gauge(
            "clock_held_seconds", "How far received_at is ahead of the clock, so as not to go back."
        )
        self.ledger_writable = gauge("ledger_writable", "1 when the last write succeeded.")
        self.sealed = counter("intervals_sealed", "Versions of intervals sealed: first, reopened, empty.", "kind")
        self.history_files = counter("history_written", "Spans written to the Parquet history: hour, day.", "span")
        self.history_problems = counter("history_problems", "Rounds in which the history could not be written or read.")
        self.answers = counter("answers", "Answers over HTTP by route and status.", "route", "status")
        self.connections_refused = counter("connections_refused", "Connections too many or idle too long.", "reason")
        self.joins = counter(
            "joins", "Failures that a router was asked about, by its word; or dropped over the budget.", "fate"
        )
        self.scrape_up = gauge("scrape_up", "1 when the server answered its last scrape.", "target")
        self.scrapes = counter("scrapes", "Scrapes of servers by result: ok, or the word why not.", "result")
        self.samples_skipped = counter("scrape_samples_skipped", "Samples with a label outside the vocabulary.")
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
