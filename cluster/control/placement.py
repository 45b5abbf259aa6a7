"""Where the replicas of new partitions go (pure)."""

from collections.abc import Mapping, Sequence

from cluster.control.healing import COPIES, FleetNode
from cluster.ports import Partition
from cluster.topology import RING_END


def cuts(count: int) -> list[tuple[int, int]]:
    """``count`` pieces of the ring, equal but for rounding; the last one holds the last position."""
    starts = [i * (RING_END + 1) // count for i in range(count)]
    return list(zip(starts, [*starts[1:], RING_END], strict=True))


def place(count: int, zones: Sequence[str], fleet: Mapping[str, FleetNode]) -> tuple[Partition, ...] | None:
    """``count`` partitions, each on three nodes that are alive, in three zones where there are; None when there are not three nodes.

    Leaders go round the zones; of a zone's nodes the one with the fewest replicas is taken.
    """
    load = {name: node.groups for name, node in fleet.items() if node.alive and not node.slow}
    if len(load) < COPIES:
        return None
    partitions = []
    for index, (start, end) in enumerate(cuts(count)):
        order = [zones[(index + offset) % len(zones)] for offset in range(len(zones))]
        replicas = _three(order, load, fleet)
        for name in replicas:
            load[name] += 1
        partitions.append(Partition(str(index), start, end, replicas, zones=tuple(order)))
    return tuple(partitions)


def _three(order: Sequence[str], load: Mapping[str, int], fleet: Mapping[str, FleetNode]) -> tuple[str, ...]:
    """The least loaded node of each zone in ``order``; where a zone has none left, the least loaded of all."""
    chosen: list[str] = []
    for zone in order[:COPIES]:
        here = [name for name in load if fleet[name].zone == zone]
        if here:
            chosen.append(min(here, key=lambda name: (load[name], name)))
    rest = sorted((name for name in load if name not in chosen), key=lambda name: (load[name], name))
    return tuple((chosen + rest)[:COPIES])
