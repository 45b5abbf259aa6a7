"""What travels between rooms as JSON, and its limits: canary → collector (push) and collector → cfa (feed) (pure).

HTTP joints (bearer token in ``Authorization`` when one is configured):

* ``POST /v1/batches``  body = one :class:`Batch` as JSON → 200 ``{"status": "accepted" | "duplicate"}``; the reply comes only
  after the batch is durable. 400 malformed (typed reason), 401 no token, 413 over ``MAX_BODY_BYTES``, 422 refused (reason), 503 busy.
* ``GET /v1/feed?after=CURSOR&limit=N&wait=SECONDS`` → JSON list of :class:`~collector.series.FeedEntry`, oldest first; waits up to
  ``wait`` seconds for the first one. 410 when ``after`` is older than what is kept (``{"oldest": cursor}``).
* ``GET /v1/intervals?start=EPOCH&end=EPOCH[&vantage=…][&by=zone,endpoint][&version=N]`` → JSON list of :class:`IntervalRow`, by ``start``.
  ``by`` adds up what differs in other dimensions (those are then null or ""; vantage, operation and level are always kept);
  ``version`` asks for what was known then: the newest version up to N. A sealed version never changes; 0 is not sealed yet.
* ``GET /v1/unobserved?start&end`` → list of :class:`UnobservedRow`; ``GET /v1/health_spans?start&end`` → list of :class:`HealthSpan`;
  ``GET /v1/failures?start&end&limit`` → list of :class:`FailureRow`, oldest first; ``GET /v1/targets`` → list of
  :class:`~collector.series.TargetState`.

Errors are ``{"error": word, "detail": text}``; the words are those of :class:`collector.ingest.Refusal` and ``bad_query``, ``gone``.
"""

from typing import TypeVar

import msgspec

from collector.observation import Connection, Observation, OperationClass, Outcome, Vantage
from collector.series import FeedEntry, Health, Reading, Series, Unobserved

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_READINGS_PER_BATCH = 10_000

T = TypeVar("T")


class Batch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one host sends at once. ``(host, boot, sequence)`` is its identity: a second arrival changes nothing.

    ``boot`` names one life of the host process; ``sequence`` starts at 1 with each boot and has no holes.
    ``sent_at`` is the host's UTC clock, for its clock offset.
    """

    host: str
    zone: str
    boot: str
    sequence: int
    sent_at: float
    readings: tuple[Reading, ...] = ()
    unobserved: tuple[Unobserved, ...] = ()
    health: Health | None = None


class IntervalRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Integer counts of one series in one five-minute interval, at its newest version."""

    series: Series
    start: int
    version: int
    counts: dict[Outcome, int]
    latency: tuple[int, ...] = ()
    recused: bool = False
    excluded: bool = False
    """Taken out of every figure afterwards (``fivenines ledger exclude``): kept apart, and in no sum with the others."""


class UnobservedRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Intended probes of one host's cell in one five-minute interval that were not asked or not believable."""

    host: str
    zone: str
    endpoint: str
    connection: Connection
    operation: OperationClass
    start: int
    reason: str
    count: int


class HealthSpan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A canary host said the same of itself from ``since`` to ``until`` (the last time that it said so), UTC epoch seconds."""

    host: str
    zone: str
    since: float
    until: float
    recused: bool
    reasons: tuple[str, ...] = ()


class FailureRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One failed or excluded attempt, whole, and who saw it; ``recused``: its host had recused itself.

    ``fate``, ``fate_detail``: what the router said about its request (:class:`collector.join.Fate`); None: it was not asked.
    """

    host: str
    zone: str
    vantage: Vantage
    received_at: float
    recused: bool
    observation: Observation
    fate: str | None = None
    fate_detail: str | None = None


class WireError(ValueError):
    """A payload that is not what the contract says; the text names the field."""


def encode(value: object) -> bytes:
    """Any value of the contract as JSON bytes."""
    return msgspec.json.encode(value)


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(str(error)) from error


def decode_batch(data: bytes) -> Batch:
    """A batch from JSON bytes; raises :class:`WireError`."""
    return _decode(data, Batch)


def decode_feed(data: bytes) -> list[FeedEntry]:
    """Feed entries from JSON bytes; raises :class:`WireError`."""
    return _decode(data, list[FeedEntry])


def decode_intervals(data: bytes) -> list[IntervalRow]:
    """Interval rows from JSON bytes; raises :class:`WireError`."""
    return _decode(data, list[IntervalRow])
