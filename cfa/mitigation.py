"""Whether something is done about an incident, and whether it is taken back (pure).

Doing nothing is the answer whenever there is a doubt, and every answer has a named reason. Two rules are older than this program:
when more than one zone looks bad, the observer is the suspect; and a lone witness is never acted upon.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from cfa.incident import Incident
from cfa.mitigation_config import Hook, MitigationConfig

HOUR_SECONDS = 3600.0
WITNESSES_AT_LEAST = 2
STEADY_SECONDS = 5.0
"""Canaries that have seen no further failure for so long have recovered."""


class Reason(StrEnum):
    """Why an action is taken, or not."""

    ACT = "act"
    DRY_RUN = "dry_run"
    OFF = "off"
    OVER = "over"
    NOT_A_PAGE = "not_a_page"
    NOT_AVAILABILITY = "not_availability"
    NO_HOOK = "no_hook_for_scope"
    TAKEN = "already_taken"
    BLIND = "monitoring_blind"
    MUTED = "muted"
    LONE_WITNESS = "lone_witness"
    MANY_ZONES = "more_than_one_zone"
    REDUNDANCY = "redundancy_spent"
    VELOCITY = "velocity_limit"
    YOUNG = "too_young"


class Undo(StrEnum):
    """Why an action is taken back, or not yet."""

    UNDO = "undo"
    OPEN = "incident_open"
    JUST_OVER = "just_over"
    HURT_AGAIN = "hurt_again"
    UNHEALTHY = "unhealthy"
    FINAL = "not_undone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An action as it was decided: ``done_at`` when the hook said so, ``error`` when it did not. UTC epoch seconds.

    ``failures`` and ``steady_since`` follow the incident's count of failures: what canaries say of the action's effect.
    """

    key: str
    hook: str
    incident: str
    scope: dict[str, str]
    decided_at: float
    dry_run: bool
    done_at: float | None = None
    error: str | None = None
    undone_at: float | None = None
    failures: int = 0
    steady_since: float | None = None
    recovered_at: float | None = None

    @property
    def in_force(self) -> bool:
        """Whether it was really done (or may have been), and not taken back."""
        return not self.dry_run and self.undone_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that a decision looks at. ``incidents``: open ones and those closed lately; ``taken``: what was done before."""

    at: float
    incidents: Sequence[Incident]
    blind: bool
    zone_of_router: dict[str, str]
    taken: Sequence[Taken]


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer for one incident; ``hook`` None: none is meant for it."""

    hook: Hook | None
    reason: Reason


def kind_of(scope: dict[str, str]) -> str:
    """The kind of a scope: ``zone``, ``router``, ``zone_endpoint``, ``partition``, or all its keys when it is none of these."""
    keys = "+".join(sorted(scope))
    return {"endpoint+zone": "zone_endpoint", "partition+table": "partition"}.get(keys, keys)


def key_of(incident: Incident, hook: Hook) -> str:
    """The same for every attempt at the same action: whoever is asked twice does it once."""
    return f"{incident.id}/{hook.name}"


def decide(config: MitigationConfig, incident: Incident, situation: Situation) -> Choice:
    """What is done about ``incident`` now. The first doubt that applies is the reason."""
    hook = next((each for each in config.hooks if each.on == kind_of(incident.scope)), None)
    if config.mode == "off":
        return Choice(hook, Reason.OFF)
    doubt = _of_incident(incident) or (Reason.NO_HOOK if hook is None else None)
    if doubt is not None or hook is None:
        return Choice(hook, doubt or Reason.NO_HOOK)
    if any(taken.key == key_of(incident, hook) for taken in situation.taken):
        return Choice(hook, Reason.TAKEN)
    doubt = _of_witnesses(incident, situation) or _of_zones(config, hook, incident, situation)
    if doubt is None and _acted_lately(situation) >= config.most_per_hour:
        doubt = Reason.VELOCITY
    if doubt is None and situation.at - incident.opened_at < config.after_seconds:
        doubt = Reason.YOUNG
    return Choice(hook, doubt or (Reason.DRY_RUN if config.mode == "dry_run" else Reason.ACT))


