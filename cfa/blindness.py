"""Nobody asks any more: no canary is heard (pure). A ticket for whoever looks after the monitoring, never a page of the store.

It opens when a whole fleet of canaries is silent, or the collector is, and closes by itself when one is heard again. Its times
follow from when a canary was last heard, not from when somebody noticed: a replay gives the same incident.
"""

import datetime as dt
from typing import Any

from cfa.incident import Incident, IncidentEvent, Servers, TimelineEntry, ended, incident_id
from cfa.policy import BLIND_SECONDS

REASON = "no_canary_heard"
OVER = "canaries_heard_again"
NOTICED_SECONDS = 5.0
"""So much longer a clock waits than an entry would: what is on its way arrives first."""

CLOSED_KEPT = 10


class Blindness:
    """At most one open ticket."""

    def __init__(self, region: str) -> None:
        self._region = region
        self.incident: Incident | None = None
        self.closed: list[Incident] = []

    def look(self, at: float, canary_at: float | None, servers: Servers) -> list[IncidentEvent]:
        """``canary_at``: when a canary was last heard; nobody is missed who was never heard."""
        if canary_at is None:
            return []
        if at - canary_at <= BLIND_SECONDS:
            return self._close(at, OVER)
        return [] if self.incident is not None else self._open(canary_at, servers)

    def resolve(self, identity: str, at: float) -> list[IncidentEvent]:
        """An operator says that it is over."""
        known = self.incident is not None and self.incident.id == identity
        return self._close(at, "resolved_by_hand") if known else []

    def _open(self, canary_at: float, servers: Servers) -> list[IncidentEvent]:
        at, scope = canary_at + BLIND_SECONDS, {"region": self._region}
        since = dt.datetime.fromtimestamp(canary_at, tz=dt.UTC).strftime("%H:%M:%S")
        self.incident = Incident(
            id=f"{incident_id(at, scope)}-monitoring",
            severity="ticket",
            scope=scope,
            category="monitoring",
            finding="monitoring_blind",
            operations=(),
            side="client",
            opened_at=at,
            first_failure_at=canary_at,
            reason=REASON,
            summary=f"region {self._region}: monitoring down: no canary was heard since {since} UTC, so nobody knows what customers "
            f"get; servers {servers.verdict}{': ' + servers.detail if servers.detail else ''}",
            servers=servers,
            timeline=(TimelineEntry(at=at, event="opened", severity="ticket", reason=REASON),),
        )
        return [IncidentEvent(incident=self.incident, event="opened", at=at, reason=REASON)]

    def _close(self, at: float, reason: str) -> list[IncidentEvent]:
        if self.incident is None:
            return []
        event = ended(self.incident, at, reason)
        self.incident, self.closed = None, [*self.closed[1 - CLOSED_KEPT :], event.incident]
        return [event]

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {
            "incident": None if self.incident is None else self.incident.to_json(),
            "closed": [one.to_json() for one in self.closed],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        self.incident = None if state["incident"] is None else Incident.from_json(state["incident"])
        self.closed = [Incident.from_json(one) for one in state["closed"]]
