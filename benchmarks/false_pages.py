"""How often 10,000 series that exactly meet their objective raise a ticket or a page in a year: the one promised number.

The real detector's arrays (:class:`cfa.evidence.Evidence`) and the real gates (:func:`cfa.materiality.decide`), one
probe a second of each series, with ``false_pages_per_year: 1``. Independent failures, and bursts: a failure is followed
by a failure with probability 0.3 while the share of failures stays that of the objective. Only failures are simulated
one by one: the k-th of all series at once; successes between them go in closed form.
"""

import sys
from dataclasses import dataclass, field
from math import log

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Result
from benchmarks.probe_streams import Chain, Ints
from cfa.alarm import successes_needed
from cfa.evidence import Evidence, lent
from cfa.foresight import Course, budget_foreseen, worst_stretch
from cfa.materiality import Decision, Weight, budget_burned, decide, failing_run
from cfa.policy import RETENTION_SECONDS, SECONDS_PER_YEAR

SERIES = 10_000
SEEDS = {1e-4: (1, 2, 3), 1e-5: tuple(range(1, 10))}
"""By p0 = 1 − objective; at five nines a year has a tenth of the failures, and costs a tenth."""

AGAIN = 0.3
REMEMBERED = 64
"""Failures of each series that the gates can look back on."""

CALIBRATION = (0.0, log(10), log(100), log(1_000))
"""Thresholds lower by so much, at which crossings are frequent enough to be counted."""


@dataclass
class Fleet:
    """Series as nodes × two sides, each on its own clock; ``recent`` are the times of its last failures."""

    allowed: float
    chain: Chain
    rng: np.random.Generator
    series: int = SERIES
    tickets: int = 0
    pages: int = 0
    failures: int = 0
    crossings: Ints = field(default_factory=lambda: np.zeros(len(CALIBRATION), np.int64))

    def __post_init__(self) -> None:
        nodes = self.series // 2
        self.evidence = Evidence()
        self.evidence.reserve([self.allowed] * nodes)
        self.host = self.evidence.host("canary")
        self.clock = np.zeros((nodes, 2), np.int64)
        self.recent = np.full((REMEMBERED, nodes, 2), -1e9)
        self.open = np.zeros((nodes, 2), np.bool_)
        self.paged = np.zeros((nodes, 2), np.bool_)
        self.above = np.zeros((len(CALIBRATION), nodes, 2), np.bool_)
        self.step_number = 0

    def run(self, seconds: float) -> None:
        """All series until their clocks have passed ``seconds``."""
        gaps = self.chain.first(self.rng, self.clock.shape)
        alive = self.clock + gaps < seconds
        while alive.any():
            self.step(np.where(alive, gaps, 0), alive)
            gaps = self.chain.gaps(self.rng, self.clock.shape)
            alive &= self.clock + gaps < seconds  # a series whose next failure is later has none any more

    def step(self, gaps: Ints, alive: NDArray[np.bool_]) -> None:
        """The next failure of every series that is ``alive``, after so many successes."""
        self.clock += gaps
        self.evidence.successes(gaps, self.host, self.clock.astype(np.float64))
        for node, side in np.argwhere(self.open & alive):
            self._perhaps_over(int(node), int(side), int(gaps[node, side]))
        slot = self.recent[self.step_number % REMEMBERED]
        for side in (0, 1):
            nodes = np.nonzero(alive[:, side])[0].astype(np.int32)
            at = self.clock[nodes, side].astype(np.float64)
            self.evidence.failures(nodes, side, self.host, 1, at)
            slot[nodes, side] = at
        self.step_number += 1
        self.failures += int(alive.sum())
        self.clock += 1
        self._judge(alive)

    def _perhaps_over(self, node: int, side: int, gap: int) -> None:
        _, bad, good = self.evidence.change(node, side)
        if gap >= successes_needed(bad / max(1, bad + good)):
            self._close(node, side)

    def _close(self, node: int, side: int) -> None:
        self.open[node, side] = self.paged[node, side] = False
        keep = np.ones(self.evidence.size, np.bool_)
        keep[node] = False
        self.evidence.reset(keep)

    def _judge(self, alive: NDArray[np.bool_]) -> None:
        log_m = self.evidence.log_evidence()
        base = self.evidence.log_threshold(1.0)
        for i, lower in enumerate(CALIBRATION):
            above = log_m >= base - lower
            self.crossings[i] += int((above & ~self.above[i]).sum())
            self.above[i] = above | (self.above[i] & (log_m >= base - lower - log(100)))
        threshold = lent(log_m, base)
        for node, side in np.argwhere(alive & (log_m >= threshold)):
            self._look(int(node), int(side), float(log_m[node, side]), threshold)

    def _look(self, node: int, side: int, log_m: float, threshold: float) -> None:
        if not self.open[node, side]:
            self.open[node, side] = True
            self.tickets += 1
        if not self.paged[node, side] and self.decide(node, side, log_m, threshold).severity == "page":
            self.paged[node, side] = True
            self.pages += 1

    def decide(self, node: int, side: int, log_m: float, threshold: float) -> Decision:
        """The page gates of one series, which is taken to be a zone × endpoint that has a budget of its own."""
        now = float(self.clock[node, side])
        since, bad, good = self.evidence.change(node, side)
        at = np.arange(now - min(RETENTION_SECONDS, now), now)
        failed = np.isin(at, self.recent[:, node, side])
        run = failing_run(at, (~failed).astype(np.int32), failed.astype(np.int32), now)
        last = float(self.recent[:, node, side].max())
        course = Course(
            failures=bad,
            attempts=bad + good,
            tail=0,
            worst=worst_stretch(at, failed.astype(np.int32)),
            seconds=now - since,
        )
        return decide(
            Weight(
                kind="zone_endpoint",
                log_evidence=log_m,
                log_threshold=threshold,
                run=run,
                span=last - since,
                burned=budget_burned(bad, bad + good, self.allowed, 1.0),
                foreseen=budget_foreseen(course, self.allowed),
            )
        )


