"""An incident as a card on the main page and as a page of its own (pure)."""

from dataclasses import dataclass

from dashboards.console import advice, wording
from dashboards.console.payloads import Event, Example, Incident

SEVERITY_MARKS = {"page": "✕", "ticket": "!", "watch": "◔"}
FINDINGS = {
    "outage": "outage: clients fail and the servers fail requests, too",
    "gray_failure": "gray failure: clients fail while the servers call themselves well",
    "never_arrived": "requests never arrive: clients fail before any server has their request",
    "correctness": "wrong answers: requests are answered, but wrongly",
    "masked_by_retries": "hidden from customers: servers fail requests while every canary is well",
    "not_covered": "customers hurt where no canary asks: their calls fail while every canary is well",
    "monitoring_blind": "monitoring down: no canary is heard, nobody knows what customers get",
    "canaries_in_trouble": "canaries in trouble: only witnesses of one place see it",
    "durability": "durability at risk: nobody is hurt yet, but what is stored is in danger",
}
"""What canaries, customers and servers say together; a finding that is not here says nothing yet."""
SERVER_WORDS = {
    "silent": "The servers are silent",
    "bad": "The servers count errors too",
    "ok": "The servers are well by their own account",
    "unknown": "Nothing is known from the servers",
    "": "Nothing is known from the servers",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One answer: a question, the answer in large, and what supports it."""

    question: str
    answer: str
    support: str


@dataclass(frozen=True, slots=True)
class Share:
    """One reason and its share of all failures; ``width`` in percent for the bar."""

    name: str
    count: str
    width: int


@dataclass(frozen=True, slots=True)
class Shot:
    """One failed attempt, for a table."""

    at: str
    iso: str
    host: str
    what: str
    reason: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of the history; ``since`` counts from the first failure."""

    at: str
    iso: str
    since: str
    event: str
    detail: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """The incident at a glance. ``mood`` is ``hurt``, ``warn`` or ``over``."""

    id: str
    mood: str
    mark: str
    severity: str
    state: str
    title: str
    summary: str
    facts: tuple[Fact, ...]
    chips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Detail:
    """The whole page. ``related``: other incidents, by what they are to this one; ``recovery``: why it is believed to be over."""

    card: Card
    related: tuple[tuple[str, str], ...]
    recovery: str
    next_steps: tuple[str, ...]
    bad: str
    good: str
    recused: str
    servers: str
    servers_detail: str
    shares: tuple[Share, ...]
    shots: tuple[Shot, ...]
    moments: tuple[Moment, ...]
    blast: tuple[tuple[str, str], ...]


def card(incident: Incident, now: float) -> Card:
    """The glance: where, since when, how much, how sure."""
    is_open = incident.state == "open"
    mood = "over" if not is_open else "hurt" if incident.severity == "page" else "warn"
    title = wording.scope(incident.scope)
    return Card(
        id=incident.id,
        mood=mood,
        mark=SEVERITY_MARKS.get(incident.severity, "!") if is_open else "✓",
        severity=incident.severity,
        state=incident.state if is_open else "over",
        title=f"{title[:1].upper()}{title[1:]}",
        summary=incident.summary,
        facts=(_hurt(incident), _since(incident, now), _much(incident), _sure(incident)),
        chips=_chips(incident),
    )


def _chips(incident: Incident) -> tuple[str, ...]:
    """What somebody has done about it, and what it is called."""
    chips = []
    if incident.state == "open":
        taken = incident.acknowledged_by
        chips += [f"taken by {taken}, {wording.clock(incident.acknowledged_at)}"] if taken else []
        chips += ["not taken by anyone"] if not taken and incident.paged_at is not None else []
    chips += [f"muted by {', '.join(incident.muted_by)}"] if incident.muted_by else []
    chips += [f"opened again {wording.plural(len(incident.earlier), 'time')}"] if incident.earlier else []
    return tuple(chips)


def _recovery(incident: Incident) -> str:
    """The evidence that it is over; empty while it is not, or when it ended otherwise."""
    seen = incident.recovery
    if seen is None:
        return ""
    bound = (
        ""
        if seen.share_at_most is None
        else f"; at most {wording.percent_short(seen.share_at_most)} can still fail (95 %)"
    )
    asked = f"{wording.plural(seen.successes, 'success', 'successes')} by {wording.plural(len(seen.hosts), 'witness', 'witnesses')}"
    return f"{asked} in {wording.duration(seen.quiet_seconds)} since the last failure{bound}."


def _related(incident: Incident) -> tuple[tuple[str, str], ...]:
    """Other incidents, by their ids."""
    into = [("Part of", incident.folded_into)] if incident.folded_into else []
    return (*into, *(("Took over", child) for child in incident.children))


def detail(incident: Incident, now: float) -> Detail:
    """Everything that someone who was just woken wants to know, in the order they ask it."""
    is_open = incident.state == "open"
    servers = incident.servers
    return Detail(
        card=card(incident, now),
        related=_related(incident),
        recovery=_recovery(incident),
        next_steps=advice.steps(
            incident.scope, reasons=incident.reasons, server_verdict=servers.verdict, is_open=is_open
        ),
        bad=wording.listing(incident.witnesses.bad or incident.evidence.hosts),
        good=wording.listing(incident.witnesses.good),
        recused=wording.listing(incident.witnesses.recused),
        servers=SERVER_WORDS.get(servers.verdict, wording.phrase(servers.verdict).capitalize()),
        servers_detail=servers.detail,
        shares=_shares(incident.reasons),
        shots=tuple(_shot(example) for example in incident.examples[:50]),
        moments=tuple(_moment(event, incident.first_failure_at) for event in incident.timeline),
        blast=_blast(incident),
    )


def _hurt(incident: Incident) -> Fact:
    """What is hurt."""
    operations = wording.listing([f"{wording.operation(name)}s" for name in incident.operations])
    only = f"on {incident.connection} connections only" if incident.connection else ""
    seen = {"client": "seen by clients only", "server": "seen by servers only", "both": "seen by clients and servers"}
    told = FINDINGS.get(incident.finding) or seen.get(incident.side, "")
    support = ", ".join(part for part in (told, only) if part)
    hurt = operations if incident.operations else "the monitoring" if incident.finding == "monitoring_blind" else ""
    return Fact("What is hurt", hurt[:1].upper() + hurt[1:] or wording.NOTHING, support)


def _since(incident: Incident, now: float) -> Fact:
    """Since when, and how fast it was noticed."""
    first = incident.first_failure_at if incident.first_failure_at is not None else incident.opened_at
    if first is None:
        return Fact("Since", wording.NOTHING, "")
    if incident.closed_at is not None:
        support = f"lasted {wording.duration(incident.closed_at - first)}"
        support += f"; {wording.phrase(incident.closed_reason)}" if incident.closed_reason else ""
        return Fact("From", wording.stamp(first), support)
    paged = "" if incident.paged_at is None else f", paged after {wording.duration(incident.paged_at - first)}"
    return Fact("Since", wording.clock(first), f"UTC; {wording.duration(now - first)} now{paged}")


def _much(incident: Incident) -> Fact:
    """How much fails, and what it costs."""
    evidence = incident.evidence
    if not evidence.attempts:
        return Fact("How much", wording.NOTHING, "no attempts counted")
    share = wording.percent_short(
        evidence.share if evidence.share is not None else evidence.failures / evidence.attempts
    )
    between = ""
    if evidence.share_low is not None and evidence.share_high is not None:
        low, high = wording.percent_short(evidence.share_low), wording.percent_short(evidence.share_high)
        between = f" (between {low} and {high})"
    burned = ""
    if evidence.budget_burned is not None:
        burned = f"; {wording.percent_short(evidence.budget_burned)} of the 30-day budget burned"
    counts = f"{wording.whole(evidence.failures)} of {wording.plural(evidence.attempts, 'attempt')}"
    return Fact("How much fails", share, f"{counts}{between}{burned}")


def _sure(incident: Incident) -> Fact:
    """How improbable this is if all were well."""
    evidence = incident.evidence
    rarity = wording.rarity(evidence.would_happen_once_in_years)
    support = ""
    if evidence.log_evidence is not None and evidence.log_threshold is not None:
        support = f"evidence {evidence.log_evidence:.1f}, alarm at {evidence.log_threshold:.1f} (log)"
    if not rarity:
        sure = (evidence.log_evidence or 0) >= (evidence.log_threshold or float("inf"))
        return Fact("How sure", "Beyond the threshold" if sure else "Below the threshold", support)
    return Fact("How sure", f"{rarity[:1].upper()}{rarity[1:]}", f"by chance alone; {support}".rstrip("; "))


def _shares(reasons: dict[str, int]) -> tuple[Share, ...]:
    """Reasons, the most frequent first."""
    total = sum(reasons.values()) or 1
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Share(name, wording.whole(count), max(1, round(100 * count / total))) for name, count in ordered[:12])


