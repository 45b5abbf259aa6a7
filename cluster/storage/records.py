"""What is written down: WAL records and item changes, and what a log looks like when it is read back (pure).

A WAL record is ``length:u32 crc32:u32 msgpack``. A segment that ends in the middle of a record, or in a record whose
checksum is wrong, has a torn tail: the power went before the fsync, so nobody was told of it.
"""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from cluster.replication.messages import NO_BALLOT, Ballot, Entry, Recovered

_HEADER = struct.Struct(">II")


class Change(msgspec.Struct, array_like=True, frozen=True):
    """The payload of a log entry: an item's new image, or None when it is deleted. ``hash`` is its place on the ring."""

    hash: int
    partition_key: bytes
    sort_key: bytes
    body: bytes | None


class WalRecord(msgspec.Struct, array_like=True, frozen=True):
    """A group's promise, how far it is committed, and entries that replace those of the same or a higher LSN.

    ``start`` (only at the head of a segment): forget all before, the log begins after this LSN.
    """

    group: str
    promised: Ballot
    committed: int
    entries: tuple[Entry, ...] = ()
    start: int | None = None


@dataclass(slots=True)
class GroupLog:
    """A group's state as its WAL tells it. ``start``: the LSN before the first entry that was kept."""

    promised: Ballot = NO_BALLOT
    committed: int = 0
    start: int = 0
    entries: dict[int, Entry] = field(default_factory=dict)

    def replay(self, record: WalRecord) -> None:
        """Take one record, in the order of writing."""
        if record.start is not None:
            self.start, self.entries = record.start, {}
            self.promised, self.committed = record.promised, record.committed
        self.promised = max(self.promised, record.promised)
        self.committed = max(self.committed, record.committed)
        if not record.entries:
            return
        first = record.entries[0].lsn
        for lsn in [lsn for lsn in self.entries if lsn >= first]:
            del self.entries[lsn]
        self.entries.update((entry.lsn, entry) for entry in record.entries)

    def summary(self, group: str, after: int) -> WalRecord:
        """One record that stands for this log without its entries up to ``after``."""
        entries = tuple(entry for lsn, entry in sorted(self.entries.items()) if lsn > after)
        return WalRecord(group, self.promised, self.committed, entries, max(self.start, after))

    def recovered(self, applied: int) -> Recovered:
        """What a replica is told when it is started again; ``applied``: the LSN of its item table."""
        entries: list[Entry] = []
        while (entry := self.entries.get(applied + 1 + len(entries))) is not None:
            entries.append(entry)
        return Recovered(self.promised, self.committed, tuple(entries), applied + 1, applied)


_encoder = msgspec.msgpack.Encoder()
_records = msgspec.msgpack.Decoder(WalRecord)
_changes = msgspec.msgpack.Decoder(Change)


def encode_record(record: WalRecord) -> bytes:
    """``record`` with its header."""
    payload = _encoder.encode(record)
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def decode_records(data: bytes) -> tuple[list[WalRecord], int]:
    """The whole records at the front of a segment, and the offset where the sound part ends."""
    records: list[WalRecord] = []
    at = 0
    while at + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, at)
        end = at + _HEADER.size + length
        payload = data[at + _HEADER.size : end]
        if end > len(data) or length == 0 or zlib.crc32(payload) != checksum:
            break
        records.append(_records.decode(payload))
        at = end
    return records, at


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


def item_checksum(partition_key: bytes, sort_key: bytes, body: bytes) -> int:
    """CRC-32 over key and image, kept beside each stored item."""
    return zlib.crc32(body, zlib.crc32(sort_key, zlib.crc32(partition_key)))
