"""How a replica comes to lead: suspicion, canvass, lease wait, phase 1, victory (pure).

Lamport, "Paxos Made Simple", §3 (one phase 1 for all instances); DynamoDB, ATC 2022, §5 (ask the peers before failing over).
"""

from cluster.replication.campaign_state import Campaign, Canvass, choose
from cluster.replication.following import learn_chosen
from cluster.replication.leading import begin
from cluster.replication.messages import (
    Ballot,
    Entry,
    PeerAnswer,
    PeerQuery,
    Prepare,
    Promise,
    Refusal,
)
from cluster.replication.quorum import majority
from cluster.replication.roles import Past, Role
from cluster.replication.state import State

CAMPAIGN_HEARTBEATS = 6
"""A candidate that has no quorum after so many heartbeats goes back to asking."""


def suspect(s: State, at: float) -> None:
    """Follower's timer. Silence for long enough: ask the peers; the answers, or their absence, decide (``on_answer``)."""
    if at < s.suspect_at or not s.may_lead:
        return
    if s.leader == s.node and s.ballot <= s.released:
        campaign(s, "handed_over_to", at)
    elif s.canvass is None or at >= s.canvass.deadline:
        _ask_peers(s, at)


def _ask_peers(s: State, at: float) -> None:
    """With a quorum of answers, none of them healthy, the last round decides; else there is another."""
    if s.canvass is not None and _none_has_a_past(s):
        campaign(s, "fresh_group", at, founding=True)
        return
    if s.canvass is not None and s.past is Past.SOUND and len(s.canvass.unhealthy) + 1 >= majority(len(s.members)):
        campaign(s, "leader_resigned" if s.ballot <= s.released else "leader_silent", at)
        return
    s.canvass = Canvass(at, at + s.timing.query_seconds)
    for peer in s.peers:
        s.send(peer, PeerQuery(at))
    if not s.peers:
        campaign(s, "leader_silent", at)


def _none_has_a_past(s: State) -> bool:
    """Whether every member has said that it has never stored anything: then, and only then, a group may be founded.

    A member with a new disk looks like one that has never run; but another member that has stored something says so.
    """
    return s.empty and s.canvass is not None and s.canvass.empty >= set(s.peers)


def on_answer(s: State, sender: str, m: PeerAnswer, at: float) -> None:
    """One healthy answer is enough to stay a follower: the leader is there, only this replica does not hear it."""
    if s.canvass is None or m.asked_at != s.canvass.asked_at:
        return
    if m.healthy:
        s.watch(at, s.timing.silence_seconds)
        return
    s.canvass.unhealthy.add(sender)
    if m.empty:
        s.canvass.empty.add(sender)
    if s.empty:
        # A group that may have to be founded hears everybody out; the deadline decides otherwise.
        if _none_has_a_past(s):
            _ask_peers(s, at)
        return
    others = sum(peer != s.leader for peer in s.peers)
    if len(s.canvass.unhealthy) >= max(others, majority(len(s.members)) - 1):
        _ask_peers(s, at)


def campaign(s: State, reason: str, at: float, *, founding: bool = False) -> None:
    """Become a candidate; phase 1 begins when the own grant has run out (``drive``)."""
    s.become(Role.CANDIDATE, reason)
    begins_at = at + s.grant.remaining(at, s.released)
    if begins_at > at:
        begins_at += s.timing.stagger_seconds * s.rank
    ends_at = begins_at + CAMPAIGN_HEARTBEATS * s.timing.heartbeat_seconds
    s.campaign = Campaign(reason, begins_at, ends_at, founding)
    drive(s, at)


