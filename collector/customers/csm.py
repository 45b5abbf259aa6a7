"""One datagram of AWS SDK client-side monitoring (pure).

An SDK that was told ``AWS_CSM_ENABLED=true`` sends a JSON object for each attempt (``ApiCallAttempt``) and one for each call
(``ApiCall``). Source: ``botocore/monitoring.py``; other SDKs send the same names. An event names no table and no
consistency: see :mod:`collector.customers.directory` and :func:`~collector.customers.vocabulary.operation_of`. Access keys
and session tokens that are in it are not read.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

import msgspec

from collector.customers.vocabulary import bucket_of, operation_of, outcome_of
from collector.ingest import FUTURE_SECONDS, LATE_SECONDS
from collector.observation import Connection, Level, Observation, OperationClass, Outcome, Phase

DATAGRAM_BYTES_MAX = 8 * 1024
"""SDKs do not send more."""


class Ignored(StrEnum):
    """Why an event does not count (closed set: also the label of a metric)."""

    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    VERSION = "version"
    OTHER_TYPE = "other_type"
    OTHER_SERVICE = "other_service"
    BAD_NAME = "bad_name"
    UNKNOWN_CUSTOMER = "unknown_customer"
    FROM_THE_FUTURE = "from_the_future"
    TOO_OLD = "too_old"


class IgnoredError(ValueError):
    """An event that does not count."""

    def __init__(self, reason: Ignored) -> None:
        super().__init__(reason.value)
        self.reason = reason


class _Event(msgspec.Struct, frozen=True):
    Version: int
    Type: str
    ClientId: str = ""
    Service: str = ""
    Api: str = ""
    Timestamp: float = 0.0
    Fqdn: str = ""
    AttemptLatency: float | None = None
    Latency: float | None = None
    HttpStatusCode: int | None = None
    FinalHttpStatusCode: int | None = None
    AwsException: str | None = None
    FinalAwsException: str | None = None
    AwsExceptionMessage: str | None = None
    SdkException: str | None = None
    FinalSdkException: str | None = None
    SdkExceptionMessage: str | None = None
    XAmznRequestId: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What an SDK saw of one attempt, or of one call. ``at``: its start, UTC epoch seconds; ``host``: whom it asked."""

    client_id: str
    level: Level
    at: float
    api: str
    operation: OperationClass
    host: str
    outcome: Outcome
    reason: str
    latency_ms: float | None
    status: int | None = None
    request_id: str | None = None
    detail: str | None = None

    @property
    def bucket(self) -> int | None:
        """The place of a success's latency in the histogram."""
        return bucket_of(self.latency_ms) if self.outcome is Outcome.SUCCESS and self.latency_ms is not None else None

    def failure(self, table: str, endpoint: str) -> Observation | None:
        """A failed attempt, whole; None for successes and for calls (their attempts are told by themselves)."""
        if self.level is Level.CALL or self.outcome is Outcome.SUCCESS:
            return None
        return Observation(
            at=self.at,
            endpoint=endpoint,
            connection=Connection.POOLED,
            operation=self.operation,
            table=table,
            outcome=self.outcome,
            reason=self.reason[:255],
            phase=Phase.WAIT if self.status is None else Phase.HTTP,
            status=self.status,
            request_id=None if self.request_id is None else self.request_id[:255],
            detail=None if self.detail is None else self.detail[:512],
            total_ms=self.latency_ms or 0.0,
        )


_DECODER = msgspec.json.Decoder(_Event, strict=False)


def read(datagram: bytes, *, at: float, services: frozenset[str], late_seconds: float = LATE_SECONDS) -> Event:
    """The event in a datagram that came ``at``; raises :class:`IgnoredError`."""
    if len(datagram) > DATAGRAM_BYTES_MAX:
        raise IgnoredError(Ignored.OVERSIZED)
    try:
        event = _DECODER.decode(datagram)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IgnoredError(Ignored.MALFORMED) from error
    if event.Version != 1:
        raise IgnoredError(Ignored.VERSION)
    if event.Type not in ("ApiCall", "ApiCallAttempt"):
        raise IgnoredError(Ignored.OTHER_TYPE)
    if event.Service not in services:
        raise IgnoredError(Ignored.OTHER_SERVICE)
    _check_time(event.Timestamp / 1000, at, late_seconds)
    return _call(event) if event.Type == "ApiCall" else _attempt(event)


def _check_time(value: float, at: float, late_seconds: float) -> None:
    if not isfinite(value) or value < at - late_seconds:
        raise IgnoredError(Ignored.TOO_OLD)
    if value > at + FUTURE_SECONDS:
        raise IgnoredError(Ignored.FROM_THE_FUTURE)


def _attempt(event: _Event) -> Event:
    outcome, reason = outcome_of(event.HttpStatusCode, event.AwsException, event.SdkException)
    return Event(
        client_id=event.ClientId,
        level=Level.ATTEMPT,
        at=event.Timestamp / 1000,
        api=event.Api,
        operation=operation_of(event.Api),
        host=event.Fqdn[:255],
        outcome=outcome,
        reason=reason,
        latency_ms=_latency(event.AttemptLatency),
        status=event.HttpStatusCode,
        request_id=event.XAmznRequestId,
        detail=event.AwsExceptionMessage or event.SdkExceptionMessage,
    )


def _call(event: _Event) -> Event:
    outcome, reason = outcome_of(event.FinalHttpStatusCode, event.FinalAwsException, event.FinalSdkException)
    return Event(
        client_id=event.ClientId,
        level=Level.CALL,
        at=event.Timestamp / 1000,
        api=event.Api,
        operation=operation_of(event.Api),
        host="",
        outcome=outcome,
        reason=reason,
        latency_ms=_latency(event.Latency),
        status=event.FinalHttpStatusCode,
    )


def _latency(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) and value >= 0 else None
