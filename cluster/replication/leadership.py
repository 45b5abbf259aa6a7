"""What only a leader remembers: its lease, its followers' progress, the proposals in flight (pure)."""

from collections import deque
from dataclasses import dataclass, field

from cluster.replication.lease import NEVER, Lease
from cluster.replication.membership import Member, Members
from cluster.replication.messages import Propose

BATCH_ENTRIES = 128
BATCH_BYTES = 256 * 1024
WINDOW_ENTRIES = 512
"""Entries sent to a follower and not yet fsynced there; more wait."""
APPENDS_IN_FLIGHT = 4
"""Own Appends outstanding; further proposals gather for the next one (group commit)."""
UNCOMMITTED_ENTRIES = 4096
"""Uncommitted entries at the leader; more proposals are refused as ``overloaded``."""


@dataclass(slots=True)
class Progress:
    """One follower, seen from the leader."""

    next: int
    acked: int
    """Where the flow-control window starts."""
    match: int = 0
    """fsynced there under this ballot, as far as is known."""
    heard_at: float = NEVER
    sent_at: float = NEVER
    """When the last Accept was sent."""
    rewound_at: float = NEVER
    offered_at: float = NEVER
    """When it was last told to fetch a snapshot."""
    holds_items: bool = False
    """It has said that it could lead."""
    born: int | None = None
    """Only answers of this life count; None: it was there before this term of office, and so were all its answers."""
    lost: bool = False
    """It says that it has lost its past: it does not vote."""

    def rewind(self, received: int, at: float) -> None:
        """Send again from after ``received``."""
        self.next = received + 1
        self.acked = received
        self.rewound_at = at


@dataclass(slots=True)
class Handover:
    """A planned change of leader that waits until everything is stored at ``successor``."""

    successor: str
    deadline: float


@dataclass(slots=True)
class Leadership:
    """The state of one term of office."""

    lease: Lease
    elected_at: float
    reproposed_to: int
    progress: dict[str, Progress]
    """Of the other voters and of those that are taught."""
    flushed: int
    """Up to here entries were handed to the WAL and may be sent."""
    appends: int = 0
    pending: deque[tuple[int, int]] = field(default_factory=deque)
    """(LSN, proposal) in order of LSN."""
    next_heartbeat: float = NEVER
    handover: Handover | None = None
    learners: dict[str, Member] = field(default_factory=dict)
    """Nodes that get the log and do not vote (yet)."""
    change_lsn: int = 0
    """Where the newest change of members is in the log; nothing is proposed above it before it is committed."""
    deferred: deque[Propose] = field(default_factory=deque)
    """Proposals that wait for a change of members to be committed."""
    provisional: bool = False
    """It leads only to settle a change of members that it found open; then another ballot is needed (``campaigning``)."""
    preferred_since: float | None = None
    """Since when the preferred leader has been healthy and caught up."""

    def zones(self, members: Members) -> dict[str, str]:
        """The zone of each voter and learner."""
        return {m.node: m.zone for m in (*members, *self.learners.values())}

    @property
    def deadline(self) -> float:
        """At this time the leader steps down unless the lease is renewed (or won at all)."""
        if self.lease.until == NEVER:
            return self.elected_at + self.lease.timing.lease_seconds
        return self.lease.until
