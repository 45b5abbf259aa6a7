"""What a restarted judgement must set right: incidents that it no longer knows, cells that have answered before (pure)."""

from collections.abc import Collection, Iterable

from cfa.incident import Incident, IncidentEvent, ended
from collector.observation import Level, Outcome, Vantage
from collector.series import FeedEntry

Cell = tuple[str, str, str, str]
"""Zone, endpoint, operation and connection of one cell of the matrix."""

STATE_LOST = "judgement_state_lost"


def answered_cells(entry: FeedEntry, seldom: Collection[str] = ()) -> set[Cell]:
    """The cells in which a canary got an answer (a throttle is one; a refused connection is not).

    Operations that are asked ``seldom`` are not waited for, and what confirms another host's failure is in no cell.
    """
    if entry.vantage is not Vantage.CANARY:
        return set()
    return {
        (reading.series.zone, reading.series.endpoint, reading.series.operation.value, reading.series.connection.value)
        for reading in entry.readings
        if reading.series.endpoint is not None and reading.series.connection is not None
        if reading.series.level is Level.ATTEMPT and reading.series.operation.value not in seldom
        if any(n and (outcome is Outcome.SUCCESS or outcome.is_excluded) for outcome, n in reading.counts.items())
    }


def orphans(stored: Iterable[Incident], known: Iterable[Incident], at: float) -> list[IncidentEvent]:
    """Ends every stored open incident that the judgement does not know: whoever was paged is told that it is over.

    Incidents of the monitoring itself are not the judgement's (:mod:`cfa.pager_path`).
    """
    names = {incident.id for incident in known}
    return [
        ended(incident, at, STATE_LOST)
        for incident in stored
        if incident.state == "open" and incident.id not in names and not incident.is_of_delivery
    ]
