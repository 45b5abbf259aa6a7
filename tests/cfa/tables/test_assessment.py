"""Burn rates and verdicts in arrays are those of :mod:`cfa.objective`, window by window."""

import numpy as np
import pytest

from cfa.objective import burn_rate, verdict
from cfa.tables.assessment import VERDICTS, Assessment, most
from cfa.tables.detector import Detector
from cfa.tables.policy import SEGMENTS
from cfa.tables.rings import Rings


@pytest.mark.parametrize("objectives", [[1e-4], [1e-5, 1e-3, 1e-4]])
def test_every_row_and_window_is_judged_as_the_objective_says(objectives: list[float]) -> None:
    """Rows from idle to a billion requests, from no failure to nothing else: the same burn rate and verdict, whichever objective."""
    dice, rows = np.random.default_rng(11), 6_000
    detector, rings, assessment = Detector(), Rings(), Assessment()
    levels = [detector.level_of(one) for one in objectives]
    detector.reserve(rows)
    rings.reserve(rows)
    detector.level[:rows] = dice.choice(levels, rows)
    for segment in range(len(SEGMENTS)):
        good = np.where(dice.random(rows) < 0.3, 0, 10 ** dice.uniform(0, 8, rows)).astype(np.int64)
        share = np.where(dice.random(rows) < 0.4, 0, 10 ** dice.uniform(-6, 0, rows))
        rings.sums[0][segment, :rows] = good
        rings.sums[1][segment, :rows] = dice.poisson(good * share)
    assessment.take(rings, rows, detector.level, detector.allowed)
    for w in range(len(SEGMENTS)):
        good, bad, _ = rings.window(w, slice(0, rows))
        allowed = detector.allowed[detector.level[:rows]]
        said = [VERDICTS[n] for n in assessment.verdict[w, :rows]]
        expected = [verdict(int(g), int(b), float(p)) for g, b, p in zip(good, bad, allowed, strict=True)]
        wrong = [i for i in range(rows) if said[i] != expected[i]]
        assert not wrong, (w, [(int(good[i]), int(bad[i]), said[i], expected[i]) for i in wrong[:5]])
        burns = [burn_rate(int(g), int(b), float(p)) for g, b, p in zip(good, bad, allowed, strict=True)]
        expected_burn = np.array([np.nan if one is None else one for one in burns])
        np.testing.assert_allclose(assessment.burn[w, :rows], expected_burn, rtol=1e-5)
    assert assessment.tally.sum(axis=1).tolist() == [rows] * len(SEGMENTS)


def test_the_most_burned_come_first() -> None:
    """The k rows with the highest burn rate, in order; idle ones and those without failures are not among them."""
    burn = np.array([np.nan, 3.0, 0.0, 9.0, 3.0], np.float32)
    assert most(burn, 3).tolist() == [3, 1, 4]
    assert most(burn, 100).tolist() == [3, 1, 4]
    assert most(np.empty(0, np.float32), 5).tolist() == []
