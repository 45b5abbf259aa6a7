"""Dashboards as code: well made, current, the same every time."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.config import ClusterConfig
from cluster.topology import build as topology
from dashboards import queries
from dashboards.boards.region_now import BOARD
from dashboards.boards.render import to_json, to_text
from dashboards.build import GENERATED, build
from dashboards.check import check
from dashboards.lint import expression, lint
from dashboards.prometheus import default_targets, prometheus_config

ROOT = Path(__file__).resolve().parents[2]


def test_the_dashboards_are_in_order() -> None:
    """Rules kept, PromQL parses, the checked-in JSON is what the code makes."""
    assert check() == []


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """And those are the bytes that are checked in."""
    first = [path.read_bytes() for path in build(tmp_path)]
    assert first == [path.read_bytes() for path in build(tmp_path)]
    assert first == [(GENERATED / "region-now.json").read_bytes()]


def test_a_stale_file_is_found(tmp_path: Path) -> None:
    """And the problem names the command that mends it."""
    assert any("fivenines dashboards build" in problem for problem in check(tmp_path))


@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")
def test_grafanas_own_schema_reads_it() -> None:
    """Grafana's typed model keeps every panel, query, threshold and variable of it."""
    from grafana_foundation_sdk.models import dashboard as schema

    ours = to_json(BOARD)
    theirs = schema.Dashboard.from_json(copy.deepcopy(ours)).to_json()
    assert theirs["schemaVersion"] == ours["schemaVersion"] == 42
    kept = json.loads(json.dumps(theirs, default=lambda value: value.to_json()))
    titles = [panel["title"] for panel in ours["panels"]]
    assert [panel["title"] for panel in kept["panels"]] == titles
    assert [v["name"] for v in kept["templating"]["list"]] == ["datasource", "region", "zone"]
    for mine, read in zip(ours["panels"], kept["panels"], strict=True):
        assert [t["expr"] for t in mine.get("targets", [])] == [t["expr"] for t in read.get("targets", [])]
        assert mine["gridPos"].items() <= read["gridPos"].items()


def broken(**changes: Any) -> dict[str, Any]:
    """The board with its first real panel changed."""
    dashboard: dict[str, Any] = json.loads(to_text(BOARD))
    dashboard["panels"][1] |= changes
    return dashboard


@pytest.mark.parametrize(
    ("dashboard", "problem"),
    [
        (broken(description=""), "no description"),
        (broken(title=""), "no title"),
        (broken(targets=[]), "no query"),
        (broken(datasource={"type": "prometheus", "uid": "mine"}), "baked in"),
        (broken(gridPos={"x": 1, "y": 1, "w": 24, "h": 5}), "wider than the page"),
        (json.loads(to_text(BOARD)) | {"editable": True}, "edited by hand"),
    ],
)
def test_a_badly_made_dashboard_is_named(dashboard: dict[str, Any], problem: str) -> None:
    """Each rule has teeth."""
    assert any(problem in found for found in lint(dashboard))


@pytest.mark.parametrize(
    ("promql", "problem"),
    [
        ('sum(store_requests_total{region=~"$region"})', "not read through rate"),
        ('rate(store_requests_total{region=~"$region"}[$__rate_interval])', "not aggregated"),
        ('sum(rate(store_requests_total{region=~"$region"}[5m]))', "not $__rate_interval"),
        ("sum(rate(store_requests_total[$__rate_interval]))", "filter by region"),
    ],
)
def test_a_bad_expression_is_named(promql: str, problem: str) -> None:
    """Counters, ranges and the region filter."""
    assert any(problem in found for found in expression(promql))


def test_the_judgements_metrics_are_documented() -> None:
    """Every cfa metric that a query names stands in docs/metrics.md."""
    text = " ".join(value for name, value in vars(queries).items() if name.isupper() and isinstance(value, str))
    named = set(re.findall(r"\bcfa_[a-z_]+", text))
    documented = set(re.findall(r"`(cfa_[a-z_]+)`", (ROOT / "docs/metrics.md").read_text()))
    assert named
    assert named - documented == set()


def test_the_checked_in_scrape_configuration_is_current() -> None:
    """It names every router and node of the default topology, once."""
    path = ROOT / "dashboards/provisioning/prometheus.yml"
    assert path.read_text() == prometheus_config(default_targets())
    region = topology(ClusterConfig(), single=False)
    real = {r.metrics_url for r in region.routers} | {n.metrics_url for n in region.nodes}
    ours = {f"http://{t.address}/metrics" for t in default_targets() if t.job in ("router", "node")}
    assert ours == real


@pytest.mark.parametrize("name", ["dashboards.yaml", "datasources.yaml"])
def test_provisioning_files_are_yaml_of_version_one(name: str) -> None:
    """As Grafana's file provisioning wants them."""
    assert yaml.safe_load((ROOT / "dashboards/provisioning" / name).read_text())["apiVersion"] == 1