def drive(s: State, at: float) -> None:
    """Candidate's timer: raise the ballot when free to, ask who has not promised, give up in the end."""
    c = s.campaign
    assert c is not None
    if at >= c.ends_at:
        _count(s, c, at)
        if s.campaign is c:
            stand_down(s, "no_quorum", at, 0.0)
        return
    if at < c.begins_at:
        return
    if c.ballot is None:
        _raise_ballot(s, c)
    for peer in s.peers:
        if c.ballot is not None and peer not in c.promises and at >= c.ask_at.get(peer, at):
            c.ask_at[peer] = at + s.timing.retry_seconds
            # Only when the own promise is on disk: after a crash the same ballot could be raised again, with less behind it.
            s.send_when_promised(peer, Prepare(c.ballot, s.committed, s.log.last, s.released, c.founding, s.config_lsn))


def _raise_ballot(s: State, c: Campaign) -> None:
    c.ballot = Ballot(max(s.number, s.promised.number) + 1, s.node)
    s.leader = None
    s.enter(c.ballot)
    s.promise(c.ballot)
    c.token = s.token


def stand_down(s: State, reason: str, at: float, delay: float) -> None:
    """Back to follower; the next suspicion comes in ``delay`` seconds."""
    s.become(Role.FOLLOWER, reason)
    s.watch(at, delay)


def after_own_vote(s: State, token: int, at: float) -> None:
    """The own promise is on disk: it counts."""
    c = s.campaign
    if c is not None and c.ballot is not None and c.token <= token:
        c.voted = True
        _count(s, c, at)


def on_promise(s: State, sender: str, m: Promise, at: float) -> None:
    """A vote."""
    c = s.campaign
    if c is not None and m.ballot == c.ballot:
        c.promises[sender] = m
        _count(s, c, at)


def on_refusal(s: State, sender: str, m: Refusal, at: float) -> None:
    """No vote yet (the lease), or none at all."""
    s.number = max(s.number, m.promised.number)
    c = s.campaign
    if c is None or m.ballot != c.ballot:
        return
    if m.healthy:
        stand_down(s, "peer_hears_leader", at, s.timing.silence_seconds)
    elif m.reason == "lease":
        c.ask_at[sender] = at + m.lease_remaining
        c.ends_at = max(c.ends_at, at + m.lease_remaining + CAMPAIGN_HEARTBEATS * s.timing.heartbeat_seconds)
    elif m.reason == "log_gone":
        # A log replica knows more than this candidate, but cannot lead in its place: it teaches, and others may vote meanwhile.
        c.ask_at[sender] = at + s.timing.retry_seconds
    elif m.reason == "behind":
        stand_down(s, "behind", at, 2 * s.timing.silence_seconds)
    else:
        stand_down(s, "higher_ballot", at, s.timing.heartbeat_seconds)


def _count(s: State, c: Campaign, at: float) -> None:
    """A quorum of promises makes a leader, which re-proposes whatever may have been chosen.

    First the candidate learns what is known to be chosen. If the group has changed meanwhile, these promises are of the wrong group.
    """
    # A founder waits for everybody while it can: whoever has not voted has no past, and would have to be replaced.
    needed = len(s.members) if c.founding and at < c.ends_at else majority(len(s.members))
    if not c.voted or len(c.promises) + 1 < needed:
        return
    assert c.ballot is not None
    before = s.config_lsn
    for promise in c.promises.values():
        learn_chosen(s, tuple(entry for entry in promise.entries if entry.lsn <= promise.committed))
    if s.config_lsn != before:
        stand_down(s, "members_changed", at, 0.0)
        return
    own = s.log.between(s.committed + 1, s.log.last)
    entries = choose(own, list(c.promises.values()), c.ballot, s.committed)
    behind = {peer: promise.committed for peer, promise in c.promises.items()}
    settled, change = _up_to_a_change(entries)
    s.become(Role.LEADER, "elected")
    begin(s, settled, behind, at, provisional=change)


def _up_to_a_change(entries: tuple[Entry, ...]) -> tuple[tuple[Entry, ...], bool]:
    """Entries up to the first change of members, and whether there is one.

    Nothing above it can be chosen as far as these voters know: whoever proposes above a change has told its acceptors that the
    change is committed, and then the candidate has just learned so.
    """
    for index, entry in enumerate(entries):
        if entry.members is not None:
            return entries[: index + 1], True
    return entries, False