def _shot(example: Example) -> Shot:
    """One failed attempt in words."""
    what = " ".join(part for part in (example.endpoint, wording.operation(example.operation or "")) if part)
    request_id = example.request_id or "none: never answered"
    return Shot(wording.clock(example.at), wording.iso(example.at), example.host, what, example.reason, request_id)


def _moment(event: Event, first: float | None) -> Moment:
    """One line of history."""
    since = "" if first is None else f"+{wording.duration(event.at - first)}"
    reason = "" if event.reason in (event.event, "note") else wording.phrase(event.reason)
    parts = [part for part in (event.severity, reason, f"by {event.by}" if event.by else "") if part]
    name, detail = wording.phrase(event.event), ", ".join(parts)
    return Moment(wording.clock(event.at), wording.iso(event.at), since, name, detail, event.note or "")


def _blast(incident: Incident) -> tuple[tuple[str, str], ...]:
    """What is touched, name and value."""
    radius = incident.blast_radius
    share = [("Share of the region", wording.percent_short(radius.share_of_region))] if radius.share_of_region else []
    lists = (
        ("Endpoints", wording.listing(radius.endpoints)),
        ("Operations", wording.listing([wording.operation(name) for name in radius.operations])),
        ("Tables", wording.listing(radius.tables)),
        ("Partitions", wording.whole(radius.partitions) if radius.partitions else wording.NOTHING),
    )
    return (*lists, *share)
