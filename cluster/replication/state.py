"""The state of a replica that every role shares, and the few ways to change it (pure).

Invariants: ``applied <= committed``; an entry at or below ``committed`` is chosen and equal everywhere; at or below ``received``
the log equals that of the leader of ``ballot``; ``promised >= ballot``.
"""

from collections import deque
from typing import NamedTuple

from cluster.replication.campaign_state import Campaign, Canvass
from cluster.replication.leadership import Leadership, Progress
from cluster.replication.lease import NEVER, Grant
from cluster.replication.log import Log
from cluster.replication.membership import Members, names, storage
from cluster.replication.messages import (
    NO_BALLOT,
    Append,
    Apply,
    Ballot,
    Effect,
    Entry,
    Message,
    Recovered,
    Rejected,
    RoleChanged,
    Send,
)
from cluster.replication.roles import Past, Role, check
from cluster.replication.timing import Timing


class Waiting(NamedTuple):
    """What follows when the Append ``token`` is on disk. ``first``: its lowest LSN (0: no entries); ``message`` goes to ``to``."""

    token: int
    first: int = 0
    to: str = ""
    message: Message | None = None


class State:
    """See the module."""

    __slots__ = (
        "applied",
        "ballot",
        "born",
        "campaign",
        "canvass",
        "committed",
        "config_lsn",
        "effects",
        "grant",
        "group",
        "last_heard",
        "lead",
        "leader",
        "leader_committed",
        "log",
        "log_only",
        "members",
        "membership",
        "node",
        "number",
        "past",
        "peers",
        "promise_token",
        "promised",
        "received",
        "released",
        "role",
        "snapshot_asked_at",
        "snapshot_source",
        "suspect_at",
        "timing",
        "token",
        "waiting",
    )

    def __init__(  # noqa: PLR0917 - three names, then what they start from
        self, group: str, node: str, members: Members, timing: Timing, recovered: Recovered | None, at: float
    ) -> None:
        self.group = group
        self.node = node
        self.log_only = False
        self.lead: Leadership | None = None
        self.config_lsn = 0
        self.born = recovered.born if recovered else 0
        self.adopt((recovered.members if recovered else ()) or members, recovered.config_lsn if recovered else 0)
        self.timing = timing
        self.past = Past.NONE if recovered is None and self.votes else Past.SOUND
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.canvass: Canvass | None = None
        self.campaign: Campaign | None = None
        self.effects: list[Effect] = []
        self.token = 0
        self.promise_token = 0
        self.waiting: deque[Waiting] = deque()
        self.leader_committed = 0
        self.last_heard = NEVER
        self.snapshot_asked_at = NEVER
        self.snapshot_source = ""
        self.released = NO_BALLOT
        self._restore(recovered or Recovered(NO_BALLOT, 0, ()), at)

    def _restore(self, recovered: Recovered, at: float) -> None:
        """A restarted replica may have granted a lease to the ballot it promised: it is bound for a whole one (Paxos Made Live §5.2)."""
        base = max(recovered.applied, recovered.first_lsn - 1)
        entries = recovered.entries
        if not entries or entries[0].lsn > base + 1 or entries[-1].lsn < base:
            entries = ()
        self.log = Log(entries, entries[0].lsn if entries else base + 1)
        self.promised = recovered.promised
        self.ballot = recovered.promised
        self.number = recovered.promised.number
        self.applied = base
        self.committed = max(base, min(recovered.committed, self.log.last))
        self.received = self.committed
        self.grant = Grant(self.promised, NEVER if self.past is Past.NONE else at + self.timing.grant_seconds)
        stagger = self.timing.stagger_seconds * self.rank
        fresh = self.past is Past.NONE and self.rank == 0
        self.suspect_at = at if fresh else at + self.timing.silence_seconds + stagger

    # --- what is where ---------------------------------------------------------------------------------------------------

    @property
    def rank(self) -> int:
        """This node's place in the order of campaigning: those that may lead, in order, without the leader that was lost."""
        able = storage(self.membership)
        ahead = able[: able.index(self.node)] if self.node in able else able
        return len(ahead) - (self.leader in ahead)

    @property
    def votes(self) -> bool:
        """Whether this replica is a member of its group, as far as it knows."""
        return self.node in self.members

    @property
    def may_lead(self) -> bool:
        """Whether it may campaign: a member that holds items and remembers its past, or one at the founding of its group."""
        return not self.log_only and self.past is not Past.LOST and self.node in storage(self.membership)

    @property
    def empty(self) -> bool:
        """Whether nothing has ever been stored here."""
        return self.log.last == 0 and self.past is not Past.LOST

    @property
    def chosen(self) -> int:
        """Known to be committed, though perhaps not on this disk yet."""
        return max(self.committed, min(self.leader_committed, self.received))

    @property
    def stored(self) -> int:
        """Up to here the log equals the leader's and is on disk."""
        upto = self.received
        for waiting in self.waiting:
            if 0 < waiting.first <= upto:
                upto = waiting.first - 1
        return upto

    def hears_leader(self, at: float) -> bool:
        """Whether this replica can witness that there is a leader at work."""
        if self.lead is not None:
            return self.lead.lease.valid(at)
        return self.leader is not None and at - self.last_heard <= self.timing.fresh_seconds

    # --- effects ---------------------------------------------------------------------------------------------------------

    def send(self, to: str, message: Message) -> None:
        """Send at once: nothing in ``message`` rests on what is not yet on disk."""
        self.effects.append(Send(to, message))

    def send_when_stored(self, to: str, message: Message) -> None:
        """Send when everything that was handed to the WAL so far is on disk."""
        if self.waiting:
            self.waiting.append(Waiting(self.token, 0, to, message))
        else:
            self.send(to, message)

    def send_when_promised(self, to: str, message: Message) -> None:
        """Send when the promise is on disk; entries that are still on their way do not matter."""
        if self.waiting and self.waiting[0].token <= self.promise_token:
            self.waiting.append(Waiting(self.token, 0, to, message))
        else:
            self.send(to, message)

    def promise(self, ballot: Ballot) -> None:
        """Obey no lower ballot from now on, and write that down: a past begins."""
        self.past = Past.SOUND
        self.promised = ballot
        self.append()
        self.promise_token = self.token

    def append(self, entries: tuple[Entry, ...] = (), to: str = "") -> None:
        """Write the promise and ``entries``, which are in the log already; then report to the leader ``to``, if any."""
        self.token += 1
        self.effects.append(Append(self.token, self.promised, self.chosen, entries))
        self.waiting.append(Waiting(self.token, entries[0].lsn if entries else 0, to))

    def commit(self, upto: int) -> None:
        """Everything up to ``upto`` is chosen: apply what is new."""
        self.committed = max(self.committed, upto)
        if self.committed > self.applied:
            entries = self.log.between(self.applied + 1, self.committed)
            self.effects.append(Apply(entries))
            self.applied = self.committed
            for entry in entries:
                if entry.members is not None and entry.lsn > self.config_lsn:
                    self.adopt(entry.members, entry.lsn)

    def adopt(self, members: Members, lsn: int) -> None:
        """The group consists of ``members`` from now on: the entry at ``lsn`` is committed.

        Older changes never count again: a node that was a member once, and is taught anew, must not vote by what it was then.
        """
        self.membership, self.members, self.config_lsn = members, names(members), lsn
        self.peers = tuple(member for member in self.members if member != self.node)
        if (lead := self.lead) is None:
            return
        for node in [n for n in lead.progress if n not in self.peers and n not in lead.learners]:
            del lead.progress[node]
        for node in self.peers:
            lead.learners.pop(node, None)
            lead.progress.setdefault(node, Progress(self.log.last + 1, 0))
        lead.lease.among(self.peers)

    def becomes_member(self) -> bool:
        """Whether it is a member, or a change of members that it has stored would make it one."""
        return self.votes or any(
            entry.members is not None and entry.lsn > self.config_lsn and self.node in names(entry.members)
            for entry in self.log.between(self.committed + 1, self.log.last)
        )

    # --- changes of role -------------------------------------------------------------------------------------------------

    def become(self, role: Role, reason: str) -> None:
        """Change the role, and forget what belonged to the old one; a leader's open proposals have an unknown outcome."""
        check(self.role, role, reason)
        lead, self.lead, self.campaign, self.canvass = self.lead, None, None, None
        self.role = role
        self.effects.append(RoleChanged(role.value, self.ballot, reason))
        if lead is not None:
            self.effects.extend(Rejected(p, "outcome_unknown", self.leader) for _, p in lead.pending)
            self.effects.extend(Rejected(m.proposal, "not_leader", self.leader) for m in lead.deferred)

    def enter(self, ballot: Ballot) -> None:
        """Belong to ``ballot``: of the log, only what is committed is known to be its leader's."""
        self.ballot = ballot
        self.received = self.committed
        self.leader_committed = 0
        self.number = max(self.number, ballot.number)

    def watch(self, at: float, delay: float) -> None:
        """Become suspicious ``delay`` seconds from now unless the leader is heard; the order of the members breaks ties."""
        self.canvass = None
        self.suspect_at = at + delay + self.timing.stagger_seconds * self.rank
