"""What is hurt, since when, how much, how sure, and who saw it: the incident, as people and programs read it (pure).

An :class:`Incident` is immutable; each change makes a new one and one more entry of its timeline. The JSON form is
the ``INCIDENT`` of ``docs/api.md``.
"""

import datetime as dt
import re
from dataclasses import dataclass, field, replace
from math import exp
from typing import Any, Literal, Self

import msgspec

Severity = Literal["watch", "ticket", "page"]
Side = Literal["client", "server", "both"]
EventName = Literal[
    "opened", "reopened", "updated", "paged", "closed", "folded", "acknowledged", "noted", "muted", "unmuted"
]
Notify = Literal["trigger", "update", "resolve"]
Category = Literal["availability", "durability", "monitoring"]
Finding = Literal[
    "unknown",
    "outage",
    "gray_failure",
    "never_arrived",
    "correctness",
    "masked_by_retries",
    "not_covered",
    "monitoring_blind",
    "canaries_in_trouble",
    "durability",
]
"""What canaries, customers and servers say together (``docs/scope.md``); ``unknown``: the servers have not been heard yet."""

LOG_YEARS_MOST = 27.6
"""ln of the longest "once in … years" that is told (a million million)."""

SEVERITY_ORDER: tuple[Severity, ...] = ("watch", "ticket", "page")
"""From the least to the most severe; an incident keeps the highest it has reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How much was seen and how improbable it is if the objective were met.

    ``share_low`` and ``share_high`` are the 95 % Jeffreys interval of ``share``; ``budget_burned`` is the part of the
    30-day error budget spent since the change point; ``would_happen_once_in_years`` is for a fleet that just meets
    its objective.
    """

    failures: int = 0
    attempts: int = 0
    share: float = 0.0
    share_low: float = 0.0
    share_high: float = 0.0
    log_evidence: float = 0.0
    log_threshold: float = 0.0
    hosts: tuple[str, ...] = ()
    budget_burned: float = 0.0
    would_happen_once_in_years: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnesses:
    """Canary hosts that saw failures within the scope, that asked there and saw none, and that are not believed."""

    bad: tuple[str, ...] = ()
    good: tuple[str, ...] = ()
    recused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What the servers within the scope say of themselves: ``ok``, ``bad``, ``silent`` or ``unknown``."""

    verdict: Literal["ok", "bad", "silent", "unknown"] = "unknown"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One failed attempt, enough of it to find it in a log."""

    at: float
    host: str
    reason: str
    endpoint: str
    operation: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """How far the failure reaches; ``partitions`` is a count, ``share_of_region`` the part of all attempts inside."""

    endpoints: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    partitions: int = 0
    share_of_region: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Why it is believed to be over: what was asked within the scope since the last failure, all of it answered.

    ``share_at_most``: the upper end of the one-sided 95 % interval of the failure ratio after so many successes
    (``1 - 0.05 ** (1 / n)``; Hanley & Lippman-Hand, JAMA 1983); 1.0 when nobody asked.
    """

    last_failure_at: float
    quiet_seconds: float
    successes: int
    hosts: tuple[str, ...] = ()
    share_at_most: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """An earlier life of an incident that was opened again: the same scope failed again shortly after it was over."""

    opened_at: float
    first_failure_at: float
    paged_at: float | None
    closed_at: float
    closed_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One change of the incident; ``by`` and ``note`` when somebody made it."""

    at: float
    event: EventName
    severity: Severity
    reason: str
    by: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One explanation of what customers suffer, from its opening to its close.

    Times are UTC epoch seconds on the collector's clock, except ``first_failure_at`` (the witness's intended start).
    ``category``: ``durability`` when nobody is hurt yet, but what is stored is in danger.
    ``connection`` is set when only ``fresh`` or only ``pooled`` attempts fail. When it was opened again, times and
    figures are of the present spell and ``earlier`` has the others, oldest first. ``children`` were folded into this
    one, ``folded_into`` names the one that took this one over. ``muted_by``: silences and maintenance windows.
    """

    id: str
    state: Literal["open", "closed"] = "open"
    severity: Severity
    scope: dict[str, str]
    category: Category = "availability"
    finding: Finding = "unknown"
    fates: dict[str, int] = field(default_factory=dict)
    connection: str | None = None
    operations: tuple[str, ...]
    side: Side
    opened_at: float
    first_failure_at: float
    paged_at: float | None = None
    closed_at: float | None = None
    closed_reason: str | None = None
    reason: str
    summary: str
    evidence: Evidence = Evidence()
    witnesses: Witnesses = Witnesses()
    servers: Servers = Servers()
    reasons: dict[str, int] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    blast_radius: BlastRadius = BlastRadius()
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    muted_by: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    folded_into: str | None = None
    recovery: Recovery | None = None
    earlier: tuple[Spell, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()

    @property
    def is_of_delivery(self) -> bool:
        """Whether it is about a destination that takes no pages (:mod:`cfa.pager_path`), and not the judgement's."""
        return self.category == "monitoring" and "destination" in self.scope

    def to_json(self) -> dict[str, Any]:
        """The INCIDENT of ``docs/api.md``, of JSON types only."""
        value: dict[str, Any] = msgspec.to_builtins(self)
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The opposite of :meth:`to_json`; raises ``msgspec.ValidationError`` when a field is missing or wrong."""
        return msgspec.convert(value, cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentEvent:
    """A change of an incident, and what people must be told of it.

    ``notify`` is ``trigger`` (page now), ``update`` (whoever was paged should know), ``resolve`` (it is over; only for
    incidents that triggered) or None (for the record alone: a ticket, a watch, a small change).
    """

    incident: Incident
    event: EventName
    at: float
    reason: str
    notify: Notify | None = None


def ended(incident: Incident, at: float, reason: str) -> IncidentEvent:
    """The incident is over, and its timeline says so; whoever was paged is told."""
    entry = TimelineEntry(at=at, event="closed", severity=incident.severity, reason=reason)
    done = replace(incident, state="closed", closed_at=at, closed_reason=reason, timeline=(*incident.timeline, entry))
    told: Notify | None = "resolve" if incident.paged_at is not None else None
    return IncidentEvent(incident=done, event="closed", at=at, reason=reason, notify=told)


def once_in_years(log_years: float) -> float:
    """``Evidence.would_happen_once_in_years`` from its logarithm; nothing rarer is told than :data:`LOG_YEARS_MOST`."""
    return exp(min(LOG_YEARS_MOST, log_years))


def incident_id(opened_at: float, scope: dict[str, str]) -> str:
    """``i-20261123-090000-zone-az1``: from the opening's UTC second and the scope, so that a replay gives the same."""
    stamp = dt.datetime.fromtimestamp(opened_at, tz=dt.UTC).strftime("%Y%m%d-%H%M%S")
    words = "-".join(f"{key}-{value}" for key, value in scope.items())
    return f"i-{stamp}-{re.sub(r'[^A-Za-z0-9_-]+', '-', words)}"
