"""A case in words and figures: the incident that people and programs get (pure)."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import log

import numpy as np

from cfa.alarm import share_at_most
from cfa.attempts import Failure, Rows
from cfa.case import Case
from cfa.cube import SIDES, scope_of
from cfa.finding import Failed, fates_text, finding_of
from cfa.foresight import OWN_BUDGET, Course, budget_foreseen, worst_stretch
from cfa.incident import (
    SEVERITY_ORDER,
    BlastRadius,
    Evidence,
    Example,
    Incident,
    Recovery,
    Servers,
    Severity,
    Spell,
    TimelineEntry,
    Witnesses,
    incident_id,
    once_in_years,
)
from cfa.materiality import budget_burned
from cfa.objective import jeffreys
from cfa.policy import KINDS
from cfa.quadrant import side_of
from cfa.scene import Scene
from cfa.scope import mask_of

SIDE_SHARE_AT_LEAST = 0.2
"""A side (read, write) is named as hurt when it has at least this part of the other's failures."""


def operations_of(case: Case) -> tuple[str, ...]:
    """``read``, ``write`` or both: those that fail."""
    if case.side is not None:
        return (case.side,)
    most = max(case.tally.sides.values(), default=0)
    return tuple(s for i, s in enumerate(SIDES) if case.tally.sides[i] >= SIDE_SHARE_AT_LEAST * max(most, 1)) or SIDES


def evidence_of(case: Case, scene: Scene) -> Evidence:
    """The figures behind the incident."""
    tally = case.tally
    low, high = jeffreys(tally.failures, tally.attempts) if tally.attempts else (0.0, 0.0)
    log_m = scene.evidence_of(case.node, case.side)
    return Evidence(
        failures=tally.failures,
        attempts=tally.attempts,
        share=tally.share,
        share_low=low,
        share_high=high,
        log_evidence=log_m,
        log_threshold=scene.log_threshold,
        hosts=tuple(sorted(tally.bad_hosts)),
        budget_burned=burned_of(case, scene),
        would_happen_once_in_years=once_in_years(log_m - log(scene.updates_per_year)),
    )


def burned_of(case: Case, scene: Scene) -> float:
    """The part of the region's 30-day budget that the case has cost so far."""
    allowed = scene.allowed(case.node)
    return budget_burned(case.tally.failures, case.tally.attempts, allowed, scene.region_rate)


def foreseen_of(case: Case, scene: Scene, rows: Rows) -> float:
    """The part of the 30-day budget that will be gone when someone can act; ``rows`` are those that the case stands on."""
    tally, seconds = case.tally, scene.at - case.tally.first_failure_at
    inside = rows[mask_of(scene.cube, rows["place"], case.node, case.connection, case.side) & ~rows["confirm"]]
    attempts = tally.attempts + tally.tail
    rate = attempts / max(seconds, 1.0)
    course = Course(
        failures=tally.failures,
        attempts=attempts,
        tail=tally.tail,
        worst=worst_stretch(inside["at"], inside["bad"]),
        seconds=seconds,
        part=1.0 if case.kind in OWN_BUDGET else min(1.0, rate / max(scene.region_rate, 1e-9)),
    )
    return budget_foreseen(course, scene.allowed(case.node))


def incident_of(case: Case, scene: Scene, *, severity: Severity, reason: str) -> Incident:
    """The case's incident as of now: the old one's identity and timeline, the new figures."""
    old, tally = case.incident, case.tally
    scope = scope_of(scene.cube.nodes[case.node])
    servers = scene.servers.about(scope, tally.first_failure_at, _failures_lately(case, scene))
    if servers.verdict in ("bad", "silent"):
        case.servers = servers
    servers = case.servers or servers
    evidence = evidence_of(case, scene)
    highest = severity if old is None else max(old.severity, severity, key=SEVERITY_ORDER.index)
    seen_by = Witnesses(
        bad=evidence.hosts,
        good=tuple(sorted(set(tally.good_hosts) - set(tally.bad_hosts))),
        recused=scene.recused,
    )
    fates = scene.joins.of(_failures_of(case, scene))
    return Incident(
        id=incident_id(scene.at, scope) if old is None else old.id,
        severity=highest,
        scope=scope,
        finding=finding_of(_failed(case, fates), servers),
        fates=dict(sorted(fates.items(), key=lambda item: (-item[1], item[0]))),
        connection=case.connection,
        operations=operations_of(case),
        side=side_of(servers, tally.phases),
        opened_at=scene.at if old is None else old.opened_at,
        first_failure_at=_first_failure(case),
        paged_at=None if old is None else old.paged_at,
        reason=reason,
        summary="; ".join(filter(None, (summary(case, scene, evidence, servers, seen_by), fates_text(fates)))),
        evidence=evidence,
        witnesses=seen_by,
        servers=servers,
        reasons=dict(sorted(tally.reasons.items(), key=lambda item: (-item[1], item[0]))),
        examples=_examples(case),
        blast_radius=blast_radius(case, scene),
        children=() if old is None else old.children,
        folded_into=None if old is None else old.folded_into,
        earlier=() if old is None else old.earlier,
        timeline=() if old is None else old.timeline,
    )


def opened_again(old: Incident, case: Case, scene: Scene) -> Incident:
    """The incident that was over, before its new spell is told: its name and history, the times of now."""
    spell = Spell(
        opened_at=old.opened_at,
        first_failure_at=old.first_failure_at,
        paged_at=old.paged_at,
        closed_at=old.closed_at or scene.at,
        closed_reason=old.closed_reason or "",
    )
    return replace(
        old,
        state="open",
        opened_at=scene.at,
        first_failure_at=case.tally.first_failure_at,
        paged_at=None,
        closed_at=None,
        closed_reason=None,
        recovery=None,
        folded_into=None,
        severity="watch",
        earlier=(*old.earlier, spell),
    )


