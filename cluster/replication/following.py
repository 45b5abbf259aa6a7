"""What a replica does for others' ballots: promise, accept, grant leases, apply, catch up (pure).

An acceptor in the words of Lamport, "Paxos Made Simple", §2: it promises only to higher ballots (P1a) and answers only when that is on
its disk. On top of it lies the lease: no promise while a grant binds (``lease``).
"""

from cluster.replication.leadership import BATCH_BYTES, BATCH_ENTRIES
from cluster.replication.lease import NEVER, Grant
from cluster.replication.messages import (
    NO_BALLOT,
    Accept,
    AcceptReply,
    Ballot,
    Chosen,
    Committed,
    Entry,
    Heartbeat,
    HeartbeatReply,
    LogGone,
    Lost,
    NeedSnapshot,
    Outdated,
    PeerAnswer,
    PeerQuery,
    Prepare,
    Promise,
    Refusal,
    Resign,
    SnapshotInstalled,
)
from cluster.replication.roles import Past, Role
from cluster.replication.state import State

BEHIND_ENTRIES = 64
"""A voter sends at most so many committed entries in a promise; a candidate that lacks more is refused as ``behind``."""
SNAPSHOT_PATIENCE_SECONDS = 10.0
"""A snapshot that has not been installed by then is asked for again."""


def on_prepare(s: State, sender: str, m: Prepare, at: float) -> None:
    """Phase 1: promise, or say why not and until when."""
    s.number = max(s.number, m.ballot.number)
    s.released = max(s.released, m.released)
    if (m.ballot == s.ballot and s.leader == sender) or not (s.becomes_member() or m.config_lsn > s.config_lsn):
        return
    if s.past is Past.LOST or (s.past is Past.NONE and not m.founding):
        s.send(sender, Lost(m.ballot))
        return
    remaining = s.grant.remaining(at, s.released)
    healthy = s.hears_leader(at) and s.ballot > s.released
    if remaining > 0 and s.grant.ballot != m.ballot:
        s.send(sender, Refusal(m.ballot, s.promised, "lease", remaining, healthy))
    elif m.ballot < s.promised:
        s.send(sender, Refusal(m.ballot, s.promised, "higher_ballot"))
    elif s.committed - m.committed > BEHIND_ENTRIES or m.committed < s.log.first - 1:
        s.send(sender, Refusal(m.ballot, s.promised, "behind" if s.may_lead else "log_gone"))
        if not s.may_lead:
            _teach(s, sender, m)
        elif s.role is Role.FOLLOWER:
            s.suspect_at = at
    else:
        _promise(s, sender, m, at)


def _teach(s: State, sender: str, m: Prepare) -> None:
    """A log replica (or one without items) cannot lead in the place of a candidate that knows less: it tells it what is committed."""
    entries = s.log.batch(m.committed + 1, s.committed, BATCH_ENTRIES, BATCH_BYTES)
    if entries and entries[0].lsn == m.committed + 1:
        s.send(sender, Chosen(entries))


def _promise(s: State, sender: str, m: Prepare, at: float) -> None:
    chosen = s.chosen
    if s.role is not Role.FOLLOWER:
        s.become(Role.FOLLOWER, "voted_for_another")
    if m.ballot > s.promised:
        s.promise(m.ballot)
    s.leader = None
    s.last_heard = NEVER
    s.watch(at, s.timing.silence_seconds)
    s.send_when_stored(sender, Promise(m.ballot, chosen, s.log.between(m.committed + 1, s.log.last)))


def obeys(s: State, sender: str, ballot: Ballot, at: float) -> bool:
    """Whether ``sender`` leads as far as this replica is concerned; if so, follow it.

    An elected leader needs no vote here: its quorum of promises proves that no earlier lease is valid any more.
    """
    if s.past is not Past.SOUND:
        s.send(sender, Lost(ballot))
        return False
    if ballot < s.promised:
        s.send(sender, Outdated(ballot, s.promised))
        return False
    if ballot <= s.released or sender == s.node:
        return False
    s.leader = sender
    if ballot > s.ballot:
        s.enter(ballot)
    if s.role is not Role.FOLLOWER:
        s.become(Role.FOLLOWER, "superseded" if s.role is Role.LEADER else "leader_heard")
    if ballot > s.promised:
        s.promise(ballot)
    s.last_heard = at
    s.canvass = None
    s.suspect_at = at + s.timing.silence_seconds
    return True


def on_heartbeat(s: State, sender: str, m: Heartbeat, at: float) -> None:
    """Grant the lease; the promise to this ballot must be on disk before the leader may rely on the grant."""
    if not obeys(s, sender, m.ballot, at):
        return
    s.grant = Grant(m.ballot, at + s.timing.grant_seconds)
    learn(s, m.committed)
    s.send_when_promised(sender, HeartbeatReply(m.ballot, m.sent_at, s.received, s.stored, not s.log_only, s.born))


def on_committed(s: State, sender: str, m: Committed, at: float) -> None:  # noqa: ARG001 (it is no sign of life)
    """The leader that this replica follows has committed more; from anybody else, or before the promise, it is nothing."""
    if s.leader == sender and m.ballot == s.ballot == s.promised:
        learn(s, m.committed)


