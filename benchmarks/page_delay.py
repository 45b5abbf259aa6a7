"""How long a failure of one zone × endpoint takes to page, through the whole judgement, at the threshold of 10,000 nodes.

Three zones with one canary host each ask each zone × endpoint once a second; failures arrive at once, successes in
one-second batches, as canaries send them. Beside the page, the moment of the first ticket (evidence alone).
"""

import sys
from collections.abc import Iterator
from statistics import median

import numpy as np

from benchmarks.figures import Result
from cfa.config import CfaConfig
from cfa.judgement import Judgement
from cfa.policy import SECONDS_PER_YEAR
from collector.observation import Connection, Observation, OperationClass, Outcome, Phase, Vantage
from collector.series import FeedEntry, Reading, Series

START = 1_795_000_000
ZONES = ("az1", "az2", "az3")
ENDPOINTS = ("standard", "fips", "dualstack", "account")
HURT = ("az2", "standard")
FLEET_UPDATES_PER_SECOND = 10_000
CALM_SECONDS = 20

Case = tuple[str, float, int, float]
CASES: tuple[Case, ...] = (("100 %", 1.0, 60, 60.0), ("10 %", 0.1, 60, 300.0), ("1 %", 0.01, 40, 1_800.0))
"""Name, share, seeds, and seconds after which it is given up."""

WANTED = {"100 %": 3.0, "10 %": 40.0, "1 %": 360.0}


def series_of(observer: str, zone: str, endpoint: str) -> Series:
    """What the canary of ``observer`` asks of a zone × endpoint."""
    return Series(
        vantage=Vantage.CANARY, host=f"{observer}-canary-1", zone=observer, operation=OperationClass.WRITE, table="canary",
        endpoint=endpoint, connection=Connection.POOLED, router=f"{zone}-router-1", router_zone=zone,
    )  # fmt: skip


def failed(series: Series, at: float) -> Reading:
    """One answer of 500."""
    failure = Observation(
        at=at, endpoint=series.endpoint or "", connection=Connection.POOLED, operation=series.operation, table="canary",
        outcome=Outcome.SERVER_FAULT, reason="http_500", phase=Phase.HTTP, router=series.router, router_zone=series.router_zone, status=500,
    )  # fmt: skip
    return Reading(series=series, at=int(at), counts={Outcome.SERVER_FAULT: 1}, failures=(failure,))


def second_of(
    second: int, share: float, begins: float, rng: np.random.Generator
) -> list[tuple[float, str, tuple[Reading, ...]]]:
    """What arrives of one second's probes: (time, observer, readings). Phases are spread over cells and zones."""
    arrivals: list[tuple[float, str, tuple[Reading, ...]]] = []
    cells = [(zone, endpoint) for zone in ZONES for endpoint in ENDPOINTS]
    for i, observer in enumerate(ZONES):
        well = []
        for k, (zone, endpoint) in enumerate(cells):
            series, at = series_of(observer, zone, endpoint), second + (k / len(cells) + i / len(ZONES)) % 1
            if (zone, endpoint) == HURT and at >= begins and rng.random() < share:
                arrivals.append((at + 0.005, observer, (failed(series, START + at),)))
            else:
                well.append(Reading(series=series, at=START + second, counts={Outcome.SUCCESS: 1}))
        arrivals.append((second + 1.05 + i * 0.01, observer, tuple(well)))
    return arrivals


def feed(share: float, begins: float, seconds: float, rng: np.random.Generator) -> Iterator[FeedEntry]:
    """Calm, then the failure, in order of arrival."""
    waiting: list[tuple[float, str, tuple[Reading, ...]]] = []
    cursor = 0
    for second in range(-CALM_SECONDS, int(seconds)):
        waiting += second_of(second, share, begins, rng)
        waiting.sort(key=lambda arrival: arrival[0])
        while waiting and waiting[0][0] < second + 1:
            at, observer, readings = waiting.pop(0)
            cursor += 1
            yield FeedEntry(
                cursor=cursor, received_at=START + at, host=f"{observer}-canary-1", zone=observer, vantage=Vantage.CANARY, readings=readings
            )  # fmt: skip


def delays(objective: float, share: float, seconds: float, seed: int) -> tuple[float, float, dict[str, str]]:
    """Seconds from the beginning of the failure to the first incident and to the page, and the page's scope."""
    judgement = Judgement(CfaConfig.model_validate({"objectives": {"default": objective}, "false_pages_per_year": 1.0}))
    # One region of a large fleet: the threshold is that of 10,000 nodes with one probe a second each.
    judgement.intake.evidence.updates_per_year = lambda: FLEET_UPDATES_PER_SECOND * SECONDS_PER_YEAR  # type: ignore[method-assign]
    rng, opened = np.random.default_rng([seed, round(1e6 * share)]), float("inf")
    begins = float(rng.random())
    for entry in feed(share, begins, seconds, rng):
        for event in judgement.step(entry):
            opened = min(opened, event.at - START - begins)
            if event.event == "paged":
                return opened, event.at - START - begins, event.incident.scope
    return opened, float("inf"), {}


def run() -> Result:
    """Median and p90 of each share at 99.99 and 99.999 %."""
    figures: dict[str, float] = {}
    lines = [
        f"{'objective':<12}{'failing':>8}{'seeds':>7}{'ticket p50':>12}{'page p50':>10}{'page p90':>10}{'wanted':>8}   scope"
    ]
    worst = float("inf")
    for objective in (0.9999, 0.99999):
        for name, share, seeds, seconds in CASES:
            found = [delays(objective, share, seconds, seed) for seed in range(seeds)]
            pages, opened = sorted(page for _, page, _ in found), median(first for first, _, _ in found)
            p50, p90 = median(pages), pages[int(0.9 * len(pages))]
            right = sum(scope == {"zone": HURT[0], "endpoint": HURT[1]} for _, _, scope in found)
            key = f"{objective:g}_{share:g}"
            figures |= {
                f"ticket_p50_{key}": opened,
                f"page_p50_{key}": p50,
                f"page_p90_{key}": p90,
                f"named_{key}": right / seeds,
            }
            worst = min(worst, WANTED[name] / p50)
            lines.append(
                f"{objective * 100:<12g}{name:>8}{seeds:>7}{opened:>12.1f}{p50:>10.1f}{p90:>10.1f}{WANTED[name]:>8.0f}   {right} of {seeds} named"
            )
            print(lines[-1], file=sys.stderr)
    return Result(
        name="page-delay",
        figures=figures,
        ratio=worst,
        against="3 s, 40 s and 6 min for 100, 10 and 1 % (the least of wanted ÷ median)",
        table="\n".join(lines),
    )
