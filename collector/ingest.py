"""What becomes of a batch: accepted, duplicate or refused, each for a named reason (pure)."""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

import msgspec

from collector import sequence, shape
from collector.interval import interval_of
from collector.observation import Connection, OperationClass, Vantage
from collector.sequence import Ranges
from collector.series import LATENCY_BOUNDS_MS, Reading, Unobserved
from collector.wire import MAX_BODY_BYTES, MAX_READINGS_PER_BATCH, Batch, WireError, decode_batch

FUTURE_SECONDS = 300.0
"""A clock that is further ahead than this is wrong; its readings would sit in intervals that have not begun."""

LATE_SECONDS = 7 * 86400.0
"""Older readings than this are not taken any more: a spool is shorter, and senders must be forgotten some day."""


class Refusal(StrEnum):
    """Why a batch is not taken (closed set: also the label of a metric)."""

    UNAUTHORIZED = "unauthorized"
    OVERSIZED = "oversized"
    BODY_TIMEOUT = "body_timeout"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    MALFORMED = "malformed"
    UNKNOWN_FIELD = "unknown_field"
    TEXT_LENGTH = "text_length"
    NEGATIVE_COUNT = "negative_count"
    COUNT_TOO_LARGE = "count_too_large"
    SEQUENCE_NOT_POSITIVE = "sequence_not_positive"
    NOT_FINITE = "not_finite"
    TOO_MANY_READINGS = "too_many_readings"
    TOO_MANY_HOLES = "too_many_holes"
    LATENCY_BUCKETS = "latency_buckets"
    FROM_THE_FUTURE = "from_the_future"
    TOO_OLD = "too_old"
    FOREIGN_HOST = "foreign_host"
    MIXED_VANTAGES = "mixed_vantages"
    NOT_PRINTABLE = "not_printable"
    BUSY = "busy"
    STORAGE_UNAVAILABLE = "storage_unavailable"


class RefusedError(ValueError):
    """A batch that is not taken; ``detail`` names the field."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Accepted:
    """New: count it. ``seen`` is what to remember of its sender."""

    seen: Ranges


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Arrived before: nothing changes."""


def _reason_of(message: str) -> Refusal:
    """The typed reason behind the decoder's message."""
    if "unknown field" in message:
        return Refusal.UNKNOWN_FIELD
    if "`str` of length" in message:
        return Refusal.TEXT_LENGTH
    if "`$.sequence`" in message and "`int` >=" in message:
        return Refusal.SEQUENCE_NOT_POSITIVE
    if "`int` >=" in message:
        return Refusal.NEGATIVE_COUNT
    if "`int` <=" in message:
        return Refusal.COUNT_TOO_LARGE
    return Refusal.MALFORMED


def read(body: bytes) -> Batch:
    """The batch in ``body``; raises :class:`RefusedError`."""
    if len(body) > MAX_BODY_BYTES:
        raise RefusedError(Refusal.OVERSIZED, f"body: {len(body)} bytes, at most {MAX_BODY_BYTES}")
    try:
        shape.check(body)
        return decode_batch(body)
    except (WireError, ValueError) as error:
        raise RefusedError(_reason_of(str(error)), f"body: {error}") from error


def check(batch: Batch, *, at: float, late_seconds: float = LATE_SECONDS) -> None:
    """Raise :class:`RefusedError` unless ``batch`` may be taken when the collector's clock shows ``at``."""
    _check_sender(batch)
    if len(batch.readings) > MAX_READINGS_PER_BATCH or len(batch.unobserved) > MAX_READINGS_PER_BATCH:
        raise RefusedError(
            Refusal.TOO_MANY_READINGS,
            f"$.readings, $.unobserved: {len(batch.readings)}, {len(batch.unobserved)}, at most {MAX_READINGS_PER_BATCH} each",
        )
    if batch.readings or batch.unobserved or batch.health:
        # An empty batch may come from any time: it says only that its number is used up, as after a refusal.
        _check_time(batch.sent_at, "$.sent_at", at, late_seconds)
    for i, reading in enumerate(batch.readings):
        _check_reading(reading, batch, f"$.readings[{i}]", at, late_seconds)
    for i, missing in enumerate(batch.unobserved):
        _check_time(missing.at, f"$.unobserved[{i}].at", at, late_seconds)
    if batch.health is not None:
        _check_time(batch.health.at, "$.health.at", at, late_seconds)
        if batch.health.host != batch.host:
            raise RefusedError(
                Refusal.FOREIGN_HOST, f"$.health.host: {batch.health.host!r} in a batch of {batch.host!r}"
            )


