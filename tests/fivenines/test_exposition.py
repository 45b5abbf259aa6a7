"""Every part's ``/metrics``, by the rules: base units, endings, bounded labels; checked by promtool and by what it does not check."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from cluster.healing_metrics import HealingMetrics
from cluster.scrub.metrics import ScrubMetrics
from collector.config import CollectorConfig
from collector.merged import OTHER, Totals
from collector.observation import Outcome
from collector.remote_write.figures import RemoteWriteFigures
from collector.series import Reading
from dashboards.console.metrics import ConsoleMetrics
from tests.collector.samples import free_port, make_batch, make_failure, make_series, running
from tests.dashboards import exporter
from tests.dashboards.peers import program

FORBIDDEN_LABELS = {"request_id", "key", "message", "detail", "address", "path", "boot", "sequence"}
"""Without a bound."""
UNITS = re.compile(r"_(ms|millis|milliseconds|minutes|hours|days|kb|kilobytes|mb|percent|percentage)(_|$)")


def registries() -> Iterator[tuple[str, str]]:
    """Each part's page, from its own metrics class."""
    for name in ("router", "node", "canary", "collector", "judgement"):
        yield name, getattr(exporter, name)()().decode()
    console = ConsoleMetrics()
    console.answered(200)
    console.refused("busy")
    yield "console", console.page()[0].decode()
    for name, make in (("healing", HealingMetrics), ("scrub", lambda r: ScrubMetrics(r, lambda: 1.0))):
        registry = CollectorRegistry()
        make(registry)
        yield name, generate_latest(registry).decode()
    registry = CollectorRegistry()
    RemoteWriteFigures(registry).known("peer")
    yield "remote_write", generate_latest(registry).decode()


PAGES = dict(registries())


def problems(page: str) -> list[str]:
    """What promtool does not look at."""
    found = []
    for family in text_string_to_metric_families(page):
        if family.name.endswith("_created"):
            continue  # not shown by a part: they are switched off where it starts
        if UNITS.search(family.name):
            found.append(f"{family.name}: not a base unit")
        if family.type == "counter" and "ratio" in family.name:
            found.append(f"{family.name}: a counter is no ratio")
        labels = {label for sample in family.samples for label in sample.labels}
        found += [f"{family.name}: label {label} has no bound" for label in labels & FORBIDDEN_LABELS]
    return found


def promtool(page: str) -> str:
    """What ``promtool check metrics`` complains of; gauges with colons and such are its business."""
    kept = "\n".join(line for line in page.splitlines() if "_created" not in line) + "\n"
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=kept, capture_output=True, text=True, timeout=30, check=False
    )
    return (done.stdout + done.stderr).strip() if done.returncode else ""


@pytest.mark.parametrize("part", sorted(PAGES))
def test_every_parts_page_keeps_the_conventions(part: str) -> None:
    assert problems(PAGES[part]) == []


@pytest.mark.peer("promtool")
@pytest.mark.parametrize("part", sorted(PAGES))
def test_promtool_has_nothing_to_say(part: str) -> None:
    assert promtool(PAGES[part]) == ""


@pytest.mark.peer("promtool")
async def test_a_running_collectors_page_in_both_formats(tmp_path: Path) -> None:
    """The merged observations keep the conventions; OpenMetrics readers get the failing request's id as an exemplar."""
    now = time.time()
    reading = Reading(
        series=make_series(),
        at=int(now),
        counts={Outcome.SUCCESS: 5, Outcome.SERVER_FAULT: 1},
        latency=(3, 2, *(0,) * 11),
        failures=(make_failure(now, outcome=Outcome.SERVER_FAULT, reason="http_500", request_id="R-17"),),
    )
    config = CollectorConfig(port=free_port(), data_dir=tmp_path / "c")
    async with running(config) as client:
        await client.post(make_batch(1, readings=(reading,)))
        _, text = await client.get("/metrics")
        accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
        _, modern = await client.get("/metrics", headers=accept)
    assert problems(text) == []
    assert promtool(text) == ""
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(modern)}
    attempts = {sample.labels["outcome"]: sample for sample in families["canary_probe_attempts"].samples}
    assert attempts["success"].value == 5
    assert attempts["server_fault"].exemplar.labels == {"request_id": "R-17"}
    seconds = {sample.labels.get("le"): sample.value for sample in families["canary_probe_duration_seconds"].samples}
    assert (seconds["0.001"], seconds["0.002"], seconds["+Inf"]) == (3, 5, 5)


async def test_label_sets_are_bounded_and_totals_stay_right() -> None:
    """What comes after the bound is counted under ``_other``, and counted as overflow."""
    totals = Totals(cells_max=10)
    readings = [
        Reading(series=make_series(table=f"t{i}"), at=int(time.time()), counts={Outcome.SUCCESS: 1}) for i in range(50)
    ]
    totals.fold(readings, recused=False)
    totals.fold(readings, recused=False)
    assert len(totals.cells) == 11
    assert totals.overflow == 80
    assert sum(tally[0] for tally in totals.cells.values()) == 100
    assert any(OTHER in cell for cell in totals.cells)
