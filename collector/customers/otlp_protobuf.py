"""``ExportMetricsServiceRequest`` as protobuf (pure). Source: opentelemetry-proto, ``metrics/v1/metrics.proto``."""

from collections.abc import Iterator

from collector.customers.otlp import POINTS_MAX, Attributes, DataPoint, Metric, Value
from collector.customers.protobuf import (
    ProtobufError,
    double,
    fields,
    fixed64,
    message,
    number,
    packed,
    sfixed64,
    signed,
    text,
)

DEPTH_MAX = 4
ATTRIBUTES_MAX = 128
BUCKETS_MAX = 1000
_SUM, _HISTOGRAM, _EXPONENTIAL = 7, 9, 10


def read(body: bytes) -> Iterator[Metric]:
    """The sums and histograms in a request; raises :class:`ProtobufError`."""
    for field, resource_metrics in fields(memoryview(body)):
        if field == 1:
            yield from _resource_metrics(message(resource_metrics))


def answer(rejected: int, detail: str) -> bytes:
    """``ExportMetricsServiceResponse``: empty, or with its partial success."""
    if not rejected:
        return b""
    told = detail.encode()[:100]
    partial = b"\x08" + _varint(rejected) + b"\x12" + bytes([len(told)]) + told
    return b"\x0a" + bytes([len(partial)]) + partial


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _resource_metrics(data: memoryview) -> Iterator[Metric]:
    resource: Attributes = {}
    scopes = []
    for field, value in fields(data):
        if field == 1:
            resource = _attributes(message(value), 1)
        elif field == 2:
            scopes.append(message(value))
    for scope in scopes:
        for field, value in fields(scope):
            if field == 2:
                yield from _metric(resource, message(value))


def _metric(resource: Attributes, data: memoryview) -> Iterator[Metric]:
    name, kind, body = "", 0, None
    for field, value in fields(data):
        if field == 1:
            name = text(value)
        elif field in (_SUM, _HISTOGRAM, _EXPONENTIAL):
            kind, body = field, message(value)
    if body is None:
        return
    temporality, monotonic, points = 0, kind != _SUM, []
    for field, value in fields(body):
        if field == 1:
            points.append(_POINTS[kind](message(value)))
            if len(points) > POINTS_MAX:
                raise ProtobufError(f"more than {POINTS_MAX} points")
        elif field == 2:
            temporality = number(value)
        elif field == 3 and kind == _SUM:
            monotonic = bool(number(value))
    if monotonic and temporality:
        yield Metric(resource=resource, name=name, temporality=temporality, points=tuple(points))


def _counter(data: memoryview) -> DataPoint:
    start = at = value = 0
    for field, found in fields(data):
        if field == 2:
            start = fixed64(found)
        elif field == 3:
            at = fixed64(found)
        elif field == 4:
            value = _whole(double(found))
        elif field == 6:
            value = sfixed64(found)
    return DataPoint(attributes=_attributes(data, 7), start_ns=start, at_ns=at, values=(max(0, value),))


def _histogram(data: memoryview) -> DataPoint:
    start = at = count = 0
    buckets: tuple[float, ...] = ()
    bounds: tuple[float, ...] = ()
    for field, found in fields(data):
        if field == 2:
            start = fixed64(found)
        elif field == 3:
            at = fixed64(found)
        elif field == 4:
            count = fixed64(found)
        elif field == 6 and len(buckets) <= BUCKETS_MAX:
            buckets += packed("Q", found)
        elif field == 7 and len(bounds) <= BUCKETS_MAX:
            bounds += packed("d", found)
    if len(buckets) > BUCKETS_MAX or len(bounds) > BUCKETS_MAX:
        raise ProtobufError(f"more than {BUCKETS_MAX} buckets")
    values = (count, *(int(bucket) for bucket in buckets))
    return DataPoint(attributes=_attributes(data, 9), start_ns=start, at_ns=at, values=values, bounds=bounds)


def _exponential(data: memoryview) -> DataPoint:
    """Its count only: its buckets are not ours."""
    start = at = count = 0
    for field, found in fields(data):
        if field == 2:
            start = fixed64(found)
        elif field == 3:
            at = fixed64(found)
        elif field == 4:
            count = fixed64(found)
    return DataPoint(attributes=_attributes(data, 1), start_ns=start, at_ns=at, values=(count,))


_POINTS = {_SUM: _counter, _HISTOGRAM: _histogram, _EXPONENTIAL: _exponential}


def _whole(value: float) -> int:
    if not 0 <= value < 2**63:
        raise ProtobufError("a counter that is no count")
    return round(value)


def _attributes(data: memoryview, wanted: int) -> Attributes:
    found: dict[str, Value] = {}
    for field, pair in fields(data):
        if field != wanted:
            continue
        key, value = "", None
        for part, content in fields(message(pair)):
            if part == 1:
                key = text(content)
            elif part == 2:
                value = _value(message(content), DEPTH_MAX)
        if value is not None and len(found) < ATTRIBUTES_MAX:
            found[key] = value
    return found


def _value(data: memoryview, depth: int) -> Value | None:
    for field, content in fields(data):
        if field == 1:
            return text(content)
        if field == 2:
            return bool(number(content))
        if field == 3:
            return signed(content)
        if field == 4:
            return double(content)
        if field == 5 and depth:
            inside = (_value(message(item), depth - 1) for part, item in fields(message(content)) if part == 1)
            return tuple(value for value in inside if value is not None)
    return None
