"""What operators may do: acknowledge, note, resolve by hand, mute, and end a mute; and why something is refused (pure).

An action takes effect after an entry of the feed. It is written down with that place (:class:`Recorded`) in the same
transaction as what followed from it, so a replay after kill -9 takes it at the same place and gives the same events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cfa.incident import EventName, Incident, IncidentEvent, TimelineEntry
from cfa.silence import Mute, problem_of

ActionKind = Literal["acknowledge", "note", "resolve", "mute", "expire"]
Reason = Literal[
    "unknown_incident", "unknown_silence", "closed", "not_open", "exists", "too_many", "bad_value", "catching_up"
]

BY_CHARACTERS_MOST = 100
TEXT_CHARACTERS_MOST = 2_000
MUTES_MOST = 1_000
"""Silences and windows in force or to come; what is more is refused, not forgotten."""
RESOLVED = "resolved_by_hand"
NOTES_MOST = 200
"""Notes of one incident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """``by`` does ``kind`` to ``subject``: an incident's id, or a mute's. ``mute`` comes with ``mute`` alone."""

    kind: ActionKind
    by: str
    subject: str
    text: str = ""
    mute: Mute | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An action in its place: the ``number``-th, done at ``at`` (collector's clock), after the entry ``after``."""

    number: int
    after: int
    at: float
    action: Action


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an action is not done: ``reason`` is a word for programs, ``detail`` says what to do."""

    reason: Reason
    detail: str


def malformed(action: Action, at: float) -> Refusal | None:
    """What is wrong with an action whatever is known of incidents."""
    if not action.by.strip():
        return Refusal("bad_value", "say who does it: by")
    if len(action.by) > BY_CHARACTERS_MOST or len(action.text) > TEXT_CHARACTERS_MOST:
        return Refusal("bad_value", f"by has at most {BY_CHARACTERS_MOST} characters, a text {TEXT_CHARACTERS_MOST}")
    words = [action.by, action.text, action.subject]
    if action.mute is not None:
        words += [action.mute.author, action.mute.comment, *action.mute.scope.values()]
    if not all(word.replace("\n", " ").isprintable() for word in words):
        return Refusal("bad_value", "texts are printable")
    if action.kind == "note" and not action.text.strip():
        return Refusal("bad_value", "a note has a text")
    if action.mute is None:
        return None
    problem = problem_of(action.mute, at)
    return None if problem is None else Refusal("bad_value", problem)


def refusal(action: Action, at: float, incidents: Mapping[str, Incident], mutes: Mapping[str, Mute]) -> Refusal | None:
    """Why ``action`` cannot be done now, or None; ``incidents`` are those that the judgement knows."""
    wrong = malformed(action, at)
    if wrong is not None:
        return wrong
    if action.kind == "mute":
        if action.subject in mutes:
            return Refusal("exists", f"{action.subject} exists already")
        waiting = sum(at < mute.over_at for mute in mutes.values())
        return Refusal("too_many", f"{waiting} are in force; end some first") if waiting >= MUTES_MOST else None
    if action.kind == "expire":
        known = mutes.get(action.subject)
        if known is None:
            return Refusal("unknown_silence", f"there is no silence or window {action.subject}")
        return None if at < known.over_at else Refusal("closed", f"{action.subject} is over already")
    return about_incident(action, incidents.get(action.subject))


def about_incident(action: Action, incident: Incident | None) -> Refusal | None:
    """Why an incident, as it is now, cannot be acknowledged, noted on or resolved; or None."""
    if incident is None:
        return Refusal("unknown_incident", f"no incident {action.subject} is known; see: fivenines incidents")
    if action.kind == "note":
        notes = sum(entry.note is not None for entry in incident.timeline)
        return Refusal("too_many", f"{incident.id} has {notes} notes already") if notes >= NOTES_MOST else None
    if incident.state == "closed":
        return Refusal("not_open", f"{incident.id} is over already ({incident.closed_reason})")
    return None


def on_record(incident: Incident, recorded: Recorded) -> IncidentEvent:
    """What is done to an incident that only the store remembers: one of the past, or of the monitoring itself.

    Never before its newest line: the clocks of those who write them may differ.
    """
    action = recorded.action
    at = max([recorded.at, *(entry.at for entry in incident.timeline)])
    names: dict[str, tuple[EventName, str]] = {"note": ("noted", "note"), "resolve": ("closed", RESOLVED)}
    event, reason = names.get(action.kind, ("acknowledged", "acknowledged"))
    entry = TimelineEntry(
        at=at, event=event, severity=incident.severity, reason=reason, by=action.by, note=action.text or None
    )
    changed = replace(incident, timeline=(*incident.timeline, entry))
    if event == "closed":
        changed = replace(changed, state="closed", closed_at=at, closed_reason=reason)
    if event == "acknowledged":
        changed = replace(changed, acknowledged_at=at, acknowledged_by=action.by)
    return IncidentEvent(
        incident=changed, event=event, at=at, reason=reason, notify="resolve" if event == "closed" else None
    )
