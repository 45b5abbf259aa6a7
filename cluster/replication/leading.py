"""What a leader does: lease, log, commit, catch-up of its followers, hand-over (pure).

Phase 2 of Multi-Paxos (Lamport, "Paxos Made Simple", §3), pipelined; leases as in ``lease``; a planned hand-over releases the lease so
that the successor need not wait (DynamoDB, ATC 2022, §6 deployments).
"""

from collections import deque

from cluster.replication.leadership import (
    APPENDS_IN_FLIGHT,
    BATCH_BYTES,
    BATCH_ENTRIES,
    UNCOMMITTED_ENTRIES,
    WINDOW_ENTRIES,
    Handover,
    Leadership,
    Progress,
)
from cluster.replication.lease import FOREVER, NEVER, Grant, Lease
from cluster.replication.membership import chosen, storage
from cluster.replication.messages import (
    Accept,
    Accepted,
    AcceptReply,
    Committed,
    Entry,
    Heartbeat,
    HeartbeatReply,
    LogGone,
    Lost,
    Outdated,
    Propose,
    Rejected,
    Resign,
)
from cluster.replication.roles import Role
from cluster.replication.state import State

COPIES = 2
"""Fewer are no quorum, unless the group has but one member: the usual case is decided without counting further."""


def begin(
    s: State, entries: tuple[Entry, ...], committed: dict[str, int], at: float, *, provisional: bool = False
) -> None:
    """Take office: re-propose ``entries`` to all, ask for the lease. ``committed``: how far each voter is.

    ``provisional``: the last of them is a change of members; when it is committed, the office ends (and begins anew, by the new
    members' votes). Until then there is no lease: a quorum of the old members may not meet one of the new.
    """
    if entries:
        s.log.replace(entries)
    s.received = s.log.last
    s.leader = s.node
    s.grant = Grant(s.ballot, at + s.timing.grant_seconds)
    starts = {peer: min(committed.get(peer, s.committed), s.committed) for peer in s.peers}
    progress = {peer: Progress(start + 1, start) for peer, start in starts.items()}
    lease = Lease(s.timing, s.peers)
    s.lead = Leadership(lease, at, s.log.last, progress, s.log.last, provisional=provisional)
    s.lead.change_lsn = s.log.last if provisional else 0
    if entries:
        s.lead.appends += 1
        s.append(entries, to=s.node)
    if not s.peers:
        lease.until = FOREVER
    _heartbeat(s, s.lead, at)
    for peer, p in progress.items():
        send_entries(s, s.lead, peer, p, at)


# --- time ----------------------------------------------------------------------------------------------------------------


def keep_office(s: State, at: float) -> None:
    """Before anything else: no lease, no office."""
    lead = s.lead
    if lead is not None and at >= lead.deadline:
        resign(s, "lease_expired" if lead.lease.until != NEVER else "not_established", None, at)


def lead_on(s: State, at: float) -> None:
    """Leader's timer."""
    lead = s.lead
    if lead is None:
        return
    if at >= lead.next_heartbeat:
        _heartbeat(s, lead, at)
        _consider_return(s, lead, at)
    if lead.handover is not None and at >= lead.handover.deadline:
        if lead.handover.successor == s.node:
            # Without those that obey a higher ballot nothing may ever commit, in two zones: do not wait for it.
            resign(s, "ballot_outdated", s.node, at)
        else:
            lead.handover = None


def _heartbeat(s: State, lead: Leadership, at: float) -> None:
    lead.next_heartbeat = at + s.timing.heartbeat_seconds
    for peer in lead.progress:
        ask_for_lease(s, peer, at)


def ask_for_lease(s: State, peer: str, at: float) -> None:
    """A heartbeat to one."""
    s.send(peer, Heartbeat(s.ballot, at, s.committed, s.log.last))


def on_heartbeat_reply(s: State, sender: str, m: HeartbeatReply, at: float) -> None:
    """A renewal granted; and, since the network keeps order mostly, a hint at Accepts that were lost."""
    lead = s.lead
    if lead is None or m.ballot != s.ballot:
        return
    p = lead.progress[sender]
    if p.born is not None and m.born != p.born:
        return
    p.heard_at, p.lost, p.holds_items = at, False, m.holds_items
    if not lead.provisional:
        lead.lease.acknowledged(sender, m.sent_at)
    s.grant = Grant(s.ballot, at + s.timing.grant_seconds)
    lost = m.received < p.next - 1 and p.sent_at < m.sent_at
    if lost or m.received >= p.next:
        p.rewind(m.received, at)
    _stored(s, sender, p, m.stored, at)


