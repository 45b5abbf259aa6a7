"""Where is it? Ours, and what others do, on the same faults: F1 of exact scopes, leaf IoU, RC score, abstentions, CPU time.

The cube is AZ 3 × endpoint 4 × read/write × table 20 × partition 8 with nine kinds of fault (:mod:`benchmarks.localization_cases`).
"""

import time
from collections.abc import Iterator

from benchmarks.figures import Result
from benchmarks.localization_cases import SETTINGS, Setting, cases
from benchmarks.localizers import Adtributor, Localizer, Ours, RecursiveAdtributor, Score, Vote, Wilson, interval

CASES = 540
"""Of each setting: sixty of each kind of fault, where there is one."""
SEED = 20261124

Scores = dict[str, Score]


def localizers() -> dict[str, Localizer]:
    """By name; ours first."""
    return {
        "scan": Ours(),
        "007 vote": Vote(),
        "Adtributor": Adtributor(),
        "R-Adtributor": RecursiveAdtributor(),
        "Wilson bound": Wilson(),
    }


def measure(setting: Setting, count: int, seed: int, asked: dict[str, Localizer]) -> Scores:
    """Every localizer on the same ``count`` cases."""
    scores = {name: Score() for name in asked}
    for case in cases(setting, count, seed):
        for name, localizer in asked.items():
            began = time.process_time()
            answer = localizer(case.attempts, case.failures)
            scores[name].add(case.causes, answer, time.process_time() - began)
    return scores


def run() -> Result:
    """All settings."""
    asked = localizers()
    measured = [(setting, measure(setting, CASES, SEED, asked)) for setting in SETTINGS]
    figures: dict[str, float] = {"cases_per_setting": CASES, "seed": SEED}
    for setting, scores in measured:
        for name, score in scores.items():
            prefix = f"{setting.faults}x{setting.share:g}_{setting.samples}_{name.lower().replace(' ', '_').replace('-', '_')}"
            figures |= {f"{prefix}_{key}": round(value, 4) for key, value in _figures(score)}
    costs = {name: sum(s[name].cpu_seconds for _, s in measured) for name in asked}
    return Result(
        name="localization",
        figures=figures,
        ratio=costs["R-Adtributor"] / costs["scan"],
        against="R-Adtributor, CPU time for the same cases",
        table="\n".join(_table(measured, list(asked))),
    )


def _figures(score: Score) -> Iterator[tuple[str, float]]:
    yield "f1", score.f1
    yield "leaf_iou", score.of(score.leaf_iou)
    yield "rc", score.of(score.rc)
    yield "abstained", score.of(score.abstained)
    yield "cpu_ms", 1000 * score.of(score.cpu_seconds)


def _table(measured: list[tuple[Setting, Scores]], names: list[str]) -> Iterator[str]:
    yield f"{CASES} cases a row: F1 of exact scopes (95 % interval), leaf IoU, RC score, share of cases without an answer"
    yield f"{'faults':<8}{'failing':<9}{'samples':<9}" + "  ".join(f"{name:<22}" for name in names)
    for setting, scores in measured:
        cells = []
        for name in names:
            f1, iou, rc, abstained = [value for _, value in _figures(scores[name])][:4]
            cells.append(f"{f1:.3f}±{interval(f1, CASES * setting.faults):.3f} {iou:.2f} {rc:.2f} {abstained:.2f}")
        yield f"{setting.faults:<8}{f'{100 * setting.share:g} %':<9}{setting.samples:<9}" + "  ".join(cells)
    total = {name: sum(s[name].cpu_seconds for _, s in measured) / (CASES * len(measured)) for name in names}
    yield "CPU a scan: " + ", ".join(f"{name} {1000 * seconds:.2f} ms" for name, seconds in total.items())
