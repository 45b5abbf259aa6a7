"""A destination that does not take pages is an incident of its own, told through the others (pure).

It is no part of the judgement, which is a function of the feed alone: what became of a delivery is not in the feed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cfa.destinations.config import Destination
from cfa.incident import Incident, IncidentEvent, TimelineEntry, ended, incident_id
from cfa.notices import Kind, Notice, alert_labels
from cfa.operators import RESOLVED
from cfa.routes import Routes

BROKEN, WORKS, REMOVED = "destination_takes_no_pages", "destination_works_again", "destination_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A destination that has refused a page and has not taken it since.

    ``waits_since``: when the oldest such page came into the outbox; ``error``: what was said of it last.
    """

    waits_since: float
    error: str


def broken(standings: Mapping[str, Standing], configured: Mapping[str, Destination], now: float) -> dict[str, Standing]:
    """The destinations that have not taken a page for longer than they may."""
    return {
        name: standing
        for name, standing in standings.items()
        if name in configured and now - standing.waits_since > configured[name].broken_after_seconds
    }


def evaluate(
    ill: Mapping[str, Standing],
    configured: Iterable[str],
    taken_at: Mapping[str, float],
    open_now: Iterable[Incident],
    now: float,
    *,
    resolved: Mapping[str, float] = MappingProxyType({}),
) -> list[IncidentEvent]:
    """Opens an incident for each broken destination; closes it when that one has taken something and nothing is overdue.

    ``resolved``: when somebody resolved one by hand. It does not open again while a page waits that waited then already.
    """
    known = {incident.scope["destination"]: incident for incident in open_now if incident.is_of_delivery}
    never = float("-inf")
    new = [name for name, one in ill.items() if name not in known and one.waits_since > resolved.get(name, never)]
    events = [_opened(name, ill[name], now) for name in new]
    names = set(configured)
    for name, incident in known.items():
        if name not in names:
            events.append(ended(incident, now, REMOVED))
        elif name not in ill and taken_at.get(name, 0.0) > incident.opened_at:
            events.append(ended(incident, now, WORKS))
    return events


def resolved_by_hand(incidents: Iterable[Incident]) -> dict[str, float]:
    """When somebody resolved the incident of a destination last."""
    found: dict[str, float] = {}
    for one in incidents:
        if one.is_of_delivery and one.closed_reason == RESOLVED and one.closed_at is not None:
            name = one.scope["destination"]
            found[name] = max(found.get(name, 0.0), one.closed_at)
    return found


def notices(event: IncidentEvent, routes: Routes, region: str) -> list[Notice]:
    """Everybody who is told of pages, except the destination itself."""
    incident = event.incident
    kind: Kind = "trigger" if incident.state == "open" else "resolve"
    labels = alert_labels(incident, region)
    return [
        Notice(incident=incident, notify=kind, n=1, destination=name, at=event.at, reason=event.reason, labels=labels)
        for name in routes.to(incident, "page")
        if name != incident.scope["destination"]
    ]


def _opened(name: str, standing: Standing, now: float) -> IncidentEvent:
    scope = {"destination": name}
    waited = now - standing.waits_since
    incident = Incident(
        id=f"{incident_id(now, scope)}-pager",
        severity="page",
        scope=scope,
        category="monitoring",
        operations=(),
        side="server",
        opened_at=now,
        first_failure_at=standing.waits_since,
        paged_at=now,
        reason=BROKEN,
        summary=f"pages do not get through to {name}: one has waited for {waited:.0f} s ({standing.error[:200]})",
        timeline=(TimelineEntry(at=now, event="opened", severity="page", reason=BROKEN),),
    )
    return IncidentEvent(incident=incident, event="paged", at=now, reason=BROKEN, notify="trigger")
