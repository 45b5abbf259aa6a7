"""A segment: consecutive committed entries of one group, and the manifest that says what is inside (pure).

A manifest follows from the segment alone, so that any replica may write the one that another did not live to write.
Everything is checked on the way in and on the way out: no holes, no foreign entry, every checksum.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from cluster.archive import framing
from cluster.archive.damage import ChecksumWrong, Damage, ForeignEntry, ForeignGroup, Gap, ManifestWrong
from cluster.replication.membership import Members
from cluster.replication.messages import Entry
from cluster.storage import records
from cluster.storage.records import Change
from cluster.topology import RING_END, key_hash

FORMAT = 1
MAX_SEGMENT_ENTRIES = 10_000
"""No segment has more: whoever looks for the segment that holds an LSN need not look further back."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Whose entries they are: a partition ``[start, end)`` of a table."""

    table: str
    partition: str
    group: str
    start: int
    end: int

    def holds(self, position: int) -> bool:
        """Whether a position of the ring belongs to the partition."""
        return self.start <= position < self.end or position == self.end == RING_END


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """Entries ``first`` … ``last`` of a group."""

    place: Place
    entries: tuple[Entry, ...]

    @property
    def first(self) -> int:
        """The lowest LSN."""
        return self.entries[0].lsn

    @property
    def last(self) -> int:
        """The highest LSN."""
        return self.entries[-1].lsn


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in an object. ``first_at`` and ``last_at``: UTC seconds of its earliest and latest change, if it has any.

    ``last_at`` of a snapshot is the latest change that is in it or was before it. ``members``: of the last change of membership inside.
    """

    format: int = FORMAT
    kind: str
    table: str
    partition: str
    group: str
    start: int
    end: int
    first: int
    last: int
    first_at: float | None = None
    last_at: float | None = None
    count: int
    size: int
    sha256: str
    members: Members | None = None

    @property
    def place(self) -> Place:
        """The partition."""
        return Place(table=self.table, partition=self.partition, group=self.group, start=self.start, end=self.end)


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    kind: str
    place: Place
    first: int
    last: int


_encode = msgspec.msgpack.Encoder().encode
_header = msgspec.msgpack.Decoder(_Header)
_entry = msgspec.msgpack.Decoder(Entry)
_manifest = msgspec.json.Decoder(Manifest)


def change_of(entry: Entry) -> Change | None:
    """What an entry does to an item; None when it does nothing to any (a filled hole, a change of membership, a marker)."""
    return records.change_of(entry.payload)


def changed_at(entry: Entry) -> float | None:
    """UTC seconds at which the entry's change was made, as the leader's clock said; None when it has none."""
    change = change_of(entry)
    return change.at or None if change is not None else None


def check(place: Place, entries: Sequence[Entry]) -> None:
    """Raise :class:`Gap` or :class:`ForeignEntry` unless these are consecutive entries of ``place``."""
    if not entries:
        raise Gap("no entries")
    for expected, entry in enumerate(entries, start=entries[0].lsn):
        if entry.lsn != expected:
            raise Gap(f"LSN {expected} is missing; {entry.lsn} follows", lsn=expected)
        change = _change(entry)
        if change is not None and not _belongs(place, change):
            raise ForeignEntry(f"an item at {change.hash} of the ring is not of {place.group}", lsn=entry.lsn)


def _change(entry: Entry) -> Change | None:
    try:
        return change_of(entry)
    except msgspec.MsgspecError as error:
        raise ForeignEntry(f"not an entry of the store: {error}", lsn=entry.lsn) from error


def _belongs(place: Place, change: Change) -> bool:
    return place.holds(change.hash) and change.hash == key_hash(change.partition_key)


def encode(place: Place, entries: Sequence[Entry]) -> bytes:
    """The object that holds ``entries``; raises what :func:`check` raises."""
    check(place, entries)
    header = _Header(format=FORMAT, kind="wal", place=place, first=entries[0].lsn, last=entries[-1].lsn)
    return framing.seal(_encode(header), map(_encode, entries))


def decode(data: bytes, *, group: str, key: str | None = None) -> Segment:
    """The segment in ``data``, all of it checked; raises :class:`Damage` that names ``key``. ``group``: whose it must be."""
    try:
        return _decode(data, group)
    except Damage as damage:
        damage.key = damage.key or key
        raise


def _decode(data: bytes, group: str) -> Segment:
    raw, records = framing.unseal(data)
    try:
        header = _header.decode(raw)
        entries = tuple(map(_entry.decode, records))
    except msgspec.MsgspecError as error:
        raise ChecksumWrong(f"sound bytes that are no segment: {error}") from error
    if header.format != FORMAT or header.kind != "wal":
        raise ChecksumWrong(f"a {header.kind} of format {header.format}, not a segment of format {FORMAT}")
    if header.place.group != group:
        raise ForeignGroup(f"it belongs to {header.place.group}", lsn=header.first)
    check(header.place, entries)
    if (entries[0].lsn, entries[-1].lsn) != (header.first, header.last):
        raise Gap(f"its header promises LSN {header.first} to {header.last}", lsn=entries[-1].lsn)
    return Segment(place=header.place, entries=entries)


def manifest(segment: Segment, data: bytes) -> Manifest:
    """What ``data``, which holds ``segment``, is described by."""
    times = [at for entry in segment.entries if (at := changed_at(entry)) is not None]
    members = [entry.members for entry in segment.entries if entry.members is not None]
    return Manifest(
        kind="wal",
        **msgspec.structs.asdict(segment.place),
        first=segment.first,
        last=segment.last,
        first_at=min(times, default=None),
        last_at=max(times, default=None),
        count=len(segment.entries),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        members=members[-1] if members else None,
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """JSON for people; the same bytes for the same manifest."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)


def decode_manifest(data: bytes, *, key: str) -> Manifest:
    """The manifest in ``data``; raises :class:`ManifestWrong` that names ``key``."""
    try:
        return _manifest.decode(data)
    except msgspec.MsgspecError as error:
        raise ManifestWrong(f"not a manifest: {error}", key=key) from error
