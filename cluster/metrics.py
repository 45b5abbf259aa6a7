"""What a storage node shows on its ``/metrics`` page; the names live here only (shell).

Gauges are read from the groups when the page is asked for, so that an idle node spends nothing on them.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.archive.agent import ArchiveView

VERSION = "0.1.0"
_FSYNC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """One replica, as shown in metrics and in ``GET /state``.

    ``lag``: committed by the leader as far as heard, not yet applied here;
    ``kept``: items, log (a log replica) or nothing (they are being fetched); ``members`` as of what is committed here.
    """

    group: str
    table: str
    partition: str
    role: str
    leader: str | None
    ballot: int
    committed: int
    applied: int
    last: int
    lag: int
    serving: bool
    kept: str = "items"
    votes: bool = True
    members: tuple[str, ...] = ()


class _Groups(Collector):
    def __init__(self, views: Callable[[], Iterable[GroupView]]) -> None:
        self._views = views

    def collect(self) -> Iterator[Metric]:
        labels = ["table", "partition"]
        leader = GaugeMetricFamily("store_leader", "1 on the replica that leads and serves", labels=labels)
        applied = GaugeMetricFamily("store_replica_applied_lsn", "LSN applied to the items", labels=labels)
        lag = GaugeMetricFamily("store_replica_lag_entries", "log entries known but not applied", labels=labels)
        states = GaugeMetricFamily("store_groups", "replicas by role", labels=["role"])
        roles: Tally[str] = Tally(follower=0, candidate=0, leader=0)
        for view in self._views():
            place = [view.table, view.partition]
            leader.add_metric(place, float(view.serving))
            applied.add_metric(place, view.applied)
            lag.add_metric(place, view.lag)
            roles[view.role] += 1
        for role, count in roles.items():
            states.add_metric([role], count)
        yield from (leader, applied, lag, states)


class _Archive(Collector):
    def __init__(self, views: Callable[[], Iterable[ArchiveView]], spent: Callable[[], float]) -> None:
        self._views, self._spent = views, spent

    def collect(self) -> Iterator[Metric]:
        labels = ["table", "partition"]
        age = GaugeMetricFamily(
            "store_archive_oldest_unarchived_age_seconds",
            "age of the oldest committed entry that is not archived and verified here",
            labels=labels,
        )
        size = GaugeMetricFamily("store_archive_unarchived_bytes", "committed, not archived", labels=labels)
        stopped = GaugeMetricFamily(
            "store_archive_stopped", "1 while the archive and this replica differ: no truncation", labels=labels
        )
        for view in self._views():
            place = [view.table, view.partition]
            age.add_metric(place, round(view.oldest_age_seconds, 3))
            size.add_metric(place, view.unarchived_bytes)
            stopped.add_metric(place, float(view.stopped))
        budget = GaugeMetricFamily(
            "store_wal_budget_ratio", "share of the write-ahead log's budget that is spent; writes are shed at 0.95"
        )
        budget.add_metric([], self._spent())
        yield from (age, size, stopped, budget)


class ArchiveCounts:
    """What the archive agent of a node counts (:class:`cluster.archive.agent.Counts`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._segments = Counter("store_archive_segments", "segments archived by this node", registry=registry)
        self._mismatches = Counter(
            "store_archive_verify_mismatch",
            "archived objects that are damaged or differ from the log here",
            registry=registry,
        )
        self._gaps = Counter(
            "store_archive_gap", "holes in the archive that no replica could fill any more", registry=registry
        )

    def segment_archived(self) -> None:
        """See :class:`cluster.archive.agent.Counts`."""
        self._segments.inc()

    def mismatch(self) -> None:
        """See :class:`cluster.archive.agent.Counts`."""
        self._mismatches.inc()

    def gap(self) -> None:
        """See :class:`cluster.archive.agent.Counts`."""
        self._gaps.inc()


class NodeMetrics:
    """The counters of one storage node, in a registry of its own."""

    def __init__(self, node: str, zone: str, views: Callable[[], Iterable[GroupView]]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "store_replica_requests",
            "requests answered by this replica",
            ["table", "partition", "operation", "outcome"],
            registry=self.registry,
        )
        self.redirects = Counter("store_redirects", "requests sent on to the leader", registry=self.registry)
        self.elections = Counter("store_elections", "elections won by this node", registry=self.registry)
        self.snapshots = Counter("store_snapshots", "snapshots fetched by this node", registry=self.registry)
        self.corrupt = Counter("store_corrupt_items", "items found damaged when read", registry=self.registry)
        self.fsync = Histogram(
            "store_wal_fsync_seconds", "time of one WAL fsync", buckets=_FSYNC_BUCKETS, registry=self.registry
        )
        self.archive = ArchiveCounts(self.registry)
        # prometheus_client leaves a Gauge for constant labels to us: one sample that is always 1.
        self.registry.register(_Build(node, zone))
        self.registry.register(_Groups(views))
        ProcessCollector(registry=self.registry)

    def show_archive(self, views: Callable[[], Iterable[ArchiveView]], spent: Callable[[], float]) -> None:
        """Show the archive's gauges as well; ``spent``: the share of the log's budget."""
        self.registry.register(_Archive(views, spent))

    def forget(self, table: str, partition: str) -> None:
        """Drop the series of a partition that is gone."""
        for labels in [key for key in self.requests._metrics if key[:2] == (table, partition)]:
            self.requests.remove(*labels)


class _Build(Collector):
    def __init__(self, node: str, zone: str) -> None:
        self._labels = [VERSION, node, zone]

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("store_build_info", "always 1", labels=["version", "component", "zone"])
        build.add_metric(self._labels, 1)
        yield build
