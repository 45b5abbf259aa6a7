"""What a storage node shows of the scrubs of the groups that it leads (shell)."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120)


class ScrubMetrics(Collector):
    """In the node's registry. ``age``: seconds since the group that waits longest was scrubbed completely; None: none is led here."""

    def __init__(self, registry: CollectorRegistry, age: Callable[[], float | None]) -> None:
        self._age = age
        self.mismatches = Counter(
            "store_scrub_mismatch",
            "rows that were damaged, or not the same on all replicas and in the archive, and archived objects that are damaged",
            registry=registry,
        )
        self.repaired = Counter("store_scrub_repaired", "rows rewritten through the log", registry=registry)
        self.undecided = Counter(
            "store_scrub_undecided", "times that no majority said which row is right", registry=registry
        )
        self.seconds = Histogram("store_scrub_seconds", "time of one scrub", buckets=_SECONDS, registry=registry)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The gauge, when it is asked for."""
        age = GaugeMetricFamily(
            "store_scrub_coverage_age_seconds", "of the groups led here, the longest time without a complete scrub"
        )
        if (seconds := self._age()) is not None:
            age.add_metric([], round(seconds, 3))
        yield age
