"""When a host stops believing itself, and when it starts again."""

import pytest

from canary.jury import Echo, Jury, LagLog, SelfCheck, complaints

GOOD = SelfCheck(loopback=Echo.ANSWERED, own_zone=Echo.ANSWERED)


def check(**changes: object) -> SelfCheck:
    return SelfCheck(**({"loopback": Echo.ANSWERED, "own_zone": Echo.ANSWERED} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (check(loopback=Echo.SILENT), "loopback_failed"),
        (check(own_zone=Echo.REFUSED), "control_echo_failed"),
        (check(other_zones={"az2": Echo.SILENT, "az3": Echo.SILENT}), "zones_unreachable"),
        (check(clock_offset_ms=-3000.0), "clock_offset"),
        (check(fd_share=0.95), "fd_exhausted"),
    ],
)
def test_two_failures_in_a_row_recuse(bad: SelfCheck, reason: str) -> None:
    """One bad look is a doubt, the second a verdict with its reason; five good seconds later it is over."""
    jury = Jury()
    assert not jury.step(bad, 0.0).recused
    assert jury.suspicious
    standing = jury.step(bad, 1.0)
    assert (standing.recused, standing.reasons, standing.changed) == (True, (reason,), True)
    assert jury.step(GOOD, 5.9).recused
    standing = jury.step(GOOD, 6.0)
    assert (standing.recused, standing.changed) == (False, True)


def test_a_bad_look_between_good_ones_does_not_recuse() -> None:
    """Failures must follow each other."""
    jury = Jury()
    for at in range(0, 10, 2):
        assert not jury.step(check(loopback=Echo.SILENT), at).recused
        assert not jury.step(GOOD, at + 1).recused


def test_a_stalled_loop_recuses_at_once() -> None:
    """Half a second of lag needs no second look."""
    assert Jury().step(check(lag_ms=501.0), 0.0).reasons == ("loop_lag",)
    assert not Jury().step(check(lag_ms=499.0), 0.0).recused


@pytest.mark.parametrize(
    "others",
    [
        {"az2": Echo.REFUSED, "az3": Echo.REFUSED},
        {"az2": Echo.SILENT, "az3": Echo.ANSWERED},
        {"az2": Echo.SILENT, "az3": Echo.REFUSED},
        {},
    ],
)
def test_zones_that_are_gone_are_no_reason_to_doubt_oneself(others: dict[str, Echo]) -> None:
    """A refusal proves that the network works, and one silent zone may be that zone's fault."""
    assert complaints(check(other_zones=others)) == ()


def test_stalls_are_remembered_for_the_attempts_they_spoil() -> None:
    """Only stalls over 250 ms count, only for attempts that overlap them."""
    log = LagLog()
    log.note(10.0, 10.2)
    assert not log.overlaps(9.0, 11.0)
    log.note(20.0, 20.4)
    assert log.overlaps(20.3, 20.5)
    assert log.overlaps(19.0, 20.1)
    assert not log.overlaps(18.0, 19.9)
    assert not log.overlaps(20.5, 21.0)
