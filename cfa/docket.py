"""Which explanations are under alarm: opened, re-scoped, paged, folded, closed, opened again (pure).

One incident per explanation. What overlaps an open incident is the same incident, perhaps better understood; what the
storage layer suffers in its wake belongs to it too; narrower ones fold into the broader one that explains them; what
comes back soon is the same incident again, and closes less easily.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cfa.alarm import Signal, clear_reason, quiet_needed, successes_needed, transition
from cfa.attempts import Rows
from cfa.case import Case
from cfa.cube import SIDES, scope_of
from cfa.describe import burned_of, foreseen_of, incident_of, noted, opened_again, recovery_of
from cfa.folding import absorbed, matched
from cfa.incident import EventName, IncidentEvent, Notify, Severity
from cfa.materiality import Decision, Weight, decide
from cfa.policy import (
    AFTERMATH_SECONDS,
    AFTERMATH_SUSTAINED_SECONDS,
    CALM,
    KEEP_CLOSED_SECONDS,
    KINDS,
    RETENTION_SECONDS,
    RETURN_SECONDS,
    SCAN_WINDOW_SECONDS,
    SCOPE_SAMPLES,
    STABLE_TICKET_SECONDS,
    Gates,
)
from cfa.scene import Scene
from cfa.scope import Explanation, Scan, mask_of

RESCOPE_NATS = 5.0
RESCOPE_NATS_LATER = 15.0
RESCOPE_STABLE_SECONDS = 2.0
"""An open incident changes its scope for an explanation so much better, for so long. Once older than the scan looks
back, it has been compared many times, and chance has had as many."""

REFRESH_SECONDS = 1.0
"""How often an open incident's figures are made anew."""

FIGURES_SECONDS = 5.0
"""How often an open incident's figures are told for the record."""

Signed = tuple[Signal, str, Severity]


@dataclass(slots=True, kw_only=True)
class Candidate:
    """An explanation not under alarm (yet): since when it has been the verdict without a break."""

    case: Case
    since: float
    evaluations: int = 1


AGAIN = {"page": Signal.PAGE_AGAIN, "ticket": Signal.TICKET_AGAIN}


def _calm(_scope: Mapping[str, str]) -> Gates:
    return CALM


