"""The one sentence at the top: is the region well, and how sure are we? (pure).

Rules, first match wins: no answer from the judgement → say so; no fresh data → say for how long; open incidents →
count them; still measuring → how far; cells failing or unobserved without an incident → say that; else all well.
"Well" is never said of what nobody looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.console import wording
from dashboards.console.payloads import Cell, Incident, Status

STALE_AFTER_SECONDS = 5.0
"""Canaries report every second; a judgement that has heard nothing for this long speaks of the past."""


@dataclass(frozen=True, slots=True)
class Banner:
    """``mood`` is one of ``well``, ``hurt``, ``warn`` (something is off, nobody is known to be hurt) and ``blind``."""

    mood: str
    symbol: str
    title: str
    detail: str


def judge(status: Status | None, problem: str | None, open_incidents: Sequence[Incident]) -> Banner:
    """The banner for what is known now; ``problem`` is why the judgement's answer is missing."""
    if problem is not None or status is None:
        return Banner("blind", "?", "No judgement", f"{problem or 'Not asked yet'}. What is shown below is the past.")
    age = status.data_age_seconds
    if age is not None and age > STALE_AFTER_SECONDS:
        return Banner("blind", "?", f"No data for {wording.duration(int(age))}", _blind_detail(open_incidents))
    if open_incidents or status.incidents_open:
        return _hurt(status, open_incidents)
    if not status.ready:
        title = f"Measuring… {status.cells_answered} of {wording.plural(status.cells_expected, 'cell')}"
        return Banner("warn", "…", title, "Every cell must answer once before anything is said of the region.")
    return _calm(status.matrix, _recent(status))


def _blind_detail(open_incidents: Sequence[Incident]) -> str:
    """What to look at when the canaries are not heard."""
    before = f"{wording.plural(len(open_incidents), 'incident')} was open before. " if open_incidents else ""
    return f"{before}Nothing is known of the region now: look at the canaries and the collector."


def _hurt(status: Status, open_incidents: Sequence[Incident]) -> Banner:
    """Open incidents: hurt when one pages, else something to look at."""
    count = len(open_incidents) or status.incidents_open
    paging = [incident for incident in open_incidents if incident.severity == "page"]
    about = paging or list(open_incidents)
    names = wording.listing([wording.scope(incident.scope) for incident in about[:3]])
    detail = f"{names[:1].upper()}{names[1:]}" if about else ""
    if about and about[0].first_failure_at is not None:
        detail += f", for {wording.duration(status.at - about[0].first_failure_at)}"
    if paging or not open_incidents:
        return Banner("hurt", "✕", wording.plural(count, "incident"), detail)
    kind = "ticket" if any(i.severity == "ticket" for i in open_incidents) else "thing to watch"
    many = None if kind == "ticket" else "things to watch"
    return Banner("warn", "!", wording.plural(count, kind, many), f"{detail}. Nobody was paged.")


def _recent(status: Status) -> str:
    """What the region's last five minutes add to a calm minute."""
    rows = [row for row in status.availability if list(row.scope) == ["region"]]
    short = sorted(row.side for row in rows if "5m" in row.windows and row.windows["5m"].verdict == "breach")
    if not short:
        return ""
    sides = wording.listing([f"{side}s" for side in short])
    return f" Over the last 5 minutes, {sides} are below the objective."


def _calm(matrix: Sequence[Cell], recent: str) -> Banner:
    """No incident: are there failing or unseen cells?"""
    failing = sum(1 for cell in matrix if cell.bad)
    silent = [cell for cell in matrix if cell.good + cell.bad == 0]
    unseen = sum(1 for cell in silent if not cell.due_in_seconds)
    cells = wording.plural(len(matrix), "cell")
    if not matrix:
        return Banner("blind", "?", "Nothing is measured", "The judgement knows no cells.")
    if unseen:
        detail = f"{unseen} of {cells} had no answer that can be counted in the last minute."
        return Banner("warn", "!", "No incident, but not everything is seen", detail)
    if failing:
        detail = (
            f"{wording.plural(failing, 'cell')} of {cells} saw a failure in the last minute; not enough for an alarm."
        )
        return Banner("warn", "!", "No incident, a few failures", detail)
    if silent:  # asked seldom: their turn comes
        waiting = (
            f"{len(silent)} that are asked seldom have their turn within {max(c.due_in_seconds for c in silent):.0f} s"
        )
        detail = (
            f"{len(matrix) - len(silent)} of {cells} answered without a failure in the last minute; {waiting}.{recent}"
        )
        return Banner("well", "✓", "All well", detail)
    return Banner("well", "✓", "All well", f"All {cells} answered without a failure in the last minute.{recent}")
