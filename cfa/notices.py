"""What people are told of an incident, to whom, and when a failed delivery is tried again (pure).

A notice's identity is ``(incident, notify, n, destination)``: the judgement is deterministic, so a replay after kill -9
plans the same notices again and the outbox ignores those that it already holds.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, Self

import msgspec

from cfa.incident import Incident, IncidentEvent
from cfa.routes import Routes

REMEMBERED = 1000
"""Far more than can be open at a time."""

Kind = Literal["trigger", "update", "resolve", "ticket"]

LOG = "log"
"""The destination that always exists."""

ATTEMPT_DEADLINE_SECONDS = 5.0
BACKOFF_FIRST_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 60.0
ABANDON_AFTER_SECONDS = 24 * 3600.0
"""A notice that nobody took for a day is history: it is marked, counted, and never sent late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One message to one destination. ``n`` counts the notices of this kind for this incident, from 1.

    ``labels`` are the incident's identity as it was first told: they stay equal from trigger to resolve, because
    receivers such as Alertmanager recognise an alert by its labels. ``incident`` is as it was at ``at``.
    """

    incident: Incident
    notify: Kind
    n: int
    destination: str
    at: float
    reason: str
    labels: dict[str, str]

    @property
    def key(self) -> str:
        """The notice's name for logs and idempotency, the same on every delivery attempt."""
        return f"{self.incident.id}/{self.notify}/{self.n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A notice that its destination has not taken yet."""

    number: int
    created_at: float
    attempts: int
    next_at: float
    notice: Notice


class _Memory(msgspec.Struct, frozen=True):
    counts: dict[str, dict[str, int]]
    labels: dict[str, dict[str, str]]
    told: dict[str, dict[str, str]] = {}


ALERT_NAMES = {
    "availability": "CustomerFacingAlarm",
    "durability": "DurabilityAlarm",
    "monitoring": "PagerPathBroken",
}
"""Alertmanager's name of an incident, by its category."""


def alert_labels(incident: Incident, region: str) -> dict[str, str]:
    """A bounded set of labels: what kind of alarm, how severe, where, what is hurt."""
    scope = {key: value for key, value in incident.scope.items() if key != "region"}
    return {
        "alertname": ALERT_NAMES.get(incident.category, "CustomerFacingAlarm"),
        "severity": incident.severity,
        "region": incident.scope.get("region", region),
        **scope,
        "operations": ",".join(incident.operations),
        "side": incident.side,
        "incident": incident.id,
    }


class Notices:
    """Turns incident events into notices; remembers how many of each kind every incident has had.

    A closed incident is remembered too: today's judgement never opens it again, but if one did, a trigger with the
    number of the first would be taken for one that has been told, and a page lost. Only the newest ``REMEMBERED`` are kept.
    """

    def __init__(self, routes: Routes | tuple[str, ...], region: str) -> None:
        self._routes = routes if isinstance(routes, Routes) else Routes.everywhere(routes)
        self._region = region
        self._counts: dict[str, Counter[str]] = {}
        self._labels: dict[str, dict[str, str]] = {}
        self._told: dict[str, dict[str, str]] = {}
        """By incident: who was told, and of what: ``page`` or ``ticket``."""

    def plan(self, event: IncidentEvent) -> tuple[Notice, ...]:
        """The notices that follow from one event, one per destination."""
        kind = _kind(event)
        never_told = event.incident.muted_by and event.incident.id not in self._told
        if kind is None or (kind == "ticket" and never_told):
            return ()
        return self._numbered(event, kind)

    def _numbered(self, event: IncidentEvent, kind: Kind) -> tuple[Notice, ...]:
        incident = event.incident
        counts = self._counts.setdefault(incident.id, Counter())
        while len(self._counts) > REMEMBERED:
            oldest = next(iter(self._counts))
            del self._counts[oldest]
            self._labels.pop(oldest, None)
            self._told.pop(oldest, None)
        counts[kind] += 1
        labels = alert_labels(incident, self._region)
        if kind != "ticket":  # the ticket's labels would freeze the severity before the page
            labels = self._labels.setdefault(incident.id, labels)
        numbers = {**counts, "ticket": counts["ticket"] + (kind == "resolve")}
        return tuple(
            Notice(
                incident=incident,
                notify=word,
                n=max(1, numbers.get(word, 0)),
                destination=destination,
                at=event.at,
                reason=event.reason,
                labels=labels,
            )
            for destination, word in self._addressed(incident, kind)
        )

    def _addressed(self, incident: Incident, kind: Kind) -> list[tuple[str, Kind]]:
        """Who hears what. Whoever was told of the beginning is told of the end, whatever the routes say by then.

        An incident that has grown into somebody's route after its trigger begins for them with this change.
        """
        told = self._told.setdefault(incident.id, {})
        routed = self._routes.to(incident, "ticket" if kind == "ticket" else "page")
        if incident.is_of_delivery:  # a destination is not told of itself (cfa.pager_path)
            routed = tuple(name for name in routed if name != incident.scope["destination"])
        paged = [name for name in self._routes.names if told.get(name) == "page"]
        whom: dict[str, Kind] = {}
        if kind in ("ticket", "resolve"):  # those who heard of the ticket alone learn that it is over
            whom |= {name: "ticket" for name in self._routes.names if told.get(name) == "ticket"}
        if kind in ("ticket", "trigger") or not paged:
            whom |= dict.fromkeys(routed, kind)
        elif kind == "update":
            whom |= {name: "trigger" for name in routed if name not in paged}
        if kind in ("update", "resolve"):
            whom |= dict.fromkeys(paged, kind)
        for name, word in whom.items():
            told[name] = "ticket" if word == "ticket" and told.get(name) != "page" else "page"
        return list(whom.items())

    def snapshot(self) -> bytes:
        """What :meth:`restore` needs; belongs to the same cursor as the judgement's snapshot."""
        counts = {incident: dict(numbers) for incident, numbers in self._counts.items()}
        return msgspec.msgpack.encode(_Memory(counts, self._labels, self._told))

    @classmethod
    def restore(cls, routes: Routes | tuple[str, ...], region: str, data: bytes) -> Self:
        """The opposite of :meth:`snapshot`; raises ``ValueError`` on damaged bytes."""
        try:
            memory = msgspec.msgpack.decode(data, type=_Memory)
        except msgspec.DecodeError as error:
            raise ValueError(f"damaged notices: {error}") from error
        notices = cls(routes, region)
        notices._counts = {incident: Counter(numbers) for incident, numbers in memory.counts.items()}
        notices._labels = memory.labels
        notices._told = memory.told
        return notices


def _kind(event: IncidentEvent) -> Kind | None:
    """Only pages wake people; a ticket is told, to those who want tickets, when it opens and when it closes; a watch is silent."""
    if event.incident.severity == "page":
        return event.notify
    begins = event.event in ("opened", "reopened", "unmuted") and not event.incident.muted_by
    if event.incident.severity == "ticket" and (begins or event.event in ("closed", "folded")):
        return "ticket"
    return None


def retry_at(*, attempts: int, now: float, jitter: float) -> float:
    """When to try again after ``attempts`` failures: doubling from half a second to a minute.

    ``jitter`` in [0, 1) shortens the wait by up to a half, so that many notices do not knock in step.
    """
    wait = min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempts - 1, 16))
    return now + wait * (1.0 - 0.5 * jitter)
