"""How the replicas of a group are, as its leader sees them (pure)."""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.replication.membership import Members


@dataclass(frozen=True, slots=True)
class PeerHealth:
    """One other replica."""

    silent_seconds: float
    """It was not heard for so long."""
    lost: bool
    """It says that it has lost its past, and does not vote."""
    holds_items: bool
    """It could lead: no log replica, and its items are not being rebuilt."""
    lag: int
    """Committed entries that are not known to be stored there."""


@dataclass(frozen=True, slots=True)
class Health:
    """A group under its leader: the members, how each other member and learner is, and whether a change of members is open."""

    members: Members
    peers: Mapping[str, PeerHealth]
    learners: Mapping[str, PeerHealth]
    change_open: bool
