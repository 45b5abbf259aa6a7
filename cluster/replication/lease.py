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
FOREVER = float("inf")


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
    peers: tuple[str, ...]
    """The other voters; those that are taught the log grant leases as well, which count once they vote."""
    until: float = NEVER
    renewed: dict[str, float] = field(default_factory=dict)

    def acknowledged(self, peer: str, sent_at: float) -> None:
        """``peer`` has granted the renewal sent at ``sent_at``."""
        if sent_at > self.renewed.get(peer, NEVER):
            self.renewed[peer] = sent_at
            self.until = max(self.until, self._granted())

    def among(self, peers: tuple[str, ...]) -> None:
        """From now on these are the other voters: only what they have granted counts, so the lease may end earlier than it did."""
        self.peers = peers
        self.until = self._granted()

    def end_among(self, peers: tuple[str, ...]) -> float:
        """When the lease would end if these were the other voters."""
        grants = [FOREVER, *(self.renewed.get(peer, NEVER) for peer in peers)]
        return reached(grants, len(grants)) + self.timing.leader_lease_seconds

    def _granted(self) -> float:
        """The end of the lease by what a quorum has granted; the leader's own grant is always the newest of all."""
        return self.end_among(self.peers)

    def valid(self, at: float) -> bool:
        """Whether strong reads may be served and writes acknowledged at ``at``."""
        return at < self.until
