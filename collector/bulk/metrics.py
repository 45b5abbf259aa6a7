"""What the columnar lane tells about itself (shell)."""

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from collector.bulk.refusals import BulkRefusal

if TYPE_CHECKING:
    from collector.bulk.lane import Lane

_COMMIT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class BulkMetrics:
    """All metrics of the lane."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"collector_counters_{name}", about, labels, registry=registry)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(f"collector_counters_{name}", about, registry=registry)

        self.bodies = counter("bodies", "Frames by result: accepted, registered, duplicate, refused.", "result")
        self.refused = counter("refused", "Frames not taken, by reason.", "reason")
        self.samples = counter("samples", "Increments counted.")
        self.sealed = counter("intervals_sealed", "Versions of intervals sealed: first, reopened.", "kind")
        self.commit_seconds = Histogram(
            "collector_counters_commit_seconds",
            "Checking, logging, fsync and counting of one group of frames.",
            buckets=_COMMIT_BUCKETS,
            registry=registry,
        )
        self.series = gauge("series", "Series in the dictionary.")
        self.open_intervals = gauge("open_intervals", "Intervals that are not sealed.")
        self.log_bytes = gauge("log_bytes", "Bytes of the log, the feed's retention among them.")
        self.feed_newest = gauge("feed_newest_cursor", "Cursor of the newest durable entry.")
        self.missing = gauge("missing_batches", "Batches that senders have numbered and that have not arrived.")
        self.dropped = gauge("dropped", "Increments that senders say they had to give up.")
        self.writable = gauge("writable", "1 when the last write succeeded.")
        for reason in BulkRefusal:
            self.refused.labels(reason.value)
        for result in ("accepted", "registered", "duplicate", "refused"):
            self.bodies.labels(result)

    def refuse(self, reason: BulkRefusal) -> None:
        """Count one refusal."""
        self.bodies.labels("refused").inc()
        self.refused.labels(reason.value).inc()

    def watch(self, lane: "Lane") -> None:
        """Show what ``lane`` holds whenever the page is asked for."""
        from collector.bulk.senders import missing  # noqa: PLC0415 (loaded with the lane)

        store = lane.store
        self.series.set_function(lambda: len(store.books.dictionary))
        self.open_intervals.set_function(lambda: len(store.books.tallies) + len(store.sealing))
        self.log_bytes.set_function(lambda: store.log.size)
        self.feed_newest.set_function(lambda: lane.figures.newest)
        self.writable.set_function(lambda: int(lane.figures.healthy))
        self.missing.set_function(lambda: sum(missing(s.seen) for s in list(store.books.senders.by_name.values())))
        self.dropped.set_function(lambda: sum(s.dropped for s in list(store.books.senders.by_name.values())))
