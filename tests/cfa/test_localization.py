"""A small share of ``make bench NAME=localization``: how often the scan names the very scope that is at fault."""

import pytest

from benchmarks.localization import measure
from benchmarks.localization_cases import Setting
from benchmarks.localizers import Ours, Vote


@pytest.mark.parametrize(
    ("setting", "least"),
    [
        (Setting(faults=1, share=1.0, samples=5), 0.95),
        (Setting(faults=1, share=0.05, samples=10), 0.95),
        (Setting(faults=2, share=1.0, samples=10), 0.93),
    ],
)
def test_exact_scopes(setting: Setting, least: float) -> None:
    """F1 of exact scopes is what is promised, and better than what votes of failing probes give, on the same 180 cases."""
    scores = measure(setting, 180, 7, {"scan": Ours(), "vote": Vote()})
    assert scores["scan"].f1 >= least
    assert scores["scan"].f1 > scores["vote"].f1
