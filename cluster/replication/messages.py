"""What replicas of a group say to each other, and what a replica asks of its shell (pure).

The contract of the core::

    replica.step(input, at) -> list[Effect]

``at`` is monotonic seconds of the node. The shell carries effects out in order: an :class:`Append` is written and fsynced
(many at once: group commit), then the shell steps the replica with :class:`Persisted`; a :class:`Send` goes to another node;
an :class:`Apply` changes the item table; :class:`Accepted` and :class:`Rejected` answer proposals.

Nothing here can ever be part of a cycle of references, so the garbage collector need not look at it (``gc=False``).
"""

import msgspec

from cluster.replication.membership import Member, Members


class Ballot(msgspec.Struct, frozen=True, order=True, array_like=True, gc=False):
    """A leader's number: higher wins; the node name breaks ties."""

    number: int
    node: str


NO_BALLOT = Ballot(0, "")


class Entry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One log record of a group. ``payload`` is opaque to replication; b"" fills a hole.

    ``members``: from this LSN's commit on, the group consists of these (``payload`` is empty then).
    """

    lsn: int
    ballot: Ballot
    payload: bytes
    members: Members | None = None


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of everything that replicas of one group send to each other."""


# --- what replicas say to each other ------------------------------------------------------------------------------------


class Heartbeat(Message, frozen=True):
    """The leader is here and asks for its lease to be renewed; ``sent_at`` is on the leader's own clock."""

    ballot: Ballot
    sent_at: float
    committed: int
    last: int


class Committed(Message, frozen=True):
    """Everything up to ``committed`` is chosen: for the followers' readers, as soon as it is so. Nobody answers; it may be late or lost."""

    ballot: Ballot
    committed: int


class HeartbeatReply(Message, frozen=True):
    """The lease is granted; ``sent_at`` is the heartbeat's, echoed. ``received``, ``stored``: see AcceptReply.

    ``holds_items``: it could lead; a log replica cannot, nor one whose items are being rebuilt.
    """

    ballot: Ballot
    sent_at: float
    received: int
    stored: int
    holds_items: bool = True
    born: int = 0


class Accept(Message, frozen=True):
    """Paxos phase 2a for consecutive entries, the first at ``first``.

    Everything up to ``reproposed_to`` may have been chosen under an earlier ballot; above it no earlier ballot counts.
    """

    ballot: Ballot
    first: int
    entries: tuple[Entry, ...]
    committed: int
    reproposed_to: int


class AcceptReply(Message, frozen=True):
    """Phase 2b: equal to the leader's log up to ``received``, fsynced up to ``stored``; ``gap``: send again after ``received``.

    ``born``: of which life of the replica this is (:class:`Recovered`).
    """

    ballot: Ballot
    received: int
    stored: int
    gap: bool = False
    born: int = 0


class Outdated(Message, frozen=True):
    """To a leader: ``ballot`` is not obeyed here, because ``promised`` is higher."""

    ballot: Ballot
    promised: Ballot


class LogGone(Message, frozen=True):
    """To a follower: the log that it needs is truncated; a snapshot up to ``committed`` is needed.

    A log replica needs no items: it begins at ``first``, with ``members``.
    """

    ballot: Ballot
    committed: int
    first: int = 1
    members: Members = ()


class Chosen(Message, frozen=True):
    """Consecutive entries that are committed, for one that is behind; facts, under whatever ballot."""

    entries: tuple[Entry, ...]


class Lost(Message, frozen=True):
    """The sender has lost what it promised or stored (a new disk, a damaged WAL): it does not vote, and is to be replaced."""

    ballot: Ballot


class PeerQuery(Message, frozen=True):
    """Do you still hear the leader? ``asked_at`` is the asker's clock and comes back."""

    asked_at: float


class PeerAnswer(Message, frozen=True):
    """``healthy``: the answering replica hears (or is) a leader; ``empty``: it has never stored an entry."""

    asked_at: float
    healthy: bool
    empty: bool = False


class Prepare(Message, frozen=True):
    """Phase 1a. The candidate knows everything up to ``committed``; leases of ballots up to ``released`` were given up.

    ``founding``: no member of the group has ever stored anything, so that one without a past may vote. ``config_lsn``: the LSN of the
    change that made the candidate's members; it asks only members, so that one which has not heard of the change yet may vote.
    """

    ballot: Ballot
    committed: int
    last: int
    released: Ballot
    founding: bool = False
    config_lsn: int = 0


class Promise(Message, frozen=True):
    """Phase 1b: ``entries`` are all that the voter holds above the candidate's ``committed``; up to ``committed`` they are chosen.

    The voter's lease grant has run out or was released: ``lease_remaining`` is 0.
    """

    ballot: Ballot
    committed: int
    entries: tuple[Entry, ...]
    lease_remaining: float = 0.0


class Refusal(Message, frozen=True):
    """No promise for ``ballot``; ``reason`` is ``lease``, ``higher_ballot``, ``behind``, or ``log_gone`` (a log replica's ``behind``).

    ``lease_remaining``: seconds until the voter is free again; ``healthy``: it hears a leader.
    """

    ballot: Ballot
    promised: Ballot
    reason: str
    lease_remaining: float = 0.0
    healthy: bool = False