def on_accept(s: State, sender: str, m: Accept, at: float) -> None:
    """Phase 2: accept consecutive entries; what is held already is not written again."""
    if not obeys(s, sender, m.ballot, at):
        return
    s.leader_committed = max(s.leader_committed, m.committed)
    if m.first > s.received + 1:
        s.send(sender, AcceptReply(m.ballot, s.received, s.stored, gap=True, born=s.born))
        return
    new = _not_held(s, m.entries)
    if new:
        entries = new + _surviving_tail(s, m, new[-1].lsn)
        s.log.replace(entries)
    s.received = max(s.received, m.first + len(m.entries) - 1)
    if new:
        s.append(entries, to=sender)
    else:
        s.send_when_promised(sender, AcceptReply(m.ballot, s.received, s.stored, born=s.born))
    learn(s, m.committed)


def _not_held(s: State, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Without the leading entries that are committed here, or accepted under the same ballot (hence equal)."""
    for index, entry in enumerate(entries):
        if entry.lsn > s.committed:
            held = s.log.get(entry.lsn)
            if held is None or held.ballot != entry.ballot:
                return entries[index:]
    return ()


def _surviving_tail(s: State, m: Accept, end: int) -> tuple[Entry, ...]:
    """Entries above ``end`` that an earlier leader may have had chosen: they stay until the new leader's own arrive.

    Above ``reproposed_to`` the new leader's quorum knew of none, so none was chosen, and they are dropped.
    """
    return s.log.between(end + 1, min(m.reproposed_to, s.log.last))


def learn(s: State, committed: int) -> None:
    """The leader has committed up to ``committed``: so is, here, what of it equals the leader's log and is on disk."""
    s.leader_committed = max(s.leader_committed, committed)
    s.commit(min(s.leader_committed, s.stored))


def on_resign(s: State, _sender: str, m: Resign, at: float) -> None:
    """The leader gave up its lease: nobody is bound by it any more."""
    s.number = max(s.number, m.ballot.number)
    s.released = max(s.released, m.ballot)
    if m.ballot < s.ballot or s.role is Role.LEADER:
        return
    s.last_heard = NEVER
    if s.role is Role.FOLLOWER:
        s.leader = m.successor
        s.watch(at, 0.0 if m.successor is None else NEVER if m.successor == s.node else s.timing.silence_seconds)
    elif s.campaign is not None and s.campaign.ballot is None:
        s.campaign.begins_at = at + s.timing.stagger_seconds * s.rank


def on_log_gone(s: State, sender: str, m: LogGone, at: float) -> None:
    """This replica needs a snapshot; the shell is told once, and again when nothing came of it or another leads."""
    if m.ballot != s.ballot or m.committed <= s.committed:
        return
    if sender == s.snapshot_source and at < s.snapshot_asked_at + SNAPSHOT_PATIENCE_SECONDS:
        return
    s.snapshot_asked_at, s.snapshot_source = at, sender
    if s.log_only:
        s.effects.append(NeedSnapshot(sender, m.first - 1, m.members))
    else:
        s.effects.append(NeedSnapshot(sender, m.committed))


def on_chosen(s: State, _sender: str, m: Chosen, at: float) -> None:
    """What others know to be committed is committed here too; a candidate that was behind may try again."""
    if s.role is not Role.LEADER and s.past is Past.SOUND and learn_chosen(s, m.entries):
        s.suspect_at = min(s.suspect_at, at)


def learn_chosen(s: State, entries: tuple[Entry, ...]) -> bool:
    """Take committed ``entries`` into the log; what is stored above them stays: it may be chosen as well. Whether any was new."""
    new = tuple(entry for entry in entries if entry.lsn > s.committed)
    if not new or new[0].lsn != s.committed + 1:
        return False
    tail = s.log.between(new[-1].lsn + 1, s.log.last)
    s.log.replace(new + tail)
    s.received = max(s.received, new[-1].lsn)
    s.append(new + tail)
    s.commit(new[-1].lsn)
    return True


def on_snapshot(s: State, m: SnapshotInstalled) -> None:
    """The table is at ``lsn`` now. Accepted entries above it stay: an acceptor forgets nothing."""
    s.snapshot_asked_at = NEVER
    if m.members and m.lsn >= s.config_lsn:
        # Also when the log is ahead of the table: one that was set aside took with it who the members are.
        s.adopt(m.members, m.lsn)
    if m.lsn <= s.applied:
        return
    s.log.truncate(m.lsn)
    s.applied = m.lsn
    s.committed = max(s.committed, m.lsn)
    s.received = max(s.received, m.lsn)
    s.commit(s.committed)


def on_query(s: State, sender: str, m: PeerQuery, at: float) -> None:
    """Say whether this replica hears (or is) a healthy leader, and whether it has a past at all."""
    s.send(sender, PeerAnswer(m.asked_at, s.hears_leader(at), s.empty))


def after_stored(s: State, to: str) -> None:
    """Entries from the leader ``to`` reached the disk: say so, and apply what is committed of them."""
    if s.role is Role.FOLLOWER and s.leader == to and s.ballot == s.promised != NO_BALLOT:
        s.send(to, AcceptReply(s.ballot, s.received, s.stored, born=s.born))
    learn(s, 0)
