"""One replica of a replication group: ``step(input, at) -> effects`` (pure).

Multi-Paxos (Lamport, "Paxos Made Simple"; Chandra et al., "Paxos Made Live") with leader leases (Gray & Cheriton 1989), as DynamoDB
does it (Elhemali et al., USENIX ATC 2022, §3, §5). This file only dispatches: what followers, candidates and leaders do is in
``following``, ``campaigning`` and ``leading``.
"""

from collections.abc import Callable
from typing import Any

from cluster.replication import campaigning, changing, following, leading
from cluster.replication.health import Health, PeerHealth
from cluster.replication.lease import FOREVER, NEVER
from cluster.replication.membership import Members
from cluster.replication.messages import (
    Accept,
    AcceptReply,
    Ballot,
    ChangeMembers,
    Chosen,
    Committed,
    Effect,
    Entry,
    HandOver,
    Heartbeat,
    HeartbeatReply,
    Input,
    LogGone,
    Lost,
    Outdated,
    PeerAnswer,
    PeerQuery,
    Persisted,
    Prepare,
    Promise,
    Propose,
    Receive,
    Recovered,
    Refusal,
    Resign,
    SnapshotInstalled,
    StopTeaching,
    Teach,
    Tick,
)
from cluster.replication.roles import Past, Role
from cluster.replication.state import State
from cluster.replication.timing import Timing

_HANDLERS: dict[type, Callable[[State, str, Any, float], None]] = {
    Heartbeat: following.on_heartbeat,
    Committed: following.on_committed,
    Accept: following.on_accept,
    Prepare: following.on_prepare,
    PeerQuery: following.on_query,
    Resign: following.on_resign,
    LogGone: following.on_log_gone,
    Chosen: following.on_chosen,
}
"""From anybody: an acceptor obeys whoever has the higher ballot, and may be the last to learn who belongs to the group."""
_OF_MEMBERS: dict[type, Callable[[State, str, Any, float], None]] = {
    PeerAnswer: campaigning.on_answer,
    Promise: campaigning.on_promise,
    Refusal: campaigning.on_refusal,
}
"""Only from those that vote."""
_OF_FOLLOWERS: dict[type, Callable[[State, str, Any, float], None]] = {
    HeartbeatReply: leading.on_heartbeat_reply,
    AcceptReply: leading.on_accept_reply,
    Outdated: leading.on_outdated,
    Lost: leading.on_lost,
}
"""Only from those that the leader sends its log to."""


