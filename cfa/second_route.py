"""Who else is told: another destination when the first does not take a page, somebody more when nobody acknowledges (pure).

Both only add destinations to what the judgement has planned, under the same identity ``(incident, notify, n)``, so that doing
it twice, or after a crash, adds nothing. Whoever is told so hears of updates and of the end as well.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from cfa.destinations.config import Destination, Escalation
from cfa.incident import Incident
from cfa.notices import Notice, Pending


def rescued(
    waiting: Iterable[Pending], configured: Mapping[str, Destination], hopeless: Collection[int], now: float
) -> list[Notice]:
    """The pages that the fallback of their destination is to be told of. ``hopeless``: numbers that were refused for good."""
    found = []
    for one in waiting:
        place = configured.get(one.notice.destination)
        if place is None or place.fallback is None or not one.attempts:
            continue
        late = now - one.created_at >= place.fallback_after_seconds
        if late or one.attempts >= place.fallback_after_attempts or one.number in hopeless:
            reason = f"{one.notice.reason} (second route: {one.notice.destination} has not taken it)"
            found.append(replace(one.notice, destination=place.fallback, reason=reason))
    return found


def escalated(open_pages: Iterable[tuple[Incident, Notice]], steps: Sequence[Escalation], now: float) -> list[Notice]:
    """The pages that nobody has acknowledged in time, for whom the steps name. Whoever was told before is not told again."""
    found = []
    for incident, trigger in open_pages:
        since = incident.paged_at
        answered = incident.acknowledged_at is not None or incident.muted_by or incident.folded_into
        if since is None or answered or incident.category == "monitoring":
            continue
        for step in steps:
            if now - since >= step.after_seconds:
                reason = f"not acknowledged within {step.after_seconds:g} s"
                found += [replace(trigger, incident=incident, destination=name, reason=reason) for name in step.to]
    return found
