"""The rules for Prometheus: checked in, current, right by promtool's own tests."""

import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from collector.observation import BAD as BAD_OUTCOMES
from dashboards.rules.alerting import threshold
from dashboards.rules.build import GENERATED, build, texts
from dashboards.rules.policy import BAD, BURNS, OBJECTIVES
from tests.dashboards.peers import program

TESTS = sorted(name for name in texts() if name.endswith(".test.yaml"))


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, timeout=280, check=False)


def test_the_checked_in_rules_are_current(tmp_path: Path) -> None:
    """`fivenines rules build` writes what is in the repository, byte for byte."""
    assert {path.name: path.read_text() for path in build(tmp_path)} == {
        path.name: path.read_text() for path in GENERATED.iterdir()
    }


def test_outcomes_are_bad_here_as_everywhere() -> None:
    assert set(BAD) == {outcome.value for outcome in BAD_OUTCOMES}


def test_thresholds_are_the_workbooks_factors_of_the_budget() -> None:
    """14.4 budgets of 99.99 % are 0.00144, exactly; a factor times its window is its share of 30 days."""
    assert threshold("99.99", 14.4) == "0.00144"
    assert threshold("99.999", 14.4) == "0.000144"
    assert threshold("99.999", 1.0) == "0.00001"
    hours = {"1h": 1, "6h": 6, "3d": 72}
    for burn in BURNS:
        share = Decimal(str(burn.factor)) * hours[burn.long] / (30 * 24)
        assert share * 100 == Decimal(burn.share.split()[0])


def test_no_ratio_is_made_from_ratios() -> None:
    """Ratios are read by people and dashboards; every expression is made from counts."""
    for name, text in texts().items():
        for group in yaml.safe_load(text).get("groups", []):
            assert not [rule for rule in group["rules"] if ":ratio" in rule["expr"]], name


@pytest.mark.peer("promtool")
def test_promtool_finds_the_rules_well_formed() -> None:
    rules = [str(GENERATED / name) for name in texts() if name not in TESTS]
    done = promtool("check", "rules", *rules)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.peer("promtool")
@pytest.mark.parametrize("name", [name for name in TESTS if ".slow." not in name])
def test_the_rules_unit_tests_pass(name: str) -> None:
    """Healthy, a zone down, a single failure, nobody asking, what does not count."""
    done = promtool("test", "rules", str(GENERATED / name))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.proof
@pytest.mark.peer("promtool")
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_twice_the_budget_for_three_days_is_a_ticket(objective: str) -> None:
    done = promtool("test", "rules", str(GENERATED / f"alerts-{objective}.slow.test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