# --- entries -------------------------------------------------------------------------------------------------------------


def propose(s: State, m: Propose, at: float) -> None:
    """Give the payload the next LSN, or say why not; while a change of members is open, it waits."""
    lead = s.lead
    reason = refusal(s, lead, at)
    if lead is None or reason:
        s.effects.append(Rejected(m.proposal, reason, s.leader))
    elif lead.change_lsn > s.committed:
        lead.deferred.append(m)
    else:
        add(s, lead, m.proposal, Entry(s.log.last + 1, s.ballot, m.payload), at)


def add(s: State, lead: Leadership, proposal: int, entry: Entry, at: float) -> None:
    """The next entry of the log, on behalf of ``proposal``."""
    s.log.append(entry)
    s.received = entry.lsn
    lead.pending.append((entry.lsn, proposal))
    flush(s, lead, at)


def refusal(s: State, lead: Leadership | None, at: float) -> str:
    """Why no proposal is taken now; empty: one is."""
    if lead is None:
        return "waiting_for_lease" if s.role is Role.CANDIDATE else "not_leader"
    if not established(s, lead, at):
        return "waiting_for_lease"
    if lead.handover is not None:
        return "handing_over"
    return "overloaded" if s.log.last - s.committed + len(lead.deferred) >= UNCOMMITTED_ENTRIES else ""


def established(s: State, lead: Leadership, at: float) -> bool:
    """The lease is valid, and whatever earlier leaders may have committed is committed and applied here."""
    return lead.lease.valid(at) and s.applied >= lead.reproposed_to and not lead.provisional


def flush(s: State, lead: Leadership, at: float) -> None:
    """Hand gathered entries to the WAL and to the followers, unless enough Appends are under way: then they gather."""
    if lead.flushed >= s.log.last or lead.appends >= APPENDS_IN_FLIGHT:
        return
    entries = s.log.between(lead.flushed + 1, s.log.last)
    lead.flushed = s.log.last
    lead.appends += 1
    s.append(entries, to=s.node)
    for peer, p in lead.progress.items():
        send_entries(s, lead, peer, p, at)


def send_entries(s: State, lead: Leadership, peer: str, p: Progress, at: float) -> None:
    """Send what the follower's window allows, in bounded batches; from the log only."""
    while p.next <= lead.flushed and p.next - 1 - p.acked < WINDOW_ENTRIES:
        if p.next < s.log.first:
            _offer_snapshot(s, peer, p, at)
            return
        entries = s.log.batch(p.next, lead.flushed, BATCH_ENTRIES, BATCH_BYTES)
        s.send(peer, Accept(s.ballot, p.next, entries, s.committed, lead.reproposed_to))
        p.next += len(entries)
        p.sent_at = at


def _offer_snapshot(s: State, peer: str, p: Progress, at: float) -> None:
    if at >= p.offered_at + s.timing.heartbeat_seconds:
        p.offered_at = at
        s.send(peer, LogGone(s.ballot, s.committed, s.log.first, s.membership))


def on_accept_reply(s: State, sender: str, m: AcceptReply, at: float) -> None:
    """A follower has stored more, or misses something."""
    lead = s.lead
    if lead is None or m.ballot != s.ballot:
        return
    p = lead.progress[sender]
    if p.born is not None and m.born != p.born:
        return
    p.heard_at, p.lost = at, False
    if (
        m.gap
        and m.received < p.next - 1
        and not (p.acked == m.received and at < p.rewound_at + 0.2 * s.timing.heartbeat_seconds)
    ):
        p.rewind(m.received, at)
    _stored(s, sender, p, m.stored, at)


def _stored(s: State, peer: str, p: Progress, stored: int, at: float) -> None:
    lead = s.lead
    assert lead is not None
    p.acked = max(p.acked, min(stored, p.next - 1))
    if stored > p.match:
        p.match = stored
        if stored > s.committed:
            advance(s, lead, at)
    if s.lead is not lead:
        return
    if p.next <= lead.flushed:
        send_entries(s, lead, peer, p, at)
    if lead.handover is not None:
        hand_over_when_ready(s, lead, at)


def after_own_append(s: State, at: float) -> None:
    """The leader's own Append is on disk: one vote more, and room for the next."""
    lead = s.lead
    if lead is None:
        return
    lead.appends = max(0, lead.appends - 1)
    advance(s, lead, at)
    if s.lead is not lead:
        return
    flush(s, lead, at)
    if lead.handover is not None:
        hand_over_when_ready(s, lead, at)


