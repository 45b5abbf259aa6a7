"""Promises of one replica or group that a sentence can state: how long, how much, in what order."""

import time

import pytest

from cluster.replication import messages as m
from cluster.replication.membership import Member, members_in_zones_of_their_own
from cluster.replication.replica import Replica
from cluster.replication.timing import Timing
from tests.cluster.replication_world import World

MEMBERS = ("az1", "az2", "az3")
GROUP = members_in_zones_of_their_own(*MEMBERS)


def _group(seed: int = 0) -> World:
    world = World(seed=seed)
    for name in MEMBERS:
        world.start(name)
    world.run(1.0)
    return world


@pytest.mark.parametrize("crash_at", [1.0 + 0.07 * step for step in range(15)])
def test_writes_return_within_the_lease_and_a_second(crash_at: float) -> None:
    """Whenever the leader dies, another accepts writes no later than one lease and one second afterwards."""
    world = _group()
    world.run(crash_at)
    world.crash("az1")
    while world.leader() is None:
        world.run(world.now + 0.01)
    world.write(world.leader() or "")
    world.run(world.now + 0.02)
    assert world.acked
    assert world.now - crash_at <= world.timing.lease_seconds + 1.0


def test_a_planned_hand_over_takes_milliseconds() -> None:
    """The successor serves without waiting for a lease."""
    world = _group()
    world.step("az1", m.HandOver("az3"))
    world.run(world.now + 0.02)
    assert world.leader() == "az3"


def test_the_preferred_leader_returns() -> None:
    """After its zone was away and came back, leadership is its own again within some 15 s, and no write is refused for a lease."""
    world = _group()
    world.crash("az1")
    world.run(6.0)
    assert world.leader() == "az2"
    world.start("az1")
    world.run(21.0)
    assert world.leader() == "az1"


def test_proposals_gather_while_appends_are_in_flight() -> None:
    """A thousand proposals at once need few Appends, and all are accepted in order."""
    world = _group()
    appends = []
    world.trace = lambda name, _event, effects: appends.extend(
        effect for effect in effects if name == "az1" and isinstance(effect, m.Append)
    )
    for _ in range(1000):
        world.write("az1")
    world.run(world.now + 1.0)
    assert [lsn for _, lsn in world.acked.values()] == list(range(1, 1001))
    assert len(appends) <= 10


def test_a_follower_answers_only_what_is_on_its_disk() -> None:
    """No AcceptReply claims an LSN as stored before the Append with it is persisted."""
    ballot = m.Ballot(1, "az1")
    replica = Replica("g", "az2", GROUP, Timing(), m.Recovered(m.NO_BALLOT, 0, ()), 0.0)
    entry = m.Entry(1, ballot, b"x")
    effects = replica.step(m.Receive("az1", m.Accept(ballot, 1, (entry,), 0, 0)), 0.1)
    appends = [effect for effect in effects if isinstance(effect, m.Append)]
    assert [a.entries for a in appends] == [(), (entry,)]
    assert not any(isinstance(effect, m.Send) for effect in effects)
    effects = replica.step(m.Persisted(appends[-1].token), 0.2)
    assert effects == [m.Send("az1", m.AcceptReply(ballot, 1, 1))]


def test_a_restarted_replica_honours_its_promise_and_the_lease_it_may_have_granted() -> None:
    """It refuses a lower ballot for ever and every ballot for a whole lease."""
    promised = m.Ballot(5, "az1")
    replica = Replica("g", "az2", GROUP, Timing(), m.Recovered(promised, 0, ()), 100.0)
    prepare = m.Receive("az3", m.Prepare(m.Ballot(6, "az3"), 0, 0, m.NO_BALLOT))
    (refused,) = replica.step(prepare, 102.0)
    assert isinstance(refused, m.Send)
    assert isinstance(refused.message, m.Refusal)
    assert refused.message.lease_remaining == pytest.approx(1.1)
    (outdated,) = replica.step(m.Receive("az3", m.Heartbeat(m.Ballot(4, "az3"), 0.0, 0, 0)), 103.0)
    assert isinstance(outdated, m.Send)
    assert isinstance(outdated.message, m.Outdated)
    assert any(isinstance(effect, m.Append) for effect in replica.step(prepare, 103.2))


