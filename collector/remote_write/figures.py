"""What remote write tells about itself (shell)."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class RemoteWriteFigures:
    """Metrics of all receivers, by the receiver's configured name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"collector_remote_write_{name}", about, ("receiver", *labels), registry=registry)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(f"collector_remote_write_{name}", about, ("receiver",), registry=registry)

        self.samples = counter(
            "samples",
            "Samples by result: sent, refused, repeated (refused when sent once more after a restart).",
            "result",
        )
        self.requests = counter("requests", "Requests by result: sent, refused, again.", "result")
        self.gaps = counter("gaps", "Times that the feed no longer held what was not sent yet.")
        self.gap_entries = counter("gap_entries", "Feed entries lost to the receiver in gaps.")
        self.failures = counter("failures", "Rounds that failed here, not at the receiver; the log says why.")
        self.up = gauge("up", "1 when the last request was answered with success or a refusal.")
        self.behind = gauge("behind_entries", "Feed entries that the receiver has not taken yet.")
        self.told = gauge("told_timestamp_seconds", "Time of the newest samples that the receiver has taken.")

    def known(self, receiver: str) -> None:
        """Show the receiver's counters from the start."""
        for result in ("sent", "refused", "repeated"):
            self.samples.labels(receiver, result)
        for result in ("sent", "refused", "again"):
            self.requests.labels(receiver, result)
        for counter in (self.gaps, self.gap_entries, self.failures):
            counter.labels(receiver)