def upper_bound(events: int, confidence: float = 0.95) -> float:
    """The exact (Clopper–Pearson, for a Poisson mean: Garwood) upper bound of the expected number of ``events``."""
    from scipy.stats import chi2  # noqa: PLC0415 (slow to import)

    return float(chi2.ppf(confidence, 2 * (events + 1)) / 2)


def run(series: int = SERIES, years: float = 1.0) -> Result:
    """Tickets and pages of every setting, and the bounds of what is to be expected in a year."""
    figures: dict[str, float] = {}
    lines = [
        f"{'':<28}{'years':>6}{'failures':>12}{'tickets':>9}{'pages':>7}{'≤ pages/year (95 %)':>21}{'calibration':>24}"
    ]
    total, all_years = 0, 0.0
    for allowed, seeds in SEEDS.items():
        for name, chain in (("independent", Chain.independent(allowed)), ("bursty", Chain(share=allowed, again=AGAIN))):
            fleets = []
            for seed in seeds:
                fleet = Fleet(allowed, chain, np.random.default_rng([seed, int(1 / allowed)]), series)
                fleet.run(SECONDS_PER_YEAR * years)
                fleets.append(fleet)
                print(f"{name} {allowed:g} seed {seed}: {fleet.tickets} tickets, {fleet.pages} pages", file=sys.stderr)
            pages, tickets = sum(f.pages for f in fleets), sum(f.tickets for f in fleets)
            observed = years * len(fleets) * series / SERIES
            bound, crossed = upper_bound(pages) / observed, sum(f.crossings for f in fleets) / observed
            key = f"{name}_{allowed:g}"
            figures |= {f"pages_{key}": pages, f"tickets_{key}": tickets, f"pages_per_year_bound_{key}": bound}
            figures |= {f"crossings_per_year_at_{10**i}_{key}": float(c) for i, c in enumerate(crossed)}
            many = "  ".join(f"{c / 10**i:.2f}" for i, c in enumerate(crossed))
            lines.append(
                f"{name + f', p = {allowed:g}':<28}{observed:>6g}{sum(f.failures for f in fleets):>12,}{tickets:>9}{pages:>7}{bound:>21.2f}{many:>24}"
            )
            total, all_years = total + pages, all_years + observed
    bound = upper_bound(total) / all_years
    figures |= {"pages": total, "years": all_years, "pages_per_year_bound": bound}
    lines.append(f"{'all':<28}{all_years:>6g}{'':>12}{'':>9}{total:>7}{bound:>21.2f}")
    lines.append(
        "calibration: crossings a year ÷ those promised, at thresholds for 1, 10, 100 and 1,000 false alarms a year"
    )
    return Result(
        name="false-pages",
        figures=figures,
        ratio=1 / bound,
        against="the promise of one false page a year for 10,000 series (upper 95 % bound of what is to be expected)",
        table="\n".join(lines),
    )