class Replica:
    """See the module. ``members`` are in order of preference: the first campaigns at once in a fresh group and gets the office back.

    ``recovered`` is None for a replica that has never run here: it votes only when nobody of the group has ever stored anything (it may
    be a disk that was lost). A learner begins with a :class:`Recovered` that names the members, itself not among them. ``log_only``: it is, or is to be, a log replica.
    ``lost``: the disk has lost something that the replica promised or stored: it does not vote at all.
    """

    def __init__(  # noqa: PLR0917 - three names, then what they start from
        self,
        group: str,
        node: str,
        members: Members,
        timing: Timing,
        recovered: Recovered | None,
        at: float,
        *,
        log_only: bool = False,
        lost: bool = False,
    ) -> None:
        self._s = State(group, node, members, timing, recovered, at)
        self._s.log_only = log_only
        if lost:
            self._s.past = Past.LOST

    def step(self, event: Input, at: float) -> list[Effect]:
        """Take one input at monotonic time ``at`` (never less than before); the effects are to be carried out in order."""
        s = self._s
        s.effects = []
        if s.lead is not None:
            leading.keep_office(s, at)
        if s.applied < s.committed:
            s.commit(s.committed)
        if isinstance(event, Receive):
            self._receive(event, at)
        else:
            self._local(event, at)
        if s.suspect_at == NEVER and s.role is Role.FOLLOWER:
            campaigning.suspect(s, at)
        return s.effects

    def _receive(self, event: Receive, at: float) -> None:
        s, kind = self._s, type(event.message)
        if kind in _HANDLERS:
            handler = _HANDLERS[kind]
        elif kind in _OF_MEMBERS and event.sender in s.peers:
            handler = _OF_MEMBERS[kind]
        elif kind in _OF_FOLLOWERS and s.lead is not None and event.sender in s.lead.progress:
            handler = _OF_FOLLOWERS[kind]
        else:
            return
        handler(s, event.sender, event.message, at)

    def _local(self, event: Input, at: float) -> None:
        s = self._s
        match event:
            case Tick():
                self._tick(at)
            case Propose():
                leading.propose(s, event, at)
            case Persisted():
                self._persisted(event.token, at)
            case HandOver():
                leading.hand_over(s, event.successor, at)
            case SnapshotInstalled():
                following.on_snapshot(s, event)
            case Teach():
                changing.teach(s, event, at)
            case StopTeaching():
                changing.stop_teaching(s, event)
            case ChangeMembers():
                changing.change(s, event, at)

    def _tick(self, at: float) -> None:
        s = self._s
        if s.role is Role.LEADER:
            leading.lead_on(s, at)
        elif s.role is Role.FOLLOWER:
            campaigning.suspect(s, at)
        else:
            campaigning.drive(s, at)

    def _persisted(self, token: int, at: float) -> None:
        s = self._s
        reporters: list[str] = []
        while s.waiting and s.waiting[0].token <= token:
            done = s.waiting.popleft()
            if done.message is not None:
                s.send(done.to, done.message)
            elif done.to == s.node:
                leading.after_own_append(s, at)
            elif done.to and done.to not in reporters:
                reporters.append(done.to)
        for leader in sorted(reporters):
            following.after_stored(s, leader)
        if s.campaign is not None:
            campaigning.after_own_vote(s, token, at)

    def truncate(self, upto_lsn: int) -> None:
        """Forget log entries up to ``upto_lsn`` (as far as they are applied): the table holds them durably."""
        self._s.log.truncate(min(upto_lsn, self._s.applied))

    def next_wakeup(self, at: float) -> float:
        """The earliest time at which a Tick would do anything, never before ``at``; an input may change it."""
        s = self._s
        if s.lead is not None:
            handover = s.lead.handover.deadline if s.lead.handover else s.lead.deadline
            return max(at, min(s.lead.next_heartbeat, s.lead.deadline, handover))
        if s.campaign is not None:
            asks = [s.campaign.ask_at.get(p, at) for p in s.peers if p not in s.campaign.promises]
            return max(at, min([s.campaign.ends_at, max(s.campaign.begins_at, min(asks, default=s.campaign.ends_at))]))
        if not s.may_lead:
            return FOREVER
        return max(at, s.canvass.deadline if s.canvass else s.suspect_at)

    def may_serve_strong_read(self, at: float) -> bool:
        """Leader, its lease valid at ``at`` (drift bound included), and everything that earlier leaders committed is applied."""
        lead = self._s.lead
        return lead is not None and leading.established(self._s, lead, at)

    def holds_lease(self, at: float) -> bool:
        """Whether it leads under a valid lease (it may still be catching up with what earlier leaders committed)."""
        lead = self._s.lead
        return lead is not None and lead.lease.valid(at)

    def health(self, at: float) -> Health | None:
        """How those are that the leader sends its log to; None unless this replica leads and may change the members."""
        s = self._s
        lead = s.lead
        if lead is None or not leading.established(s, lead, at):
            return None
        peers = {
            node: PeerHealth(
                at - max(p.heard_at, lead.elected_at), p.lost, p.holds_items, max(0, s.committed - p.match)
            )
            for node, p in lead.progress.items()
        }
        learners = {node: peers[node] for node in lead.learners}
        return Health(s.membership, peers, learners, lead.change_lsn > s.committed)

    @property
    def members(self) -> Members:
        """The members as of what is committed here."""
        return self._s.membership

    @property
    def config_lsn(self) -> int:
        """The LSN of the entry that made them so (0: the first members, or those of a snapshot)."""
        return self._s.config_lsn

    @property
    def born(self) -> int:
        """Of which life this replica is: :class:`Recovered`."""
        return self._s.born

    @property
    def votes(self) -> bool:
        """Whether it is a member that remembers its past."""
        return self._s.votes and self._s.past is Past.SOUND

    @property
    def log_only(self) -> bool:
        """Whether it is a log replica (or is to become one), or its items are being rebuilt: it votes, but does not lead."""
        return self._s.log_only

    def hold_items(self, *, hold: bool) -> None:
        """From now on it has the items (and may lead), or has not."""
        self._s.log_only = not hold

    def entries(self, first: int, last: int) -> tuple[Entry, ...]:
        """Committed entries ``first`` … ``last`` as far as the log still holds them."""
        return self._s.log.between(first, min(last, self._s.committed))

    @property
    def role(self) -> str:
        """``follower``, ``candidate`` or ``leader``."""
        return self._s.role.value

    @property
    def ballot(self) -> Ballot:
        """The ballot of the leader that it follows, or its own."""
        return self._s.ballot

    @property
    def promised(self) -> Ballot:
        """The highest ballot promised."""
        return self._s.promised

    @property
    def leader_hint(self) -> str | None:
        """The leader as far as this replica knows; may be out of date."""
        return self._s.leader

    @property
    def commit_lsn(self) -> int:
        """Everything up to here is chosen."""
        return self._s.committed

    @property
    def applied_lsn(self) -> int:
        """Everything up to here was in an Apply."""
        return self._s.applied

    @property
    def last_lsn(self) -> int:
        """The highest LSN in the log."""
        return self._s.log.last

    @property
    def first_lsn(self) -> int:
        """The lowest LSN that the log still holds."""
        return self._s.log.first
