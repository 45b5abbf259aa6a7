"""Silences and maintenance windows: they mute what they explain, and nothing else (pure).

A mute explains an incident when the incident's *whole* scope lies inside the muted one: ``zone=az1`` explains zone az1,
endpoint fips in az1 and a router of az1; never the region, never endpoint fips everywhere. It mutes notices only:
measuring, evidence and the record go on, and what grows beyond it is told at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from cfa.incident import SEVERITY_ORDER, Incident, Severity

MuteKind = Literal["silence", "maintenance"]

SCOPE_KEYS: tuple[str, ...] = (
    "region",
    "zone",
    "endpoint",
    "router",
    "node",
    "version",
    "table",
    "group",
    "partition",
    "operation",
    "observer",
    "observer_zone",
)
"""The keys of an incident's scope (``docs/api.md``); a mute with another would mute nothing, and is refused."""

MAINTAINED_KEYS: tuple[str, ...] = ("zone", "router", "node")
"""What is taken out of service for maintenance: the redundancy that is then spent."""

LONGEST_SECONDS = 30 * 86_400.0
AHEAD_SECONDS = 90 * 86_400.0
KEPT_AFTER_SECONDS = 86_400.0
"""How long an ended mute is still listed here; the journal of actions keeps it for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A silence or a maintenance window, in force in ``[starts_at, ends_at)`` unless ended before.

    ``scope``: patterns as a shell's (``*``, ``?``) by scope key; empty means everything. ``operations``: mutes only
    incidents that hurt no others (``read``, ``write``). ``severity``: mutes only up to this one.
    ``exclusion``: the number of the ledger's exclusion that was made together with a maintenance window.
    """

    id: str
    kind: MuteKind
    scope: dict[str, str]
    operations: tuple[str, ...] = ()
    severity: Severity = "page"
    starts_at: float
    ends_at: float
    author: str
    comment: str = ""
    exclusion: int | None = None
    expired_at: float | None = None
    expired_by: str | None = None

    @property
    def over_at(self) -> float:
        """When it ends, or was ended."""
        return self.ends_at if self.expired_at is None else min(self.ends_at, self.expired_at)

    def in_force(self, at: float) -> bool:
        """Whether it mutes at ``at``."""
        return self.starts_at <= at < self.over_at

    def covers(self, place: Mapping[str, str]) -> bool:
        """Whether a scope, with all that it lies in (:func:`widened`), lies inside this one."""
        return all(key in place and fnmatchcase(place[key], pattern) for key, pattern in self.scope.items())

    def explains(self, incident: Incident, place: Mapping[str, str]) -> bool:
        """Whether all of the incident is what this mute speaks of."""
        if SEVERITY_ORDER.index(incident.severity) > SEVERITY_ORDER.index(self.severity):
            return False
        if self.operations and not set(incident.operations) <= set(self.operations):
            return False
        return self.covers(place)


def widened(scope: Mapping[str, str], region: str, zones: Mapping[str, str]) -> dict[str, str]:
    """A scope with the zone of its component and the region: ``{"router": "az1-router-1"}`` lies in zone az1.

    ``zones`` says where components are. What is seen only by canaries of a zone lies in that zone too.
    """
    place = {"region": region, **scope}
    for key in ("router", "node", "observer"):
        if key in scope and scope[key] in zones:
            place.setdefault("zone", zones[scope[key]])
    if "observer_zone" in scope:
        place.setdefault("zone", scope["observer_zone"])
    return place


def problem_of(mute: Mute, at: float) -> str | None:
    """What is wrong with a new mute, or None."""
    if unknown := sorted(set(mute.scope) - set(SCOPE_KEYS)):
        return f"{', '.join(unknown)}: no scope has this key; there are {', '.join(SCOPE_KEYS)}"
    if "partition" in mute.scope and "table" not in mute.scope:
        return "a partition is named together with its table: table=orders, partition=p3"
    if mute.kind == "maintenance" and not set(mute.scope) & set(MAINTAINED_KEYS):
        return f"maintenance is of a {', '.join(MAINTAINED_KEYS[:-1])} or {MAINTAINED_KEYS[-1]}; for the rest use a silence"
    if unknown := sorted(set(mute.operations) - {"read", "write"}):
        return f"{', '.join(unknown)}: operations are read and write"
    if mute.ends_at <= max(mute.starts_at, at):
        return "it would be over already: the end must lie ahead, and after the start"
    if mute.ends_at - mute.starts_at > LONGEST_SECONDS:
        return f"at most {LONGEST_SECONDS / 86_400:.0f} days; what is muted for longer is forgotten"
    if mute.starts_at > at + AHEAD_SECONDS:
        return f"it may start at most {AHEAD_SECONDS / 86_400:.0f} days ahead"
    return None
