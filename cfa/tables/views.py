"""What ``GET /v1/tables`` shows of tables, groups and the service (pure)."""

import numpy as np

from cfa.cube import SIDES
from cfa.objective import availability, budget_remaining, burn_rate, verdict
from cfa.tables.assessment import most
from cfa.tables.block import Block
from cfa.tables.fleet import SERVICE_ROWS, Fleet
from cfa.tables.policy import SEGMENTS
from cfa.tables.rings import BAD, EXCLUDED, GOOD
from cfa.tables.roster import UNGROUPED, VANTAGES

ORDERS = {"burned": len(SEGMENTS) - 1, **{segment.name: w for w, segment in enumerate(SEGMENTS)}}
"""``burned``: by the 30-day budget; the others by the burn rate of a window."""


def sides_view(block: Block, first: int) -> dict[str, object]:
    """Windows of two rows, by side; what cannot be known is null."""
    return {name: _windows(block, first + side) for side, name in enumerate(SIDES)}


def _windows(block: Block, row: int) -> dict[str, object]:
    allowed = float(block.detector.allowed[block.detector.level[row]])
    found: dict[str, object] = {}
    for w, segment in enumerate(SEGMENTS):
        counts = block.rings.window(w, np.array([row]))
        good, bad = int(counts[GOOD][0]), int(counts[BAD][0])
        found[segment.name] = {
            "good": good,
            "bad": bad,
            "excluded": int(counts[EXCLUDED][0]),
            "availability": availability(good, bad),
            "burn_rate": burn_rate(good, bad, allowed),
            "budget_remaining": budget_remaining(good, bad, allowed),
            "verdict": str(verdict(good, bad, allowed)),
        }
    return found


def table_view(fleet: Fleet, subject: int) -> dict[str, object]:
    """One table as one vantage sees it."""
    roster = fleet.roster
    return {
        "table": roster.tables[subject],
        "vantage": str(VANTAGES[roster.vantage[subject]]),
        "group": roster.groups[roster.group[subject]][1] or None,
        "objective": 1 - roster.allowed(subject),
        "sides": sides_view(fleet.tables, 2 * subject),
    }


def tables_view(fleet: Fleet, order: str, limit: int) -> dict[str, object]:
    """The most burned tables, and the roll-ups above them."""
    rows = most(fleet.tables.assessment.burn[ORDERS[order], : fleet.tables.rows], 2 * limit)
    subjects = list(dict.fromkeys((rows // 2).tolist()))[:limit]
    return {
        "at": fleet.at,
        "tables_total": len(fleet.roster.tables),
        "order": order,
        "tables": [table_view(fleet, subject) for subject in subjects],
        "services": [
            {"vantage": str(vantage), "sides": sides_view(fleet.rollups, 2 * v)}
            for v, vantage in enumerate(VANTAGES)
            if fleet.roster.number_of[v]
        ],
        "groups": _groups(fleet, order, limit),
    }


def _groups(fleet: Fleet, order: str, limit: int) -> list[dict[str, object]]:
    burn = fleet.rollups.assessment.burn[ORDERS[order], SERVICE_ROWS : fleet.rollups.rows]
    numbers = dict.fromkeys((most(burn, 2 * limit) // 2).tolist())
    named = [n for n in numbers if fleet.roster.groups[n][1] != UNGROUPED][:limit]
    return [
        {
            "group": fleet.roster.groups[n][1],
            "vantage": str(VANTAGES[fleet.roster.groups[n][0]]),
            "sides": sides_view(fleet.rollups, SERVICE_ROWS + 2 * n),
        }
        for n in named
    ]
