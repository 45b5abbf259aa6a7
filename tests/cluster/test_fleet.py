"""autoadmin's eyes and hands: who is alive, who is slow, where new partitions go."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cluster.control.fleet import SILENT_SECONDS, SLOW_AFTER_SECONDS, WELL_AFTER_SECONDS, Fleet
from cluster.control.healing import FleetNode
from cluster.control.placement import cuts, place
from cluster.routing.messages import NodeReport
from cluster.topology import RING_END

ZONES = ("az1", "az2", "az3")
NODES = [f"{zone}-node-{n}" for zone in ZONES for n in (1, 2, 3)]


def fleet_after(seconds: int, fsync_of: dict[str, float], usual: float = 0.005) -> Fleet:
    """Every node has reported every second."""
    fleet = Fleet()
    report(fleet, 0, seconds, fsync_of, usual)
    return fleet


def report(fleet: Fleet, begin: int, end: int, fsync_of: dict[str, float], usual: float = 0.005) -> None:
    for at in range(begin, end + 1):
        for node in NODES:
            fleet.take(NodeReport(node, node[:3], 5, fsync_of.get(node, usual)), float(at))


def slow(fleet: Fleet, at: float) -> list[str]:
    return [name for name, node in fleet.nodes(at).items() if node.slow]


def test_a_node_that_reports_no_more_is_not_alive() -> None:
    """Silence for a few seconds is enough."""
    fleet = fleet_after(2, {})
    assert all(node.alive for node in fleet.nodes(2 + SILENT_SECONDS).values())
    assert not any(node.alive for node in fleet.nodes(2.1 + SILENT_SECONDS).values())


def test_a_node_whose_fsyncs_are_slow_for_long_is_called_slow_and_well_again_later() -> None:
    """Not by one slow second; and not well by one fast one."""
    fleet = fleet_after(int(SLOW_AFTER_SECONDS) - 1, {"az2-node-1": 0.5})
    assert slow(fleet, 4.0) == []
    report(fleet, 5, 7, {"az2-node-1": 0.5})
    assert slow(fleet, 7.0) == ["az2-node-1"]
    report(fleet, 8, 10, {})
    assert slow(fleet, 10.0) == ["az2-node-1"]
    report(fleet, 11, 8 + int(WELL_AFTER_SECONDS), {})
    assert slow(fleet, 30.0) == []


def test_a_machine_that_is_slow_as_a_whole_blames_nobody() -> None:
    """Nodes are compared with each other."""
    assert slow(fleet_after(20, {}, usual=0.6), 20.0) == []


def test_new_partitions_go_to_three_zones_and_leaders_go_round() -> None:
    """Nine partitions on nine well nodes: three replicas each, in three zones, and three leaders a zone."""
    fleet = {name: FleetNode(name[:3], alive=True) for name in NODES}
    partitions = place(9, ZONES, fleet)
    assert partitions is not None
    assert all(sorted(node[:3] for node in p.replicas) == sorted(ZONES) for p in partitions)
    assert Counter(node for p in partitions for node in p.replicas) == Counter(NODES * 3)
    assert Counter(p.replicas[0][:3] for p in partitions) == Counter(ZONES * 3)
    assert all(p.zones[0] == p.replicas[0][:3] for p in partitions)


def test_dead_and_slow_nodes_get_nothing() -> None:
    """With a zone dark, its share goes to the others; with fewer than three nodes there is no place at all."""
    fleet = {name: FleetNode(name[:3], alive=name[:3] != "az3", slow=name == "az1-node-1") for name in NODES}
    partitions = place(4, ZONES, fleet)
    assert partitions is not None
    used = {node for p in partitions for node in p.replicas}
    assert used <= set(NODES) - {"az1-node-1", "az3-node-1", "az3-node-2", "az3-node-3"}
    assert all(len(set(p.replicas)) == 3 for p in partitions)
    few = {name: FleetNode(name[:3], alive=name in NODES[:2]) for name in NODES}
    assert place(1, ZONES, few) is None


@given(st.integers(1, 64))
def test_partitions_cut_the_ring_without_a_gap(count: int) -> None:
    """Each begins where the one before ends; the last holds the last position."""
    found = cuts(count)
    assert found[0][0] == 0
    assert found[-1][1] == RING_END
    assert all(before[1] == after[0] for before, after in pairwise(found))
