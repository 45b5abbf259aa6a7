"""Attempts made because another zone's had failed: evidence for a page, but in no availability, window or budget."""

from typing import Any

from cfa.config import CfaConfig
from cfa.judgement import Judgement
from collector.observation import Connection, Level, Observation, OperationClass, Outcome, Phase, Vantage
from collector.series import FeedEntry, Reading, Series

START = 1_764_000_000.0


def reading(host: str, at: float, *, good: int = 0, bad: int = 0, level: Level = Level.ATTEMPT) -> Reading:
    series = Series(
        vantage=Vantage.CANARY, host=host, zone=host[:3], operation=OperationClass.WRITE, table="canary",
        endpoint="standard", connection=Connection.POOLED, router="az1-router-1", router_zone="az1", level=level,
    )  # fmt: skip
    failure = Observation(
        at=at, endpoint="standard", connection=Connection.POOLED, operation=OperationClass.WRITE, table="canary",
        outcome=Outcome.SERVER_FAULT, reason="http_500", phase=Phase.HTTP, router="az1-router-1", router_zone="az1", status=500,
    )  # fmt: skip
    counts = {outcome: n for outcome, n in ((Outcome.SUCCESS, good), (Outcome.SERVER_FAULT, bad)) if n}
    return Reading(series=series, at=int(at), counts=counts, failures=(failure,) * bad)


def feed(*what: tuple[float, Reading]) -> list[FeedEntry]:
    return [
        FeedEntry(
            cursor=i, received_at=START + at, host=one.series.host, zone=one.series.zone, vantage=Vantage.CANARY, readings=(one,)
        )
        for i, (at, one) in enumerate(what, start=1)
    ]  # fmt: skip


def judged(entries: list[FeedEntry]) -> Judgement:
    judgement = Judgement(CfaConfig())
    for entry in entries:
        judgement.step(entry)
    return judgement


def counted(judgement: Judgement) -> Any:
    judgement.intake.windows.advance(judgement.at)
    return judgement.intake.windows.sums.sum(axis=(0, 1, 2)).tolist()


CALM = [(i, reading("az2-canary-1", START + i, good=5)) for i in range(10)]
FAILED = [*CALM, (10.1, reading("az1-canary-1", START + 10, bad=1))]
BURST = [
    *FAILED,
    (10.2, reading("az2-canary-1", START + 10.1, bad=1, level=Level.CONFIRM)),
    (10.2, reading("az3-canary-1", START + 10.1, good=1, level=Level.CONFIRM)),
]


def test_windows_and_matrix_are_the_same_with_and_without_a_burst() -> None:
    """Extra samples taken because of a failure would make every availability look worse than it was."""
    without, with_burst = judged(feed(*FAILED)), judged(feed(*BURST))
    assert counted(without) == counted(with_burst)
    rows = [{**row, "at": 0} for row in with_burst.intake.matrix.view(START + 11, 1e-4)]
    assert rows == [{**row, "at": 0} for row in without.intake.matrix.view(START + 11, 1e-4)]


def test_a_confirming_failure_is_evidence() -> None:
    """Another host's failure weighs more than none; a confirming success weighs for the place."""
    alone = judged(feed(*FAILED)).intake.evidence.log_evidence().max()
    confirmed = judged(feed(*FAILED, BURST[-2])).intake.evidence.log_evidence().max()
    contradicted = judged(feed(*FAILED, BURST[-1])).intake.evidence.log_evidence().max()
    assert contradicted <= alone < confirmed


def test_taking_a_hosts_word_back_takes_nothing_from_windows_that_was_never_in_them() -> None:
    """A recused host's confirming attempts were not counted, so they are not subtracted."""
    judgement = judged(feed(*BURST))
    before = counted(judgement)
    rows = judgement.intake.attempts.rows()
    judgement.intake.retract(rows[rows["confirm"]])
    assert counted(judgement) == before


def test_a_snapshot_remembers_which_attempts_were_asked_for() -> None:
    """And goes on from there."""
    judgement = judged(feed(*BURST))
    again = Judgement.restore(CfaConfig(), judgement.snapshot())
    assert again.intake.attempts.rows()["confirm"].tolist() == judgement.intake.attempts.rows()["confirm"].tolist()
    assert any(again.intake.attempts.rows()["confirm"])
