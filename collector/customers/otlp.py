"""OTLP metrics of a customer's program, and what they mean (pure).

Taken are the client durations of OpenTelemetry's semantic conventions and two counters of our own; see ``docs/customers.md``.
Both encodings (:mod:`collector.customers.otlp_protobuf`, :mod:`collector.customers.otlp_json`) make :class:`Metric` values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from collector.customers.config import CustomersConfig
from collector.customers.streams import Point
from collector.customers.vocabulary import THROTTLES, bucket_of, operation_of, outcome_of, table_of
from collector.observation import Level, OperationClass, Outcome

Value = str | int | float | bool | tuple["Value", ...]
Attributes = Mapping[str, Value]

POINTS_MAX = 50_000
DELTA, CUMULATIVE = 1, 2

DURATIONS: dict[str, tuple[Level, float]] = {
    "http.client.request.duration": (Level.ATTEMPT, 1000.0),
    "http.client.duration": (Level.ATTEMPT, 1.0),
    "rpc.client.call.duration": (Level.CALL, 1000.0),
    "rpc.client.duration": (Level.CALL, 1.0),
}
"""Histogram → its level, and its unit in milliseconds. Each HTTP request is an attempt; an instrumented SDK's call is a call."""

COUNTERS: dict[str, Level] = {
    "fivenines.customer.attempts": Level.ATTEMPT,
    "fivenines.customer.calls": Level.CALL,
}

_CUSTOMERS_FAULTS = frozenset(
    {
        "AccessDeniedException",
        "ConditionalCheckFailedException",
        "ItemCollectionSizeLimitExceededException",
        "ResourceInUseException",
        "ResourceNotFoundException",
        "TransactionCanceledException",
        "UnrecognizedClientException",
        "ValidationException",
    }
)
_SERVER_FAULTS = frozenset(
    {"InternalServerError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPoint:
    """``values``: a counter's one value; a histogram's count, then its buckets (``bounds`` are their upper ends, one fewer)."""

    attributes: Attributes
    start_ns: int
    at_ns: int
    values: tuple[int, ...]
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of one resource. ``temporality``: :data:`DELTA` or :data:`CUMULATIVE`."""

    resource: Attributes
    name: str
    temporality: int
    points: tuple[DataPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a data point counts, and for whom. ``milliseconds``: the unit of its bounds; 0 when it has none."""

    customer: str
    zone: str
    table: str
    operation: OperationClass
    level: Level
    endpoint: str | None
    outcome: Outcome
    milliseconds: float = 0.0


def meaning_of(metric: Metric, point: DataPoint, config: CustomersConfig) -> Meaning | str:
    """What it counts, or why it is not taken: ``other_metric``, ``other_service``, ``bad_outcome``."""
    level, unit = DURATIONS.get(metric.name, (COUNTERS.get(metric.name), 0.0))
    if level is None:
        return "other_metric"
    attributes = point.attributes
    endpoint = _endpoint(attributes, config)
    if unit and not _is_ours(attributes, endpoint, config):
        return "other_service"
    outcome = _outcome(attributes) if unit else _said_outcome(attributes)
    if outcome is None:
        return "bad_outcome"
    return Meaning(
        customer=_text(metric.resource, "service.name"),
        zone=_text(metric.resource, "cloud.availability_zone"),
        table=_table(attributes),
        operation=_operation(attributes),
        level=level,
        endpoint=endpoint,
        outcome=outcome,
        milliseconds=unit,
    )


def point_of(metric: Metric, point: DataPoint) -> Point:
    """The point of its stream: resource, name and attributes together are its identity."""
    resource = tuple(sorted((key, str(value)) for key, value in metric.resource.items()))
    attributes = tuple(sorted((key, str(value)) for key, value in point.attributes.items()))
    return Point(
        stream=(resource, metric.name, attributes),
        source=(resource, metric.name),
        at_ns=point.at_ns,
        values=point.values,
        start_ns=point.start_ns,
        delta=metric.temporality == DELTA,
    )


def latencies(bounds: tuple[float, ...], buckets: tuple[int, ...], milliseconds: float) -> dict[int, int]:
    """Our histogram's place → count. A bucket that spans several of ours goes to the slowest: never flattering."""
    found: dict[int, int] = {}
    for number, count in enumerate(buckets):
        if count:
            upper = bounds[number] * milliseconds if number < len(bounds) else float("inf")
            place = bucket_of(upper)
            found[place] = found.get(place, 0) + count
    return found


def _text(attributes: Attributes, *names: str) -> str:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _endpoint(attributes: Attributes, config: CustomersConfig) -> str | None:
    host = _text(attributes, "server.address", "net.peer.name")
    port = attributes.get("server.port", attributes.get("net.peer.port"))
    return config.endpoints.get(f"{host}:{port}") or config.endpoints.get(host)


def _is_ours(attributes: Attributes, endpoint: str | None, config: CustomersConfig) -> bool:
    """Whether a request went to the store: by its endpoint, its service, or the tables that it names."""
    service = _text(attributes, "rpc.service") or _text(attributes, "rpc.method").partition("/")[0]
    return endpoint is not None or service in config.csm_services or "aws.dynamodb.table_names" in attributes


def _table(attributes: Attributes) -> str:
    names = attributes.get("aws.dynamodb.table_names")
    if isinstance(names, str):
        return table_of(names)
    if isinstance(names, tuple):
        return table_of(str(names[0])) if len(set(names)) == 1 else ""
    return table_of(_text(attributes, "table", "db.collection.name"))


def _operation(attributes: Attributes) -> OperationClass:
    word = _text(attributes, "operation", "rpc.method", "db.operation.name").rpartition("/")[2]
    if word in frozenset(OperationClass):
        return OperationClass(word)
    return operation_of(word) if word else OperationClass.CHECK


def _said_outcome(attributes: Attributes) -> Outcome | None:
    word = _text(attributes, "outcome")
    return Outcome(word) if word in frozenset(Outcome) else None


def _outcome(attributes: Attributes) -> Outcome:
    status = attributes.get("http.response.status_code", attributes.get("http.status_code"))
    error = _text(attributes, "error.type")
    if error.isdigit() and len(error) == 3:
        status, error = int(error), ""
    known = int(status) if isinstance(status, int) and not isinstance(status, bool) else None
    if known is None and not error:
        return Outcome.SUCCESS
    if known is not None or error in THROTTLES:
        return outcome_of(known, error or None, None)[0]
    if error in _CUSTOMERS_FAULTS:
        return Outcome.CUSTOMER_FAULT
    return Outcome.SERVER_FAULT if error in _SERVER_FAULTS else outcome_of(None, None, error)[0]
