"""Prometheus remote write 1.0 as bytes: ``WriteRequest`` of protobuf, by hand, for the four fields that it needs (pure).

Source: ``prompb/remote.proto`` and ``prompb/types.proto`` of Prometheus. Labels are in order of their names, as receivers demand;
samples of a series are in order of time.
"""

import struct
from collections.abc import Iterable, Sequence

Labels = Sequence[tuple[str, str]]
Points = Sequence[tuple[int, float]]
"""Time in milliseconds since the epoch, value."""

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_VALUE = struct.Struct("<d")


def varint(number: int) -> bytes:
    """A non-negative integer in base 128, least significant group first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, body: bytes) -> bytes:
    """A field of length-delimited kind."""
    return varint(number << 3 | 2) + varint(len(body)) + body


def labels(name: str, pairs: Labels) -> bytes:
    """``TimeSeries.labels`` (field 1), the metric's name among them."""
    ordered = sorted([("__name__", name), *pairs])
    return b"".join(field(1, field(1, _utf8(key)) + field(2, _utf8(value))) for key, value in ordered)


def series(encoded_labels: bytes, points: Points) -> bytes:
    """One ``TimeSeries`` as field 1 of the request; ``points`` in order of time."""
    samples = b"".join(
        field(2, b"\x09" + _VALUE.pack(value) + b"\x10" + varint(milliseconds)) for milliseconds, value in points
    )
    return field(1, encoded_labels + samples)


def request(encoded_series: Iterable[bytes]) -> bytes:
    """A ``WriteRequest``, not yet compressed."""
    return b"".join(encoded_series)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
