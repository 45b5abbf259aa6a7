"""The state of a replica that every role shares, and the few ways to change it (pure).

Invariants: ``applied <= committed``; an entry at or below ``committed`` is chosen and equal everywhere; at or below ``received``
the log equals that of the leader of ``ballot``; ``promised >= ballot``.
"""

from collections import deque
from dataclasses import dataclass

from cluster.replication.campaign_state import Campaign, Canvass
from cluster.replication.leadership import Leadership
from cluster.replication.lease import NEVER, Grant
from cluster.replication.log import Log
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
from cluster.replication.roles import Role, check
from cluster.replication.timing import Timing


@dataclass(frozen=True, slots=True)
class Waiting:
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
        "campaign",
        "canvass",
        "committed",
        "effects",
        "fresh",
        "grant",
        "group",
        "last_heard",
        "lead",
        "leader",
        "leader_committed",
        "log",
        "members",
        "node",
        "number",
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
        self, group: str, node: str, members: tuple[str, ...], timing: Timing, recovered: Recovered | None, at: float
    ) -> None:
        assert node in members, (node, members)
        self.group = group
        self.node = node
        self.members = members
        self.peers = tuple(m for m in members if m != node)
        self.timing = timing
        self.fresh = recovered is None
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.lead: Leadership | None = None
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
        entries = [entry for entry in recovered.entries if entry.lsn > base]
        if entries and entries[0].lsn != base + 1:
            entries = []
        self.log = Log(entries, base + 1)
        self.promised = recovered.promised
        self.ballot = recovered.promised
        self.number = recovered.promised.number
        self.applied = base
        self.committed = max(base, min(recovered.committed, self.log.last))
        self.received = self.committed
        self.grant = Grant(self.promised, NEVER if self.fresh else at + self.timing.grant_seconds)
        stagger = self.timing.stagger_seconds * self.rank
        self.suspect_at = at if self.fresh and self.rank == 0 else at + self.timing.silence_seconds + stagger

    # --- what is where ---------------------------------------------------------------------------------------------------

    @property
    def rank(self) -> int:
        """This node's place in the order of campaigning: the members in order, without the leader that was lost."""
        ahead = self.members[: self.members.index(self.node)]
        return len(ahead) - (self.leader in ahead)

    @property
    def stored(self) -> int:
        """Up to here the log equals the leader's and is on disk."""
        first = min((w.first for w in self.waiting if w.first), default=0) if self.waiting else 0
        return min(self.received, first - 1) if first else self.received

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
        """Obey no lower ballot from now on, and write that down."""
        self.promised = ballot
        self.append()
        self.promise_token = self.token

    def append(self, entries: tuple[Entry, ...] = (), to: str = "") -> None:
        """Write the promise and ``entries``, which are in the log already; then report to the leader ``to``, if any."""
        self.token += 1
        self.effects.append(Append(self.token, self.promised, self.committed, entries))
        self.waiting.append(Waiting(self.token, entries[0].lsn if entries else 0, to))

    def commit(self, upto: int) -> None:
        """Everything up to ``upto`` is chosen: apply what is new."""
        self.committed = max(self.committed, upto)
        if self.committed > self.applied:
            self.effects.append(Apply(self.log.between(self.applied + 1, self.committed)))
            self.applied = self.committed

    # --- changes of role -------------------------------------------------------------------------------------------------

    def become(self, role: Role, reason: str) -> None:
        """Change the role, and forget what belonged to the old one; a leader's open proposals have an unknown outcome."""
        check(self.role, role, reason)
        lead, self.lead, self.campaign, self.canvass = self.lead, None, None, None
        self.role = role
        self.effects.append(RoleChanged(role.value, self.ballot, reason))
        if lead is not None:
            self.effects.extend(Rejected(p, "outcome_unknown", self.leader) for _, p in lead.pending)

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
