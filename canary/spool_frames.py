"""Records of the spool's files as bytes: length, checksum, number, time, then msgpack (pure).

A record whose checksum is wrong ends what can be read of a file: it is the torn end of a process that was killed.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from canary.tally import Content

_HEAD = struct.Struct("<IIQdI")
HEAD_BYTES = _HEAD.size
RECORD_BYTES_MAX = 16 * 1024 * 1024


class Frame(NamedTuple):
    """One content that waits. ``drops``: the number of the segment whose loss it counts, 0 for none."""

    number: int
    at: float
    drops: int
    payload: bytes

    @property
    def content(self) -> Content:
        """What the payload holds; raises ValueError when it is none."""
        return msgspec.msgpack.decode(self.payload, type=Content)


class Slot(msgspec.Struct, frozen=True, array_like=True):
    """The last batch of one lane in one life; ``body`` is empty when it is settled.

    ``upto``: every content with a number up to this one was taken from the queue. ``serial`` names this binding,
    ``instead_of`` the one (of another lane) that it replaces.
    """

    lane: str
    serial: int
    upto: int
    at: float
    body: bytes = b""
    instead_of: int = 0


def pack(number: int, at: float, content: Content, drops: int = 0) -> bytes:
    """A content as one record."""
    return _frame(number, at, drops, msgspec.msgpack.encode(content))


def pack_slot(slot: Slot) -> bytes:
    """A slot as one record."""
    return _frame(slot.serial, slot.at, 0, msgspec.msgpack.encode(slot))


def _frame(number: int, at: float, drops: int, payload: bytes) -> bytes:
    rest = _HEAD.pack(len(payload), 0, number, at, drops)[8:] + payload
    return struct.pack("<II", len(payload), zlib.crc32(rest)) + rest


def length_of(head: bytes) -> int:
    """How many bytes follow a record's head; -1 when it is no head."""
    if len(head) < HEAD_BYTES:
        return -1
    length = int(_HEAD.unpack_from(head)[0])
    return length if length <= RECORD_BYTES_MAX else -1


def frames(data: bytes, offset: int = 0) -> Iterator[tuple[int, Frame]]:
    """``(end, frame)`` of every whole record from ``offset`` on."""
    while (length := length_of(data[offset : offset + HEAD_BYTES])) >= 0:
        end = offset + HEAD_BYTES + length
        _, crc, number, at, drops = _HEAD.unpack_from(data, offset)
        if end > len(data) or zlib.crc32(data[offset + 8 : end]) != crc:
            return
        yield end, Frame(number, at, drops, data[offset + HEAD_BYTES : end])
        offset = end


def read_slot(data: bytes) -> Slot | None:
    """The slot in a file; None when it is torn or no slot."""
    for _, frame in frames(data):
        try:
            return msgspec.msgpack.decode(frame.payload, type=Slot)
        except msgspec.MsgspecError:
            return None
    return None