def recovery_of(case: Case, scene: Scene) -> Recovery:
    """What speaks for the end of a case."""
    tally = case.tally
    return Recovery(
        last_failure_at=tally.last_failure_at,
        quiet_seconds=max(0.0, scene.at - tally.last_failure_received),
        successes=tally.tail,
        hosts=tuple(sorted(tally.tail_hosts)),
        share_at_most=share_at_most(tally.tail),
    )


def _failures_of(case: Case, scene: Scene) -> list[Failure]:
    """The whole failures of the last minutes that belong to the case."""
    mine = [f for f in scene.failures if f.at >= case.tally.first_failure_at]
    if not mine or not scene.joins.any:
        return []
    places = np.array([f.place for f in mine], np.int32)
    inside = mask_of(scene.cube, places, case.node, case.connection, case.side)
    return [f for f, is_inside in zip(mine, inside.tolist(), strict=True) if is_inside]


def _failed(case: Case, fates: Mapping[str, int]) -> Failed:
    tally = case.tally
    return Failed(
        kind=case.kind,
        failures=tally.failures,
        wrong=tally.wrong,
        phases=tally.phases,
        reasons=tally.reasons,
        fates=fates,
    )


def _failures_lately(case: Case, scene: Scene) -> int:
    rows = scene.lately[scene.lately["bad"] > 0]
    return int(rows["bad"][mask_of(scene.cube, rows["place"], case.node, case.connection, case.side)].sum())


def _first_failure(case: Case) -> float:
    if case.incident is None:
        return case.tally.first_failure_at
    known = case.incident.first_failure_at
    return min(known, case.tally.first_failure_at) if case.tally.failures else known


def blast_radius(case: Case, scene: Scene) -> BlastRadius:
    """What the failed attempts touched, and how much of the region's attempts lie within the explanation."""
    paths = [scene.cube.paths[place] for place in case.tally.failed_places]
    rows = scene.lately
    rows = rows[~rows["confirm"]]
    inside = mask_of(scene.cube, rows["place"], case.node, case.connection, case.side)
    weight = rows["good"] + rows["bad"]
    total = int(weight.sum())
    return BlastRadius(
        endpoints=_names(p.endpoint for p in paths),
        operations=_names(p.operation for p in paths),
        tables=_names(p.table for p in paths),
        partitions=len({(p.table, p.partition) for p in paths if p.partition}),
        share_of_region=round(int(weight[inside].sum()) / total, 4) if total else 0.0,
    )


def noted(incident: Incident, at: float, event: str, reason: str) -> tuple[TimelineEntry, ...]:
    """The timeline with one more entry."""
    entry = TimelineEntry(at=at, event=event, severity=incident.severity, reason=reason)  # type: ignore[arg-type]
    return (*incident.timeline, entry)


def summary(case: Case, scene: Scene, evidence: Evidence, servers: Servers, seen_by: Witnesses) -> str:
    """What is hurt, for whom, how much, since when; then who does not see it, and what the servers say."""
    what = " and ".join(f"{s}s" for s in operations_of(case))
    fresh = {None: "", "fresh": " on new connections", "pooled": " on pooled connections"}[case.connection]
    zones = _zones(case, scene)
    head = f"{_subject(case, scene)} fails {what}{fresh} for canaries in {zones}"
    if not KINDS[case.kind].pages:
        head = f"Only {_subject(case, scene)} see {what} fail{fresh}"
    figures = f"{evidence.failures} of {evidence.attempts} attempts ({_percent(evidence.share_low)}–{_percent(evidence.share_high)})"
    parts = [f"{head}: {figures} since {_clock(case.tally.first_failure_at)} UTC"]
    if case.returns:
        parts.append(f"back again soon after it was over, {case.returns} time{'s' if case.returns > 1 else ''} now")
    if seen_by.good:
        parts.append(f"not seen by {', '.join(seen_by.good)}")
    if scene.silent:
        parts.append(f"no word from canaries in {_list(scene.silent)}")
    if servers.verdict != "unknown":
        parts.append(f"servers {servers.verdict}: {servers.detail}")
    return "; ".join(parts)


def _subject(case: Case, scene: Scene) -> str:
    family, values = scene.cube.nodes[case.node]
    forms = {
        "region": "region {0}",
        "endpoint": "endpoint {0}",
        "zone_endpoint": "endpoint {1} in {0}",
        "table": "table {0}",
        "partition": "partition {1} of table {0}",
        "operation": "operation {0}",
        "version": "software version {0}",
        "observer_zone": "canaries in {0}",
        "observer": "canary host {0}",
    }
    return forms.get(family, "{0}").format(*values)


def _zones(case: Case, scene: Scene) -> str:
    hosts = set(case.tally.bad_hosts)
    return _list(
        sorted({p.observer_zone for p in (scene.cube.paths[i] for i in case.tally.failed_places) if p.host in hosts})
    )


def _examples(case: Case) -> tuple[Example, ...]:
    return tuple(
        Example(
            at=f.at, host=f.host, reason=f.reason, endpoint=f.endpoint, operation=f.operation, request_id=f.request_id
        )
        for f in case.tally.examples
    )


def _names(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({v for v in values if v}))


def _list(words: Iterable[str]) -> str:
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" and {words[-1]}" if words else "nowhere"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _clock(at: float) -> str:
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%H:%M:%S")
