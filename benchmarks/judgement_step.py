"""The judgement's CPU for a minute of the embedded region (72 probes a second), calm and with a zone dead, against real time."""

from benchmarks.feeds import calm_minute, dark_minute
from benchmarks.figures import Result, cpu_of
from cfa.config import CfaConfig
from cfa.judgement import Judgement
from collector.series import FeedEntry

SECONDS = 60


def steps(entries: list[FeedEntry]) -> None:
    """Step a fresh judgement through all entries."""
    judgement = Judgement(CfaConfig())
    for entry in entries:
        judgement.step(entry)


def run() -> Result:
    """CPU milliseconds per second of feed."""
    calm, dark = calm_minute(), dark_minute()
    calm_ms = cpu_of(lambda: steps(calm), rounds=3) / SECONDS * 1000
    dark_ms = cpu_of(lambda: steps(dark), rounds=3) / SECONDS * 1000
    figures = {"calm_ms_per_second": calm_ms, "zone_dead_ms_per_second": dark_ms}
    return Result(
        name="judgement-step",
        figures=figures,
        ratio=1000 / dark_ms,
        against="real time (1,000 ms a second) on one core",
    )
