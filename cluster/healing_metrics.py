"""What a storage node shows of the healing of the groups that it leads (shell)."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.control.healing import GroupState

_SECONDS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 30, 60, 120, 300, 600)


class HealingMetrics(Collector):
    """In the node's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._states: dict[str, tuple[GroupState, float]] = {}
        self._log_healed = Histogram(
            "store_log_healed_seconds",
            "from the last sign of a lost member until three members stored the log again",
            buckets=_SECONDS,
            registry=registry,
        )
        self._rebuilt = Histogram(
            "store_rebuilt_seconds",
            "from the loss of a storage replica until there were three again",
            buckets=_SECONDS,
            registry=registry,
        )
        registry.register(self)

    def state_is(self, group: str, state: GroupState, degraded_seconds: float) -> None:
        """How whole a led group is now, and for how long it has had too few logs."""
        self._states[group] = (state, degraded_seconds)

    def forget(self, group: str) -> None:
        """This node leads the group no longer."""
        self._states.pop(group, None)

    def log_healed(self, seconds: float) -> None:
        """A group has three logs again."""
        self._log_healed.observe(seconds)

    def rebuilt(self, seconds: float) -> None:
        """A group has three storage replicas again."""
        self._rebuilt.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """The gauges, when they are asked for."""
        groups = GaugeMetricFamily(
            "store_groups_by_state", "groups led by this node, by how whole they are", labels=["state"]
        )
        tally = Tally(state for state, _ in self._states.values())
        for state in GroupState:
            groups.add_metric([state.value], tally[state])
        yield groups
        worst = max((seconds for _, seconds in self._states.values()), default=0.0)
        yield GaugeMetricFamily(
            "store_degraded_seconds", "the longest time that a led group has had too few logs", value=worst
        )
