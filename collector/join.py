"""Client and server views of one request: what became, at the router, of a request that failed for its client (pure).

The client's view is its observation; the router's is what it answers to ``GET /requests?ids=…`` (:mod:`cluster.api.seen`).
Arrival is the router's wall clock, sending and giving up the client's: clocks that are apart by more than the time between
them can make ``seen_and_…`` of a request that came late, or the other way round.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from collector.observation import Level, Observation, Vantage
from collector.wire import Batch

CLOCKS_SECONDS = 1.0
"""What a router's memory must reach back beyond the sending, before its silence is believed."""


class Fate(StrEnum):
    """What the router says (closed set)."""

    NOT_SEEN = "not_seen"
    """It never arrived."""
    SEEN_LATE = "seen_late"
    """It arrived when its client had given up already."""
    SEEN_AND_FAILED = "seen_and_failed"
    """It arrived, and got a 5xx, or nothing so far."""
    SEEN_AND_REFUSED = "seen_and_refused"
    """It arrived, and got a 4xx (a throttled one is one)."""
    SEEN_AND_ANSWERED = "seen_and_answered"
    """It arrived and was done; the answer was lost, late or wrong."""
    UNKNOWN = "unknown"
    """The router did not say, or has forgotten."""


class Found(msgspec.Struct, frozen=True):
    """One request that a router has seen; ``status`` 0: still under way."""

    id: str
    at: float
    status: int
    error: str = ""
    duration_ms: float = 0.0


class Remembered(msgspec.Struct, frozen=True):
    """A router's answer; all requests from ``since`` on are known to it."""

    since: float
    found: tuple[Found, ...] = ()


_decoder = msgspec.json.Decoder(Remembered)


def decode(body: bytes) -> Remembered | None:
    """A router's answer; None when it is none."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def joinable(batch: Batch) -> Iterator[Observation]:
    """The failures of a batch that a router can be asked about: single attempts that were sent, under a name, to one we know."""
    for reading in batch.readings:
        if reading.series.vantage is Vantage.CANARY and reading.series.level is Level.ATTEMPT:
            yield from (one for one in reading.failures if one.request_id and one.router and _speakable(one.request_id))


def _speakable(request_id: str) -> bool:
    return len(request_id) <= 64 and request_id.isascii() and request_id.replace("-", "").isalnum()


def fate_of(one: Observation, said: Remembered | None) -> tuple[Fate, str]:
    """The verdict and what it rests on, for people."""
    if said is None:
        return Fate.UNKNOWN, "the router did not answer"
    mine = _nearest(one, (found for found in said.found if found.id == one.request_id))
    if mine is None:
        if said.since > one.at - CLOCKS_SECONDS:
            return Fate.UNKNOWN, "the router's memory does not reach back so far"
        return Fate.NOT_SEEN, ""
    after_ms = (mine.at - one.at) * 1000
    detail = f"arrived after {after_ms:.0f} ms, {mine.status or 'under way'} {mine.error}".strip()
    if after_ms > one.total_ms:
        return Fate.SEEN_LATE, detail
    return _answered(mine.status), f"{detail}, took {mine.duration_ms:.0f} ms"


def _answered(status: int) -> Fate:
    if 400 <= status < 500:
        return Fate.SEEN_AND_REFUSED
    return Fate.SEEN_AND_ANSWERED if 200 <= status < 300 else Fate.SEEN_AND_FAILED


def _nearest(one: Observation, found: Iterable[Found]) -> Found | None:
    """Several attempts of a call bear the same name: the one that arrived closest to this one's start."""
    return min(found, key=lambda seen: abs(seen.at - one.at), default=None)
