"""The durations of a replica, all in seconds of its own monotonic clock (pure)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """The replication part of ``cluster.config.TimingConfig``, by the same names, and what follows from it."""

    heartbeat_seconds: float = 0.5
    missed_heartbeats: int = 3
    lease_seconds: float = 3.0
    drift_bound_seconds: float = 0.1
    return_after_seconds: float = 10.0

    @property
    def silence_seconds(self) -> float:
        """So long a follower waits for its leader before it asks the peers."""
        return self.heartbeat_seconds * self.missed_heartbeats

    @property
    def fresh_seconds(self) -> float:
        """A leader heard within this time is healthy: one heartbeat and half of one for the network."""
        return self.heartbeat_seconds * 1.5

    @property
    def query_seconds(self) -> float:
        """Patience with the peers' answers."""
        return self.heartbeat_seconds * 0.6

    @property
    def stagger_seconds(self) -> float:
        """Candidates campaign this much apart, in the order of the members, so that they do not duel."""
        return self.heartbeat_seconds * 0.5

    @property
    def retry_seconds(self) -> float:
        """A candidate repeats its Prepare to those who have not answered."""
        return self.heartbeat_seconds * 0.5

    @property
    def leader_lease_seconds(self) -> float:
        """A leader trusts its lease this long after it sent the renewal."""
        return self.lease_seconds - self.drift_bound_seconds

    @property
    def grant_seconds(self) -> float:
        """A follower is bound this long after it received the renewal."""
        return self.lease_seconds + self.drift_bound_seconds
