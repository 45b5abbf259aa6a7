"""The judgement's answers as the console reads them (pure).

Unknown keys are ignored and missing ones have a meaning ("not said"), so that a newer judgement never blinds the
console; a value of the wrong kind raises ``msgspec.ValidationError``. The contract is ``docs/api.md``.
"""

import msgspec


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What the last minute said of one zone × endpoint × operation × connection."""

    zone: str
    endpoint: str
    operation: str
    connection: str
    verdict: str = "unobserved"
    good: int = 0
    bad: int = 0
    excluded: int = 0
    unobserved: int = 0
    availability: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p99: float | None = None
    last_at: float | None = None
    due_in_seconds: float = 0.0
    """It is asked seldom, and its turn is still to come; 0: no answer is missing, or one is."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Good and bad of one rolling window, and what they make of the error budget."""

    good: int = 0
    bad: int = 0
    availability: float | None = None
    availability_low: float | None = None
    availability_high: float | None = None
    burn_rate: float | None = None
    budget_remaining: float | None = None
    verdict: str = "unobserved"


class Availability(msgspec.Struct, frozen=True, kw_only=True):
    """Rolling availability of one scope, reads or writes."""

    scope: dict[str, str]
    side: str
    windows: dict[str, Window] = {}


class Recused(msgspec.Struct, frozen=True, kw_only=True):
    """A sick witness: its word is kept but not believed."""

    host: str
    zone: str = ""
    since: float | None = None
    reasons: list[str] = []


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A server and whether it answered its last scrape."""

    target: str
    zone: str = ""
    role: str = ""
    up: bool = False
    at: float | None = None


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """A collector and whether it feeds the judgement."""

    url: str
    ok: bool = False
    since: float | None = None
    error: str | None = None


class Mute(msgspec.Struct, frozen=True, kw_only=True):
    """A silence or a maintenance window in force."""

    id: str
    kind: str = "silence"
    scope: dict[str, str] = {}
    operations: list[str] = []
    severity: str = "page"
    ends_at: float | None = None
    author: str = ""
    comment: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/status``."""

    at: float
    region: str = ""
    objective: float | None = None
    ready: bool = False
    cells_answered: int = 0
    cells_expected: int = 0
    data_age_seconds: float | None = None
    matrix: list[Cell] = []
    availability: list[Availability] = []
    recused: list[Recused] = []
    targets: list[Target] = []
    feeds: list[Feed] = []
    incidents_open: int = 0
    false_pages_per_year: float | None = None
    mutes: list[Mute] = []


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """How improbable, and how much."""

    failures: int = 0
    attempts: int = 0
    share: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    log_evidence: float | None = None
    log_threshold: float | None = None
    hosts: list[str] = []
    budget_burned: float | None = None
    would_happen_once_in_years: float | None = None


class Witnesses(msgspec.Struct, frozen=True, kw_only=True):
    """Who saw failures, who asked the same and saw none, who is not believed."""

    bad: list[str] = []
    good: list[str] = []
    recused: list[str] = []


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """What the servers themselves say of it."""

    verdict: str = ""
    detail: str = ""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One failed attempt."""

    at: float
    host: str = ""
    reason: str = ""
    endpoint: str | None = None
    operation: str | None = None
    request_id: str | None = None


class BlastRadius(msgspec.Struct, frozen=True, kw_only=True):
    """What is touched."""

    endpoints: list[str] = []
    operations: list[str] = []
    tables: list[str] = []
    partitions: int = 0
    share_of_region: float | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an incident's history."""

    at: float
    event: str = ""
    severity: str | None = None
    reason: str | None = None
    by: str | None = None
    note: str | None = None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """Why it is believed to be over."""

    quiet_seconds: float = 0.0
    successes: int = 0
    hosts: list[str] = []
    share_at_most: float | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/incidents/ID``."""

    id: str
    state: str = "open"
    severity: str = "watch"
    scope: dict[str, str] = {}
    finding: str = "unknown"
    connection: str | None = None
    operations: list[str] = []
    side: str = ""
    opened_at: float | None = None
    first_failure_at: float | None = None
    paged_at: float | None = None
    closed_at: float | None = None
    closed_reason: str | None = None
    reason: str = ""
    summary: str = ""
    evidence: Evidence = Evidence()
    witnesses: Witnesses = Witnesses()
    servers: Servers = Servers()
    reasons: dict[str, int] = {}
    examples: list[Example] = []
    blast_radius: BlastRadius = BlastRadius()
    acknowledged_at: float | None = None
    acknowledged_by: str | None = None
    muted_by: list[str] = []
    children: list[str] = []
    folded_into: str | None = None
    recovery: Recovery | None = None
    earlier: list[dict[str, float | str | None]] = []
    timeline: list[Event] = []


class Incidents(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/incidents``."""

    incidents: list[Incident] = []


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One message to a destination and how its delivery went."""

    incident: str
    event: str = ""
    severity: str = ""
    destination: str = ""
    created_at: float | None = None
    delivered_at: float | None = None
    attempts: int = 0
    last_error: str | None = None


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """``GET /v1/pages``."""

    pages: list[Page] = []
