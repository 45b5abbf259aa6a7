"""What ``GET /v1/status`` and ``/v1/availability`` show, from counts (pure)."""

from cfa.cube import SIDES, scope_of
from cfa.intake import Intake
from cfa.objective import availability, budget_remaining, burn_rate, jeffreys, verdict
from cfa.policy import WINDOWS
from cfa.quadrant import ServersView
from cfa.windows import BAD, EXCLUDED, GOOD, Counts

SHOWN = ("region", "zone", "endpoint", "zone_endpoint", "operation", "table", "partition")
"""Families in the availability view; routers, nodes and observers are followed for evidence only."""


def availability_view(intake: Intake, at: float) -> list[dict[str, object]]:
    """Every shown node × side that was ever observed, with its windows and the calendar month (UTC) so far.

    ``whole`` false: the month is longer than what is kept here, and the ledger must be asked.
    """
    rows: list[dict[str, object]] = []
    month, whole = intake.windows.month(at)
    order = sorted(
        (SHOWN.index(family), values, i) for i, (family, values) in enumerate(intake.cube.nodes) if family in SHOWN
    )
    for _, _, node in order:
        for side, name in enumerate(SIDES):
            if intake.windows.sums[-1, node, side].any():
                windows = {w: window_view(intake, i, node, side) for i, (w, _) in enumerate(WINDOWS)}
                this_month = counts_view(intake, month[node, side], node) | {"whole": whole}
                scope = scope_of(intake.cube.nodes[node])
                rows.append({"scope": scope, "side": name, "windows": windows, "month": this_month})
    return rows


def window_view(intake: Intake, window: int, node: int, side: int) -> dict[str, object]:
    """One window of one node and side."""
    return counts_view(intake, intake.windows.sums[window, node, side], node)


def counts_view(intake: Intake, counts: Counts, node: int) -> dict[str, object]:
    """What counts of a node say; what cannot be known is null."""
    good, bad, allowed = int(counts[GOOD]), int(counts[BAD]), intake.allowed(node)
    low, high = jeffreys(bad, good + bad) if good + bad else (None, None)
    return {
        "good": good,
        "bad": bad,
        "excluded": int(counts[EXCLUDED]),
        "availability": availability(good, bad),
        "availability_low": None if high is None else 1 - high,
        "availability_high": None if low is None else 1 - low,
        "burn_rate": burn_rate(good, bad, allowed),
        "budget_remaining": budget_remaining(good, bad, allowed),
        "verdict": str(verdict(good, bad, allowed)),
    }


def targets_view(servers: ServersView) -> list[dict[str, object]]:
    """The ``targets`` of the status."""
    return [
        {"target": t.target, "zone": t.zone, "role": t.role, "up": t.up, "at": t.at}
        for _, t in sorted(servers.targets.items())
    ]
