"""What is stored is in danger though no customer notices: storage nodes whose log does not reach the archive (pure).

An archive that stalls is invisible to every canary for hours, until the log's budget is spent and writes fail. The nodes say
how old their oldest unarchived entry is, and how much of the budget is spent: the first is a ticket, the second a page.
"""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from cfa.config import DurabilityConfig
from cfa.incident import EventName, Incident, IncidentEvent, Notify, Severity, TimelineEntry, ended, incident_id
from collector.series import DURABILITY_GAUGES, FeedEntry

AGE, BUDGET = DURABILITY_GAUGES
REASON, BUDGET_REASON = "archive_stalled", "wal_budget_half_spent"

SETTLE_SECONDS = 12.0
"""Nodes tell their gauges every ten seconds and do not cross a threshold together: the scope waits until all have spoken."""
OVER_SHARE = 0.5
"""It is over when no node is above this share of either threshold: a stall that comes and goes is one incident."""
OVER_SECONDS = 15.0
FORGET_SECONDS = 300.0
"""A node that has not been heard of for so long says nothing any more."""
CLOSED_KEPT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The last word of a node. ``since``: its entries wait longer than the threshold since then; None: they do not."""

    node: str
    zone: str
    at: float
    age: float
    spent: float
    since: float | None


class Durability:
    """What the nodes said last, and at most one open incident."""

    def __init__(self, region: str, config: DurabilityConfig) -> None:
        self._region, self._config = region, config
        self.said: dict[str, Said] = {}
        self.incident: Incident | None = None
        self.closed: list[Incident] = []
        self.well_since: float | None = None
        self.answered: dict[str, Severity] = {}
        """Nodes whose trouble an operator has declared over, and how grave it was; until they are well, or graver."""

    def take(self, entry: FeedEntry) -> None:
        """Takes the gauges of every node in an entry."""
        for target in entry.targets:
            if not target.up or not target.gauges:
                continue
            age, spent = target.gauges.get(AGE, 0.0), target.gauges.get(BUDGET, 0.0)
            before = self.said.get(target.target)
            since = (before.since if before else None) or entry.received_at
            ill = age > self._config.unarchived_seconds or spent > self._config.wal_budget_ratio
            self.said[target.target] = Said(
                node=target.target,
                zone=target.zone,
                at=entry.received_at,
                age=age,
                spent=spent,
                since=since if ill else None,
            )

    def evaluate(self, at: float) -> list[IncidentEvent]:
        """Opens, widens, raises or closes the incident."""
        self.said = {name: said for name, said in self.said.items() if at - said.at < FORGET_SECONDS}
        ill = [said for said in self.said.values() if said.since is not None]
        if self.answered:
            ill = self._unanswered(ill)
        if self.incident is None:
            begun = min((said.since for said in ill if said.since is not None), default=at)
            return self._open(ill, at) if ill and at - begun >= SETTLE_SECONDS else []
        return [*self._update(ill, at), *self._close(at)]

    def _unanswered(self, ill: list[Said]) -> list[Said]:
        self.answered = {said.node: self.answered[said.node] for said in ill if said.node in self.answered}
        return [said for said in ill if self.answered.get(said.node) not in ("page", self._severity([said])[0])]

    def resolve(self, identity: str, at: float) -> list[IncidentEvent]:
        """An operator says that it is over: closed, until a node crosses a threshold anew."""
        if self.incident is None or self.incident.id != identity:
            return []
        self.answered = {s.node: self._severity([s])[0] for s in self.said.values() if s.since is not None}
        return self._end(self.incident, at, "resolved_by_hand")

    # --- opening --------------------------------------------------------------------------------------------------------

    def _open(self, ill: list[Said], at: float) -> list[IncidentEvent]:
        scope = self._scope(ill)
        severity, reason = self._severity(ill)
        entry = TimelineEntry(at=at, event="opened", severity=severity, reason=reason)
        self.incident = Incident(
            id=f"{incident_id(at, scope)}-durability",
            severity=severity,
            scope=scope,
            category="durability",
            finding="durability",
            operations=("write",),
            side="server",
            opened_at=at,
            first_failure_at=min(said.at - said.age for said in ill),
            paged_at=at if severity == "page" else None,
            reason=reason,
            summary=self._summary(ill, scope),
            timeline=(entry,),
        )
        self.well_since = None
        if severity == "page":
            return [IncidentEvent(incident=self.incident, event="paged", at=at, reason=reason, notify="trigger")]
        return [IncidentEvent(incident=self.incident, event="opened", at=at, reason=reason)]

    def _severity(self, ill: list[Said]) -> tuple[Severity, str]:
        if any(said.spent > self._config.wal_budget_ratio for said in ill):
            return "page", BUDGET_REASON
        return "ticket", REASON

    def _scope(self, ill: list[Said]) -> dict[str, str]:
        """One node, one zone, or all of the region: the narrowest that holds them all."""
        zones = {said.zone for said in ill}
        if len(zones) > 1:
            return {"region": self._region}
        if len(ill) > 1:
            return {"zone": zones.pop()}
        return {"node": ill[0].node}

    def _summary(self, ill: list[Said], scope: dict[str, str]) -> str:
        worst = max(ill, key=lambda said: said.age)
        since = dt.datetime.fromtimestamp(worst.at - worst.age, tz=dt.UTC).strftime("%H:%M:%S")
        name = " ".join(f"{kind} {value}" for kind, value in scope.items())
        spent = max(said.spent for said in ill)
        return (
            f"{name}: the log of {len(ill)} storage node{'s' if len(ill) > 1 else ''} has not reached the archive since "
            f"{since} UTC ({worst.age:.0f} s); {100 * spent:.0f} % of the log's budget is spent, at 95 % writes are refused"
        )

    # --- while it lasts -------------------------------------------------------------------------------------------------

    def _update(self, ill: list[Said], at: float) -> list[IncidentEvent]:
        """A wider scope is told; a ticket becomes a page when the budget is half spent, never the other way round."""
        incident = self.incident
        if incident is None or not ill:
            return []
        zone_of = {said.node: said.zone for said in self.said.values()}
        scope = _wider(incident.scope, self._scope(ill), zone_of, self._region)
        severity, reason = self._severity(ill)
        if severity == "page" and incident.severity != "page":
            return [self._changed(incident, "paged", "trigger", reason, at, severity="page", paged_at=at, scope=scope)]
        if scope == incident.scope:
            return []
        told: Notify | None = "update" if incident.paged_at is not None else None
        summary = self._summary(ill, scope)
        return [self._changed(incident, "updated", told, "scope_wider", at, scope=scope, summary=summary)]

    def _changed(
        self, incident: Incident, event: EventName, notify: Notify | None, reason: str, at: float, **changes: Any
    ) -> IncidentEvent:
        severity = changes.get("severity", incident.severity)
        entry = TimelineEntry(at=at, event=event, severity=severity, reason=reason)
        self.incident = replace(incident, timeline=(*incident.timeline, entry), **changes)
        return IncidentEvent(incident=self.incident, event=event, at=at, reason=reason, notify=notify)

    def _close(self, at: float) -> list[IncidentEvent]:
        incident = self.incident
        if incident is None:
            return []
        limits = self._config
        well = all(
            said.age <= OVER_SHARE * limits.unarchived_seconds and said.spent <= OVER_SHARE * limits.wal_budget_ratio
            for said in self.said.values()
        )
        self.well_since = (self.well_since or at) if well else None
        if self.well_since is None or at - self.well_since < OVER_SECONDS:
            return []
        return self._end(incident, at, "recovered")

    def _end(self, incident: Incident, at: float, reason: str) -> list[IncidentEvent]:
        event = ended(incident, at, reason)
        self.incident, self.well_since = None, None
        self.closed = [*self.closed[1 - CLOSED_KEPT :], event.incident]
        return [event]

    # --- snapshots ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {
            "said": list(self.said.values()),
            "incident": None if self.incident is None else self.incident.to_json(),
            "closed": [incident.to_json() for incident in self.closed],
            "well_since": self.well_since,
            "answered": self.answered,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        self.said = {said.node: said for said in msgspec.convert(state["said"], list[Said])}
        self.incident = None if state["incident"] is None else Incident.from_json(state["incident"])
        self.closed = [Incident.from_json(one) for one in state["closed"]]
        self.well_since = state["well_since"]
        self.answered = state.get("answered", {})


def _wider(old: dict[str, str], new: dict[str, str], zone_of: dict[str, str], region: str) -> dict[str, str]:
    """The narrowest scope that holds both; a scope never becomes narrower while the incident lasts."""
    if old == new or "region" in old:
        return old
    zones = {zone_of.get(scope.get("node", ""), scope.get("zone", "")) for scope in (old, new)}
    if "region" in new or len(zones) > 1:
        return {"region": region}
    return {"zone": zones.pop()}