def advance(s: State, lead: Leadership, at: float) -> None:
    """Commit what a quorum has stored under this ballot, answer its proposals, and let the followers' readers see it.

    While more entries are on their way, the next Accept tells the followers how far is committed; after the last, a Committed does.
    """
    stored = {peer: p.match for peer, p in lead.progress.items()}
    stored[s.node] = s.stored
    if sum([lsn > s.committed for lsn in stored.values()]) < min(len(s.membership), COPIES):
        return
    upto = _chosen(s, lead, stored)
    if upto <= s.committed:
        return
    s.commit(upto)
    while lead.pending and lead.pending[0][0] <= upto:
        lsn, proposal = lead.pending.popleft()
        s.effects.append(Accepted(proposal, lsn))
    if upto == s.log.last:
        message = Committed(s.ballot, s.committed)
        for peer in lead.progress:
            s.send(peer, message)
    if lead.provisional and s.committed >= lead.reproposed_to:
        resign(s, "members_changed", s.node if s.may_lead else None, at)
    elif lead.deferred and lead.change_lsn <= s.committed:
        waiting, lead.deferred = lead.deferred, deque()
        for proposal_ in waiting:
            propose(s, proposal_, at)


def _chosen(s: State, lead: Leadership, stored: dict[str, int]) -> int:
    """What counts as committed. A removal must be stored by a quorum of those who stay, too: else acknowledged writes leave with who goes."""
    upto = chosen(stored, s.membership, lead.zones(s.membership))
    change = s.log.get(lead.change_lsn) if s.committed < lead.change_lsn <= upto else None
    if change is not None and change.members is not None and len(change.members) < len(s.membership):
        staying = chosen(stored, change.members, lead.zones(s.membership))
        return upto if staying >= lead.change_lsn else lead.change_lsn - 1
    return upto


# --- leaving office ------------------------------------------------------------------------------------------------------


def resign(s: State, reason: str, successor: str | None, at: float) -> None:
    """Give up office and lease, and tell the others that nobody is bound by it any more."""
    s.released = max(s.released, s.ballot)
    s.leader = successor
    s.last_heard = NEVER
    s.become(Role.FOLLOWER, reason)
    s.enter(s.ballot)
    for peer in s.peers:
        s.send(peer, Resign(s.ballot, successor))
    s.watch(at, NEVER if successor == s.node else s.timing.silence_seconds)


def hand_over(s: State, successor: str, at: float) -> None:
    """Take no more proposals; go as soon as the successor has stored everything; else stay, after a while."""
    lead = s.lead
    if lead is not None and successor in storage(s.membership) and lead.handover is None:
        lead.handover = Handover(successor, at + s.timing.silence_seconds)
        lead.preferred_since = None
        hand_over_when_ready(s, lead, at)


def hand_over_when_ready(s: State, lead: Leadership, at: float) -> None:
    """The planned change of leader, once nothing is in flight."""
    if lead.handover is None or lead.pending or lead.deferred or s.committed < s.log.last:
        return
    if lead.handover.successor == s.node:
        resign(s, "ballot_outdated", s.node, at)
        return
    p = lead.progress.get(lead.handover.successor)
    if p is None or not p.holds_items:
        lead.handover = None
    elif p.match >= s.log.last and at - p.heard_at <= s.timing.fresh_seconds:
        resign(s, "handed_over", lead.handover.successor, at)


def _consider_return(s: State, lead: Leadership, at: float) -> None:
    """The preferred leader (the first member) gets the office back when it has been well for a while."""
    preferred = storage(s.membership)[0]
    if preferred == s.node or lead.change_lsn > s.committed:
        return
    p = lead.progress[preferred]
    if not p.holds_items or at - p.heard_at > 2 * s.timing.heartbeat_seconds or p.match + BATCH_ENTRIES < s.committed:
        lead.preferred_since = None
    elif lead.preferred_since is None:
        lead.preferred_since = at
    elif at - lead.preferred_since >= s.timing.return_after_seconds:
        hand_over(s, preferred, at)


def on_lost(s: State, sender: str, m: Lost, at: float) -> None:
    """A member that has lost its past answers, but does not vote; whoever heals the group is told by ``Replica.health``."""
    lead = s.lead
    if lead is not None and m.ballot == s.ballot:
        p = lead.progress[sender]
        p.heard_at, p.lost = at, True
        p.match = 0  # what it had stored may be gone: it counts again when it says so again


def on_outdated(s: State, _sender: str, m: Outdated, at: float) -> None:
    """A member (or a learner that was one) has promised to a higher ballot in vain; a new ballot of this leader's own brings it back."""
    s.number = max(s.number, m.promised.number)
    if m.ballot == s.ballot:
        hand_over(s, s.node, at)
