"""Objectives from OpenSLO files: taken as they are meant, or refused with file, line and remedy."""

from pathlib import Path

import pytest

from cfa.config import CfaConfig
from cfa.openslo import OpenSloError, targets

SLO = """apiVersion: openslo/v1
kind: SLO
metadata:
  name: orders-availability
  labels:
    fivenines/table: orders
spec:
  service: shop
  indicator:
    metadata: {name: good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: fivenines, spec: {}}}
        total: {metricSource: {type: fivenines, spec: {}}}
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: answered
      target: 0.99999
"""
DEFAULT = SLO.replace("    fivenines/table: orders\n", "    team: shop\n").replace(
    "target: 0.99999", "targetPercent: 99.95"
)
SERVICE = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: shop}\nspec: {description: a shop}\n"


def test_tables_and_the_default() -> None:
    """A labelled SLO is a table's, another one the default; other kinds are passed over."""
    found = targets([("a.yaml", f"{SERVICE}---\n{SLO}"), ("b.yaml", DEFAULT)])
    assert found.tables == {"orders": 0.99999}
    assert found.default == pytest.approx(0.9995)


@pytest.mark.parametrize(
    ("old", "new", "line", "word"),
    [
        ("openslo/v1", "openslo/v1alpha", 1, "apiVersion"),
        ("kind: SLO\n", "", 1, "kind"),
        ("target: 0.99999", "target: 99.999", 21, "ratio above 0"),
        ("target: 0.99999", "target: often", 21, "no number"),
        ("target: 0.99999", "value: 0.9", 20, "without target"),
        ("Occurrences", "Timeslices", 18, "Occurrences"),
        ("30d", "7d", 16, "30 days"),
        ("ratioMetric", "thresholdMetric", 11, "ratioMetric"),
        ("    - displayName: answered\n      target: 0.99999\n", "    {}\n", 20, "list"),
        ("service: shop", "service: [", 10, "syntax"),
    ],
)
def test_what_cannot_be_kept_is_refused(old: str, new: str, line: int, word: str) -> None:
    """The error names the file, the line and what to write instead."""
    with pytest.raises(OpenSloError) as refused:
        targets([("slo.yaml", SLO.replace(old, new))])
    assert refused.value.file == "slo.yaml"
    assert abs(refused.value.line - line) <= 1
    assert word in str(refused.value)


def test_two_objectives_of_one_table_are_refused() -> None:
    """There can be only one."""
    with pytest.raises(OpenSloError, match="already"):
        targets([("a.yaml", SLO), ("b.yaml", SLO)])


def test_configuration_takes_them_and_wins_over_them(tmp_path: Path) -> None:
    """What fivenines.yaml says itself comes first."""
    (tmp_path / "slo.yaml").write_text(f"{SLO}---\n{DEFAULT}")
    files = [str(tmp_path / "slo.yaml")]
    found = CfaConfig.model_validate({"objectives": {"openslo": files}}).objectives
    assert (found.default, found.tables) == (pytest.approx(0.9995), {"orders": 0.99999})
    more = {"openslo": files, "default": 0.999, "tables": {"orders": 0.99}}
    found = CfaConfig.model_validate({"objectives": more}).objectives
    assert (found.default, found.tables) == (0.999, {"orders": 0.99})
    with pytest.raises(ValueError, match="cannot be read"):
        CfaConfig.model_validate({"objectives": {"openslo": [str(tmp_path / "no.yaml")]}})
