"""The whole judgement as one value: feed entries and operators' actions in, incident events out (pure).

The only clock is ``FeedEntry.received_at`` (and the ``at`` of an action or a :meth:`Judgement.tick`): the same entries
and actions in the same order give the same events with the same incident ids, so a replay from a snapshot after kill -9
pages nobody twice.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cfa import snapshots
from cfa.blindness import NOTICED_SECONDS, Blindness
from cfa.burn_rate import severities
from cfa.config import CfaConfig
from cfa.desk import Desk
from cfa.docket import Docket
from cfa.durability import Durability
from cfa.evidence import lent
from cfa.incident import Incident, IncidentEvent
from cfa.intake import Intake
from cfa.joins import Joins
from cfa.masked import Masked
from cfa.operators import Action, Recorded, Refusal, refusal
from cfa.policy import (
    BLIND_SECONDS,
    CALM,
    CANARIES_WELL_SECONDS,
    EPISODE_GAP_SECONDS,
    EVALUATION_SECONDS,
    SCAN_LEAD_SECONDS,
    SCAN_WINDOW_SECONDS,
    SPENT,
    STABLE_PAGE_SECONDS,
    Gates,
)
from cfa.quadrant import ServersView
from cfa.scene import Scene
from cfa.scope import Explanation, Scan
from cfa.silence import Mute, widened
from cfa.uncovered import Uncovered
from cfa.views import availability_view, targets_view
from cfa.witnesses import Witnesses
from collector.observation import Vantage
from collector.series import FeedEntry, Health


class Judgement:
    """Windows, evidence, scope, quadrant, materiality and alarm, composed."""

    def __init__(self, config: CfaConfig) -> None:
        self.config = config
        self.intake = Intake(config)
        self.witnesses = Witnesses()
        self.servers = ServersView()
        self.joins = Joins()
        self.blindness = Blindness(config.region)
        self.uncovered = Uncovered(config.region, self.intake.objective, config.false_pages_per_year)
        self.docket = Docket(self._gates)
        self.desk = Desk(self._place)
        self._zones: dict[str, str] = {}
        self._paths_known = 0
        self.masked = Masked(config.region, self.intake.objective, config.false_pages_per_year)
        self.durability = Durability(config.region, config.durability)
        self.at = 0.0
        self.evaluated_at = 0.0
        self.canary_at: float | None = None
        self.failed_at: float | None = None
        self.episode_at: float | None = None
        self.is_blind = False
        self.looked_at_sequence = 0
        self.last_failure_at: float | None = None

    def step(self, entry: FeedEntry) -> list[IncidentEvent]:
        """Takes one entry in; the incident events that follow from it, in order."""
        self.at = max(self.at, entry.received_at)
        self.intake.advance(self.at)
        self.servers.forget(self.at)
        lost = self._miss(self.at)
        if entry.vantage is Vantage.CANARY:
            self._hear(entry)
        elif entry.vantage is Vantage.CUSTOMER:
            self.masked.customers.take(entry)
            self.uncovered.take(entry)
        else:
            self.servers.take(entry)
            self.joins.take(entry)
            self.masked.take(entry)
            self.durability.take(entry)
        found = [*self._miss(self.at), *self._look(self.at), *self._evaluate(), *self._unmask()]
        return self.desk.tell([*lost, *found, *self.durability.evaluate(self.at)], self.at)

    def tick(self, at: float) -> list[IncidentEvent]:
        """Nothing arrived until ``at``: data grow stale, which is INSUFFICIENT_DATA and never an incident by itself."""
        at = max(at, self.at)
        return self.desk.tell([*self._miss(at, NOTICED_SECONDS), *self._look(at)], at)

    def refuses(self, action: Action, at: float) -> Refusal | None:
        """Why an action cannot be done now, or None."""
        known = {incident.id: incident for incident in self.incidents()}
        return refusal(action, max(at, self.at), known, self.desk.mutes)

    def act(self, recorded: Recorded) -> list[IncidentEvent]:
        """An operator's action in its place between entries; the events that follow from it."""
        self.at = max(self.at, recorded.at)
        self.desk.applied = recorded.number
        action = recorded.action
        closed: list[IncidentEvent] = []
        if action.kind == "resolve":
            self.desk.sign(action, self.at)
            closed = self._resolve(action.subject)
        return [*self.desk.take(action, self.at), *self.desk.tell(closed, self.at)]

    def _resolve(self, identity: str) -> list[IncidentEvent]:
        """Closes an incident because an operator says so."""
        events = self.docket.resolve(identity, self._scene())
        if events:
            self._settle()
        others = (self.masked, self.durability, self.blindness, self.uncovered)
        return [*events, *(event for one in others for event in one.resolve(identity, self.at))]

    @property
    def applied_actions(self) -> int:
        """The number of the last action that was taken."""
        return self.desk.applied

    def mutes(self) -> list[Mute]:
        """Silences and maintenance windows, those over lately too."""
        return list(self.desk.mutes.values())

    def _gates(self, scope: Mapping[str, str]) -> Gates:
        return SPENT if self.desk.redundancy_spent(scope, self.at) else CALM

    def _place(self, scope: Mapping[str, str]) -> Mapping[str, str]:
        """A scope with the zone that its component is in, as far as that was ever heard."""
        for path in self.intake.cube.paths[self._paths_known :]:
            for name, zone in (
                (path.host, path.observer_zone),
                (path.router, path.router_zone),
                (path.node, path.node_zone),
            ):
                if name and zone:
                    self._zones[name] = zone
        self._paths_known = len(self.intake.cube.paths)
        zones = {name: state.zone for name, state in self.servers.targets.items()} | self._zones
        return widened(scope, self.config.region, zones)

    def incidents(self) -> list[Incident]:
        """Open incidents and those closed lately, newest first."""
        found = [c.incident for c in (*self.docket.open, *self.docket.closed) if c.incident is not None]
        for one in (self.masked, self.durability, self.blindness, self.uncovered):
            found += [i for i in (one.incident, *one.closed) if i is not None]
        return sorted(map(self.desk.view, found), key=lambda i: (i.opened_at, i.id), reverse=True)

    def status(self, at: float) -> dict[str, object]:
        """The body of ``GET /v1/status`` (``docs/api.md``)."""
        answered, expected = self.intake.matrix.answered, self.config.matrix_cells
        age = None if self.canary_at is None else max(0.0, at - self.canary_at)
        return {
            "at": at,
            "region": self.config.region,
            "objective": self.config.objectives.default,
            "ready": answered >= max(1, expected),
            "cells_answered": answered,
            "cells_expected": expected or len(self.intake.matrix.cells),
            "data_age_seconds": age,
            "state": "INSUFFICIENT_DATA"
            if age is None or age > BLIND_SECONDS
            else "ALARM"
            if self.docket.open
            else "OK",
            "matrix": self.intake.matrix.view(max(at, self.at), self.intake.objective.allowed()),
            "availability": self.availability(at),
            "recused": self.witnesses.view(),
            "targets": targets_view(self.servers),
            "incidents_open": len(self.docket.open)
            + sum(o.incident is not None for o in (self.masked, self.durability, self.blindness, self.uncovered)),
            "false_pages_per_year": self.config.false_pages_per_year,
            "mutes": [asdict(mute) for mute in self.desk.mutes.values() if mute.in_force(max(at, self.at))],
        }

    def availability(self, at: float) -> list[dict[str, object]]:
        """The ``availability`` part of the status: every scope seen × side, with its windows, as of ``at``."""
        self.intake.windows.advance(max(at, self.at))
        return availability_view(self.intake, max(at, self.at))

    def snapshot(self) -> bytes:
        """Everything that :meth:`restore` needs, as versioned msgpack."""
        return snapshots.dump(self)

    @classmethod
    def restore(cls, config: CfaConfig, data: bytes) -> Self:
        """The judgement as it was at :meth:`snapshot`; raises ``ValueError`` on another version or damaged bytes."""
        judgement = cls(config)
        snapshots.load(judgement, data)
        return judgement

    def _hear(self, entry: FeedEntry) -> None:
        """A canary's entry: its health first, then what it saw."""
        self.witnesses.hear(entry.host, entry.zone, self.at)
        for health in entry.health:
            self._examine(health)
        self.intake.take(entry, believed=entry.host not in self.witnesses.recused)
        if entry.readings or entry.unobserved or entry.health:
            self.canary_at = self.at
        failed = self.intake.last_bad_at
        if failed is not None and failed != self.failed_at:
            if self.failed_at is None or failed - self.failed_at > EPISODE_GAP_SECONDS or self.episode_at is None:
                self.episode_at = min((f.at for r in entry.readings for f in r.failures), default=failed)
            self.failed_at = self.last_failure_at = failed

    def _examine(self, health: Health) -> None:
        if self.witnesses.health(health, self.at):
            self._disbelieve(health.host)

    def _disbelieve(self, host: str) -> None:
        """A host's word of the last minute is taken back, at once and everywhere."""
        rows = self.intake.attempts.rows()
        lately = rows[rows["received"] >= self.at - SCAN_WINDOW_SECONDS]
        node = self.intake.cube.node(("observer", (host,)))
        if node >= 0 and len(lately):
            self.intake.retract(lately[self.intake.cube.covered(node, lately["place"])])
        self.intake.weigh_anew(self.witnesses.believed(self.intake.cube, lately))
        self.docket.forget_candidates()
        self.docket.recount(self._scene())

    def _scene(self) -> Scene:
        intake = self.intake
        rows = self.witnesses.believed(intake.cube, intake.attempts.rows())
        episode = self.episode_at if self.episode_at is not None else self.at
        return Scene(
            at=self.at,
            since=max(self.at - SCAN_WINDOW_SECONDS, episode - SCAN_LEAD_SECONDS),
            region=self.config.region,
            cube=intake.cube,
            rows=rows,
            failures=[f for f in intake.attempts.failures if self.witnesses.believes(f.host, f.received)],
            log_evidence=intake.evidence.log_evidence(),
            change=intake.evidence.change,
            log_threshold=lent(self.intake.evidence.log_evidence(), self._threshold()),
            alone_log_threshold=self._threshold(),
            burning=self._burning(),
            updates_per_year=intake.evidence.updates_per_year(),
            allowed=intake.allowed,
            servers=self.servers,
            joins=self.joins,
            recused=tuple(sorted(self.witnesses.recused)),
            silent=self._silent_zones(),
        )

    def _burning(self) -> NDArray[np.int8] | None:
        """The burn-rate rules that are met, where they are wanted."""
        rules, allowed = self.config.burn_rates, np.array(self.intake.allowed_by_node)
        return severities(self.intake.windows, allowed, rules) if rules and len(allowed) else None

    def _threshold(self) -> float:
        return self.intake.evidence.log_threshold(self.config.false_pages_per_year)

    def _silent_zones(self) -> tuple[str, ...]:
        """Zones that had canaries, none of which is heard any more."""
        heard: dict[str, float] = {}
        for host, zone in self.witnesses.zones.items():
            heard[zone] = max(heard.get(zone, 0.0), self.witnesses.heard_at[host])
        return tuple(sorted(zone for zone, at in heard.items() if at < self.at - BLIND_SECONDS / 3))

    def _miss(self, at: float, patience: float = 0.0) -> list[IncidentEvent]:
        """Whether nobody asks any more: a matter of the monitoring, told once."""
        since = self.canary_at
        if self.blindness.incident is None and (since is None or at - since <= BLIND_SECONDS + patience):
            return []
        return self.blindness.look(at, since, self.servers.about({"region": self.config.region}, since or at, 0))

    def _look(self, at: float) -> list[IncidentEvent]:
        """Whether the canaries are heard at all; open incidents are told once when that changes."""
        blind = self.canary_at is None or at - self.canary_at > BLIND_SECONDS
        if blind == self.is_blind or self.canary_at is None:
            return []
        self.is_blind = blind
        self.at = max(self.at, at)
        return self.docket.blind(self._scene(), blind=blind) if self.docket.open else []

    def _needs_evaluation(self) -> bool:
        if self.is_blind or self.at - self.evaluated_at < EVALUATION_SECONDS:
            return False
        if self.docket.open or any(not r.itself for r in self.witnesses.recused.values()):
            return True
        if self.failed_at is None or self.at - self.failed_at > SCAN_WINDOW_SECONDS:
            return False
        log_evidence = self.intake.evidence.log_evidence()
        evident = bool((log_evidence >= lent(log_evidence, self._threshold())).any())
        return evident or self.intake.attempts.failed_sequence > self.looked_at_sequence

    def _evaluate(self) -> list[IncidentEvent]:
        if not self._needs_evaluation():
            return []
        self.evaluated_at, self.looked_at_sequence = self.at, self.intake.attempts.failed_sequence
        self.witnesses.readmit(self.intake.cube, self.intake.attempts.rows(), self.at)
        scene = self._scene()
        scan, explanations = self._explain(scene)
        self.docket.observe(explanations, scene)
        if self._recuse_lone(explanations, scene):
            scene = self._scene()
            scan, explanations = self._explain(scene)
            self.docket.observe(explanations, scene)
        events = self.docket.evaluate(explanations, scan, scene)
        if any(event.event == "closed" for event in events):
            self._settle()
        return events

    def _unmask(self) -> list[IncidentEvent]:
        """What customers and servers see while every canary is well, and what servers see while none is heard."""
        if self.canary_at is None:
            return []
        lately = self.last_failure_at is not None and self.at - self.last_failure_at < CANARIES_WELL_SECONDS
        speak = bool(lately or self.docket.open)
        hurt = self.uncovered.evaluate(self.at, canaries_well=not speak, servers=self.servers.about)
        silenced = "canaries" if speak else "customers" if self.uncovered.incident is not None else None
        return [*hurt, *self.masked.evaluate(self.at, seen_by=silenced, blind=self.is_blind)]

    def _explain(self, scene: Scene) -> tuple[Scan | None, tuple[Explanation, ...]]:
        scan = scene.scan(self.docket.explained(scene), self.docket.favoured)
        return scan, () if scan is None else scan.explain()

    def _recuse_lone(self, explanations: tuple[Explanation, ...], scene: Scene) -> bool:
        """A host that alone sees failures, while another beside it sees the same targets well, is recused."""
        found = False
        for e in explanations:
            stable = e.kind == "observer" and self.docket.is_stable(e.node, self.at, STABLE_PAGE_SECONDS)
            since = scene.rows[scene.rows["at"] >= scene.since]
            if stable and self.witnesses.contradicted(self.intake.cube, since, e):
                host = self.intake.cube.nodes[e.node][1][0]
                self.witnesses.recuse(host, self.at)
                self._disbelieve(host)
                found = True
        return found

    def _settle(self) -> None:
        """After a close: its evidence is spent; with nothing open, the episode is over."""
        keep = np.zeros(self.intake.evidence.size, np.bool_)
        keep[[case.node for case in self.docket.open]] = True
        self.intake.evidence.reset(keep)
        if not self.docket.open:
            rows = self._scene().rows
            told = max((case.told_until for case in self.docket.closed), default=0.0)
            later = rows["at"][(rows["bad"] > 0) & (rows["at"] > told)]
            self.episode_at = float(later.min()) if len(later) else None  # what failed before is told
            self.failed_at = self.intake.last_bad_at
            self.docket.forget_candidates()
