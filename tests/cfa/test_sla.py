"""DynamoDB's SLA arithmetic: the golden cases, and request availability beside it."""

from fractions import Fraction
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfa.report.period import Period
from cfa.sla import (
    OBJECTIVES,
    Tally,
    credit_percent,
    request_availability,
    requests_needed,
    tally,
    uptime,
    verdict,
)
from collector.observation import Outcome

NOVEMBER = Period.parse("2026-11")
DAYS_30 = range(NOVEMBER.start, NOVEMBER.end, 300)


def outage(intervals: int, requests: int = 300, errors: int | None = None) -> dict[int, Tally]:
    """So many failing intervals, the others healthy."""
    tallies = {start: Tally(requests, 0) for start in DAYS_30}
    for start in list(DAYS_30)[:intervals]:
        tallies[start] = Tally(requests, requests if errors is None else errors)
    return tallies


def test_an_idle_month_is_available() -> None:
    """Case 1: no request in the whole month is 100 %."""
    seen = uptime({}, DAYS_30)
    assert (float(seen.ratio), seen.intervals, seen.empty) == (1.0, 8640, 8640)


def test_one_failed_request_in_an_idle_interval_breaks_four_nines() -> None:
    """Case 2: one request, one error: 1 − 1/8640 = 99.98843 %, and that earns a credit of 10 %."""
    seen = uptime({DAYS_30[5]: Tally(1, 1)}, DAYS_30)
    assert seen.ratio == 1 - Fraction(1, 8640)
    assert f"{float(seen.ratio) * 100:.5f}" == "99.98843"
    assert credit_percent(seen.ratio, "standard") == 10


def test_five_nines_allow_twenty_five_failures_at_one_probe_a_second() -> None:
    """Case 3: one failure of 300 costs 1/300 interval; 25 of them are within 99.999 % of 30 days, 26 are not."""
    within, beyond = outage(25, errors=1), outage(26, errors=1)
    assert uptime(within, DAYS_30).lost == Fraction(25, 300)
    assert uptime(within, DAYS_30).ratio >= OBJECTIVES["global"]
    assert uptime(beyond, DAYS_30).ratio < OBJECTIVES["global"]


@pytest.mark.parametrize("requests", [3, 300, 1_000_000])
def test_half_an_hour_of_outage_costs_the_same_at_any_load(requests: int) -> None:
    """Case 4: 99.93056 % regardless of load, while the count depends on it."""
    tallies = outage(0) | dict.fromkeys(list(DAYS_30)[:6], Tally(requests, requests))
    assert f"{float(uptime(tallies, DAYS_30).ratio) * 100:.5f}" == "99.93056"


def test_counted_availability_of_the_same_outage_depends_on_the_load() -> None:
    """Case 4, the other number: 99.9993 % at 1 % of the mean load, 99.653 % at five times the load."""
    quiet = request_availability(good=8634 * 300, bad=6 * 3)
    busy = request_availability(good=8634 * 300, bad=6 * 1500)
    assert (f"{quiet.ratio:.6f}", f"{busy.ratio:.5f}") == ("0.999993", "0.99654")


def test_throttles_and_customers_mistakes_are_requests_and_not_errors() -> None:
    """Case 5: a 400 counts in R and not in E."""
    counts = {Outcome.SUCCESS: 5, Outcome.THROTTLED: 3, Outcome.CUSTOMER_FAULT: 1, Outcome.SERVER_FAULT: 1}
    assert tally(counts) == Tally(10, 1)


def test_what_has_no_status_is_neither_processed_nor_an_error() -> None:
    """Case 6: by the letter, an interval of nothing but timeouts and DNS failures has no requests."""
    counts = {Outcome.TIMEOUT: 40, Outcome.UNREACHABLE: 60}
    assert tally(counts) == Tally(0, 0)
    assert uptime({DAYS_30[0]: tally(counts)}, DAYS_30).ratio == 1


def test_the_region_is_not_the_mean_of_its_tables() -> None:
    """Case 8: a small table's total outage is weighed by its requests within the interval."""
    busy, small = Tally(900, 0), Tally(100, 100)
    together = Tally(busy.requests + small.requests, busy.errors + small.errors)
    whole = uptime({DAYS_30[0]: together}, range(DAYS_30[0], DAYS_30[1], 300))
    assert whole.ratio == Fraction(9, 10)


@pytest.mark.parametrize(("name", "days"), [("2026-02", 28), ("2026-11", 30), ("2026-12", 31), ("2028-02", 29)])
def test_months_are_whole_intervals_in_utc(name: str, days: int) -> None:
    """Case 9: n = 288 × days, and no interval straddles the border."""
    month = Period.parse(name)
    assert (month.end - month.start) // 300 == 288 * days
    assert month.start % 86400 == month.end % 86400 == 0


def test_iso_weeks_are_mondays_in_utc() -> None:
    """Week 47 of 2026 begins on Monday the 16th of November; week 53 crosses the year."""
    week = Period.parse("2026-W47")
    assert (week.start, week.end - week.start) == (1794787200, 7 * 86400)
    assert Period.parse("2026-W53").end == Period.parse("2027-W01").start


@pytest.mark.parametrize(
    "text",
    ["", "2026-W00", "2026-W54", "2025-W53", "2026-47", "2026-13", "W47", "2026-W47 ", "２０２６-W47", "0000-W01"],
)
def test_an_unknown_period_says_what_would_be_right(text: str) -> None:
    """Anything else than an existing week or month is refused with an example."""
    with pytest.raises(ValueError, match="2026-W47"):
        Period.parse(text)


