"""What travels between rooms as JSON, and its limits: canary → collector (push) and collector → cfa (feed).

HTTP joints (bearer token in ``Authorization`` when one is configured):

* ``POST /v1/batches``  body = one :class:`Batch` as JSON → 200 ``{"status": "accepted" | "duplicate"}``; the reply comes only
  after the batch is durable. 400 malformed (typed reason), 401 no token, 413 over ``MAX_BODY_BYTES``, 422 refused (reason), 503 busy.
* ``GET /v1/feed?after=CURSOR&limit=N&wait=SECONDS`` → JSON list of :class:`~collector.series.FeedEntry`, oldest first; waits up to
  ``wait`` seconds for the first one. 410 when ``after`` is older than what is kept (``{"oldest": cursor}``).
* ``GET /v1/intervals?start=EPOCH&end=EPOCH[&vantage=…]`` → JSON list of :class:`IntervalRow`.
"""

from typing import TypeVar

import msgspec

from collector.observation import Outcome
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
