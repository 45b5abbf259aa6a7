"""A case of tables in words and figures: the incident that people and programs get (pure)."""

import datetime as dt
from math import log

import numpy as np

from cfa.cube import SIDES
from cfa.incident import (
    SEVERITY_ORDER,
    BlastRadius,
    Evidence,
    Incident,
    Servers,
    Severity,
    Witnesses,
    incident_id,
    once_in_years,
)
from cfa.objective import jeffreys
from cfa.tables.case import Case
from cfa.tables.fleet import Fleet
from cfa.tables.policy import SEGMENTS, TABLES_NAMED
from cfa.tables.roster import VANTAGES
from cfa.tables.rowsets import sides
from collector.observation import Vantage

WITNESSES = {Vantage.CUSTOMER: "customers", Vantage.SERVER: "servers"}


def is_of_tables(incident: Incident) -> bool:
    """Whether it was judged here: its only witness are counters."""
    return incident.evidence.hosts in [(witness,) for witness in WITNESSES.values()]


def incident_of(case: Case, fleet: Fleet, at: float, *, severity: Severity, reason: str) -> Incident:
    """The case's incident as of now: the old one's identity and timeline, the new figures."""
    old, vantage = case.incident, VANTAGES[case.vantage]
    low, high = jeffreys(case.bad, case.attempts) if case.attempts else (0.0, 0.0)
    names = _worst(case, fleet)
    tables, is_server = len(case.subjects()), vantage is Vantage.SERVER
    figures = f"{case.bad} of {case.attempts} requests failed"
    return Incident(
        id=f"{incident_id(at, case.scope)}-{vantage}" if old is None else old.id,
        severity=severity if old is None else max(old.severity, severity, key=SEVERITY_ORDER.index),
        scope=case.scope,
        operations=tuple(SIDES[side] for side in sides(case.rows)) or SIDES,
        side="server" if is_server else "client",
        opened_at=at if old is None else old.opened_at,
        first_failure_at=case.since,
        paged_at=None if old is None else old.paged_at,
        reason=reason,
        summary=_summary(case, fleet, tables, low, high),
        evidence=Evidence(
            failures=case.bad,
            attempts=case.attempts,
            share=case.share,
            share_low=low,
            share_high=high,
            log_evidence=case.log_m,
            log_threshold=case.log_a,
            hosts=(WITNESSES[vantage],),
            budget_burned=case.burned(fleet),
            # at e = 1 all rows together would do this as often as false pages are allowed
            would_happen_once_in_years=once_in_years(case.log_e - log(fleet.false_pages)),
        ),
        witnesses=Witnesses(bad=(WITNESSES[vantage],)),
        servers=Servers(verdict="bad", detail=f"by their own count {figures}") if is_server else Servers(),
        blast_radius=BlastRadius(tables=names, share_of_region=_share(case, fleet)),
        acknowledged_at=None if old is None else old.acknowledged_at,
        acknowledged_by=None if old is None else old.acknowledged_by,
        children=tuple(case.children),
        timeline=() if old is None else old.timeline,
    )


def _worst(case: Case, fleet: Fleet) -> tuple[str, ...]:
    """Names of its tables, those that burn fastest now first."""
    burn = np.nan_to_num(fleet.tables.assessment.burn[0, case.rows])
    order = case.rows[np.lexsort((case.rows, -burn))] // 2
    firsts = dict.fromkeys(order[: 4 * TABLES_NAMED].tolist())
    return tuple(fleet.roster.tables[subject] for subject in list(firsts)[:TABLES_NAMED])


def _share(case: Case, fleet: Fleet) -> float:
    """The part of the service's requests of the last five minutes that are its tables'."""
    service = np.arange(2 * case.vantage, 2 * case.vantage + 2)
    inside, every = (
        sum(int(counts.sum()) for counts in block.rings.window(0, rows)[:2])
        for block, rows in ((fleet.tables, case.rows), (fleet.rollups, service))
    )
    return round(inside / every, 4) if every else 0.0


def _summary(case: Case, fleet: Fleet, tables: int, low: float, high: float) -> str:
    what = {
        "table": f"Table {case.scope.get('table')}",
        "group": f"{tables} tables of {case.scope.get('group')}",
        "tables": f"{tables} tables",
        "service": f"The service ({tables} tables)",
    }[case.kind]
    hurt = " and ".join(f"{SIDES[side]}s" for side in sides(case.rows))
    since = dt.datetime.fromtimestamp(case.since, tz=dt.UTC).strftime("%H:%M:%S")
    burn = fleet.tables.assessment.burn[0, case.rows]
    burning = burn[np.isfinite(burn)]
    fast = (
        f"; budget burns {np.median(burning):.3g} times too fast ({SEGMENTS[0].name}, median)" if len(burning) else ""
    )
    return (
        f"{what} fail{'s' if case.kind in ('table', 'service') else ''} {hurt}, as {WITNESSES[VANTAGES[case.vantage]]} count it: "
        f"{case.bad} of {case.attempts} requests ({low * 100:.3g}–{high * 100:.3g} %) since {since} UTC{fast}"
    )
