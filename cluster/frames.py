"""Frames between zone processes: length, checksum, msgpack; and the hello that proves a shared secret (pure).

``length:u32 crc32:u32 payload``, big-endian. An empty payload is a sign of life.
"""

import hmac
import struct
import zlib
from enum import IntEnum

import msgspec

from cluster.routing.messages import Body

MAX_FRAME_BYTES = 16 * 1024 * 1024
_HEADER = struct.Struct(">II")


class BadFrame(Exception):
    """The peer's bytes are not frames: wrong checksum, too long, or not decodable."""


class FrameKind(IntEnum):
    """``GONE``: the ask was never looked at (no such component now); ``LOST``: its component fell while serving it."""

    TELL = 0
    ASK = 1
    ANSWER = 2
    GONE = 3
    LOST = 4


class Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One message from component to component. ``id`` pairs ask and answer; ``seconds`` is the asker's patience."""

    kind: int
    id: int
    sender: str
    receiver: str
    seconds: float
    body: Body | None


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """A step of the handshake: challenge (nonce), hello (zone, nonce, proof), welcome (zone, nonce, proof)."""

    zone: str
    nonce: bytes
    proof: bytes


_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(Frame)
_hellos = msgspec.msgpack.Decoder(Hello)


def encode(value: Frame | Hello | None) -> bytes:
    """``value`` with its header; None is a sign of life."""
    payload = b"" if value is None else _encoder.encode(value)
    if len(payload) > MAX_FRAME_BYTES:
        raise BadFrame("too long")
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def split(buffer: bytearray, *, limit: int = MAX_FRAME_BYTES, at_most: int | None = None) -> list[bytes]:
    """Whole payloads (``at_most`` so many) at the front of ``buffer``, removed from it; raises :class:`BadFrame`."""
    payloads: list[bytes] = []
    at = 0
    while len(buffer) - at >= _HEADER.size and (at_most is None or len(payloads) < at_most):
        length, checksum = _HEADER.unpack_from(buffer, at)
        if length > limit:
            raise BadFrame("too long")
        end = at + _HEADER.size + length
        if len(buffer) < end:
            break
        payload = bytes(buffer[at + _HEADER.size : end])
        if zlib.crc32(payload) != checksum:
            raise BadFrame("checksum")
        payloads.append(payload)
        at = end
    del buffer[:at]
    return payloads


def decode_frame(payload: bytes) -> Frame:
    """A frame; raises :class:`BadFrame`."""
    try:
        return _frames.decode(payload)
    except msgspec.MsgspecError as error:
        raise BadFrame(str(error)) from error


def decode_hello(payload: bytes) -> Hello:
    """A step of the handshake; raises :class:`BadFrame`."""
    try:
        return _hellos.decode(payload)
    except msgspec.MsgspecError as error:
        raise BadFrame(str(error)) from error


def proof(secret: bytes, side: str, zone: str, challenge: bytes, nonce: bytes) -> bytes:
    """What only a holder of ``secret`` can say; ``side`` (dial or accept) keeps a proof from being played back."""
    return hmac.digest(secret, b"\0".join((side.encode(), zone.encode(), challenge, nonce)), "sha256")
