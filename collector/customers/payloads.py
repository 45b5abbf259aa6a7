"""Bodies of metric requests: unpacked and read, with limits on everything that they could make large (pure)."""

import zlib
from collections.abc import Iterator

import pyarrow as pa

from collector.customers import otlp, otlp_json, otlp_protobuf, remote_write
from collector.customers.protobuf import varint

INFLATED_BYTES_MAX = 16 * 1024 * 1024
JSON_BYTES_MAX = 1024 * 1024
"""JSON becomes many times its size in memory before anything can be counted."""
PROTOBUF, JSON = "application/x-protobuf", "application/json"

Series = tuple[remote_write.Labels, tuple[remote_write.Sample, ...]]


class NotTakenError(Exception):
    """A request that is not taken: its status, a short word, and more for people."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.reason, self.detail = status, reason, detail


def read_otlp(body: bytes, kind: str, encoding: str) -> list[otlp.Metric]:
    """The metrics in an OTLP request; raises :class:`NotTakenError`."""
    plain = inflate(body, encoding)
    if kind == JSON and len(plain) > JSON_BYTES_MAX:
        raise NotTakenError(413, "oversized", f"JSON: at most {JSON_BYTES_MAX} bytes; send protobuf")
    metrics, points = [], 0
    try:
        for metric in otlp_json.read(plain) if kind == JSON else otlp_protobuf.read(plain):
            points += len(metric.points)
            if points > otlp.POINTS_MAX:
                raise NotTakenError(413, "too_many_points", f"at most {otlp.POINTS_MAX} points")
            if metric.points:
                metrics.append(metric)
    except (ValueError, OverflowError) as error:
        raise NotTakenError(400, "malformed", str(error)[:200]) from error
    return metrics


def read_series(body: bytes) -> list[Series]:
    """The series in a remote-write request; raises :class:`NotTakenError`."""
    try:
        return list(_bounded(remote_write.read(unsnap(body))))
    except (ValueError, OverflowError) as error:
        raise NotTakenError(400, "malformed", str(error)[:200]) from error


def _bounded(series: Iterator[Series]) -> Iterator[Series]:
    count = 0
    for one in series:
        count += len(one[1])
        if count > otlp.POINTS_MAX:
            raise NotTakenError(413, "too_many_points", f"at most {otlp.POINTS_MAX} samples")
        yield one


def inflate(body: bytes, encoding: str) -> bytes:
    """``body`` without its gzip, if it has one."""
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise NotTakenError(415, "content_encoding", "Content-Encoding: gzip or identity")
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(body, INFLATED_BYTES_MAX)
    except zlib.error as error:
        raise NotTakenError(400, "malformed", f"not gzip: {error}") from error
    if inflater.unconsumed_tail:
        raise NotTakenError(413, "oversized", f"inflated, at most {INFLATED_BYTES_MAX} bytes")
    if not inflater.eof:
        raise NotTakenError(400, "malformed", "gzip ends too early")
    return inflated


def unsnap(body: bytes) -> bytes:
    """A snappy block says its size in front."""
    try:
        size, _ = varint(memoryview(body), 0)
        if size > INFLATED_BYTES_MAX:
            raise NotTakenError(413, "oversized", f"uncompressed, at most {INFLATED_BYTES_MAX} bytes")
        if size == 0:
            return b""
        plain: bytes = pa.decompress(body, decompressed_size=size, codec="snappy", asbytes=True)
    except (OSError, ValueError) as error:
        raise NotTakenError(400, "malformed", f"not a snappy block: {error}") from error
    return plain
