"""What routers, storage nodes and MemDS nodes say to each other (pure).

A *tell* is one-way and may be lost; an *ask* has one answer or a failure of the transport. Items travel as the bytes that
are stored, so that only the router decodes them.
"""

import msgspec

from cluster.ports import Bounds, ErrorKind, ItemKey, Table, WriteRequest
from cluster.replication.membership import Config, Member, Members
from cluster.replication.messages import PeerMessage


class Said(msgspec.Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Base of everything that components say."""


# --- tells --------------------------------------------------------------------------------------------------------------


class Replicate(Said, frozen=True):
    """Messages of many groups from one storage node to another: ``(group, message)``."""

    messages: tuple[tuple[str, PeerMessage], ...]


class RoutesChanged(Said, frozen=True):
    """The catalogue may have changed: ask for the routes now and not at the next second."""


class WantTable(Said, frozen=True):
    """A router used its cached copy of a table; MemDS tells it :class:`TableNow`, so that hits cost MemDS the same as misses."""

    name: str


class TableNow(Said, frozen=True):
    """What MemDS knows of a table."""

    name: str
    table: Table | None


class DropReplica(Said, frozen=True):
    """From a group's leader: the receiver is no member as of ``config_lsn``, and need not keep its replica."""

    group: str
    config_lsn: int


class NodeReport(Said, frozen=True):
    """A storage node to autoadmin, every second: how many replicas it holds, and how long its fsyncs took lately (mean, seconds)."""

    node: str
    zone: str
    groups: int
    fsync_seconds: float


class FleetNow(Said, frozen=True):
    """autoadmin to every storage node: who is alive, who is slow: ``(node, zone, alive, slow, groups)``.

    ``catalogue``: the members of the catalogue's own group, as of the change at LSN ``config_lsn``: no route tells of them.
    """

    nodes: tuple[tuple[str, str, bool, bool, int], ...]
    catalogue: tuple[str, ...] = ()
    config_lsn: int = 0


class Damaged(Said, frozen=True):
    """A replica to its group's leader: the row stored at ``place`` here does not match its checksum."""

    group: str
    place: tuple[int, bytes, bytes]


class MembersAre(Said, frozen=True):
    """A group's leader to autoadmin: these are the members since ``config_lsn``; repeated until the routes say so."""

    table: str
    group: str
    members: Members
    config_lsn: int


# --- asks ---------------------------------------------------------------------------------------------------------------


class ReadItem(Said, frozen=True):
    """One item; ``strong``: only from the leader under its lease. Answered by :class:`ItemIs`."""

    group: str
    key: ItemKey
    strong: bool


class ReadRange(Said, frozen=True, kw_only=True):
    """Items of one partition key. Answered by :class:`ItemsAre`."""

    group: str
    partition_key: bytes
    bounds: Bounds
    strong: bool
    forward: bool
    limit: int | None
    after: bytes | None


class ReadPage(Said, frozen=True, kw_only=True):
    """Items of one partition in ring order. Answered by :class:`ItemsAre`."""

    group: str
    strong: bool
    limit: int | None
    after: ItemKey | None


class WriteItem(Said, frozen=True):
    """Evaluate and replicate one write. Answered by :class:`Written`, :class:`ConditionFalse` or :class:`WriteInvalid`."""

    group: str
    key: ItemKey
    request: WriteRequest


class FetchSnapshot(Said, frozen=True):
    """A part of a partition, for a replica that is too far behind.

    ``after`` is the last row's position; without ``items`` only the members
    are asked for. Answered by :class:`SnapshotPart`.
    """

    group: str
    after: tuple[int, bytes, bytes] | None
    items: bool = True


class HostReplica(Said, frozen=True):
    """A group's leader to a node: keep a replica of ``group``, which will be taught the log and become ``member``.

    ``members`` since ``config_lsn`` are those of today. A sound replica that is there already is kept. Answered by :class:`Hosting`.
    """

    group: str
    table: Table
    member: Member
    members: Members
    config_lsn: int


class WhatDigest(Said, frozen=True):
    """What your items of ``group`` are as of the marker at ``lsn``; ``anew``: take the digest now, the log ends there.

    Answered by :class:`DigestIs`.
    """

    group: str
    lsn: int
    anew: bool = False


class WhatPrints(Said, frozen=True):
    """The rows of one bucket of ``group`` after a position, as they are now. Answered by :class:`PrintsAre`."""

    group: str
    bucket: int
    after: tuple[int, bytes, bytes] | None


class WhatRow(Said, frozen=True):
    """The row at ``place`` as it is stored, once everything up to ``at_least`` is applied (or time is up). Answered by :class:`RowIs`."""

    group: str
    place: tuple[int, bytes, bytes]
    at_least: int


class WhatRoutes(Said, frozen=True):
    """All tables, unless the answerer's version is ``known``. Answered by :class:`Routes`."""

    known: int


class WhatTable(Said, frozen=True):
    """One table. Answered by :class:`TableNow`."""

    name: str


# --- answers ------------------------------------------------------------------------------------------------------------


class ItemIs(Said, frozen=True):
    """The stored item, or None."""

    body: bytes | None


class ItemsAre(Said, frozen=True):
    """Stored items in the order asked for; ``more``: there are further ones."""

    bodies: tuple[bytes, ...]
    more: bool


class Written(Said, frozen=True):
    """The write is committed; the item before and after, if the request shows them."""

    old: bytes | None
    new: bytes | None
    updated: tuple[str, ...]


class ConditionFalse(Said, frozen=True):
    """The condition of the write is false on this item."""

    body: bytes | None


class WriteInvalid(Said, frozen=True):
    """The write cannot be applied to the item as it is."""

    message: str


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stored item: its place on the ring, its key, the LSN that wrote it, its checksum and its bytes."""

    hash: int
    partition_key: bytes
    sort_key: bytes
    lsn: int
    checksum: int
    body: bytes


class SnapshotPart(Said, frozen=True):
    """Rows as of ``lsn`` or a little later; ``lsn`` and ``config`` are what the *first* part of a snapshot counts for."""

    lsn: int
    rows: tuple[Row, ...]
    more: bool
    config: Config = Config()


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """A slice of the ring (``cluster.scrub.digest``): a digest over its rows in order, how many they are, and how many of them damaged."""

    number: int
    digest: bytes
    rows: int
    damaged: int


class DigestIs(Said, frozen=True):
    """The items of a group as of ``lsn``: the buckets that have rows, in order."""

    lsn: int
    buckets: tuple[Bucket, ...]


class Print(msgspec.Struct, frozen=True, array_like=True):
    """What tells whether two rows are the same, without their bodies; ``sound``: it matches its checksum and is in its place."""

    hash: int
    partition_key: bytes
    sort_key: bytes
    lsn: int
    checksum: int
    sound: bool


class PrintsAre(Said, frozen=True):
    """Rows of a bucket in order; ``more``: there are further ones."""

    prints: tuple[Print, ...]
    more: bool


class RowIs(Said, frozen=True):
    """The row that is stored as of ``applied``, sound or not; None: there is none."""

    row: Row | None
    applied: int


class Routes(Said, frozen=True):
    """The catalogue at ``version``; ``tables`` is None when the asker knows this version already."""

    version: int
    tables: tuple[Table, ...] | None


class Hosting(Said, frozen=True):
    """The replica is there; ``born`` tells its life from earlier ones on the same node."""

    born: int


class NotLeader(Said, frozen=True):
    """Only the leader may answer this; ``leader`` is who this replica believes it to be."""

    leader: str | None
    reason: str


class Refused(Said, frozen=True):
    """The node could not or would not."""

    kind: ErrorKind
    message: str = ""


Body = (
    Replicate
    | RoutesChanged
    | WantTable
    | TableNow
    | ReadItem
    | ReadRange
    | ReadPage
    | WriteItem
    | FetchSnapshot
    | HostReplica
    | WhatDigest
    | WhatPrints
    | WhatRow
    | DigestIs
    | PrintsAre
    | RowIs
    | Damaged
    | Hosting
    | DropReplica
    | NodeReport
    | FleetNow
    | MembersAre
    | WhatRoutes
    | WhatTable
    | ItemIs
    | ItemsAre
    | Written
    | ConditionFalse
    | WriteInvalid
    | SnapshotPart
    | Routes
    | NotLeader
    | Refused
)
"""Everything that may travel in a frame."""
