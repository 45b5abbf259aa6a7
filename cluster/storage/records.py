"""What is written down: WAL records and item changes, and what a log looks like when it is read back (pure)."""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from cluster.replication.membership import Config
from cluster.replication.messages import NO_BALLOT, Ballot, Entry, Recovered


class Change(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The payload of a log entry: an item's new image, or None when it is deleted. ``hash`` is its place on the ring.

    ``at``: the leader's UTC epoch seconds when it evaluated the write (0.0: not known).
    """

    hash: int
    partition_key: bytes
    sort_key: bytes
    body: bytes | None
    at: float = 0.0


class WalRecord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A group's promise, how far it is committed, and entries that replace those of the same or a higher LSN.

    ``start``: entries up to this LSN are not needed any more. ``lost``: from now on the group counts as one that may have
    lost promises or entries to a damaged disk (True), or as sound again (False); None says nothing about it.
    """

    group: str
    promised: Ballot
    committed: int
    entries: tuple[Entry, ...] = ()
    start: int | None = None
    lost: bool | None = None


NO_CONFIG = Config()


@dataclass(slots=True)
class GroupLog:
    """A group's state as its WAL tells it. ``start``: entries up to this LSN are not kept; ``lost``: see :class:`WalRecord`."""

    promised: Ballot = NO_BALLOT
    committed: int = 0
    start: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)
    lost: bool = False

    def replay(self, record: WalRecord) -> None:
        """Take one record, in the order of writing."""
        self.promised = max(self.promised, record.promised)
        self.committed = max(self.committed, record.committed)
        if record.lost is not None:
            self.lost = record.lost
        if record.start is not None and record.start > self.start:
            self.start = record.start
            self._drop([lsn for lsn in self.entries if lsn <= record.start])
        if record.entries:
            first = record.entries[0].lsn
            self._drop([lsn for lsn in self.entries if lsn >= first])
            self.entries.update((entry.lsn, entry) for entry in record.entries)

    def _drop(self, lsns: Iterable[int]) -> None:
        for lsn in lsns:
            del self.entries[lsn]

    def summary(self, group: str, after: int) -> WalRecord:
        """One record that stands for this log without its entries up to ``after``."""
        entries = tuple(entry for lsn, entry in sorted(self.entries.items()) if lsn > after)
        return WalRecord(group, self.promised, self.committed, entries, max(self.start, after), self.lost or None)

    def recovered(
        self, applied: int, config: Config = NO_CONFIG, *, ballot: Ballot = NO_BALLOT, after: int = 0
    ) -> Recovered:
        """What a replica is told when it is started again; ``applied``, ``ballot``, ``config``: those of its item table.

        A table that has lost items is behind the log's beginning: the replica goes on from there (it has not forgotten what it
        promised and stored), and the table follows by a snapshot (:meth:`misses`).

        Entries that are applied are given too, down to ``after`` (the LSN of the last snapshot that was installed), when they are sure
        to be the chosen ones: others may have to learn them from here, and the archive. A leader may have applied what others stored
        before its own disk had it; an entry with the ballot of the one that was applied shows that the disk had it, and with it
        everything below (an acceptor stores a ballot's entries in order; docs/architecture.md, "A replica starts again").
        """
        first = max(applied, self.start) + 1
        if first not in self.entries:
            first = min((lsn for lsn in self.entries if lsn > first), default=first)
        held = self.entries.get(applied)
        if held is not None and held.ballot == ballot and first == applied + 1:
            while first - 1 > max(self.start, after) and first - 1 in self.entries:
                first -= 1
        entries: list[Entry] = []
        while (entry := self.entries.get(first + len(entries))) is not None:
            entries.append(entry)
        return Recovered(
            self.promised, self.committed, tuple(entries), first, max(applied, first - 1), config.members, config.lsn
        )

    def misses(self, applied: int) -> bool:
        """Whether entries after ``applied`` are gone that the item table must have held once: it has lost some."""
        if applied + 1 in self.entries:
            return self.start > applied
        later = any(lsn > applied for lsn in self.entries)
        return self.start > applied or later or (applied == 0 and self.committed > 0)


_LENGTHS = struct.Struct(">QI")
_WORD = 0xFFFF_FFFF_FFFF_FFFF
"""A stored LSN may be anything once its bits have rotted."""
_encoder = msgspec.msgpack.Encoder()
_changes = msgspec.msgpack.Decoder(Change)
_places = msgspec.msgpack.Decoder(tuple[int, bytes, bytes])
# A payload that begins with 0xC1, which MessagePack never uses, is no Change but an order to the tables. One that is not known is
# decoded like a change, and so refused: a replica that does not understand its log must not go on.
SCRUB_MARKER = b"\xc1scrub"
_ERASE = b"\xc1erase"


def replay(records: Iterable[WalRecord]) -> dict[str, GroupLog]:
    """Every group's state after ``records``."""
    logs: dict[str, GroupLog] = {}
    for record in records:
        logs.setdefault(record.group, GroupLog()).replay(record)
    return logs


def encode_change(change: Change) -> bytes:
    """The payload of a log entry; the same bytes for the same change."""
    return _encoder.encode(change)


def decode_change(payload: bytes) -> Change:
    """The change of a log entry's payload."""
    return _changes.decode(payload)


def change_of(payload: bytes) -> Change | None:
    """What the log says about an item by this entry; None when it says nothing of any (a filled hole, or an order to the tables)."""
    return None if not payload or is_marker(payload) or payload.startswith(_ERASE) else decode_change(payload)


def is_marker(payload: bytes) -> bool:
    """Whether the entry asks every replica for a digest of its items as they are right behind it."""
    return payload == SCRUB_MARKER


def split_at_markers(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The entries in pieces of which each ends with a marker, but perhaps the last."""
    start = 0
    for index, entry in enumerate(entries, start=1):
        if is_marker(entry.payload) or index == len(entries):
            yield entries[start:index]
            start = index


def encode_erasure(place: tuple[int, bytes, bytes]) -> bytes:
    """The payload that removes a stored row from a place where no item can be, so that the log never had one there."""
    return _ERASE + _encoder.encode(place)


def effect_of(payload: bytes) -> Change | None:
    """What the entry makes of a table: its change, or the removal of a row that was never written."""
    if not payload.startswith(_ERASE):
        return change_of(payload)
    hash_, partition_key, sort_key = _places.decode(payload[len(_ERASE) :])
    return Change(hash_, partition_key, sort_key, None)


def item_checksum(partition_key: bytes, sort_key: bytes, body: bytes, lsn: int) -> int:
    """CRC-32 over key, image and the LSN that wrote it, kept beside each stored item."""
    return zlib.crc32(b"".join((_LENGTHS.pack(lsn & _WORD, len(partition_key)), partition_key, sort_key, body)))