def _of_incident(incident: Incident) -> Reason | None:
    if incident.state != "open":
        return Reason.OVER
    if incident.severity != "page" or incident.paged_at is None:
        return Reason.NOT_A_PAGE
    return Reason.NOT_AVAILABILITY if incident.category != "availability" else None


def _of_witnesses(incident: Incident, situation: Situation) -> Reason | None:
    if situation.blind:
        return Reason.BLIND
    if incident.muted_by:
        return Reason.MUTED
    believed = set(incident.witnesses.bad) - set(incident.witnesses.recused)
    return Reason.LONE_WITNESS if len(believed) < WITNESSES_AT_LEAST else None


def _of_zones(config: MitigationConfig, hook: Hook, incident: Incident, situation: Situation) -> Reason | None:
    """A version is rolled back wherever it runs; whatever takes capacity away is for one zone, and one zone at a time."""
    if hook.on == "version":
        return None
    suspects = suspect_zones(situation)
    if suspects is None or len(suspects) > 1:
        return Reason.MANY_ZONES
    mine = zone_of(incident.scope, situation.zone_of_router)
    out = {zone_of(t.scope, situation.zone_of_router) for t in situation.taken if t.in_force} - {None, mine}
    return Reason.REDUNDANCY if mine is not None and len(out) >= config.zones_out_at_most else None


def suspect_zones(situation: Situation) -> set[str] | None:
    """Zones that an open incident speaks of, a witness's trouble included; None when the whole region looks bad."""
    zones: set[str] = set()
    for incident in situation.incidents:
        if incident.state != "open" or incident.category != "availability":
            continue
        if "region" in incident.scope and incident.severity == "page":
            return None
        zone = incident.scope.get("observer_zone") or zone_of(incident.scope, situation.zone_of_router)
        if zone is not None:
            zones.add(zone)
    return zones


def zone_of(scope: dict[str, str], zone_of_router: dict[str, str]) -> str | None:
    """The zone whose capacity a scope is; None when it is not of one zone."""
    return scope.get("zone") or zone_of_router.get(scope.get("router", ""))


def _acted_lately(situation: Situation) -> int:
    return sum(situation.at - taken.decided_at < HOUR_SECONDS for taken in situation.taken)


def undo(config: MitigationConfig, taken: Taken, situation: Situation, *, healthy: bool | None) -> Undo:
    """Whether a done action is taken back. ``healthy``: what the hook's check says; None: it was not asked yet."""
    hook = next((each for each in config.hooks if each.name == taken.hook), None)
    if hook is None or not hook.undo:
        return Undo.FINAL
    incident = next((i for i in situation.incidents if i.id == taken.incident), None)
    if incident is not None and incident.state == "open":
        return Undo.OPEN
    over_at = incident.closed_at if incident is not None else None
    if over_at is not None and situation.at - over_at < config.undo_after_seconds:
        return Undo.JUST_OVER
    if any(i.state == "open" and i.severity == "page" and i.scope == taken.scope for i in situation.incidents):
        return Undo.HURT_AGAIN
    return Undo.UNDO if healthy else Undo.UNHEALTHY


def followed(taken: Taken, situation: Situation) -> Taken:
    """The action with what canaries say of it since: recovered when the incident's failures have not grown for some seconds."""
    if taken.done_at is None or taken.recovered_at is not None or taken.dry_run or situation.blind:
        return taken
    incident = next((i for i in situation.incidents if i.id == taken.incident), None)
    if incident is None:
        return taken
    failures = incident.evidence.failures
    if taken.steady_since is None or failures > taken.failures:
        return replace(taken, failures=max(failures, taken.failures), steady_since=situation.at)
    if situation.at - taken.steady_since >= STEADY_SECONDS or incident.state == "closed":
        return replace(taken, recovered_at=max(taken.steady_since, taken.done_at))
    return taken
