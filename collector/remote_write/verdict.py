"""What a receiver's answer means: sent, refused, or try again after so long (pure).

5xx, 429 and a broken connection are tried again, as remote write 1.0 demands. 401, 403, 404, 407 and 408 say nothing about the
samples but about the door (a token that is being changed, a proxy that does not know its receiver yet): they too are tried
again. Any other 4xx means that these samples will never be taken.
"""

from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

AGAIN = frozenset({401, 403, 404, 407, 408, 429})
RETRY_AFTER_MAX_SECONDS = 300.0


class Verdict(StrEnum):
    """What to do next."""

    SENT = "sent"
    REFUSED = "refused"
    AGAIN = "again"


def verdict(status: int | None) -> Verdict:
    """``status`` None: there was no answer."""
    if status is None or status >= 500 or status in AGAIN:
        return Verdict.AGAIN
    return Verdict.SENT if 200 <= status < 300 else Verdict.REFUSED


def wait_seconds(
    attempt: int, *, first: float, longest: float, jitter: float, retry_after: str | None = None, at: float = 0.0
) -> float:
    """How long to wait before attempt ``attempt + 1`` (``attempt`` from 1).

    Exponential, with ``jitter`` in [0, 1) spreading it over its upper half; never shorter than the receiver's ``Retry-After``
    (seconds, or a date, read at ``at``, UTC epoch seconds), which is believed up to five minutes.
    """
    whole = min(longest, first * 2.0 ** min(attempt - 1, 30))
    return max(whole * (0.5 + jitter / 2), min(_asked(retry_after, at), RETRY_AFTER_MAX_SECONDS))


def _asked(retry_after: str | None, at: float) -> float:
    if not retry_after:
        return 0.0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, when.timestamp() - at)
