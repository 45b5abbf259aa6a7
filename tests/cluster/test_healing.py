"""What a leader decides about its group's members, one situation a test."""

from collections.abc import Mapping

import pytest

from cluster.control import healing
from cluster.control.healing import Change, FleetNode, Forget, GroupState, Patience, Situation, Teach, Yield
from cluster.replication.health import Health, PeerHealth
from cluster.replication.membership import Member, Members, chosen, differ_by_one, names

ZONES = ("az1", "az2", "az3")
A, B, C = Member("az1-node-1", "az1"), Member("az2-node-1", "az2"), Member("az3-node-1", "az3")
LOG = Member("az3-node-2", "az3", log_only=True)
WELL = PeerHealth(0.1, lost=False, holds_items=True, lag=0)
WELL_LOG = PeerHealth(0.1, lost=False, holds_items=False, lag=0)
SILENT = PeerHealth(4.0, lost=False, holds_items=True, lag=50)
LOST = PeerHealth(0.1, lost=True, holds_items=True, lag=50)
FLEET = {f"{zone}-node-{n}": FleetNode(zone, alive=True, groups=n) for zone in ZONES for n in (1, 2, 3)}


def situation(
    members: Members,
    peers: Mapping[str, PeerHealth],
    *,
    learners: Mapping[str, Member] | None = None,
    change_open: bool = False,
    fleet: Mapping[str, FleetNode] | None = None,
    lacking: float = 0.0,
) -> Situation:
    """A leads."""
    learners = learners or {}
    health = Health(members, peers, {node: peers[node] for node in learners}, change_open)
    return Situation(
        leader=A.node,
        zones=ZONES,
        health=health,
        learning=learners,
        fleet=FLEET | dict(fleet or {}),
        lacking_seconds=lacking,
        patience=Patience(),
    )


def test_a_whole_group_is_left_alone() -> None:
    """Nothing is done while three storage replicas are well."""
    s = situation((A, B, C), {B.node: WELL, C.node: WELL})
    assert healing.decide(s) is None
    assert healing.state(s.health, s.fleet, s.patience) is GroupState.HEALTHY


def test_a_silent_member_gets_a_log_replica_in_its_own_zone() -> None:
    """The least loaded node of the lost zone is taught the log; the group is degraded meanwhile."""
    s = situation((A, B, C), {B.node: WELL, C.node: SILENT}, fleet={C.node: FleetNode("az3", alive=False)})
    assert healing.state(s.health, s.fleet, s.patience) is GroupState.DEGRADED
    assert healing.decide(s) == Teach(LOG, "too few logs")


def test_a_log_replica_joins_when_it_has_caught_up_and_then_the_dead_one_leaves() -> None:
    """Two changes, one member each."""
    learner = situation((A, B, C), {B.node: WELL, C.node: SILENT, LOG.node: WELL_LOG}, learners={LOG.node: LOG})
    action = healing.decide(learner)
    assert isinstance(action, Change)
    assert names(action.members) == (A.node, B.node, C.node, LOG.node)
    joined = situation((A, B, C, LOG), {B.node: WELL, C.node: SILENT, LOG.node: WELL_LOG})
    assert healing.decide(joined) == Change((A, B, LOG), "replaced")


def test_a_storage_replica_is_rebuilt_after_a_while_and_the_log_replica_leaves() -> None:
    """Log-healed groups get a storage replica in the zone that has none, then the log replica goes."""
    peers = {B.node: WELL, LOG.node: WELL_LOG}
    early, late = situation((A, B, LOG), peers, lacking=1.0), situation((A, B, LOG), peers, lacking=6.0)
    assert healing.state(early.health, early.fleet, early.patience) is GroupState.LOG_HEALED
    assert healing.decide(early) is None
    assert healing.decide(late) == Teach(C, "a storage replica is missing")
    whole = situation((A, B, C, LOG), {**peers, C.node: WELL})
    assert healing.decide(whole) == Change((A, B, C), "one log replica too many")


def test_a_dark_zone_is_waited_for() -> None:
    """A second member in a surviving zone would leave the group without a quorum when that zone falls too."""
    dark = {f"az3-node-{n}": FleetNode("az3", alive=False) for n in (1, 2, 3)}
    s = situation((A, B, C), {B.node: WELL, C.node: SILENT}, fleet=dark)
    assert healing.decide(s) is None
    long_gone = PeerHealth(700.0, lost=False, holds_items=True, lag=50)
    s = situation((A, B, C), {B.node: WELL, C.node: long_gone}, fleet=dark)
    assert isinstance(healing.decide(s), Teach)


