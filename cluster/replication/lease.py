"""Leader leases: what a follower has granted, and what a leader may trust (pure).

Gray & Cheriton, "Leases" (SOSP 1989): the holder counts from the time at which it SENT the request, less the drift bound; the
grantor from the time at which it received it, plus the drift bound. So the grantor is always the last to believe in the lease.
Paxos Made Live §5.2 (master leases) and DynamoDB (ATC 2022, §5) apply it to Multi-Paxos: a quorum grants, and whoever has granted
promises nothing to anybody else meanwhile; the next leader has a quorum of promises, hence no earlier lease is left.
"""

from dataclasses import dataclass, field

from cluster.replication.messages import Ballot
from cluster.replication.quorum import reached
from cluster.replication.timing import Timing

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Grant:
    """A follower's word: no promise to a ballot other than ``ballot`` before ``until``, unless that lease was released."""

    ballot: Ballot
    until: float = NEVER

    def remaining(self, at: float, released: Ballot) -> float:
        """Seconds that the grant still binds; a released ballot (and any before it) binds nobody."""
        return 0.0 if self.ballot <= released else max(0.0, self.until - at)


@dataclass(slots=True)
class Lease:
    """A leader's lease: for each peer the send time of the last renewal that it acknowledged."""

    timing: Timing
    members: int
    until: float = NEVER
    renewed: dict[str, float] = field(default_factory=dict)

    def acknowledged(self, peer: str, sent_at: float, at: float) -> None:
        """``peer`` has granted the renewal sent at ``sent_at``; the leader itself counts as renewed now."""
        if sent_at <= self.renewed.get(peer, NEVER):
            return
        self.renewed[peer] = sent_at
        silent = self.members - 1 - len(self.renewed)
        base = reached([at, *self.renewed.values(), *([NEVER] * silent)], self.members)
        self.until = max(self.until, base + self.timing.leader_lease_seconds)

    def valid(self, at: float) -> bool:
        """Whether strong reads may be served and writes acknowledged at ``at``."""
        return at < self.until
