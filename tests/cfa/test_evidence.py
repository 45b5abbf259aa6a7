"""The detector reproduces the figures it was chosen for, and keeps its promise about false alarms."""

from math import log
from statistics import median

import numpy as np
import pytest

from cfa.evidence import Evidence
from cfa.policy import SECONDS_PER_YEAR

NODE = np.array([0], np.int32)
LN_A = log(10_000 * SECONDS_PER_YEAR)
"""10,000 series of one probe a second, one false alarm a year."""


def detector(allowed: float, clustering: float = 0.35) -> Evidence:
    """One node."""
    evidence = Evidence(clustering)
    evidence.reserve([allowed])
    return evidence


def probe(evidence: Evidence, *, failed: bool, host: str = "a", at: float = 0.0) -> float:
    """One probe of one host; ln M after it."""
    who = evidence.host(host)
    if failed:
        evidence.failures(NODE, 0, who, 1, at)
    else:
        evidence.successes(np.array([[1, 0]]), who, at)
    return float(evidence.log_evidence()[0, 0])


def delay(allowed: float, share: float, seed: int, *, hosts: int = 1, clustering: float = 0.35) -> int:
    """Probes until the alarm when ``share`` of them fails, in turn from ``hosts`` hosts."""
    evidence, rng, n = detector(allowed, clustering), np.random.default_rng(seed), 0
    while n < 10_000:
        n += 1
        if probe(evidence, failed=bool(rng.random() < share), host=str(n % hosts)) >= LN_A:
            return n
    return n


@pytest.mark.parametrize(("allowed", "expected"), [(1e-5, 3), (1e-4, 4)])
def test_total_outage_needs_few_independent_failures(allowed: float, expected: int) -> None:
    """A total outage is certain after 3 probes of different hosts at five nines, 4 at four nines."""
    assert delay(allowed, 1.0, 0, hosts=100) == expected


def test_burst_robust_outage_of_one_series() -> None:
    """Failures of one host in a row count so little that it takes 18 of them at five nines."""
    assert delay(1e-5, 1.0, 0) == 18


def test_ten_percent() -> None:
    """A tenth failing is found within about 36 probes (40 when bursts are allowed for)."""
    assert 28 <= median(delay(1e-5, 0.1, seed, hosts=10_000) for seed in range(60)) <= 44


def test_runs_of_successes_in_closed_form_equal_one_by_one() -> None:
    """A run of successes counts the same at once as one after the other, also right after a failure."""
    one, all_at_once = detector(1e-4), detector(1e-4)
    for evidence in (one, all_at_once):
        probe(evidence, failed=True)
    for _ in range(500):
        probe(one, failed=False)
    all_at_once.successes(np.array([[500, 0]]), 0, 0.0)
    assert one.log_evidence()[0, 0] == pytest.approx(all_at_once.log_evidence()[0, 0])


def test_average_run_length_at_the_objective() -> None:
    """A service exactly at its objective alarms at most once in A updates on average (measured: 2.6 to 3.5 times A)."""
    allowed, threshold, rng, length = 1e-3, log(2_000), np.random.default_rng(5), []
    for _ in range(40):
        evidence, n = detector(allowed), 0
        while n < 200_000:
            good = int(rng.geometric(allowed)) - 1
            evidence.successes(np.array([[good, 0]]), evidence.host("a"), 0.0) if good else None
            n += good + 1
            if probe(evidence, failed=True) >= threshold:
                break
        length.append(n)
    assert np.mean(length) > 2_000


def test_bursts_of_one_host_do_not_alarm() -> None:
    """Failures that come in bursts of one host (P(F|F) = 0.3) alarm no sooner than promised."""
    allowed, rng = 1e-4, np.random.default_rng(2)
    evidence = detector(allowed)
    highest = -np.inf
    for _ in range(1_000):
        evidence.successes(np.array([[int(rng.geometric(allowed)), 0]]), evidence.host("a"), 0.0)
        highest = max(highest, probe(evidence, failed=True))
        while rng.random() < 0.3:
            highest = max(highest, probe(evidence, failed=True))
    assert highest < LN_A


def test_states_stay_finite() -> None:
    """However long an outage lasts, the evidence stays a number and is forgotten on request."""
    evidence = detector(1e-5)
    for n in range(2_000):
        probe(evidence, failed=True, host=str(n % 7))
    assert np.isfinite(evidence.log_evidence()).all()
    evidence.reset(np.array([False]))
    assert evidence.log_evidence()[0, 0] < 0


def test_change_point() -> None:
    """The change is dated at the first of the failures that made the evidence."""
    evidence = detector(1e-4)
    for n in range(1_000):
        probe(evidence, failed=False, at=float(n))
    for n in range(1_000, 1_010):
        probe(evidence, failed=True, host=str(n), at=float(n))
    assert evidence.change(0, 0) == (1_000.0, 10, 0)


def test_threshold_follows_the_promise() -> None:
    """Ten times fewer false pages cost ln 10 of evidence."""
    evidence = detector(1e-4)
    assert evidence.log_threshold(0.1) - evidence.log_threshold(1.0) == pytest.approx(log(10))