class Resign(Message, frozen=True):
    """The leader of ``ballot`` has given up its lease; ``successor`` should campaign at once."""

    ballot: Ballot
    successor: str | None = None


PeerMessage = (
    Heartbeat
    | HeartbeatReply
    | Committed
    | Accept
    | AcceptReply
    | Outdated
    | LogGone
    | Chosen
    | Lost
    | PeerQuery
    | PeerAnswer
    | Prepare
    | Promise
    | Refusal
    | Resign
)
"""Everything that may be in a Send or a Receive: the type to decode."""


# --- inputs -------------------------------------------------------------------------------------------------------------


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time has passed."""


class Receive(msgspec.Struct, frozen=True, gc=False):
    """A message has arrived from the replica on ``sender``."""

    sender: str
    message: Message


class Propose(msgspec.Struct, frozen=True, gc=False):
    """The shell wants ``payload`` in the log; answered by Accepted or Rejected with the same ``proposal``."""

    proposal: int
    payload: bytes


class Persisted(msgspec.Struct, frozen=True, gc=False):
    """The Append with this ``token`` is fsynced, and so is every earlier one of this group."""

    token: int


class HandOver(msgspec.Struct, frozen=True, gc=False):
    """Give leadership to ``successor`` in a planned way: no lease wait."""

    successor: str


class SnapshotInstalled(msgspec.Struct, frozen=True, gc=False):
    """The items of the partition up to ``lsn`` (from NeedSnapshot's source) are in the table, durably; ``members`` as of then.

    A log replica skips to ``lsn`` in the same way, with nothing in the table.
    """

    lsn: int
    members: Members = ()


class Teach(msgspec.Struct, frozen=True, gc=False):
    """To a leader: send the log to ``member`` too, which does not vote (yet). ``born``: answers of an earlier life of it do not count."""

    member: Member
    born: int = 0


class StopTeaching(msgspec.Struct, frozen=True, gc=False):
    """To a leader: ``node`` is not going to be a member."""

    node: str


class ChangeMembers(msgspec.Struct, frozen=True, gc=False):
    """To a leader: the group shall consist of ``members``, which differ from today's by one; answered like a Propose."""

    proposal: int
    members: Members


Input = Tick | Receive | Propose | Persisted | HandOver | SnapshotInstalled | Teach | StopTeaching | ChangeMembers


class Recovered(msgspec.Struct, frozen=True, gc=False):
    """What a restarted node found on its disk.

    ``promised`` and ``committed`` are those of the last Append in the WAL; ``entries`` are consecutive and begin at ``first_lsn``
    (or there are none), at ``applied`` + 1 or earlier, and then they are known to be what was applied; ``applied`` is the LSN that the item table has durably reached, and ``members`` those as of it (empty:
    the group's first ones), chosen at ``config_lsn``. ``born``: that LSN when the replica was made (0: with its group); a node that was a
    member before, was removed and is taught anew is another one in its next life.
    """

    promised: Ballot
    committed: int
    entries: tuple[Entry, ...]
    first_lsn: int = 1
    applied: int = 0
    members: Members = ()
    config_lsn: int = 0
    born: int = 0


# --- effects ------------------------------------------------------------------------------------------------------------


class Append(msgspec.Struct, frozen=True, gc=False):
    """Write to the WAL and fsync: log entries (replacing any of the same or a higher LSN) and/or the promised ballot, and how far is chosen."""

    token: int
    promised: Ballot
    committed: int
    entries: tuple[Entry, ...] = ()


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send to the replica of this group on node ``to``; may be lost, reordered or doubled."""

    to: str
    message: Message


class Apply(msgspec.Struct, frozen=True, gc=False):
    """These entries are committed: apply them, in order, once."""

    entries: tuple[Entry, ...]


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The proposal is committed (durable in a quorum) at ``lsn`` and was in an Apply before this effect."""

    proposal: int
    lsn: int


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """The proposal was not accepted here.

    ``reason`` is ``not_leader``, ``waiting_for_lease``, ``handing_over``, ``overloaded``, ``invalid_change``, ``change_pending`` (these:
    certainly not written) or ``outcome_unknown`` (leadership lost meanwhile).
    """

    proposal: int
    reason: str
    leader: str | None = None


class RoleChanged(msgspec.Struct, frozen=True, gc=False):
    """For logs and metrics: the replica's role (follower, candidate, leader), its ballot, and the reason by name."""

    role: str
    ballot: Ballot
    reason: str


class NeedSnapshot(msgspec.Struct, frozen=True, gc=False):
    """This follower is behind the leader's log: fetch the partition's items up to ``lsn`` from ``source``.

    ``members``: given to a log replica, which fetches nothing and begins after ``lsn``.
    """

    source: str
    lsn: int
    members: Members | None = None


Effect = Append | Send | Apply | Accepted | Rejected | RoleChanged | NeedSnapshot
