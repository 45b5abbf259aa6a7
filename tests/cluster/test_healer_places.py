"""Where a leader looks for new members of the catalogue's group."""

from types import SimpleNamespace

from cluster.control import catalogue
from cluster.control.healing import FleetNode, Patience, Situation, Teach, decide
from cluster.healer import Healer
from cluster.healing_metrics import HealingMetrics
from cluster.replication.health import Health, PeerHealth
from cluster.replication.membership import Member

NODES = [f"az{zone}-node-{number}" for zone in (1, 2, 3) for number in (1, 2)]
MEMBERS = (Member("az1-node-1", "az1"), Member("az3-node-1", "az3"), Member("az2-node-1", "az2", log_only=True))


def decision(*, lost):
    """What the leader on az1-node-1 does when az2-node-1, which stands in as a log replica, is well or has lost its past."""
    fleet = {name: FleetNode(name[:3], alive=True) for name in NODES}
    peers = {
        "az3-node-1": PeerHealth(silent_seconds=0.1, lost=False, holds_items=True, lag=0),
        "az2-node-1": PeerHealth(silent_seconds=0.1, lost=lost, holds_items=False, lag=0),
    }
    health = Health(MEMBERS, peers, {}, change_open=False)
    home = SimpleNamespace(replicas=("az1-node-1", "az2-node-1", "az3-node-1"))
    group = SimpleNamespace(name=catalogue.GROUP, partition=home)
    healer = Healer(
        "az1-node-1", hub=None, groups={}, nodes=tuple(NODES), autoadmin=(), patience=Patience(), clock=float,
        metrics=HealingMetrics.__new__(HealingMetrics),
    )  # fmt: skip
    return decide(
        Situation(
            leader="az1-node-1",
            zones=("az1", "az2", "az3"),
            health=health,
            learning={},
            fleet=healer._places(group, health, fleet),
            lacking_seconds=60.0,
            patience=Patience(),
        )
    )


def test_the_catalogues_items_stay_at_home():
    """While its three logs are well, the missing storage replica is made where everybody looks for the catalogue."""
    assert decision(lost=False) == Teach(Member("az2-node-1", "az2"), "no other node can hold the items")


def test_a_log_of_the_catalogue_may_be_anywhere():
    """When one of its logs is lost, another node takes its place first, be it nobody's home."""
    action = decision(lost=True)
    assert isinstance(action, Teach)
    assert action.member.log_only
    assert action.member.node not in {member.node for member in MEMBERS}
