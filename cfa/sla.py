"""DynamoDB's SLA arithmetic, exactly, and request availability with its interval (pure).

By the SLA's letter: availability of a five-minute interval is the share of processed requests that did not end in a 500
or 503; an interval without requests is 100 %; the uptime of a period is the mean over its intervals; excluded intervals
leave both the sum and the number. Integers and fractions until the end, so that 99.99 % means 99.99 %.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, log
from typing import Literal

from collector.interval import INTERVAL_SECONDS
from collector.observation import Outcome

Verdict = Literal["ok", "breach", "not_enough_evidence", "unobserved"]
Agreement = Literal["standard", "global"]

PROCESSED: frozenset[Outcome] = frozenset(
    {Outcome.SUCCESS, Outcome.SERVER_FAULT, Outcome.WRONG_ANSWER, Outcome.THROTTLED, Outcome.CUSTOMER_FAULT}
)
"""The service answered. Throttles and customers' mistakes are HTTP 400 there: requests, and not errors."""
ERRORS: frozenset[Outcome] = frozenset({Outcome.SERVER_FAULT})
"""HTTP 500 and 503. A timeout or a name that does not resolve has no status: neither processed nor an error."""

OBJECTIVES: Mapping[Agreement, Fraction] = {"standard": Fraction(9999, 10_000), "global": Fraction(99_999, 100_000)}

CREDIT_TIERS: Mapping[Agreement, tuple[tuple[Fraction, int], ...]] = {
    agreement: ((Fraction(95, 100), 100), (Fraction(99, 100), 25), (objective, 10))
    for agreement, objective in OBJECTIVES.items()
}
"""Service credit in percent when uptime is strictly less than the bound; the first that applies is the largest.
Source: the DynamoDB SLA's two tables (standard; global tables)."""

CONFIDENCE_FACTOR = 20.0
"""ln 20 / (1 − T): so many clean requests prove the objective T with 95 % confidence."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests processed in one interval, and how many of them were errors."""

    requests: int
    errors: int

    def __post_init__(self) -> None:
        if not 0 <= self.errors <= self.requests:
            raise ValueError(f"{self.errors} errors of {self.requests} requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptime:
    """The mean over ``intervals`` intervals, of which ``empty`` had no requests (100 %) and ``failing`` had errors.

    ``excluded`` intervals are not among them. ``lost`` is the sum of the intervals' error shares: 0.864 is one month's
    budget at 99.99 %.
    """

    intervals: int
    empty: int
    failing: int
    excluded: int
    requests: int
    errors: int
    lost: Fraction

    @property
    def ratio(self) -> Fraction:
        """Uptime in [0, 1]; 1 when there is no interval at all."""
        return 1 - self.lost / self.intervals if self.intervals else Fraction(1)

    @property
    def lost_seconds(self) -> float:
        """The same loss as seconds of a full outage."""
        return float(self.lost * INTERVAL_SECONDS)


def tally(counts: Mapping[Outcome, int]) -> Tally:
    """The SLA's view of counted outcomes."""
    return Tally(sum(counts.get(one, 0) for one in PROCESSED), sum(counts.get(one, 0) for one in ERRORS))


def uptime(tallies: Mapping[int, Tally], starts: range, excluded: frozenset[int] = frozenset()) -> Uptime:
    """Uptime over the intervals that begin at ``starts``; what ``tallies`` does not hold had no requests."""
    counted = [start for start in starts if start not in excluded]
    seen = [tallies[start] for start in counted if start in tallies and tallies[start].requests]
    return Uptime(
        intervals=len(counted),
        empty=len(counted) - len(seen),
        failing=sum(one.errors > 0 for one in seen),
        excluded=len(starts) - len(counted),
        requests=sum(one.requests for one in seen),
        errors=sum(one.errors for one in seen),
        lost=_sum_of_shares(seen),
    )


def _sum_of_shares(tallies: Iterable[Tally]) -> Fraction:
    """Σ errors/requests, exactly. Summed by denominator, then pairwise: one reduction at the end keeps it fast."""
    errors: Counter[int] = Counter()
    for one in tallies:
        if one.errors:
            errors[one.requests] += one.errors
    terms = [(count, requests) for requests, count in errors.items()]
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        odd = terms[-1:] if len(terms) % 2 else []
        terms = [(a * d + c * b, b * d) for (a, b), (c, d) in pairs] + odd
    return Fraction(*terms[0]) if terms else Fraction(0)


def credit_percent(ratio: Fraction, agreement: Agreement) -> int:
    """The service credit that an uptime earns: 0, 10, 25 or 100."""
    return next((credit for bound, credit in CREDIT_TIERS[agreement] if ratio < bound), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAvailability:
    """Good over valid of ``good + bad`` requests, with its 95 % Jeffreys interval; None when nothing was seen."""

    good: int
    bad: int
    ratio: float | None
    low: float | None
    high: float | None


def request_availability(good: int, bad: int) -> RequestAvailability:
    """Availability by count."""
    if good + bad == 0:
        return RequestAvailability(good=0, bad=0, ratio=None, low=None, high=None)
    low, high = _jeffreys(good, bad)
    return RequestAvailability(good=good, bad=bad, ratio=good / (good + bad), low=low, high=high)


def _jeffreys(good: int, bad: int) -> tuple[float, float]:
    from scipy.special import betaincinv  # noqa: PLC0415 -- slow to import, and a daemon may never need it

    low = 1.0 - float(betaincinv(bad + 0.5, good + 0.5, 0.975)) if good else 0.0
    high = 1.0 - float(betaincinv(bad + 0.5, good + 0.5, 0.025)) if bad else 1.0
    return low, high


def requests_needed(objective: float) -> int:
    """How many requests without a failure it takes to say that an objective was met."""
    return ceil(log(CONFIDENCE_FACTOR) / (1.0 - objective))


def verdict(seen: RequestAvailability, objective: float) -> Verdict:
    """Whether the objective was met, as far as this many requests can say."""
    if seen.low is None or seen.high is None:
        return "unobserved"
    if seen.high < objective:
        return "breach"
    if seen.good + seen.bad < requests_needed(objective) or seen.low < objective:
        return "not_enough_evidence"
    return "ok"
