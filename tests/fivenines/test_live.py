"""The live table."""

import io
from typing import Any

import pytest
from rich.console import Console

from fivenines.live import percent, render


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (None, "–"),
        (1.0, "100 %"),
        (0.999999, "99.9999 %"),
        (0.99999999, "99.9999 %"),
        (0.9999, "99.9900 %"),
        (0.0, "0.0000 %"),
    ],
)
def test_a_ratio_is_never_rounded_up(ratio: float | None, shown: str) -> None:
    """What is not 100 % never reads 100 %, and nothing measured is a dash."""
    assert percent(ratio) == shown


def status(**changes: Any) -> dict[str, Any]:
    """A status with one cell."""
    cell = {"zone": "az1", "endpoint": "standard", "operation": "write", "connection": "fresh", "verdict": "ok", "availability": 1.0,
            "latency_ms_p50": 4.2}  # fmt: skip
    window = {"good": 10, "bad": 0, "availability": 1.0, "verdict": "ok", "budget_remaining": 0.97}
    return {
        "at": 0.0, "region": "local", "objective": 0.9999, "ready": True, "cells_answered": 72, "cells_expected": 72, "matrix": [cell],
        "availability": [{"scope": {"region": "local"}, "side": "read", "windows": {"5m": window, "30d": window}}],
        "recused": [], "targets": [], "incidents_open": 0,
    } | changes  # fmt: skip


def text_of(body: dict[str, Any], incidents: list[dict[str, Any]]) -> str:
    """What a terminal of 200 columns would show."""
    console = Console(file=io.StringIO(), width=200)
    console.print(render(body, incidents))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def test_a_well_region_says_so_and_an_unasked_half_is_not_green() -> None:
    """The banner says all well; the pooled half that nobody asked shows a dash."""
    shown = text_of(status(), [])
    assert "all well" in shown
    assert "● 4 ms  · –" in shown
    assert "97.0 %" in shown


def test_every_operation_that_is_asked_has_its_row_and_no_other() -> None:
    """Seldom ones and checks too, also a kind that is new to the table; what nobody asks takes no room."""
    cell = status()["matrix"][0]
    shown = text_of(status(matrix=[cell | {"operation": name} for name in ("control", "batch", "check", "scan")]), [])
    assert [word for word in ("batch", "control", "check", "scan") if word in shown] == [
        "batch",
        "control",
        "check",
        "scan",
    ]
    assert shown.index("batch") < shown.index("control") < shown.index("check") < shown.index("scan")
    assert "strong read" not in shown


def test_a_starting_stack_and_a_paging_one_say_so() -> None:
    """Before every cell has answered nothing is called well; a page is the first thing one reads."""
    assert "measuring… 40 of 72 cells" in text_of(status(ready=False, cells_answered=40), [])
    incident = {"id": "i-1", "severity": "page", "summary": "az1 fails reads and writes", "opened_at": 0.0, "scope": {"zone": "az1"}, "operations": ["read"],
                "side": "both", "state": "open"}  # fmt: skip
    assert "1 incident: az1 fails reads and writes" in text_of(status(), [incident])


def test_sick_witnesses_and_silent_servers_are_named() -> None:
    """Who is recused, and who does not answer, is below the tables."""
    shown = text_of(
        status(
            recused=[{"host": "az1-canary-1", "reasons": ["host_lag"]}], targets=[{"target": "az1-node-1", "up": False}]
        ),
        [],
    )
    assert "az1-canary-1 (host_lag)" in shown
    assert "servers that do not answer: az1-node-1" in shown
