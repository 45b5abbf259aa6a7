"""The operators' desk: what is judged passes over it on its way to people, and theirs is added to it (pure).

The judgement says what is so; the desk decides who is told of it now. It holds silences and maintenance windows, and a
dossier of every incident: acknowledged by whom, notes, whether people were told, whether they are owed a page that a
silence held back. Everything follows from the feed's entries and the journaled actions in their order.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from cfa.incident import EventName, Incident, IncidentEvent, Notify, TimelineEntry
from cfa.operators import Action
from cfa.policy import KEEP_CLOSED_SECONDS
from cfa.silence import KEPT_AFTER_SECONDS, Mute

Place = Callable[[Mapping[str, str]], Mapping[str, str]]
"""A scope with all that it lies in (:func:`cfa.silence.widened`)."""


@dataclass(slots=True, kw_only=True)
class Signature:
    """Who closed an incident by hand, when, and what they said."""

    at: float
    by: str
    note: str | None


@dataclass(slots=True, kw_only=True)
class Dossier:
    """One incident on the desk; ``incident`` is as it was judged last, without what operators added.

    ``wants``: it deserves a page. ``told``: people were paged and have not been released. ``hushed``: times of pages
    that a mute held back.
    """

    incident: Incident
    wants: bool = False
    told: bool = False
    told_at: float | None = None
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    muted_by: tuple[str, ...] = ()
    hushed: list[float] = field(default_factory=list)
    entries: list[TimelineEntry] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)

    def view(self, incident: Incident) -> Incident:
        """The incident as people see it."""
        timeline = [self._line(entry) for entry in incident.timeline]
        return replace(
            incident,
            paged_at=self.told_at if incident.paged_at is not None else None,
            acknowledged_at=self.acknowledged_at,
            acknowledged_by=self.acknowledged_by,
            muted_by=self.muted_by,
            timeline=tuple(sorted([*timeline, *self.entries], key=lambda entry: entry.at)),
        )

    def _line(self, entry: TimelineEntry) -> TimelineEntry:
        if entry.event == "paged" and entry.at in self.hushed:
            return replace(entry, event="muted", note="a page was held back")
        signed = next((s for s in self.signatures if s.at == entry.at and entry.event == "closed"), None)
        return entry if signed is None else replace(entry, by=signed.by, note=signed.note)

    def note(self, event: EventName, at: float, reason: str, by: str | None = None, note: str | None = None) -> None:
        """One more line of the timeline."""
        severity = self.incident.severity
        self.entries.append(TimelineEntry(at=at, event=event, severity=severity, reason=reason, by=by, note=note))


class Desk:
    """Mutes and dossiers; ``place`` tells what a scope lies in."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.applied = 0
        """The number of the last action that was taken."""
        self.mutes: dict[str, Mute] = {}
        self.dossiers: dict[str, Dossier] = {}

    # --- what is judged passes over the desk ----------------------------------------------------------------------------

    def tell(self, events: Iterable[IncidentEvent], at: float) -> list[IncidentEvent]:
        """The events as people are told of them, and those that follow from mutes that began, ended or were outgrown."""
        told = [self._pass(event) for event in events]
        return [*told, *self.look(at)]

    def _pass(self, event: IncidentEvent) -> IncidentEvent:
        incident = event.incident
        dossier = self.dossiers.get(incident.id)
        if dossier is None:
            dossier = self.dossiers[incident.id] = Dossier(incident=incident)
            dossier.muted_by = self._muting(incident, event.at)
            if dossier.muted_by:
                dossier.note("muted", event.at, self._kinds(dossier.muted_by), note=", ".join(dossier.muted_by))
        dossier.incident = incident
        if event.event == "reopened":
            dossier.told_at = None
        if event.notify == "trigger":
            # What outgrew its mute with this very event is told with it.
            dossier.muted_by = self._muting(incident, event.at)
        name, notify = self._decide(dossier, event)
        return replace(event, incident=dossier.view(incident), event=name, notify=notify)

    def _decide(self, dossier: Dossier, event: IncidentEvent) -> tuple[EventName, Notify | None]:
        """What people are told: a page unless muted, an update if they were paged, the end always if they were."""
        muted = bool(dossier.muted_by)
        if event.notify == "trigger":
            dossier.wants = True
            if muted:
                dossier.hushed.append(event.at)
                return "muted", None
            self._page(dossier, event.at)
            return event.event, "trigger"
        if event.event in ("closed", "folded"):
            told, dossier.told, dossier.wants = dossier.told, False, False
            return event.event, "resolve" if told else None
        return event.event, event.notify if dossier.told and not muted else None

    def _page(self, dossier: Dossier, at: float) -> None:
        dossier.told, dossier.told_at = True, at
        dossier.acknowledged_at = dossier.acknowledged_by = None  # whoever took it took what was known then

    # --- mutes ----------------------------------------------------------------------------------------------------------

    def look(self, at: float) -> list[IncidentEvent]:
        """Open incidents whose mutes have begun, ended, or do not explain them any more: an owed page goes out at once."""
        if not (self.mutes or self.dossiers):
            return []
        events = []
        for dossier in self.dossiers.values():
            if dossier.incident.state != "open":
                continue
            muting = self._muting(dossier.incident, at)
            if muting != dossier.muted_by:
                events += self._turn(dossier, muting, at)
        self._forget(at)
        return events

    def _turn(self, dossier: Dossier, muting: tuple[str, ...], at: float) -> list[IncidentEvent]:
        before, dossier.muted_by = dossier.muted_by, muting
        if muting and before:
            return []
        name: EventName = "muted" if muting else "unmuted"
        reason = self._kinds(muting) if muting else self._why_ended(before, at)
        if muting or not dossier.wants:
            dossier.note(name, at, reason, note=", ".join(muting or before))
            return [self._event(dossier, name, at, reason)]
        self._page(dossier, at)
        dossier.note("paged", at, reason, note=f"was muted by {', '.join(before)}")
        return [self._event(dossier, "paged", at, reason, "trigger")]

    def _kinds(self, names: tuple[str, ...]) -> str:
        return "maintenance" if all(self.mutes[name].kind == "maintenance" for name in names) else "silenced"

    def _why_ended(self, names: tuple[str, ...], at: float) -> str:
        left = [self.mutes[name] for name in names if name in self.mutes]
        if any(mute.in_force(at) for mute in left):
            return "broader_than_silence"
        return "maintenance_ended" if left and all(m.kind == "maintenance" for m in left) else "silence_ended"

    def _muting(self, incident: Incident, at: float) -> tuple[str, ...]:
        """The mutes in force that explain all of an incident."""
        if not any(mute.in_force(at) for mute in self.mutes.values()):
            return ()
        place = self._place(incident.scope)
        found = (m.id for m in self.mutes.values() if m.in_force(at) and m.explains(incident, place))
        return tuple(sorted(found))

    def redundancy_spent(self, scope: Mapping[str, str], at: float) -> bool:
        """Whether something else than ``scope`` is under maintenance: a failure here finds less to fall back on."""
        windows = [m for m in self.mutes.values() if m.kind == "maintenance" and m.in_force(at)]
        if not windows:
            return False
        place = self._place(scope)
        return not any(window.covers(place) for window in windows)

    def _forget(self, at: float) -> None:
        ended = [name for name, mute in self.mutes.items() if at - mute.over_at > KEPT_AFTER_SECONDS]
        for name in ended:
            del self.mutes[name]
        gone = [
            name
            for name, dossier in self.dossiers.items()
            if dossier.incident.closed_at is not None and at - dossier.incident.closed_at >= KEEP_CLOSED_SECONDS
        ]
        for name in gone:
            del self.dossiers[name]

    # --- what operators do ----------------------------------------------------------------------------------------------

    def take(self, action: Action, at: float) -> list[IncidentEvent]:
        """An action's effect on the desk; what it closes, the judgement closes before."""
        if action.kind == "mute" and action.mute is not None:
            self.mutes[action.subject] = action.mute
        elif action.kind == "expire" and action.subject in self.mutes:
            mute = self.mutes[action.subject]
            self.mutes[action.subject] = replace(mute, expired_at=at, expired_by=action.by)
        elif action.subject in self.dossiers:
            return self._write(self.dossiers[action.subject], action, at)
        return []

    def _write(self, dossier: Dossier, action: Action, at: float) -> list[IncidentEvent]:
        note = action.text or None
        if action.kind == "note":
            dossier.note("noted", at, "note", action.by, note)
            return [self._event(dossier, "noted", at, "note")]
        if action.kind != "acknowledge" or dossier.incident.state != "open":
            return []
        dossier.acknowledged_at, dossier.acknowledged_by = at, action.by
        dossier.note("acknowledged", at, "acknowledged", action.by, note)
        told = dossier.told and not dossier.muted_by
        return [self._event(dossier, "acknowledged", at, "acknowledged", "update" if told else None)]

    def sign(self, action: Action, at: float) -> None:
        """Whoever resolves by hand stands in the line of the timeline that says so."""
        if action.subject in self.dossiers:
            signature = Signature(at=at, by=action.by, note=action.text or None)
            self.dossiers[action.subject].signatures.append(signature)

    def _event(
        self, dossier: Dossier, event: EventName, at: float, reason: str, notify: Notify | None = None
    ) -> IncidentEvent:
        incident = dossier.view(dossier.incident)
        return IncidentEvent(incident=incident, event=event, at=at, reason=reason, notify=notify)

    # --- what is seen and kept ------------------------------------------------------------------------------------------

    def view(self, incident: Incident) -> Incident:
        """An incident as people see it, with what operators added."""
        dossier = self.dossiers.get(incident.id)
        return incident if dossier is None else dossier.view(incident)

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {
            "applied": self.applied,
            "mutes": list(self.mutes.values()),
            "dossiers": list(self.dossiers.values()),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        self.applied = state["applied"]
        self.mutes = {mute.id: mute for mute in msgspec.convert(state["mutes"], list[Mute])}
        dossiers = msgspec.convert(state["dossiers"], list[Dossier])
        self.dossiers = {dossier.incident.id: dossier for dossier in dossiers}