def test_the_future_is_neither_up_nor_down() -> None:
    """A week in progress counts the intervals that are over, and a future one counts none."""
    week = Period.parse("2026-W47")
    assert len(week.starts_until(week.start + 1000)) == 3
    assert len(week.starts_until(week.start - 1)) == 0
    assert len(week.starts_until(week.end + 1e6)) == 2016


def test_an_excluded_interval_leaves_both_sum_and_number() -> None:
    """Case 10: an excluded outage is as if its interval were not in the month."""
    seen = uptime(outage(1), DAYS_30, frozenset({DAYS_30[0]}))
    assert (float(seen.ratio), seen.intervals, seen.excluded) == (1.0, 8639, 1)
    kept = uptime(outage(2), DAYS_30, frozenset({DAYS_30[0]}))
    assert kept.ratio == 1 - Fraction(1, 8639)


def test_the_border_belongs_to_met() -> None:
    """Case 11: exactly 99.99 % earns nothing; anything less, however little, earns a credit."""
    tallies = dict.fromkeys(list(DAYS_30)[:1], Tally(1000, 864))
    assert uptime(tallies, DAYS_30).ratio == OBJECTIVES["standard"]
    assert credit_percent(uptime(tallies, DAYS_30).ratio, "standard") == 0
    assert credit_percent(OBJECTIVES["standard"] - Fraction(1, 10**30), "standard") == 10


@pytest.mark.parametrize(
    ("percent", "standard", "world"),
    [
        ("100", 0, 0),
        ("99.999", 0, 0),
        ("99.99", 0, 10),
        ("99.98", 10, 10),
        ("99", 10, 10),
        ("98.9", 25, 25),
        ("95", 25, 25),
        ("94.9", 100, 100),
    ],
)
def test_credit_tiers(percent: str, standard: int, world: int) -> None:
    """Both agreements' tables, at and around their borders."""
    ratio = Fraction(percent) / 100
    assert (credit_percent(ratio, "standard"), credit_percent(ratio, "global")) == (standard, world)


@pytest.mark.parametrize(("days", "seconds"), [(28, 241.92), (30, 259.2), (31, 267.84)])
def test_the_monthly_budget_in_seconds_of_full_outage(days: int, seconds: float) -> None:
    """99.99 % of 28, 30 and 31 days is 241.9, 259.2 and 267.8 seconds."""
    budget = (1 - OBJECTIVES["standard"]) * 288 * days * 300
    assert float(budget) == seconds


@pytest.mark.parametrize(("minutes", "text"), [(4, "99.99074"), (6, "99.98611")])
def test_worked_examples(minutes: int, text: str) -> None:
    """Four and six minutes of full outage under uniform load, within a 30-day month."""
    tallies = outage(minutes // 5) | {DAYS_30[100]: Tally(300, 60 * (minutes % 5))}
    assert f"{float(uptime(tallies, DAYS_30).ratio) * 100:.5f}" == text


def test_thirty_minutes_at_four_percent() -> None:
    """Thirty minutes at 4 % errors are 99.99722 %."""
    assert f"{float(uptime(outage(6, errors=12), DAYS_30).ratio) * 100:.5f}" == "99.99722"


@given(st.lists(st.integers(1, 10**6).flatmap(lambda r: st.tuples(st.just(r), st.integers(0, r))), max_size=60))
def test_the_sum_is_exact(pairs: list[tuple[int, int]]) -> None:
    """The fast sum of shares equals the naive sum of fractions, and fsum to within rounding."""
    tallies = {DAYS_30[i]: Tally(r, e) for i, (r, e) in enumerate(pairs)}
    lost = uptime(tallies, DAYS_30).lost
    assert lost == sum((Fraction(e, r) for r, e in pairs), Fraction(0))
    assert float(lost) == pytest.approx(fsum(e / r for r, e in pairs), rel=1e-12)


def test_more_errors_than_requests_are_refused() -> None:
    """A tally that cannot be is not computed with."""
    with pytest.raises(ValueError, match="errors"):
        Tally(1, 2)


@pytest.mark.parametrize(
    ("bad", "n", "low", "high"),
    [(0, 300, 0.0, 8.3e-3), (0, 86_400, 0.0, 2.91e-5), (3, 300, 2.82e-3, 2.64e-2), (26, 2_592_000, 6.7e-6, 1.45e-5)],
)
def test_jeffreys_intervals(bad: int, n: int, low: float, high: float) -> None:
    """The published intervals of the failure rate, to their printed precision."""
    seen = request_availability(n - bad, bad)
    assert seen.low is not None
    assert seen.high is not None
    assert 1 - seen.high == pytest.approx(low, rel=0.02, abs=1e-12)
    assert 1 - seen.low == pytest.approx(high, rel=0.02)


def test_an_objective_needs_enough_requests() -> None:
    """It takes ln 20 / (1 − T), 29,958 requests for four nines; fewer clean ones are not enough evidence, however clean."""
    assert requests_needed(0.9999) == 29_958
    assert requests_needed(0.99999) == 299_574
    assert verdict(request_availability(29_957, 0), 0.9999) == "not_enough_evidence"
    assert verdict(request_availability(29_958, 0), 0.9999) == "ok"
    assert verdict(request_availability(90, 10), 0.9999) == "breach"
    assert verdict(request_availability(0, 0), 0.9999) == "unobserved"
    assert verdict(request_availability(99_990, 10), 0.9999) == "not_enough_evidence"
