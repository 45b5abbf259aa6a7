"""What another policy would have done with the same feed: pages, delays, misses, false pages (pure).

A :class:`Trial` is the real judgement (:class:`cfa.judgement.Judgement`) over recorded entries, in their own time. Nobody knows the
truth about the past better than its record does, so pages are held against the incidents that were recorded, and what the policy
of today makes of the same entries stands beside it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from cfa.config import CfaConfig
from cfa.incident import Incident, IncidentEvent
from cfa.judgement import Judgement
from cfa.policy import BLIND_SECONDS
from cfa.ports import Judge
from collector.series import FeedEntry

WARM_SECONDS = 1800.0
"""Entries before the span from which a judgement learns what is usual; what it says meanwhile is not counted."""
TICK_SECONDS = 1.0
OVERLAP_SECONDS = 60.0
"""A page belongs to an incident when it came from one minute before its first failure to one minute after its end."""

Verdict = Literal["paged", "missed", "no_page_needed"]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page that would have been sent ``at``; ``ended_at`` is None when the incident was open at the end."""

    incident: str
    at: float
    scope: dict[str, str]
    side: str
    first_failure_at: float
    ended_at: float | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy makes of a recorded incident. Delays in seconds from its first failure; None: nobody was (would be) paged."""

    incident: str
    scope: dict[str, str]
    first_failure_at: float
    severity: str
    verdict: Verdict
    recorded_delay_seconds: float | None
    delay_seconds: float | None
    pages: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One policy against the record. ``false_pages``: no recorded incident overlaps them."""

    policy: str
    pages: tuple[Page, ...]
    incidents: tuple[Held, ...]
    false_pages: tuple[Page, ...]
    entries: int
    judged_seconds: float

    @property
    def missed(self) -> tuple[Held, ...]:
        """Recorded pages that would not have been sent."""
        return tuple(one for one in self.incidents if one.verdict == "missed")


class Trial:
    """One policy over one span; feed it entries in order."""

    def __init__(
        self,
        name: str,
        config: CfaConfig,
        *,
        since: float,
        until: float,
        factory: Callable[[CfaConfig], Judge] = Judgement,
    ) -> None:
        self.name = name
        self._judge = factory(config)
        self._since, self._until = since, until
        self._began: float | None = None
        self._at = 0.0
        self._entries = 0
        self._pages: list[Page] = []
        self._ended: dict[str, float] = {}

    def take(self, entry: FeedEntry) -> None:
        """The next entry; seconds in which nothing came are ticks, as they are in the engine."""
        if self._began is None:
            self._began = entry.received_at
        else:
            self._wait(entry.received_at)
        self._at = max(self._at, entry.received_at)
        self._entries += 1
        self._note(self._judge.step(entry))

    def _wait(self, until: float) -> None:
        """What follows from silence follows within the time after which the judgement calls itself blind."""
        at = self._at + TICK_SECONDS
        last = min(until, self._at + BLIND_SECONDS + 2 * TICK_SECONDS)
        while at < last:
            self._note(self._judge.tick(at))
            at += TICK_SECONDS

    def _note(self, events: Iterable[IncidentEvent]) -> None:
        for event in events:
            if event.event == "closed":
                self._ended[event.incident.id] = event.at
            if event.notify == "trigger" and self._since <= event.at < self._until:
                self._pages.append(_page(event))

    def finding(self, recorded: Sequence[Incident]) -> Finding:
        """All pages so far against what was recorded."""
        pages = tuple(msgspec.structs.replace(one, ended_at=self._ended.get(one.incident)) for one in self._pages)
        seconds = max(0.0, self._at - (self._began or 0.0)) if self._entries else 0.0
        known = [one for one in recorded if overlaps(one, self._since, self._until)]
        return Finding(
            policy=self.name,
            pages=pages,
            incidents=tuple(_held(one, pages) for one in sorted(known, key=lambda one: one.first_failure_at)),
            false_pages=tuple(page for page in pages if not any(_belongs(page, one) for one in known)),
            entries=self._entries,
            judged_seconds=seconds,
        )


def overlaps(incident: Incident, since: float, until: float) -> bool:
    """Whether a recorded incident was there at some time of ``[since, until)``."""
    return incident.first_failure_at < until and (incident.closed_at is None or incident.closed_at >= since)


def _page(event: IncidentEvent) -> Page:
    one = event.incident
    return Page(incident=one.id, at=event.at, scope=one.scope, side=one.side, first_failure_at=one.first_failure_at)


def _belongs(page: Page, incident: Incident) -> bool:
    end = float("inf") if incident.closed_at is None else incident.closed_at + OVERLAP_SECONDS
    return incident.first_failure_at - OVERLAP_SECONDS <= page.at <= end


def _held(incident: Incident, pages: Sequence[Page]) -> Held:
    """The earliest page that belongs to the incident counts, one of the same scope before others."""
    mine = sorted((p for p in pages if _belongs(p, incident)), key=lambda p: (p.scope != incident.scope, p.at))
    was_paged = incident.paged_at is not None
    verdict: Verdict = "paged" if mine else "missed" if was_paged else "no_page_needed"
    return Held(
        incident=incident.id,
        scope=incident.scope,
        first_failure_at=incident.first_failure_at,
        severity=incident.severity,
        verdict=verdict,
        recorded_delay_seconds=None if incident.paged_at is None else incident.paged_at - incident.first_failure_at,
        delay_seconds=mine[0].at - incident.first_failure_at if mine else None,
        pages=len(mine),
    )
