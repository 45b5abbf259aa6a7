"""A cell that is asked seldom is not missed before its turn; one that is asked often is."""

from typing import Any

from cfa.matrix import RETURN_SECONDS, TURN_SECONDS, Matrix

QUICK, SLOW = ("az1", "standard", "write", "fresh"), ("az1", "standard", "control", "fresh")


def row(matrix: Matrix, at: float, cell: tuple[str, ...]) -> dict[str, Any]:
    matrix.advance(at)
    names = ("zone", "endpoint", "operation", "connection")
    return next(r for r in matrix.view(at, 1e-4) if tuple(r[name] for name in names) == cell)


def heard(matrix: Matrix, first: float, last: float) -> None:
    """The quick cell answers each second."""
    for second in range(int(first), int(last) + 1):
        matrix.advance(second)
        matrix.add(matrix.cell(QUICK), second, (1, 0, 0, 0))


def test_after_a_zones_return_a_seldom_cell_is_waited_for_two_cadences_and_then_missed() -> None:
    """It was answered before the zone went; the zone is back; its turn comes within a minute, or it is missed."""
    matrix = Matrix({"control": 30.0})
    matrix.add(matrix.cell(SLOW), 1000, (1, 0, 0, 0))
    heard(matrix, 1000, 1010)
    assert row(matrix, 1200.0, SLOW)["due_in_seconds"] == 0.0  # the zone is silent: missed like everything in it
    heard(matrix, 1300, 1302)
    assert row(matrix, 1302.0, SLOW)["verdict"] == "unobserved"
    assert row(matrix, 1302.0, SLOW)["due_in_seconds"] == 2 * 30.0 + TURN_SECONDS - 2
    heard(matrix, 1303, 1380)
    assert row(matrix, 1380.0, SLOW)["due_in_seconds"] == 0.0


def test_a_quick_cell_has_no_such_patience() -> None:
    """Silence of what is asked every second or two is a gap at once."""
    matrix = Matrix({"control": 30.0})
    matrix.cell(QUICK)
    matrix.add(matrix.cell(SLOW), 1000, (1, 0, 0, 0))
    assert row(matrix, 1001.0, QUICK)["due_in_seconds"] == 0.0
    assert row(matrix, 1001.0, SLOW)["due_in_seconds"] == 0.0


def test_who_was_heard_since_when_survives_a_snapshot() -> None:
    """And a gap is a gap only when it is longer than some seconds."""
    matrix = Matrix({"control": 30.0})
    matrix.cell(SLOW)
    heard(matrix, 1000, 1005)
    matrix.add(matrix.cell(QUICK), 1005 + RETURN_SECONDS, (1, 0, 0, 0))
    again = Matrix({"control": 30.0})
    again.load(matrix.state())
    assert row(again, 1021.0, SLOW)["due_in_seconds"] == 2 * 30.0 + TURN_SECONDS - 21
