"""Findings about tables as incidents: one for a table, one for a group, one for the service, never one for each of ten thousand (pure).

The narrowest explanation: a few tables have incidents of their own; more than :data:`TABLES_APART` at once are one incident, of a
group if nearly all belong to it; when a large share of all tables fails, or the service's own evidence says so, it is the service.
An incident that is open grows into the wider one and keeps its name; others that are part of it end, folded.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from cfa.incident import EventName, IncidentEvent, Notify, Severity, TimelineEntry
from cfa.objective import jeffreys
from cfa.operators import RESOLVED
from cfa.policy import SHARE_ENOUGH_ATTEMPTS
from cfa.tables.calm import is_calm, speaks_for_recovery
from cfa.tables.case import HOUR, Case, kept, restored
from cfa.tables.columns import Rows
from cfa.tables.describe import incident_of
from cfa.tables.detector import discovered
from cfa.tables.fleet import SERVICE_ROWS, Fleet, Tick
from cfa.tables.policy import (
    CLOSED_KEPT,
    GATES,
    GROUP_SHARE,
    QUIET_SECONDS,
    RETURN_SECONDS,
    SERVICE_SHARE,
    SERVICE_TABLES_AT_LEAST,
    TABLES_APART,
    TOLD_SECONDS,
    VANISHED_SECONDS,
)
from cfa.tables.roster import UNGROUPED, VANTAGES
from cfa.tables.rowsets import distinct, union, within

WIDTH = ("table", "group", "tables", "service")
"""Kinds of scope, the narrowest first."""


class TableIncidents:
    """Open cases and those closed lately. :meth:`evaluate` after each tick."""

    def __init__(self, region: str) -> None:
        self._region = region
        self.open: list[Case] = []
        self.closed: list[Case] = []

    def evaluate(self, tick: Tick, fleet: Fleet) -> list[IncidentEvent]:
        """What changed, in order."""
        events: list[IncidentEvent] = []
        had = {id(case): case.follow(tick) for case in self.open}
        log_e = np.concatenate([tick.tables.log_e, tick.rollups.log_e])
        found = discovered(log_e)
        rows = tick.tables.rows[found[: len(tick.tables.rows)]]
        rolled = tick.rollups.rows[found[len(tick.tables.rows) :]]
        of = fleet.roster.vantage_of(rows)
        for vantage in range(len(VANTAGES)):
            mine = rolled[fleet.rollup_vantage(rolled) == vantage]
            events += self._find(vantage, rows[of == vantage], mine, tick, fleet)
        for case in list(self.open):
            events += self._judge(case, had.get(id(case)), tick, fleet)
        return events

    # --- which explanation ----------------------------------------------------------------------------------------------------------

    def _find(self, vantage: int, rows: Rows, rolled: Rows, tick: Tick, fleet: Fleet) -> list[IncidentEvent]:
        mine = [case for case in self.open if case.vantage == vantage]
        if not len(rows) and not len(rolled):
            return []
        everything: Rows = union(rows, *(case.rows for case in mine))
        if not len(everything):
            everything = self._failing_lately(vantage, rolled, fleet)
        kind, scope = self._explanation(vantage, distinct(everything // 2), rolled, fleet)
        if kind == "table":
            return [e for s in distinct(rows // 2) for e in self._one(vantage, int(s), rows, tick, fleet)]
        widest = max(mine, key=lambda case: (WIDTH.index(case.kind), -case.since), default=None)
        if widest is not None:
            return self._grow(widest, (kind, scope), everything, tick, fleet)
        self._begin(Case(vantage=vantage, kind=kind, scope=scope, rows=everything, since=float(tick.at)), tick, fleet)
        return []

    def _explanation(self, vantage: int, subjects: Rows, rolled: Rows, fleet: Fleet) -> tuple[str, dict[str, str]]:
        """The narrowest scope of so many failing tables; a few tables are themselves, however the sums suffer from them."""
        if len(subjects) <= TABLES_APART:
            return "table", {}
        region = {"region": self._region}
        is_large = len(subjects) >= max(SERVICE_TABLES_AT_LEAST, SERVICE_SHARE * active_tables(fleet, vantage))
        if is_large:
            return "service", region
        groups, counts = np.unique(fleet.roster.group_of(subjects), return_counts=True)
        name = fleet.roster.groups[int(groups[counts.argmax()])][1]
        if name != UNGROUPED and counts.max() >= GROUP_SHARE * len(subjects):
            return "group", {"group": name}
        if (rolled < SERVICE_ROWS).any():
            return "service", region
        return "tables", {**region, "tables": "many"}

    def _failing_lately(self, vantage: int, rolled: Rows, fleet: Fleet) -> Rows:
        """Rows that burn their budget: no table alone is beyond chance, but the service (else a group) is."""
        burning = np.flatnonzero(fleet.tables.assessment.burn[0, : fleet.tables.rows] > 1)
        if (rolled < SERVICE_ROWS).any():
            return np.asarray(burning[fleet.roster.vantage_of(burning) == vantage], np.int64)
        return np.asarray(burning[np.isin(fleet.rollup_of(burning), rolled)], np.int64)

    def _one(self, vantage: int, subject: int, rows: Rows, tick: Tick, fleet: Fleet) -> list[IncidentEvent]:
        own = rows[rows // 2 == subject]
        for case in self.open:
            if case.vantage == vantage and (case.kind != "table" or within(own // 2, case.rows // 2).any()):
                case.widen(own, fleet)
                return []
        scope = {"table": fleet.roster.tables[subject]}
        self._begin(Case(vantage=vantage, kind="table", scope=scope, rows=own, since=float(tick.at)), tick, fleet)
        return []

    def _begin(self, case: Case, tick: Tick, fleet: Fleet) -> None:
        case.recount(fleet)
        case.asked_at = tick.at
        before = [one for one in self.closed if (one.vantage, one.scope) == (case.vantage, case.scope)]
        lately = before and before[-1].incident and tick.at - (before[-1].incident.closed_at or 0) <= RETURN_SECONDS
        case.returns = before[-1].returns + 1 if lately else 0
        self.open.append(case)

    def _grow(
        self, case: Case, what: tuple[str, dict[str, str]], rows: Rows, tick: Tick, fleet: Fleet
    ) -> list[IncidentEvent]:
        """The case takes all in; what else is open becomes part of it."""
        before, (kind, scope) = case.scope, what
        case.widen(rows, fleet)
        if WIDTH.index(kind) > WIDTH.index(case.kind):
            case.kind, case.scope = kind, scope
        others = [one for one in self.open if one is not case and one.vantage == case.vantage]
        name = case.incident.id if case.incident else ""
        events = [event for one in others for event in self._end(one, "folded", tick.at, fleet, into=name)]
        case.children += [one.incident.id for one in others if one.incident is not None]
        if case.incident is not None and case.scope != before:
            told: Notify | None = "update" if case.incident.paged_at is not None else None
            events.append(self._tell(case, ("updated", "rescoped", told), tick.at, fleet))
        return events

    # --- how it goes on -------------------------------------------------------------------------------------------------------------

    def _judge(self, case: Case, had: tuple[int, int] | None, tick: Tick, fleet: Fleet) -> list[IncidentEvent]:
        self._weigh(case, tick)
        if case.incident is None:
            return self._open(case, tick, fleet)
        over = self._is_over(case, had or (0, 0), tick.at)
        if over is not None:
            return self._end(case, over, tick.at, fleet)
        severity, reason = severity_of(case, fleet)
        if severity == "page" and case.incident.paged_at is None:
            return [self._tell(case, ("paged", reason, "trigger"), tick.at, fleet, severity="page")]
        if tick.at - case.told_at >= TOLD_SECONDS:
            return [self._tell(case, ("updated", "figures", None), tick.at, fleet)]
        return []

    def _weigh(self, case: Case, tick: Tick) -> None:
        """The strongest evidence among its rows."""
        for weighed, rows in ((tick.tables, case.rows), (tick.rollups, _service_rows(case))):
            inside = within(weighed.rows, rows)
            if inside.any():
                best = int(np.argmax(np.where(inside, weighed.log_e, -np.inf)))
                log_e = float(weighed.log_e[best])
                if (case.incident is None and not case.log_a) or log_e > case.log_e:
                    case.log_e, case.log_m, case.log_a = log_e, float(weighed.log_m[best]), float(weighed.log_a[best])

    def _open(self, case: Case, tick: Tick, fleet: Fleet) -> list[IncidentEvent]:
        severity, reason = severity_of(case, fleet)
        case.incident = incident_of(case, fleet, tick.at, severity=severity, reason=reason)
        events = [self._tell(case, ("opened", reason, None), tick.at, fleet, severity=severity)]
        if severity == "page":
            events.append(self._tell(case, ("paged", reason, "trigger"), tick.at, fleet, severity="page"))
        return events

    def _is_over(self, case: Case, had: tuple[int, int], at: int) -> str | None:
        good, bad = had
        if at - case.asked_at >= VANISHED_SECONDS:
            return "attempts_vanished"
        if not is_calm(bad, good + bad, case.share):
            case.calm_good = case.calm_bad = 0
            case.calm_since = None
            return None
        if case.calm_since is None:
            case.calm_since = at - 10.0
        case.calm_good, case.calm_bad = case.calm_good + good, case.calm_bad + bad
        if at - case.calm_since < QUIET_SECONDS[min(case.returns, len(QUIET_SECONDS) - 1)]:
            return None
        calm = case.calm_good + case.calm_bad
        return "recovered" if speaks_for_recovery(case.calm_bad, calm, case.share) else None

    def resolve(self, identity: str, fleet: Fleet) -> list[IncidentEvent]:
        """An operator says that it is over: the evidence is spent, and what fails after the last tick is weighed anew."""
        case = next((one for one in self.open if one.incident is not None and one.incident.id == identity), None)
        return [] if case is None or fleet.at is None else self._end(case, RESOLVED, fleet.at, fleet)

    def _end(self, case: Case, reason: str, at: int, fleet: Fleet, into: str = "") -> list[IncidentEvent]:
        self.open.remove(case)
        if not into:
            fleet.tables.forget(case.rows)
            fleet.rollups.forget(np.arange(fleet.rollups.rows))
        if case.incident is None:
            return []
        told: Notify | None = "resolve" if case.incident.paged_at is not None else None
        event = self._tell(case, ("folded" if into else "closed", reason, told), at, fleet, into=into)
        self.closed = [*self.closed[1 - CLOSED_KEPT :], case]
        return [event]

    def _tell(
        self,
        case: Case,
        what: tuple[EventName, str, Notify | None],
        at: int,
        fleet: Fleet,
        *,
        severity: Severity | None = None,
        into: str = "",
    ) -> IncidentEvent:
        event, reason, notify = what
        old = case.incident
        assert old is not None
        now = incident_of(case, fleet, at, severity=severity or old.severity, reason=old.reason if into else reason)
        entry = TimelineEntry(at=at, event=event, severity=now.severity, reason=reason)
        if event == "paged":
            now = replace(now, paged_at=float(at))
        if event in ("closed", "folded"):
            now = replace(now, state="closed", closed_at=float(at), closed_reason=reason, folded_into=into or None)
        case.told_at = at
        case.incident = replace(now, timeline=(*old.timeline, entry))
        return IncidentEvent(incident=case.incident, event=event, at=float(at), reason=reason, notify=notify)

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"open": [kept(case) for case in self.open], "closed": [kept(case) for case in self.closed]}

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        self.open, self.closed = ([restored(one) for one in state[name]] for name in ("open", "closed"))


def severity_of(case: Case, fleet: Fleet) -> tuple[Severity, str]:
    """Both gates: a page; evidence alone: a ticket."""
    gate = GATES[case.kind]
    if not gate.pages or case.failing_seconds < gate.sustained_seconds:
        return "ticket", "evidence_not_sustained"
    few = case.attempts < SHARE_ENOUGH_ATTEMPTS
    share = jeffreys(case.bad, case.attempts)[0] if few and case.attempts else case.share
    if share >= gate.share:
        return "page", "evidence_and_sustained_failure"
    if case.burned(fleet) >= gate.burned:
        return "page", "evidence_and_budget_burned"
    return "ticket", "evidence_without_materiality"


def active_tables(fleet: Fleet, vantage: int) -> int:
    """Tables with traffic in the last hour, as a vantage sees them."""
    burn = fleet.tables.assessment.burn[HOUR, : fleet.tables.rows]
    idle = np.isnan(burn).reshape(-1, 2).all(axis=1)
    return int(np.count_nonzero(~idle & (fleet.roster.vantages == vantage)))


def _service_rows(case: Case) -> Rows:
    return np.arange(2 * case.vantage, 2 * case.vantage + 2) if case.kind == "service" else np.empty(0, np.int64)
