"""``ExportMetricsServiceRequest`` as JSON (pure). Source: the OTLP specification, "JSON Protobuf Encoding".

64-bit integers may be strings; enums are numbers, names are taken as well; unknown fields are ignored.
"""

from collections.abc import Iterator

import msgspec

from collector.customers.otlp import CUMULATIVE, DELTA, Attributes, DataPoint, Metric, Value


class _AnyValue(msgspec.Struct, frozen=True, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    array_value: "_Array | None" = None

    def plain(self) -> Value | None:
        """The value in it."""
        for value in (self.string_value, self.bool_value, self.int_value, self.double_value):
            if value is not None:
                return value
        if self.array_value is None:
            return None
        return tuple(plain for one in self.array_value.values if (plain := one.plain()) is not None)


class _Array(msgspec.Struct, frozen=True):
    values: list[_AnyValue] = []


class _Pair(msgspec.Struct, frozen=True):
    key: str
    value: _AnyValue = _AnyValue()


class _Point(msgspec.Struct, frozen=True, rename="camel"):
    attributes: list[_Pair] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    as_int: int | None = None
    as_double: float | None = None
    count: int | None = None
    bucket_counts: list[int] = []
    explicit_bounds: list[float] = []

    def data(self) -> DataPoint:
        """In the terms of :mod:`collector.customers.otlp`."""
        if self.count is not None:
            values = (self.count, *self.bucket_counts)
        else:
            values = (self.as_int if self.as_int is not None else round(self.as_double or 0.0),)
        if min(values) < 0:
            raise ValueError("a counter that is no count")
        return DataPoint(
            attributes=_plain(self.attributes),
            start_ns=self.start_time_unix_nano,
            at_ns=self.time_unix_nano,
            values=values,
            bounds=tuple(self.explicit_bounds),
        )


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    data_points: list[_Point] = []
    aggregation_temporality: int | str = 0
    is_monotonic: bool = False


class _Metric(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    sum: _Data | None = None
    histogram: _Data | None = None
    exponential_histogram: _Data | None = None


class _Scope(msgspec.Struct, frozen=True, rename="camel"):
    metrics: list[_Metric] = []


class _Resource(msgspec.Struct, frozen=True):
    attributes: list[_Pair] = []


class _ResourceMetrics(msgspec.Struct, frozen=True, rename="camel"):
    resource: _Resource = _Resource()
    scope_metrics: list[_Scope] = []


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    resource_metrics: list[_ResourceMetrics] = []


_DECODER = msgspec.json.Decoder(_Request, strict=False)
_WORDS = {
    "1": DELTA,
    "2": CUMULATIVE,
    "AGGREGATION_TEMPORALITY_DELTA": DELTA,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": CUMULATIVE,
}


def read(body: bytes) -> Iterator[Metric]:
    """The sums and histograms in a request; raises ``ValueError``."""
    try:
        request = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    for one in request.resource_metrics:
        resource = _plain(one.resource.attributes)
        for scope in one.scope_metrics:
            for metric in scope.metrics:
                yield from _metric(resource, metric)


def _metric(resource: Attributes, metric: _Metric) -> Iterator[Metric]:
    data = metric.sum or metric.histogram or metric.exponential_histogram
    if data is None or (metric.sum is not None and not data.is_monotonic):
        return
    temporality = _WORDS.get(str(data.aggregation_temporality))
    if temporality is not None:
        points = tuple(point.data() for point in data.data_points)
        yield Metric(resource=resource, name=metric.name, temporality=temporality, points=points)


def _plain(pairs: list[_Pair]) -> Attributes:
    return {pair.key: value for pair in pairs[:128] if (value := pair.value.plain()) is not None}
