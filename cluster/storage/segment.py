"""How a WAL segment is laid out, and what is in one whose bytes may be torn or damaged (pure).

A segment is a chain of frames, one for each batch that was made durable by one fsync. The first is the segment's head::

    magic:4  groups_bytes:u32  payload_bytes:u32  durable:u32  payload_crc:u32  head_crc:u32  groups  payload

Numbers are big-endian. ``groups`` (msgpack) names the groups in the batch; ``payload`` holds their records. ``head_crc`` covers
everything before the payload, ``payload_crc`` the payload; both begin with the segment's number and the frame's offset, so that
neither an old block of the disk nor a piece of a customer's item can be taken for a frame.

``durable`` is evidence: up to this offset the segment was fsynced when the frame was written. A bad frame below somebody's
evidence is **damage**: it was whole once, and somebody was told so. A bad frame above all evidence is a **torn tail**: the
power went before its fsync, and nobody was told of it.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from cluster.storage.records import WalRecord

MAGIC = b"\xc5WAL"
_FIELDS = struct.Struct(">4sIIII")
_CRC = struct.Struct(">I")
_PLACE = struct.Struct(">QI")
HEAD_BYTES = _FIELDS.size + _CRC.size


class SegmentHead(msgspec.Struct, array_like=True, frozen=True):
    """What a segment begins with, so that older ones can go: every group's standing, and which segments are needed.

    ``oldest``: the first segment that is needed; ``previous_bytes``: how much of the segment before is to be read.
    """

    oldest: int
    previous_bytes: int
    records: tuple[WalRecord, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """One sound frame: its place and its records."""

    offset: int
    end: int
    durable: int
    records: tuple[WalRecord, ...]


@dataclass(frozen=True, slots=True)
class Bad:
    """A stretch of bytes that is no sound frame. ``groups``: those concerned; None when even that cannot be read."""

    offset: int
    groups: tuple[str, ...] | None


@dataclass(slots=True)
class SegmentContent:
    """What was found in a segment; ``head`` is None when it is not sound."""

    head: SegmentHead | None = None
    batches: list[Batch] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)

    def evidence(self) -> int:
        """Up to where the segment is known to have been durable."""
        return max((batch.durable for batch in self.batches), default=0)


_encoder = msgspec.msgpack.Encoder()
_records = msgspec.msgpack.Decoder(tuple[WalRecord, ...])
_heads = msgspec.msgpack.Decoder(SegmentHead)
_groups = msgspec.msgpack.Decoder(tuple[str, ...])


def encode_batch(number: int, offset: int, records: Sequence[WalRecord], *, durable: int) -> bytes:
    """The frame of one batch at ``offset`` in segment ``number``; without records it is a seal."""
    return _frame(number, offset, durable, records, _encoder.encode(tuple(records)))


def encode_head(number: int, head: SegmentHead) -> bytes:
    """The first frame of segment ``number``."""
    return _frame(number, 0, 0, head.records, _encoder.encode(head))


def _frame(number: int, offset: int, durable: int, records: Sequence[WalRecord], payload: bytes) -> bytes:
    groups = _encoder.encode(list(dict.fromkeys(record.group for record in records)))
    place = zlib.crc32(_PLACE.pack(number, offset))
    fields = _FIELDS.pack(MAGIC, len(groups), len(payload), durable, zlib.crc32(payload, place))
    return b"".join((fields, _CRC.pack(zlib.crc32(groups, zlib.crc32(fields, place))), groups, payload))


def read_segment(number: int, data: bytes) -> SegmentContent:
    """Every sound frame in ``data``, and what lies between them."""
    content = SegmentContent()
    offset = 0
    while offset < len(data):
        frame = _frame_at(number, data, offset)
        if isinstance(frame, Batch):
            content.batches.append(frame)
            offset = frame.end
        elif frame is not None:
            bad, offset = frame
            content.bad.append(bad)
        else:
            content.bad.append(Bad(offset, None))
            offset = _next_frame(number, data, offset + 1)
    if content.batches and content.batches[0].offset == 0:
        first = content.batches[0]
        content.head = _heads.decode(_payload(data, first))
        content.batches[0] = Batch(0, first.end, 0, content.head.records)
    return content


def _frame_at(number: int, data: bytes, offset: int) -> Batch | tuple[Bad, int] | None:
    """A sound frame; or, when only its head is sound, what it was and where it ends; or None."""
    start = _sound_head(number, data, offset)
    if start is None:
        return None
    _, groups_bytes, payload_bytes, durable, crc = _FIELDS.unpack_from(data, offset)
    end = start + payload_bytes
    payload = data[start:end]
    if end > len(data) or zlib.crc32(payload, zlib.crc32(_PLACE.pack(number, offset))) != crc:
        return Bad(offset, _groups.decode(data[start - groups_bytes : start])), end
    return Batch(offset, end, durable, () if offset == 0 else _records.decode(payload))


def _sound_head(number: int, data: bytes, offset: int) -> int | None:
    """Where the payload of the frame at ``offset`` begins, if there is a frame."""
    if not data.startswith(MAGIC, offset) or offset + HEAD_BYTES > len(data):
        return None
    fields = data[offset : offset + _FIELDS.size]
    (head_crc,) = _CRC.unpack_from(data, offset + _FIELDS.size)
    start = offset + HEAD_BYTES + _FIELDS.unpack(fields)[1]
    if start > len(data):
        return None
    place = zlib.crc32(_PLACE.pack(number, offset))
    sound = zlib.crc32(data[offset + HEAD_BYTES : start], zlib.crc32(fields, place)) == head_crc
    return start if sound else None


def _next_frame(number: int, data: bytes, offset: int) -> int:
    while (offset := data.find(MAGIC, offset)) >= 0:
        if _sound_head(number, data, offset) is not None:
            return offset
        offset += 1
    return len(data)


def _payload(data: bytes, batch: Batch) -> bytes:
    start = HEAD_BYTES + _FIELDS.unpack_from(data, batch.offset)[1]
    return data[batch.offset + start : batch.end]
