"""What the detector's arithmetic promises: checked in exact fractions, by simulation, and for any set of failing nodes."""

from fractions import Fraction
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfa.evidence import Evidence, alternatives, lent
from cfa.policy import SECONDS_PER_YEAR

NODE = np.array([0], np.int32)
P0 = Fraction(1, 100)
C = Fraction(7, 20)


def exact(probes: list[tuple[int, bool]]) -> Fraction:
    """M after ``probes`` of (host, failed), by the definition and nothing else."""
    states, failed = {}, {}
    grid = [Fraction(p) for p in alternatives(float(P0))]
    for k, p in enumerate(grid):
        states[k], failed = Fraction(0), {}
        for host, bad in probes:
            if bad:
                factor = max(p, C) / C if failed.get(host) else p / P0
            elif failed.get(host) and p >= C:
                factor = (1 - p) / (1 - C)
            else:
                factor = (1 - p) / (1 - P0)
            states[k], failed[host] = (1 + states[k]) * factor, bad
    return sum(states.values(), Fraction(0)) / len(grid)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=12))
def test_equals_a_recomputation_in_fractions(probes: list[tuple[int, bool]]) -> None:
    """The arrays hold what exact arithmetic gives, probe by probe, hosts apart."""
    evidence = Evidence(float(C))
    evidence.reserve([float(P0)])
    hosts = [evidence.host(name) for name in "abc"]
    for host, bad in probes:
        if bad:
            evidence.failures(NODE, 0, hosts[host], 1, 0.0)
        else:
            evidence.successes(np.array([[1, 0]]), hosts[host], 0.0)
    assert exp(evidence.log_evidence()[0, 0]) == pytest.approx(float(exact(probes)), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3)), min_size=1, max_size=6))
def test_gaps_in_closed_form_equal_single_steps(runs: list[tuple[int, int]]) -> None:
    """Runs of successes and of failures count the same at once as one by one; restored in the middle, too."""
    at_once, single = Evidence(), Evidence()
    for evidence in (at_once, single):
        evidence.reserve([1e-3])
        evidence.host("a")
    for good, bad in runs:
        if good:
            at_once.successes(np.array([[good, 0]]), 0, 0.0)
        at_once.failures(NODE, 0, 0, bad, 0.0)
        for _ in range(good):
            single.successes(np.array([[1, 0]]), 0, 0.0)
        for _ in range(bad):
            single.failures(NODE, 0, 0, 1, 0.0)
        restored = Evidence()
        restored.load(at_once.state())
        at_once = restored
    assert at_once.log_evidence()[0, 0] == pytest.approx(single.log_evidence()[0, 0], rel=1e-9)


@pytest.mark.parametrize("again", [0.05, 0.35])
def test_expected_evidence_is_at_most_the_number_of_updates(again: float) -> None:
    """E[M] ≤ updates at the objective, for independent failures and for bursts as dense as c: what the threshold rests on.

    Simulated at 5 % allowed, where no rare path carries the mean: 20,000 series of 30 probes.
    """
    p0, series, rng = 0.05, 20_000, np.random.default_rng(11)
    evidence = Evidence()
    evidence.reserve([p0] * series)
    host, failed = evidence.host("a"), np.zeros(series, np.bool_)
    for n in range(1, 31):
        failed = rng.random(series) < np.where(failed, again, p0)
        nodes = np.nonzero(failed)[0].astype(np.int32)
        good = np.zeros((series, 2), np.int64)
        good[~failed, 0] = 1
        evidence.successes(good, host, 0.0)
        evidence.failures(nodes, 0, host, 1, 0.0)
        m = np.exp(evidence.log_evidence()[:, 0])
        assert m.mean() <= n + 4 * m.std() / np.sqrt(series)


def test_a_burst_of_one_cell_is_a_burst_in_every_node() -> None:
    """The host's probes of other cells, answered in between, do not make a cell's burst look independent."""
    alone, together = Evidence(), Evidence()
    for evidence in (alone, together):
        evidence.reserve([1e-4])
        evidence.host("a")
    for second in range(4):
        alone.failures(NODE, 0, 0, 1, second)
        again = together.follows(("a", "cell"), second)
        together.failures(NODE, 0, 0, 1, second, again=again)
        together.successes(np.array([[11, 0]]), 0, second)
        together.answered(("a", "another cell"), second)
    assert together.log_evidence()[0, 0] < alone.log_evidence()[0, 0]
    together.answered(("a", "cell"), 4)
    assert not together.follows(("a", "cell"), 5)


def test_bursts_that_every_host_sees() -> None:
    """``shared`` counts a failure directly after any host's failure as part of a burst."""
    evidence = Evidence(shared=True)
    evidence.reserve([1e-5])
    for n in range(9):
        evidence.failures(NODE, 0, evidence.host(str(n % 3)), 1, float(n))
    assert evidence.log_evidence()[0, 0] < log(10_000 * SECONDS_PER_YEAR)


evidences = st.lists(st.floats(-5, 40), min_size=1, max_size=30).map(np.array)


@settings(max_examples=200, deadline=None)
@given(evidences)
def test_lent_strength_is_the_e_d_bh_rule(log_m: np.ndarray) -> None:
    """Exactly the k* largest are reported, k* the largest k with M_(k) ≥ A / k; whoever passes alone passes still."""
    log_a = 24.0
    ordered = np.sort(log_m)[::-1]
    best = max((k for k in range(1, len(ordered) + 1) if ordered[k - 1] >= log_a - log(k)), default=0)
    threshold = lent(log_m, log_a)
    assert (log_m >= threshold).sum() == best
    assert log_a - log(len(log_m)) - 1e-9 <= threshold <= log_a


@settings(max_examples=200, deadline=None)
@given(evidences)
def test_lent_strength_never_exceeds_what_all_have_together(log_m: np.ndarray) -> None:
    """Something is reported only when the sum of all evidence reaches A: the promise holds whatever nodes have in common."""
    log_a = 24.0
    if (log_m >= lent(log_m, log_a)).any():
        assert np.exp(log_m).sum() >= exp(log_a) * (1 - 1e-9)


def test_successes_from_before_the_change_do_not_speak_against_it() -> None:
    """Two successes of the second in which everything began to fail, told after the failures, cost almost nothing."""
    dated, undated = Evidence(), Evidence()
    for evidence, asked in ((dated, 100.0), (undated, None)):
        evidence.reserve([1e-4])
        for n, at in enumerate((100.4, 100.7, 101.0)):
            evidence.failures(NODE, 0, evidence.host(str(n)), 1, at)
        evidence.successes(np.array([[2, 0]]), evidence.host("2"), 101.1, asked=asked)
    assert dated.log_evidence()[0, 0] > undated.log_evidence()[0, 0] + 2
    before = dated.log_evidence()[0, 0]
    dated.successes(np.array([[2, 0]]), 2, 102.1, asked=101.0)
    assert dated.log_evidence()[0, 0] < before - 1
