"""What replicas of a group say to each other, and what a replica asks of its shell (pure).

The contract of the core::

    replica.step(input, at) -> list[Effect]

``at`` is monotonic seconds of the node. The shell carries effects out in order: an :class:`Append` is written and fsynced
(many at once: group commit), then the shell steps the replica with :class:`Persisted`; a :class:`Send` goes to another node;
an :class:`Apply` changes the item table; :class:`Accepted` and :class:`Rejected` answer proposals.
"""

import msgspec


class Ballot(msgspec.Struct, frozen=True, order=True):
    """A leader's number: higher wins; the node name breaks ties."""

    number: int
    node: str


NO_BALLOT = Ballot(0, "")


class Entry(msgspec.Struct, frozen=True):
    """One log record of a group. ``payload`` is opaque to replication; b"" fills a hole."""

    lsn: int
    ballot: Ballot
    payload: bytes


class Message(msgspec.Struct, frozen=True, tag=True):
    """Base of everything that replicas of one group send to each other."""


# --- inputs -------------------------------------------------------------------------------------------------------------


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


class Receive(msgspec.Struct, frozen=True):
    """A message has arrived from the replica on ``sender``."""

    sender: str
    message: Message


class Propose(msgspec.Struct, frozen=True):
    """The shell wants ``payload`` in the log; answered by Accepted or Rejected with the same ``proposal``."""

    proposal: int
    payload: bytes


class Persisted(msgspec.Struct, frozen=True):
    """The Append with this ``token`` is fsynced."""

    token: int


class HandOver(msgspec.Struct, frozen=True):
    """Give leadership to ``successor`` in a planned way: no lease wait."""

    successor: str


Input = Tick | Receive | Propose | Persisted | HandOver

# --- effects ------------------------------------------------------------------------------------------------------------


class Append(msgspec.Struct, frozen=True):
    """Write to the WAL and fsync: log entries (replacing any of the same or a higher LSN) and/or the promised ballot, and how far is committed."""

    token: int
    promised: Ballot
    committed: int
    entries: tuple[Entry, ...] = ()


class Send(msgspec.Struct, frozen=True):
    """Send to the replica of this group on node ``to``; may be lost, reordered or doubled."""

    to: str
    message: Message


class Apply(msgspec.Struct, frozen=True):
    """These entries are committed: apply them, in order, once."""

    entries: tuple[Entry, ...]


class Accepted(msgspec.Struct, frozen=True):
    """The proposal is committed (durable in a quorum) at ``lsn`` and was in an Apply before this effect."""

    proposal: int
    lsn: int


class Rejected(msgspec.Struct, frozen=True):
    """The proposal was not accepted here: ``reason`` is ``not_leader``, ``waiting_for_lease`` or ``outcome_unknown`` (leadership lost meanwhile)."""

    proposal: int
    reason: str
    leader: str | None = None


class RoleChanged(msgspec.Struct, frozen=True):
    """For logs and metrics: the replica's role (follower, candidate, leader), its ballot, and the reason by name."""

    role: str
    ballot: Ballot
    reason: str


class NeedSnapshot(msgspec.Struct, frozen=True):
    """This follower is behind the leader's log: fetch the partition's items up to ``lsn`` from ``source``."""

    source: str
    lsn: int


Effect = Append | Send | Apply | Accepted | Rejected | RoleChanged | NeedSnapshot
