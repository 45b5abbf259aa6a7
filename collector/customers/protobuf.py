"""Protocol Buffers' wire format, read with limits, for the few messages that arrive here (pure).

Source: https://protobuf.dev/programming-guides/encoding/. A message is walked once and only fields that are wanted are looked
into, so that no schema compiler, no generated code and no second runtime is needed.
"""

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_F64, _U64, _I64 = struct.Struct("<d"), struct.Struct("<Q"), struct.Struct("<q")
_SIZES = {FIXED64: 8, FIXED32: 4}

Field = tuple[int, int | memoryview]
"""Number, and the value: an integer (varint) or the bytes (all other kinds)."""


class ProtobufError(ValueError):
    """Not a message; the text says why."""


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """The integer at ``at``, and where it ends."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("an integer does not end")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7


def fields(data: memoryview) -> Iterator[Field]:
    """The fields of a message in order; raises :class:`ProtobufError` where it is damaged."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ProtobufError("field 0")
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = varint(data, at)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ProtobufError(f"wire type {kind}")
        if at + size > len(data):
            raise ProtobufError("a field is longer than its message")
        yield number, data[at : at + size]
        at += size


def message(value: int | memoryview) -> memoryview:
    """The bytes of a length-delimited field; raises :class:`ProtobufError` when it is an integer."""
    if isinstance(value, int):
        raise ProtobufError("an integer where bytes are needed")
    return value


def text(value: int | memoryview) -> str:
    """A string field."""
    try:
        return str(message(value), "utf-8")
    except UnicodeDecodeError as error:
        raise ProtobufError("text is not UTF-8") from error


def number(value: int | memoryview) -> int:
    """A varint field."""
    if not isinstance(value, int):
        raise ProtobufError("bytes where an integer is needed")
    return value


def signed(value: int | memoryview) -> int:
    """An ``int64`` or ``int32`` field."""
    found = number(value)
    return found - (1 << 64) if found >= 1 << 63 else found


def double(value: int | memoryview) -> float:
    """A ``double`` field."""
    return float(_unpack(_F64, value))


def fixed64(value: int | memoryview) -> int:
    """A ``fixed64`` field."""
    return int(_unpack(_U64, value))


def sfixed64(value: int | memoryview) -> int:
    """A ``sfixed64`` field."""
    return int(_unpack(_I64, value))


def _unpack(kind: struct.Struct, value: int | memoryview) -> int | float:
    if isinstance(value, int) or len(value) != kind.size:
        raise ProtobufError("eight bytes are needed")
    found: int | float = kind.unpack(value)[0]
    return found


def packed(kind: str, value: int | memoryview) -> tuple[float, ...]:
    """A packed repeated field of 8-byte values: ``Q`` (fixed64) or ``d`` (double); one value when it is not packed."""
    data = message(value)
    if len(data) % 8:
        raise ProtobufError("a list of eight-byte values is cut off")
    return struct.unpack(f"<{len(data) // 8}{kind}", data)