def _check_sender(batch: Batch) -> None:
    for name in ("host", "zone", "boot"):
        if not getattr(batch, name).isprintable():
            raise RefusedError(Refusal.NOT_PRINTABLE, f"$.{name}: holds control characters")
    if batch.sequence < 1:
        raise RefusedError(Refusal.SEQUENCE_NOT_POSITIVE, f"$.sequence: {batch.sequence}")


def _check_time(value: float, path: str, at: float, late_seconds: float) -> None:
    if not isfinite(value):
        raise RefusedError(Refusal.NOT_FINITE, f"{path}: {value}")
    if value > at + FUTURE_SECONDS:
        raise RefusedError(Refusal.FROM_THE_FUTURE, f"{path}: {value - at:.0f} s ahead, at most {FUTURE_SECONDS:.0f}")
    if value < at - late_seconds:
        raise RefusedError(Refusal.TOO_OLD, f"{path}: {at - value:.0f} s old, at most {late_seconds:.0f}")


def _check_reading(reading: Reading, batch: Batch, path: str, at: float, late_seconds: float) -> None:
    _check_time(reading.at, f"{path}.at", at, late_seconds)
    series = reading.series
    if series.vantage is not Vantage.SERVER and series.host != batch.host:
        raise RefusedError(Refusal.FOREIGN_HOST, f"{path}.series.host: {series.host!r} in a batch of {batch.host!r}")
    if series.vantage is not batch.readings[0].series.vantage:
        raise RefusedError(Refusal.MIXED_VANTAGES, f"{path}.series.vantage: one vantage a batch")
    if len(reading.latency) not in (0, len(LATENCY_BOUNDS_MS) + 1):
        raise RefusedError(Refusal.LATENCY_BUCKETS, f"{path}.latency: 0 or {len(LATENCY_BOUNDS_MS) + 1} buckets")
    for i, failure in enumerate(reading.failures):
        _check_time(failure.at, f"{path}.failures[{i}].at", at, late_seconds)


def decide(batch: Batch, seen: Ranges) -> Accepted | Duplicate:
    """Whether ``batch`` is new, given what was seen of its ``(host, boot)``; raises :class:`RefusedError`."""
    if sequence.contains(seen, batch.sequence):
        return Duplicate()
    after = sequence.add(seen, batch.sequence)
    if len(after) > sequence.RANGES_MAX:
        raise RefusedError(
            Refusal.TOO_MANY_HOLES, f"$.sequence: more than {sequence.RANGES_MAX} holes in boot {batch.boot!r}"
        )
    return Accepted(after)


def remainder(batch: Batch, reason: Refusal, *, at: float, late_seconds: float = LATE_SECONDS) -> Batch:
    """What may be kept of a refused batch: its number, and the count of its probes as unobserved for ``reason``.

    A time that is not to be believed becomes ``at``. Raises :class:`RefusedError` when not even its sender can be kept.
    """
    _check_sender(batch)

    def believed(told: float) -> int:
        return interval_of(told if isfinite(told) and at - late_seconds <= told <= at + FUTURE_SECONDS else at)

    counts: dict[tuple[str, Connection, OperationClass, int], int] = {}
    for reading in batch.readings:
        series = reading.series
        connection = series.connection or Connection.FRESH
        key = (series.endpoint or "", connection, series.operation, believed(reading.at))
        counts[key] = counts.get(key, 0) + sum(reading.counts.values())
    for one in batch.unobserved:
        key = (one.endpoint, one.connection, one.operation, believed(one.at))
        counts[key] = counts.get(key, 0) + one.count
    lost = tuple(
        Unobserved(endpoint=e, connection=c, operation=o, at=start, count=n, reason=f"refused_{reason}")
        for (e, c, o, start), n in counts.items()
        if n
    )
    return msgspec.structs.replace(batch, sent_at=at, readings=(), unobserved=lost, health=None)