def test_a_replica_that_lost_its_past_is_replaced_at_once() -> None:
    """It answers, but it does not vote."""
    s = situation((A, B, C), {B.node: WELL, C.node: LOST})
    assert healing.decide(s) == Teach(LOG, "too few logs")


def test_a_member_that_is_back_in_time_stays() -> None:
    """A log replica that was on its way, or has joined already, is not needed any more."""
    peers = {B.node: WELL, C.node: WELL, LOG.node: WELL_LOG}
    s = situation((A, B, C), peers, learners={LOG.node: LOG})
    assert healing.decide(s) == Forget(LOG.node, "not needed any more")
    assert healing.decide(situation((A, B, C, LOG), peers)) == Change((A, B, C), "one log replica too many")


def test_a_learner_that_falls_silent_is_given_up() -> None:
    """Another node is tried then."""
    peers = {B.node: WELL, C.node: SILENT, LOG.node: SILENT}
    s = situation((A, B, C), peers, learners={LOG.node: LOG})
    assert healing.decide(s) == Forget(LOG.node, "the learner is gone")


def test_a_log_replica_grows_up_where_no_other_node_is_left() -> None:
    """Its node fetches the items, and the members are told when it holds them."""
    alone = {f"az3-node-{n}": FleetNode("az3", alive=False) for n in (1, 3)}
    s = situation((A, B, LOG), {B.node: WELL, LOG.node: WELL_LOG}, fleet=alone, lacking=6.0)
    grown = Member(LOG.node, "az3")
    assert healing.decide(s) == Teach(grown, "no other node can hold the items")
    s = situation((A, B, LOG), {B.node: WELL, LOG.node: WELL}, fleet=alone, lacking=6.0)
    assert healing.decide(s) == Change((A, B, grown), "the log replica holds the items")


def test_a_slow_leader_yields_and_a_slow_follower_is_replaced() -> None:
    """Slow counts like dead, for those whom autoadmin calls so."""
    slow = FleetNode("az1", alive=True, slow=True)
    s = situation((A, B, C), {B.node: WELL, C.node: WELL}, fleet={A.node: slow})
    assert healing.decide(s) == Yield(B.node, "the leader's node is slow")
    s = situation((A, B, C), {B.node: WELL, C.node: WELL}, fleet={C.node: FleetNode("az3", alive=True, slow=True)})
    assert healing.decide(s) == Teach(LOG, "too few logs")


def test_nothing_is_decided_while_a_change_is_open() -> None:
    """One change at a time."""
    s = situation((A, B, C), {B.node: WELL, C.node: SILENT}, change_open=True)
    assert healing.decide(s) is None


def test_the_group_is_never_changed_by_two() -> None:
    """A change adds one, removes one, or changes the kind of one; nothing else is taken."""
    assert differ_by_one((A, B, C), (A, B, C, LOG))
    assert differ_by_one((A, B, C, LOG), (A, B, LOG))
    assert differ_by_one((A, B, LOG), (A, B, Member(LOG.node, "az3")))
    assert not differ_by_one((A, B, C), (A, B, LOG))
    assert not differ_by_one((A, B, C), (A, B, C))
    assert not differ_by_one((Member(A.node, "az1"),), ())


@pytest.mark.parametrize(
    ("stored", "upto"),
    [
        ({"az1-node-1": 9, "az2-node-1": 7, "az3-node-1": 5}, 7),
        ({"az1-node-1": 9, "az2-node-1": 0, "az3-node-1": 8}, 8),
    ],
)
def test_a_commit_needs_a_majority(stored: dict[str, int], upto: int) -> None:
    """What two of three have stored, in two zones, is committed."""
    zone_of = {m.node: m.zone for m in (A, B, C)}
    assert chosen(stored, (A, B, C), zone_of) == upto


def test_a_commit_needs_two_zones() -> None:
    """A majority within one zone is not enough; a learner's copy in another zone is."""
    local = Member("az1-node-2", "az1", log_only=True)
    members = (A, B, local)
    zone_of = {m.node: m.zone for m in (A, B, local, C)}
    stored = {A.node: 9, local.node: 9, B.node: 4}
    assert chosen(stored, members, zone_of) == 4
    assert chosen({**stored, C.node: 8}, members, zone_of) == 8
