"""What a leader does to change the members of its group: teach a newcomer, then let the members choose (pure).

A change is an entry of the log; see ``membership`` for when it takes effect.
"""

from cluster.replication import leading
from cluster.replication.leadership import Leadership, Progress
from cluster.replication.membership import differ_by_one, names
from cluster.replication.messages import ChangeMembers, Entry, Rejected, StopTeaching, Teach
from cluster.replication.state import State


def teach(s: State, m: Teach, at: float) -> None:
    """Send the log to a node that is no member; its copies do not count (but for its zone), its lease grants wait until it votes."""
    lead = s.lead
    node = m.member.node
    if lead is None or node in s.members or node in lead.learners:
        return
    lead.learners[node] = m.member
    p = lead.progress[node] = Progress(1, 0, heard_at=at, born=m.born)
    leading.ask_for_lease(s, node, at)
    leading.send_entries(s, lead, node, p, at)


def stop_teaching(s: State, m: StopTeaching) -> None:
    """Forget a learner."""
    if s.lead is not None and s.lead.learners.pop(m.node, None) is not None and m.node not in s.peers:
        del s.lead.progress[m.node]


def change(s: State, m: ChangeMembers, at: float) -> None:
    """Propose the new members, or say why not."""
    lead = s.lead
    reason = leading.refusal(s, lead, at) or _refusal(s, lead, m, at)
    if lead is None or reason:
        s.effects.append(Rejected(m.proposal, reason, s.leader))
        return
    lsn = lead.change_lsn = s.log.last + 1
    leading.add(s, lead, m.proposal, Entry(lsn, s.ballot, b"", m.members), at)


def _refusal(s: State, lead: Leadership | None, m: ChangeMembers, at: float) -> str:
    """Why the change cannot be proposed now; empty: it can. The leader never removes itself: it hands over first.

    With members of whom no quorum has granted it a lease it would be out of office as soon as the change is committed.
    """
    if lead is not None and lead.change_lsn > s.committed:
        return "change_pending"
    if not differ_by_one(s.membership, m.members) or s.node not in names(m.members):
        return "invalid_change"
    peers = tuple(node for node in names(m.members) if node != s.node)
    if lead is not None and lead.lease.end_among(peers) <= at + s.timing.heartbeat_seconds:
        return "not_granted_yet"
    return ""
