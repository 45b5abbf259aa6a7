"""The detector in arrays is the detector of :mod:`cfa.evidence`, and keeps its promise about false alarms in any order of requests."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa.evidence import Evidence
from cfa.policy import CLUSTERING, SECONDS_PER_YEAR
from cfa.tables.detector import ORDERED, Detector, discovered, factors, log_threshold
from cfa.tables.policy import COUNTED_RISES

TICKS = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 1, 2, 9]), st.sampled_from([0, 1, 50, 3_000])), min_size=1, max_size=25
)


@settings(max_examples=60, deadline=None)
@given(TICKS, st.sampled_from([1e-5, 1e-4, 1e-3]), st.booleans())
def test_the_seven_alternatives_are_those_of_the_evidence(
    ticks: list[tuple[int, int]], allowed: float, often: bool
) -> None:
    """Weighed when it fails, or at every tick: the states are what cfa.evidence has after the same requests, to single precision."""
    ours, theirs = Detector(), Evidence()
    ours.level_of(allowed)
    theirs.reserve([allowed])
    who, node = theirs.host("a"), np.array([0], np.int32)
    row = np.array([0])
    for bad, good in ticks:
        if bad:
            theirs.failures(node, 0, who, bad, 0.0)
        if good:
            theirs.successes(np.array([[good, 0]]), who, 0.0)
        if bad or often:
            ours.weigh(row, np.array([bad]), np.array([good]))
        ours.count(np.array([good]))
    ours.weigh(row, np.array([0]), np.array([0]))
    assert ours.r[0, :ORDERED] == pytest.approx(np.minimum(theirs._r[0, 0], 1e37), rel=3e-5, abs=1e-30)


@pytest.mark.parametrize("allowed", [1e-5, 1e-4, 1e-2])
def test_counted_alternatives_are_fair_from_every_state(allowed: float) -> None:
    """For a failure with probability p0 after a success and c after a failure, neither step raises the weighted expectation above 1."""
    f, c = factors(np.array([allowed])), CLUSTERING
    for k, u in enumerate(COUNTED_RISES, start=ORDERED):
        v, h = f.good[0, k], 1 / f.unit[0, k]
        assert h >= 1
        assert c * u < 1
        assert allowed * u * h + (1 - allowed) * v <= 1 + 1e-12
        assert c * u * h + (1 - c) * v <= h * (1 + 1e-12)


def test_the_mean_of_the_evidence_is_at_most_the_number_of_updates() -> None:
    """Rows whose failures come in bursts as clustered as is allowed: E[M] ≤ t, which is what bounds false pages."""
    dice, rows, p0, c = np.random.default_rng(3), 2_000, 1e-2, CLUSTERING
    detector = Detector()
    detector.level_of(p0)
    detector.reserve(rows)
    failed, every = np.zeros(rows, bool), np.arange(rows)
    n, ticks = 50, 40
    for _ in range(ticks):
        bad = np.zeros(rows, np.int64)
        for _ in range(n):
            failed = dice.random(rows) < np.where(failed, c, p0)
            bad += failed
        log_m = detector.weigh(every, bad, n - bad)
        detector.count(n - bad)
    assert np.exp(log_m).mean() <= n * ticks
    assert (log_m >= log(n * ticks * 1000)).mean() <= 3 / 1000


def ticks_until(detector: Detector, rate: int, share: float, threshold: float) -> int:
    """Ticks of ten seconds until a row of ``rate`` requests a second, ``share`` of which fail, crosses."""
    row = np.array([0])
    for tick in range(1, 200):
        bad = round(rate * 10 * share)
        if detector.weigh(row, np.array([bad]), np.array([rate * 10 - bad]))[0] >= threshold:
            return tick
        detector.count(np.array([rate * 10 - bad]))
    return 200


@pytest.mark.parametrize(
    ("rate", "share", "most"), [(1000, 0.01, 1), (1000, 0.5, 1), (100, 0.05, 1), (10, 1.0, 1), (1, 1.0, 3)]
)
def test_busy_tables_are_not_blind(rate: int, share: float, most: int) -> None:
    """One table of a million, after a healthy day, one false page a year for all: it is found within a tick; one of a request a second within three."""
    detector = Detector()
    detector.level_of(1e-4)
    detector.count(np.array([86_400 * rate]))
    threshold = float(log_threshold(np.array([float(rate)]), 2_000_000, 1.0)[0])
    assert ticks_until(detector, rate, share, threshold) <= most


def test_rows_that_fail_together_lend_each_other_strength() -> None:
    """A thousand rows each a thousandth of enough are found together; one of them alone is not; strong ones always are."""
    assert discovered(np.full(1000, -log(1000) + 1e-9)).all()
    assert not discovered(np.array([-log(1000)])).any()
    assert discovered(np.array([-50.0, 0.1, -50.0])).tolist() == [False, True, False]
    assert not discovered(np.empty(0)).any()


@pytest.mark.parametrize("clustered", [False, True])
def test_false_alarms_at_the_objective_are_no_more_than_allowed(clustered: bool) -> None:
    """Three hundred rows exactly at their objective, each failure followed by another with 0.3: with 20 alarms allowed in the time, e-d-BH included, fewer come."""
    dice, rows, ticks, n, p0, allowed = np.random.default_rng(8), 300, 1_200, 100, 1e-3, 20
    detector, every, alarms = Detector(), np.arange(rows), 0
    detector.level_of(p0)
    detector.reserve(rows)
    false_pages = allowed / (ticks * 10 / SECONDS_PER_YEAR)
    log_a = log_threshold(np.full(rows, n / 10), rows, false_pages)
    for _ in range(ticks):
        bad = dice.binomial(n, p0, rows)
        if clustered:
            bad += dice.negative_binomial(np.maximum(bad, 1), 0.7) * (bad > 0)
        good = np.maximum(n - bad, 0)
        log_m = detector.weigh(every, bad, good)
        detector.count(good)
        found = discovered(log_m - log_a)
        if found.any():
            alarms += 1
            detector.forget(every[found])
    assert alarms <= allowed