def test_a_heartbeat_is_cheap() -> None:
    """A follower's heartbeat takes some microseconds however long its log is (the bound leaves room for a busy machine)."""
    ballot = m.Ballot(1, "az1")
    entries = tuple(m.Entry(lsn, ballot, b"x") for lsn in range(1, 20_001))
    replica = Replica("g", "az2", GROUP, Timing(), m.Recovered(ballot, 20_000, entries), 0.0)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for beat in range(200):
            replica.step(m.Receive("az1", m.Heartbeat(ballot, float(beat), 20_000, 20_000)), 0.1)
        best = min(best, (time.perf_counter() - began) / 200)
    assert best < 100e-6


def test_a_candidate_asks_only_when_its_own_promise_is_on_disk() -> None:
    """Else it could raise the same ballot again after a crash, and take a promise made to its former self for one to this one."""
    replica = Replica("g", "az2", GROUP, Timing(), m.Recovered(m.NO_BALLOT, 0, (m.Entry(1, m.NO_BALLOT, b"x"),)), 0.0)
    at, sent = 0.0, []
    while not any(isinstance(effect, m.Append) for effect in sent):
        at += 0.1
        sent = replica.step(m.Tick(), at)
        if any(isinstance(effect, m.Send) and isinstance(effect.message, m.PeerQuery) for effect in sent):
            asked_at = next(
                e.message.asked_at for e in sent if isinstance(e, m.Send) and isinstance(e.message, m.PeerQuery)
            )
            for peer in ("az1", "az3"):
                sent += replica.step(m.Receive(peer, m.PeerAnswer(asked_at, healthy=False)), at)
    assert not any(isinstance(effect, m.Send) and isinstance(effect.message, m.Prepare) for effect in sent)
    token = next(effect.token for effect in sent if isinstance(effect, m.Append))
    asked = [
        e.to for e in replica.step(m.Persisted(token), at) if isinstance(e, m.Send) and isinstance(e.message, m.Prepare)
    ]
    assert asked == ["az1", "az3"]


def test_a_node_that_is_taught_anew_does_not_vote_by_what_it_was_before() -> None:
    """Removed, emptied and taught again, it answers no candidate that knows only the members from before its removal."""
    a, b, c = GROUP
    ballot = m.Ballot(3, "az1")
    taught = m.Recovered(m.NO_BALLOT, 0, (), members=(a, b), config_lsn=7, born=7)
    replica = Replica("g", "az3", (a, b), Timing(), taught, 0.0)
    old = (m.Entry(1, ballot, b"", (a, b, c)), m.Entry(2, ballot, b"x"))
    effects = replica.step(m.Receive("az1", m.Accept(ballot, 1, old, 2, 0)), 0.1)
    for append in [effect for effect in effects if isinstance(effect, m.Append)]:
        replica.step(m.Persisted(append.token), 0.2)
    assert replica.members == (a, b)
    stale = m.Prepare(m.Ballot(4, "az2"), 0, 0, m.NO_BALLOT, config_lsn=1)
    assert replica.step(m.Receive("az2", stale), 9.0) == []
    newer = m.Prepare(m.Ballot(5, "az2"), 2, 2, m.NO_BALLOT, config_lsn=8)
    assert any(isinstance(effect, m.Append) for effect in replica.step(m.Receive("az2", newer), 9.1))


def test_members_who_have_granted_no_lease_are_not_chosen() -> None:
    """A newcomer is asked to grant the lease when it is first taught; before a quorum with it has, it is not made a member."""
    world = _group()
    world.crash("az3")
    world.run(world.now + 2.7)
    newcomer = Member("az4", "az3", log_only=True)
    replica, at = world.nodes["az1"].replica, world.nodes["az1"].clock(world.now)
    assert replica is not None
    sent = [
        effect for effect in replica.step(m.Teach(newcomer), at) if isinstance(effect, m.Send) and effect.to == "az4"
    ]
    assert any(isinstance(effect.message, m.Heartbeat) for effect in sent)
    members = (*GROUP, newcomer)
    (refused,) = replica.step(m.ChangeMembers(7, members), at)
    assert refused == m.Rejected(7, "not_granted_yet", "az1")
    ballot = next(effect.message.ballot for effect in sent if isinstance(effect.message, m.Heartbeat))
    replica.step(m.Receive("az4", m.HeartbeatReply(ballot, at, 0, 0, False, 0)), at)
    effects = replica.step(m.ChangeMembers(8, members), at)
    assert any(isinstance(effect, m.Append) for effect in effects)
