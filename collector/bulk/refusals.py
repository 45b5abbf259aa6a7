"""Why a frame of the columnar lane is not taken (pure)."""

from enum import StrEnum
from typing import Any


class BulkRefusal(StrEnum):
    """Closed set: also the label of ``collector_counters_refused_total``."""

    UNAUTHORIZED = "unauthorized"
    OVERSIZED = "oversized"
    BODY_TIMEOUT = "body_timeout"
    UNSUPPORTED_ENCODING = "unsupported_encoding"
    MALFORMED = "malformed"
    TEXT_LENGTH = "text_length"
    NOT_PRINTABLE = "not_printable"
    NOT_FINITE = "not_finite"
    SEQUENCE_NOT_POSITIVE = "sequence_not_positive"
    TOO_MANY_HOLES = "too_many_holes"
    FROM_THE_FUTURE = "from_the_future"
    TOO_OLD = "too_old"
    COUNT_TOO_LARGE = "count_too_large"
    NOT_ASCENDING = "not_ascending"
    UNKNOWN_SERIES = "unknown_series"
    UNKNOWN_DIMENSION = "unknown_dimension"
    SERIES_CONFLICT = "series_conflict"
    FOREIGN_HOST = "foreign_host"
    TOO_MANY_SERIES = "too_many_series"
    TOO_MANY_SENDERS = "too_many_senders"
    TOO_MANY_INTERVALS = "too_many_intervals"
    BUSY = "busy"
    STORAGE_UNAVAILABLE = "storage_unavailable"


STATUS: dict[BulkRefusal, int] = {
    BulkRefusal.UNAUTHORIZED: 401,
    BulkRefusal.OVERSIZED: 413,
    BulkRefusal.BODY_TIMEOUT: 408,
    BulkRefusal.UNSUPPORTED_ENCODING: 415,
    BulkRefusal.MALFORMED: 400,
    BulkRefusal.UNKNOWN_SERIES: 409,
    BulkRefusal.TOO_MANY_INTERVALS: 503,
    BulkRefusal.BUSY: 503,
    BulkRefusal.STORAGE_UNAVAILABLE: 503,
}
"""What is not here is 422: well-formed, but not to be believed. 503 and 409 may be sent again; all others are for good."""


class BulkRefusedError(ValueError):
    """A frame that is not taken; ``detail`` names the place, ``more`` are further fields of the answer."""

    def __init__(self, reason: BulkRefusal, detail: str, **more: Any) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.more = more
