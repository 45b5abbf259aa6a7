"""The main page as a value: what the judgement said, made ready to be shown (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.console import banner, budget, incident, matrix, wording
from dashboards.console.payloads import Incident, Mute, Page, Recused, Status, Target

CLOSED_SHOWN = 8
PAGES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Known:
    """All that the console has heard; ``problem`` is why the last question had no good answer."""

    status: Status | None
    open_incidents: Sequence[Incident]
    closed_incidents: Sequence[Incident]
    pages: Sequence[Page]
    problem: str | None
    now: float


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure beside the banner; ``mood`` colours it."""

    name: str
    value: str
    mood: str
    title: str


@dataclass(frozen=True, slots=True)
class Witness:
    """A recused canary host."""

    host: str
    since: str
    reasons: str


@dataclass(frozen=True, slots=True)
class ServerGroup:
    """Servers of one role: how many answer, the names of those that do not, and when they were asked."""

    role: str
    up: int
    total: int
    silent: str
    asked: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One page and how its delivery went; ``mood`` is ``ok``, ``wait`` or ``bad``."""

    incident: str
    event: str
    severity: str
    destination: str
    at: str
    iso: str
    mood: str
    delivery: str


@dataclass(frozen=True, slots=True)
class Muted:
    """A silence or a maintenance window in force; ``kind`` is ``silence`` or ``maintenance``."""

    kind: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Overview:
    """The main page. ``past`` (empty in the present) says of when the rest is; nothing may look green then."""

    banner: banner.Banner
    past: str
    region: str
    objective: str
    at: str
    iso: str
    gauges: tuple[Gauge, ...]
    muted: tuple[Muted, ...]
    open_cards: tuple[incident.Card, ...]
    closed_cards: tuple[incident.Card, ...]
    matrix: matrix.Matrix
    windows: tuple[str, ...]
    groups: tuple[budget.Group, ...]
    witnesses: tuple[Witness, ...]
    servers: tuple[ServerGroup, ...]
    deliveries: tuple[Delivery, ...]


def overview(known: Known) -> Overview:
    """Everything on the main page."""
    status = known.status or Status(at=known.now)
    told = banner.judge(known.status, known.problem, known.open_incidents)
    order = {"page": 0, "ticket": 1, "watch": 2}
    opened = sorted(known.open_incidents, key=lambda i: (order.get(i.severity, 3), -(i.opened_at or 0.0)))
    table = matrix.build(status.matrix)
    return Overview(
        banner=told,
        past=_past(known.status) if told.mood == "blind" else "",
        region=status.region or "unknown region",
        objective=wording.objective(status.objective),
        at=wording.clock(status.at),
        iso=wording.iso(status.at),
        gauges=_gauges(status, table, silent=sum(1 for t in status.targets if not t.up)),
        muted=tuple(_muted(m) for m in sorted(status.mutes, key=lambda m: (m.kind, m.id))),
        open_cards=tuple(incident.card(i, status.at) for i in opened),
        closed_cards=tuple(incident.card(i, status.at) for i in known.closed_incidents[:CLOSED_SHOWN]),
        matrix=table,
        windows=budget.WINDOWS,
        groups=budget.build(status.availability),
        witnesses=tuple(_witness(r, status.at) for r in status.recused),
        servers=_servers(status.targets, status.at),
        deliveries=tuple(_delivery(p) for p in known.pages[:PAGES_SHOWN]),
    )


def _muted(mute: Mute) -> Muted:
    """A mute in words: what, until when, by whom and why."""
    scope = wording.scope(mute.scope) if mute.scope else "everything"
    only = f", {' and '.join(mute.operations)}s only" if mute.operations else ""
    word = "Maintenance" if mute.kind == "maintenance" else "Silence"
    means = "failures elsewhere page faster" if mute.kind == "maintenance" else "nobody is told"
    parts = (f"{means}; until {wording.stamp(mute.ends_at)}", f"by {mute.author}", mute.comment, mute.id)
    return Muted(mute.kind, f"{word}: {scope}{only}", " · ".join(part for part in parts if part))


def _past(status: Status | None) -> str:
    """Of when the last data are."""
    if status is None:
        return "nothing is known"
    return f"the past: as of {wording.clock(status.at - (status.data_age_seconds or 0.0))} UTC"


def _gauges(status: Status, table: matrix.Matrix, *, silent: int) -> tuple[Gauge, ...]:
    """Coverage, age, witnesses, servers: what the verdict rests on."""
    age = status.data_age_seconds
    old = age is None or age > banner.STALE_AFTER_SECONDS
    seen = f"{table.observed}/{max(table.expected, status.cells_expected)}"
    full = 0 < table.observed >= status.cells_expected
    up = len(status.targets) - silent
    return (
        Gauge("Cells seen", seen, "" if full else "warn", "cells with an answer that counts, in the last 60 s"),
        Gauge("Data age", wording.duration(age), "warn" if old else "", "since the last word of any canary"),
        Gauge(
            "Recused",
            str(len(status.recused)),
            "warn" if status.recused else "",
            "canary hosts whose word is kept but not believed",
        ),
        Gauge(
            "Servers up", f"{up}/{len(status.targets)}", "warn" if silent else "", "servers that answer their scrape"
        ),
        *_feeds(status),
    )


def _feeds(status: Status) -> tuple[Gauge, ...]:
    """The collectors that feed the judgement; which of them does not, since when and why."""
    if not status.feeds:
        return ()
    dead = [one for one in status.feeds if not one.ok]
    title = "collectors that feed the judgement"
    if dead:
        title = "; ".join(f"{one.url} since {wording.clock(one.since or status.at)}: {one.error}" for one in dead)
    value = f"{len(status.feeds) - len(dead)}/{len(status.feeds)}"
    return (Gauge("Collectors", value, "warn" if dead else "", title),)


def _witness(recused: Recused, now: float) -> Witness:
    """A recused host in words."""
    since = "" if recused.since is None else f"since {wording.clock(recused.since)} ({wording.ago(recused.since, now)})"
    return Witness(recused.host, since, ", ".join(wording.phrase(reason) for reason in recused.reasons))


def _servers(targets: Sequence[Target], now: float) -> tuple[ServerGroup, ...]:
    """Servers by role, the silent ones by name."""
    roles = sorted({target.role for target in targets})
    return tuple(_server_group(role, [t for t in targets if t.role == role], now) for role in roles)


def _server_group(role: str, targets: list[Target], now: float) -> ServerGroup:
    """Those of one role."""
    silent = [t for t in targets if not t.up]
    asked = max((t.at for t in silent if t.at is not None), default=None)
    names = wording.listing(sorted(t.target for t in silent)) if silent else ""
    word = {"canary": "canaries", "": "servers"}.get(role, f"{role}s")
    return ServerGroup(word, len(targets) - len(silent), len(targets), names, f"asked {wording.ago(asked, now)}")


def _delivery(page: Page) -> Delivery:
    """One page in words."""
    if page.delivered_at is not None:
        late = "" if page.created_at is None else f" after {wording.duration(page.delivered_at - page.created_at)}"
        mood, text = "ok", f"delivered{late}"
    elif page.last_error:
        mood, text = "bad", f"not delivered, {wording.plural(page.attempts, 'attempt')}: {page.last_error[:120]}"
    else:
        mood, text = "wait", "on its way"
    return Delivery(
        page.incident,
        page.event,
        page.severity,
        page.destination,
        wording.clock(page.created_at),
        wording.iso(page.created_at),
        mood,
        text,
    )