class Docket:
    """Open cases, those closed lately, and candidates. ``gates``: the second gate of a page, by scope."""

    def __init__(self, gates: Callable[[Mapping[str, str]], Gates] = _calm) -> None:
        self._gates = gates
        self.open: list[Case] = []
        self.closed: list[Case] = []
        self.candidates: dict[int, Candidate] = {}

    @property
    def favoured(self) -> list[int]:
        """Nodes that the last scan named, and those under alarm."""
        return sorted({*self.candidates, *(case.node for case in self.open)})

    def explained(self, scene: Scene) -> NDArray[np.bool_]:
        """Failed rows that a closed case has already answered for."""
        mask = np.zeros(len(scene.rows), np.bool_)
        failed = scene.rows["bad"] > 0
        for case in self.closed:
            if case.closed_at is not None and case.closed_at >= scene.at - RETENTION_SECONDS:
                old = failed & (scene.rows["at"] <= case.told_until)
                if old.any():
                    mask |= old & mask_of(scene.cube, scene.rows["place"], case.node, case.connection, case.side)
        return mask

    def observe(self, explanations: tuple[Explanation, ...], scene: Scene) -> None:
        """Keeps track of how long each explanation has been the verdict."""
        now: dict[int, Candidate] = {}
        rows = self._unexplained(scene)
        for e in explanations:
            known = self.candidates.get(e.node)
            if known is None or (known.case.connection, known.case.side) != (e.connection, e.side):
                case = Case(node=e.node, kind=e.kind, connection=e.connection, side=e.side)
                case.recount(scene.cube, rows, scene.failures, since=scene.since)
                since, count = (scene.at, 1) if known is None else (known.since, known.evaluations + 1)
                now[e.node] = Candidate(case=case, since=since, evaluations=count)
            else:
                if not known.case.is_open:
                    known.case.follow(scene.cube, rows, scene.failures)
                known.evaluations += 1
                now[e.node] = known
        self.candidates = now

    def _unexplained(self, scene: Scene) -> Rows:
        """The rows that no case, open or closed, answers for: a new explanation must stand on them alone, and is dated by them."""
        rows = scene.rows[~self.explained(scene)]
        for case in self.open:
            rows = rows[~mask_of(scene.cube, rows["place"], case.node, case.connection, case.side)]
        return rows

    def is_stable(self, node: int, at: float, seconds: float) -> bool:
        """Whether an explanation has been the verdict for so long, and at least twice."""
        candidate = self.candidates.get(node)
        return candidate is not None and candidate.evaluations > 1 and at - candidate.since >= seconds

    def forget_candidates(self) -> None:
        """Whose word is believed has changed: begin anew."""
        self.candidates = {}

    def recount(self, scene: Scene) -> None:
        """Counts every open case anew from what is believed now."""
        for case in self.open:
            since = case.incident.first_failure_at - 1 if case.incident else scene.since
            case.recount(scene.cube, scene.rows, scene.failures, since=since)

    def evaluate(self, explanations: tuple[Explanation, ...], scan: Scan | None, scene: Scene) -> list[IncidentEvent]:
        """One evaluation: every change that follows, in order."""
        events: list[IncidentEvent] = []
        for case in self.open:
            case.follow(scene.cube, scene.rows, scene.failures)
        taken = matched(explanations, self.open, scene)
        for e in explanations:
            if e.node in taken:
                events += self._rescope(taken[e.node], e, scan, scene)
            elif not self._is_aftermath(e, scene):
                events += self._consider(e, scene)
        events += self._fold(explanations, scene)
        for case in list(self.open):
            events += self._judge(case, scene)
        if not (self.open or events):
            events += self._slow_burn(scene, beside=bool(explanations))
        self._forget(scene.at)
        return events

    def blind(self, scene: Scene, *, blind: bool) -> list[IncidentEvent]:
        """Nothing is heard of the canaries any more, or again."""
        signal = Signal.BLIND if blind else Signal.SIGHTED
        reason = "no_canary_data" if blind else "canary_data_again"
        return [e for case in self.open for e in self._apply(case, (signal, reason, "watch"), scene)]

    def _rescope(self, case: Case, e: Explanation, scan: Scan | None, scene: Scene) -> list[IncidentEvent]:
        """A better explanation of an open case becomes its scope."""
        if (case.node, case.connection, case.side) == (e.node, e.connection, e.side) or scan is None:
            return []
        if any(other.node == e.node for other in self.open if other is not case):
            return []
        if case.paged and not KINDS[e.kind].pages:
            return []
        better = scan.gain_of(e.node, e.connection, e.side) - scan.gain_of(case.node, case.connection, case.side)
        is_old = scene.at - case.tally.first_failure_at > SCAN_WINDOW_SECONDS
        if better < (RESCOPE_NATS_LATER if is_old else RESCOPE_NATS) or not self.is_stable(
            e.node, scene.at, RESCOPE_STABLE_SECONDS
        ):
            return []
        case.node, case.kind, case.connection, case.side = e.node, e.kind, e.connection, e.side
        case.scoped_at = scene.at
        since = case.incident.first_failure_at - 1 if case.incident else scene.since
        case.recount(scene.cube, scene.rows, scene.failures, since=since)
        return self._tell(case, scene, "updated", "rescoped", notify="update" if case.paged else None)

    def _is_aftermath(self, e: Explanation, scene: Scene) -> bool:
        """Whether the storage layer's trouble is the wake of a greater incident."""
        if not KINDS[e.kind].storage:
            return False
        tally = self.candidates[e.node].case.tally
        if tally.last_failure_at - tally.first_failure_at >= AFTERMATH_SUSTAINED_SECONDS:
            return False
        for case in (*self.open, *self.closed):
            if KINDS[case.kind].storage and not case.paged:
                continue
            over = scene.at if case.is_open else case.closed_at or 0.0
            first = case.tally.first_failure_at - AFTERMATH_SUSTAINED_SECONDS / 10
            if first <= tally.first_failure_at <= over + AFTERMATH_SECONDS:
                return True
        return False

    def _consider(self, e: Explanation, scene: Scene) -> list[IncidentEvent]:
        """A candidate becomes a case when both gates (page) or the first (ticket) are passed and its scope is stable."""
        case = self.candidates[e.node].case
        decision = self._decide(case, scene, self._unexplained(scene))
        needed = self._gates_of(case, scene).stable_seconds if decision.severity == "page" else STABLE_TICKET_SECONDS
        if decision.severity not in ("page", "ticket") or not self.is_stable(e.node, scene.at, needed):
            return []
        if case.tally.failures < SCOPE_SAMPLES[decision.severity] and not case.tally.wrong:
            return []  # the scope is unknown: too few failing samples say where it is
        if self.open and e.gain < scene.alone_log_threshold:
            return []  # the detector counts every failure; beside an open incident the scan's own must speak for it
        if e.kind == "observer" and decision.severity == "ticket" and len(case.tally.bad_hosts) < 2:
            return []  # a lone witness is recused, or its zone has no other: never an incident of its own
        if self._over(case, scene) is not None:
            return []
        case.scoped_at = scene.at
        return self._open(case, decision, scene)

    def _open(self, case: Case, decision: Decision, scene: Scene) -> list[IncidentEvent]:
        """A new incident, or one that was over a moment ago, opened again under its own name."""
        if decision.severity is None:
            return []
        signal = Signal(decision.severity)
        earlier = self._returned(case, scene)
        if earlier is not None:
            case.returns = earlier.returns + 1
            if earlier.incident is not None:
                signal = AGAIN[decision.severity]
                case.incident, earlier.incident = opened_again(earlier.incident, case, scene), None
        self.open.append(case)
        return self._apply(case, (signal, decision.reason, decision.severity), scene)

    def _slow_burn(self, scene: Scene, *, beside: bool) -> list[IncidentEvent]:
        """Evidence that no single minute shows: dated and counted by the detector's own path.

        ``beside`` an explanation of the last minute, only what began before that minute.
        """
        found = scene.slow_burn() or scene.burn_rate()
        if found is None:
            return []
        node, side = found
        at, bad, good = scene.change(node, SIDES.index(side))
        if beside and scene.at - at <= SCAN_WINDOW_SECONDS:
            return []
        case = Case(node=node, kind=scene.cube.nodes[node][0], connection=None, side=side, scoped_at=scene.at)
        case.recount(scene.cube, scene.rows[~self.explained(scene)], scene.failures, since=at)
        tally = case.tally
        if bad:
            tally.first_failure_at = at
            tally.failures, tally.successes = max(bad, tally.failures), max(good - tally.tail, tally.successes)
        if not tally.last_failure_received or self._over(case, scene) is not None:
            return []
        decision = self._decide(case, scene)
        return self._open(case, decision, scene) if decision.severity in ("page", "ticket") else []

    def _returned(self, case: Case, scene: Scene) -> Case | None:
        """The case of the same scope that was closed a moment ago."""
        lately = (
            old
            for old in reversed(self.closed)
            if old.node == case.node and old.closed_at is not None and scene.at - old.closed_at <= RETURN_SECONDS
        )
        return next(lately, None)

    def _gates_of(self, case: Case, scene: Scene) -> Gates:
        return self._gates(scope_of(scene.cube.nodes[case.node]))

    def _decide(self, case: Case, scene: Scene, rows: Rows | None = None) -> Decision:
        tally = case.tally
        return decide(
            Weight(
                kind=case.kind,
                gates=self._gates_of(case, scene),
                log_evidence=scene.evidence_of(case.node, case.side),
                log_threshold=scene.log_threshold,
                run=case.run(scene.cube, scene.rows if rows is None else rows, scene.at),
                span=tally.last_failure_at - tally.first_failure_at,
                burned=burned_of(case, scene),
                foreseen=foreseen_of(case, scene, scene.rows if rows is None else rows),
                burn_rule=scene.burn_rule(case.node, case.side),
                wrong=tally.wrong,
                wrong_hosts=len(tally.wrong_hosts),
            )
        )

    def _judge(self, case: Case, scene: Scene) -> list[IncidentEvent]:
        """An open case: over, graver, changed, or just going on."""
        if not case.tally.failures:
            over = "witnesses_recused" if self._is_disproved(case, scene) else None
            return self._apply(case, (Signal.CLEAR, over, "watch"), scene) if over else []
        over = self._over(case, scene)
        if over is not None:
            return self._apply(case, (Signal.CLEAR, over, "watch"), scene)
        events = []
        if not case.paged:
            decision = self._decide(case, scene)
            stable = scene.at - case.scoped_at >= self._gates_of(case, scene).stable_seconds
            if decision.severity == "page" and stable:
                events = self._apply(case, (Signal.PAGE, decision.reason, "page"), scene)
        return events or self._refresh(case, scene)

    def _is_disproved(self, case: Case, scene: Scene) -> bool:
        """Whether those who are believed are heard, and for long enough to say that all is well: unknown is not over."""
        rows, needed = scene.rows, quiet_needed(case.returns)
        if not len(scene.received_since(scene.at - 10)) or scene.at - float(rows["received"][0]) < needed:
            return False
        inside = rows[mask_of(scene.cube, rows["place"], case.node, case.connection, case.side)]
        share = case.incident.evidence.share if case.incident else 1.0
        return not len(inside) or int(inside["good"].sum()) >= successes_needed(share, case.returns)

    def _over(self, case: Case, scene: Scene) -> str | None:
        rows = scene.received_since(scene.at - 30)
        mask = mask_of(scene.cube, rows["place"], case.node, case.connection, case.side)
        elsewhere = scene.received_since(scene.at - 10)
        return clear_reason(
            quiet=scene.at - case.tally.last_failure_received,
            successes=case.tally.tail,
            share=case.tally.share,
            returns=case.returns,
            attempts_lately=int((rows["good"] + rows["bad"])[mask].sum()),
            region_well=not elsewhere["bad"].any() and len(elsewhere) > 0,
        )

    def resolve(self, identity: str, scene: Scene) -> list[IncidentEvent]:
        """An operator says that it is over: closed, until something fails that was asked after now."""
        for case in self.open:
            if case.incident is not None and case.incident.id == identity:
                case.answered_until = scene.at
                self.forget_candidates()
                return self._apply(case, (Signal.CLEAR, "resolved_by_hand", "watch"), scene)
        return []

    def _fold(self, explanations: tuple[Explanation, ...], scene: Scene) -> list[IncidentEvent]:
        """Open incidents that a broader open one explains become its children."""
        events: list[IncidentEvent] = []
        for broad, narrow in absorbed(self.open, explanations, scene):
            if broad.incident is None or narrow.incident is None:
                continue
            child, paged = narrow.incident.id, narrow.paged
            narrow.incident = replace(narrow.incident, folded_into=broad.incident.id)
            broad.incident = replace(broad.incident, children=(*broad.incident.children, child))
            events += self._apply(narrow, (Signal.FOLD, "folded", "watch"), scene)
            if paged and not broad.paged:  # whoever was paged for the part is told of the whole
                events += self._apply(broad, (Signal.PAGE, "took_over", "page"), scene)
            else:
                events += self._tell(broad, scene, "updated", "took_over", notify="update" if broad.paged else None)
        return events

    def _refresh(self, case: Case, scene: Scene) -> list[IncidentEvent]:
        """The figures as of now; told when what they say has changed, or now and then for the record."""
        old = case.incident
        if old is None or scene.at - case.refreshed_at < REFRESH_SECONDS:
            return []
        case.refreshed_at = scene.at
        new = incident_of(case, scene, severity=old.severity, reason=old.reason)
        if (new.side, new.finding, new.operations) != (old.side, old.finding, old.operations):
            reason = "side" if new.side != old.side else "finding" if new.finding != old.finding else "operations"
            return self._tell(case, scene, "updated", reason, notify="update" if case.paged else None)
        case.incident = new
        if scene.at - case.told_at < FIGURES_SECONDS:
            return []
        case.told_at = scene.at
        return [IncidentEvent(incident=new, event="updated", at=scene.at, reason="figures")]

    def _apply(self, case: Case, signed: Signed, scene: Scene) -> list[IncidentEvent]:
        """What the transition table says of a signal."""
        signal, reason, severity = signed
        found = transition(case.state, signal, paged=case.paged)
        case.state = found.state
        events: list[IncidentEvent] = []
        for event, notify in found.events:
            events += self._tell(case, scene, event, reason, notify=notify, severity=severity)
        return events

    def _tell(
        self,
        case: Case,
        scene: Scene,
        event: EventName,
        reason: str,
        *,
        notify: Notify | None,
        severity: Severity = "watch",
    ) -> list[IncidentEvent]:
        """Makes the new incident with one more line in its timeline, and the event that carries it."""
        kept = reason if event in ("opened", "paged") or case.incident is None else case.incident.reason
        new = incident_of(case, scene, severity=severity, reason=kept)
        if event == "paged":
            case.paged, new = True, replace(new, paged_at=new.paged_at or scene.at)
        if event in ("closed", "folded"):
            self._close(case, scene.at)
            new = replace(new, state="closed", closed_at=scene.at, closed_reason=reason)
            new = replace(new, recovery=recovery_of(case, scene) if event == "closed" else None)
        case.incident = replace(new, timeline=noted(new, scene.at, event, reason))
        case.told_at = scene.at
        return [IncidentEvent(incident=case.incident, event=event, at=scene.at, reason=reason, notify=notify)]

    def _close(self, case: Case, at: float) -> None:
        case.closed_at, case.paged = at, False
        self.open.remove(case)
        self.closed.append(case)

    def _forget(self, at: float) -> None:
        self.closed = [c for c in self.closed if c.closed_at is not None and at - c.closed_at < KEEP_CLOSED_SECONDS]
