"""The two gates of a page, and what "sustained" means."""

import numpy as np
import pytest

from cfa.materiality import Run, Weight, budget_burned, decide, failing_run

T = 1_764_000_000.0


def run(span: float, *, failures: int = 40, attempts: int = 40, ended: bool = False) -> Run:
    """A run of failures."""
    return Run(first_at=T, last_at=T + span, failures=failures, attempts=attempts, ended=ended)


def weigh(
    kind: str, of: Run | None, *, evidence: float = 50.0, burned: float = 0.0, **more: int
) -> tuple[str | None, str]:
    """The decision on an explanation."""
    span = of.span if of else 0.0
    weight = Weight(kind=kind, log_evidence=evidence, log_threshold=24.0, run=of, span=span, burned=burned, **more)
    decision = decide(weight)
    return decision.severity, decision.reason


@pytest.mark.parametrize(
    ("kind", "span", "severity"),
    [
        ("zone", 1.9, "ticket"),
        ("zone", 2.0, "page"),
        ("router", 2.0, "page"),
        ("endpoint", 2.0, "page"),
        ("zone_endpoint", 2.0, "page"),
        ("region", 2.0, "page"),
        ("node", 5.0, "ticket"),
        ("partition", 9.9, "ticket"),
        ("partition", 10.0, "page"),
        ("table", 10.0, "page"),
        ("observer", 60.0, "ticket"),
        ("observer_zone", 60.0, "ticket"),
    ],
)
def test_sustained_failure(kind: str, span: float, severity: str) -> None:
    """Half failing pages after seconds, in the storage layer only after longer than a fail-over; witnesses never."""
    assert weigh(kind, run(span))[0] == severity


def test_evidence_alone_is_a_ticket() -> None:
    """Certain but immaterial failures are for office hours."""
    assert weigh("region", run(30, failures=10, attempts=100)) == ("ticket", "evidence_without_materiality")


def test_materiality_alone_is_a_watch() -> None:
    """What looks bad but may be chance is only watched."""
    assert weigh("zone", run(3), evidence=10.0) == ("watch", "not_enough_evidence")


def test_budget_pages() -> None:
    """Two percent of the month's budget gone pages, however small the share."""
    partial = run(30, failures=10, attempts=100)
    assert weigh("endpoint", partial, burned=0.02) == ("page", "evidence_and_budget_burned")
    assert weigh("endpoint", partial, burned=0.019)[0] == "ticket"


def test_a_run_that_ended_does_not_page() -> None:
    """What has healed wakes nobody."""
    assert weigh("zone", run(5, ended=True))[0] == "ticket"


def test_wrong_answers_page_by_count() -> None:
    """One wrong answer is a doubt, two are a page, or one each of two hosts."""
    assert weigh("partition", None, evidence=0.0, wrong=1, wrong_hosts=1)[0] is None
    assert weigh("partition", None, evidence=0.0, wrong=2, wrong_hosts=1) == ("page", "wrong_answers")
    assert weigh("observer", None, evidence=0.0, wrong=9, wrong_hosts=1)[0] == "ticket"


def test_few_attempts_are_judged_by_their_lower_bound() -> None:
    """Two of three is not half; nine of nine is."""
    assert not run(3, failures=2, attempts=3).fails_at_least(0.5)
    assert run(3, failures=9, attempts=9).fails_at_least(0.5)
    assert not run(3, failures=0, attempts=0).fails_at_least(0.5)


def rows(seconds: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(good, bad) of each second."""
    at = np.array([T + i for i in range(len(seconds))])
    return at, np.array([g for g, _ in seconds], np.int32), np.array([b for _, b in seconds], np.int32)


def test_successes_between_failures_break_the_run() -> None:
    """Ten successes in seconds without a failure end a run; the next failure begins another."""
    found = failing_run(*rows([(0, 9), (0, 9), (6, 0), (6, 0), (0, 9), (0, 9), (0, 9)]), T + 8)
    assert found is not None
    assert (found.first_at, found.last_at, found.ended) == (T + 4, T + 6, False)


def test_few_successes_between_failures_do_not() -> None:
    """Fewer are what luck may bring while half still fails."""
    found = failing_run(*rows([(0, 9), (4, 0), (4, 0), (0, 9)]), T + 5)
    assert found is not None
    assert found.first_at == T


def test_success_before_the_failure_does_not_count() -> None:
    """The first second, half of it from before the failure, does not spoil the share."""
    found = failing_run(*rows([(20, 2), (0, 9), (0, 9), (0, 9)]), T + 6)
    assert found is not None
    assert (found.failures, found.attempts) == (27, 27)


def test_a_recovery_ends_the_run() -> None:
    """Enough successes after the last failure, old enough to be all, mean that it is over."""
    seconds = [(0, 9), (0, 9), *[(9, 0)] * 8]
    found = failing_run(*rows(seconds), T + 10)
    assert found is not None
    assert found.ended


def test_no_failure_is_no_run() -> None:
    """Nothing failed."""
    assert failing_run(*rows([(9, 0)] * 3), T + 3) is None


def test_budget_burned() -> None:
    """96 failures at 72 attempts a second and 99.99 % cost half a percent of the 30-day budget."""
    assert budget_burned(96, 96, 1e-4, 72.0) == pytest.approx(0.005, rel=0.05)


def test_a_second_full_of_failures_is_not_waited_for() -> None:
    """What has as many failures as a settled second had attempts is settled, although its successes may still be to come."""
    found = failing_run(*rows([(0, 3), (0, 3), (0, 3)]), T + 2.7)
    assert found is not None
    assert (found.failures, found.attempts) == (9, 9)
    found = failing_run(*rows([(0, 3), (0, 3), (0, 2)]), T + 2.7)
    assert found is not None
    assert (found.failures, found.attempts) == (6, 6)
