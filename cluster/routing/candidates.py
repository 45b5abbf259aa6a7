"""Whom a router asks, and in which order (pure)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cluster.ports import Partition

SUSPECT_SECONDS = 1.0


@dataclass(slots=True)
class Suspects:
    """Nodes that failed to answer a moment ago: they are asked last until ``SUSPECT_SECONDS`` have passed."""

    until: dict[str, float] = field(default_factory=dict)

    def add(self, node: str, at: float) -> None:
        """``node`` did not answer."""
        self.until[node] = at + SUSPECT_SECONDS

    def clear(self, node: str) -> None:
        """``node`` has answered."""
        self.until.pop(node, None)

    def suspected(self, node: str, at: float) -> bool:
        """Whether ``node`` failed to answer a moment ago."""
        return self.until.get(node, 0.0) > at

    def last(self, nodes: Iterable[str], at: float) -> list[str]:
        """``nodes`` in their order, those under suspicion at the end."""
        return sorted(nodes, key=lambda node: self.suspected(node, at))


def for_leader(partition: Partition, leader: str | None, suspects: Suspects, at: float) -> list[str]:
    """The known leader first, then the others in the order of preference."""
    nodes = dict.fromkeys([*([leader] if leader in partition.replicas else []), *partition.replicas])
    return suspects.last([node for node in nodes if node], at)


def for_eventual_read(
    partition: Partition, zone: str, zone_of: Mapping[str, str], suspects: Suspects, at: float
) -> list[str]:
    """The own zone's replica first."""
    return suspects.last(sorted(partition.replicas, key=lambda node: zone_of.get(node) != zone), at)
