"""Does it help that the other zones look at once? Virtual time, the collector's own board, the whole judgement, with and without.

Three zones with one canary host each ask each zone × endpoint at a cadence; one of the twelve fails. What a host sees fail
arrives at once, successes in one-second batches; whoever is asked to look has its answer in 60 ms.
"""

import heapq
import itertools
import sys
from statistics import median
from typing import Any

import numpy as np

from benchmarks.figures import Result
from cfa.config import CfaConfig
from cfa.judgement import Judgement
from cfa.policy import SECONDS_PER_YEAR
from collector.board import Board
from collector.observation import Connection, Level, Observation, OperationClass, Outcome, Phase, Vantage
from collector.series import FeedEntry, Reading, Series
from collector.wire import Batch

START = 1_795_000_000.0
ZONES = ("az1", "az2", "az3")
ENDPOINTS = ("standard", "fips", "dualstack", "account")
HURT = ("az2", "standard")
FLEET_UPDATES_PER_SECOND = 10_000
CALM_SECONDS = 90.0
LOOKED_SECONDS, TOLD_SECONDS = 0.06, 0.005
ASKS_PER_MINUTE = 12
SEEDS = 15
CASES = (("100 %", 1.0, 1.0, 60.0), ("100 %", 1.0, 5.0, 120.0), ("100 %", 1.0, 20.0, 300.0), ("10 %", 0.1, 1.0, 300.0))
"""Failing, as a share, seconds between two probes of a cell by one host, seconds after which it is given up."""

Place = tuple[str, str, str]
"""Observer's zone, router's zone, endpoint."""


class Region:
    """One run. ``evident_at``, ``paged_at``: seconds after the failure began; infinite before."""

    def __init__(self, share: float, cadence: float, seed: int, *, burst: bool) -> None:
        self._rng = np.random.default_rng([seed, round(share * 100), round(cadence * 10)])
        self._share, self._cadence = share, cadence
        self._board = Board(ASKS_PER_MINUTE if burst else 0, 0)
        self._judgement = Judgement(CfaConfig(false_pages_per_year=1.0))
        # One region of a large fleet: the threshold is that of 10,000 nodes with one probe a second each.
        self._judgement.intake.evidence.updates_per_year = lambda: FLEET_UPDATES_PER_SECOND * SECONDS_PER_YEAR  # type: ignore[method-assign]
        self._due: list[tuple[float, int, str, Any]] = []
        self._order = itertools.count()
        self._well: dict[str, dict[tuple[Series, int], int]] = {zone: {} for zone in ZONES}
        self.asks = 0
        self.evident_at = self.paged_at = float("inf")
        for place in itertools.product(ZONES, ZONES, ENDPOINTS):
            self._later(-CALM_SECONDS + float(self._rng.uniform(0, cadence)), "tick", place)
        for i, zone in enumerate(ZONES):
            self._later(-CALM_SECONDS + 1.0 + i * 0.01, "flush", zone)

    def _later(self, at: float, what: str, about: Any) -> None:
        heapq.heappush(self._due, (at, next(self._order), what, about))

    def run(self, seconds: float) -> None:
        """Until the page, or for so long."""
        while self._due and self.paged_at == float("inf"):
            at, _, what, about = heapq.heappop(self._due)
            if at > seconds:
                return
            if what == "tick":
                self._probe(at, about, Level.ATTEMPT)
                self._later(at + self._cadence, "tick", about)
            elif what == "look":
                self._probe(at, about, Level.CONFIRM)
            elif what == "fail":
                self._tell(at, *about)
            else:
                self._flush(at, about)

    def _probe(self, at: float, place: Place, level: Level) -> None:
        observer, router_zone, endpoint = place
        series = Series(
            vantage=Vantage.CANARY, host=f"{observer}-canary-1", zone=observer, operation=OperationClass.WRITE, table="canary", endpoint=endpoint,
            connection=Connection.POOLED, router=f"{router_zone}-router-1", router_zone=router_zone, level=level,
        )  # fmt: skip
        if at >= 0 and (router_zone, endpoint) == HURT and self._rng.random() < self._share:
            self._later(at + TOLD_SECONDS, "fail", (series, at))
        else:
            key = (series, int(START + at))
            self._well[observer][key] = self._well[observer].get(key, 0) + 1

    def _tell(self, at: float, series: Series, asked: float) -> None:
        failure = Observation(
            at=START + asked, endpoint=series.endpoint or "", connection=Connection.POOLED, operation=series.operation, table="canary",
            outcome=Outcome.SERVER_FAULT, reason="http_500", phase=Phase.HTTP, router=series.router, router_zone=series.router_zone, status=500,
        )  # fmt: skip
        reading = Reading(series=series, at=int(START + asked), counts={Outcome.SERVER_FAULT: 1}, failures=(failure,))
        self._step(at, series.zone, (reading,))
        batch = Batch(host=series.host, zone=series.zone, boot="b", sequence=1, sent_at=START + at, readings=(reading,))
        for ask in self._board.hear(batch, START + at):
            self.asks += 1
            for zone in ZONES:
                if zone != ask.zone:
                    self._later(at + LOOKED_SECONDS, "look", (zone, series.router_zone, ask.endpoint))

    def _flush(self, at: float, zone: str) -> None:
        well, self._well[zone] = self._well[zone], {}
        readings = tuple(Reading(series=s, at=t, counts={Outcome.SUCCESS: n}) for (s, t), n in well.items())
        self._step(at, zone, readings)
        self._later(at + 1.0, "flush", zone)

    def _step(self, at: float, zone: str, readings: tuple[Reading, ...]) -> None:
        entry = FeedEntry(
            cursor=next(self._order) + 1, received_at=START + at, host=f"{zone}-canary-1", zone=zone, vantage=Vantage.CANARY, readings=readings
        )  # fmt: skip
        events = self._judgement.step(entry)
        if self.evident_at == float("inf") and at >= 0:
            intake = self._judgement.intake
            if float(intake.evidence.log_evidence().max()) >= intake.evidence.log_threshold(1.0):
                self.evident_at = at
        if any(event.event == "paged" for event in events):
            self.paged_at = at


def run() -> Result:
    """Medians of both, case by case; the ratio is that of evidence at the slowest cadence."""
    figures: dict[str, float] = {}
    head = f"{'failing':<9}{'cadence':>8}{'':>8}{'evidence p50':>14}{'page p50':>10}{'page p90':>10}{'asks':>6}"
    lines = [head]
    ratio = 1.0
    for name, share, cadence, seconds in CASES:
        found = {}
        for word, burst in (("without", False), ("with", True)):
            regions = [Region(share, cadence, seed, burst=burst) for seed in range(SEEDS)]
            for region in regions:
                region.run(seconds)
            evident = median(region.evident_at for region in regions)
            pages = sorted(region.paged_at for region in regions)
            found[word] = evident
            key = f"{share:g}_{cadence:g}s_{word}"
            figures |= {f"evidence_p50_{key}": evident, f"page_p50_{key}": median(pages)}
            lines.append(
                f"{name:<9}{cadence:>6g} s{word:>8}{evident:>14.2f}{median(pages):>10.2f}{pages[int(0.9 * len(pages))]:>10.2f}"
                f"{sum(region.asks for region in regions) / SEEDS:>6.1f}"
            )
            print(lines[-1], file=sys.stderr)
        if share == 1.0:
            ratio = found["without"] / found["with"]
    return Result(
        name="confirm-burst",
        figures=figures,
        ratio=ratio,
        against="the same region, the same seeds, nobody asked to look (evidence of a hard fault, one probe in 20 s)",
        table="\n".join(lines),
    )


if __name__ == "__main__":
    print(run().table)
