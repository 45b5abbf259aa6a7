"""What the report says, as values; also the JSON of ``GET /v1/report`` (pure)."""

from dataclasses import dataclass, field
from typing import Literal

from cfa.incident import Incident
from cfa.sla import Verdict

View = Literal["sla", "requests", "customer"]
"""``sla``: the mean of five-minute intervals over processed requests, errors are 500 and 503.
``requests``: good over valid of what was processed, by count.
``customer``: good over valid of what was attempted: timeouts, refused connections and names that do not resolve count."""


def source_of(vantage: str, level: str) -> str:
    """``customer`` for attempts, ``customer_call`` for calls."""
    return vantage if level == "attempt" else f"{vantage}_{level}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One availability of one scope, in one view, from one vantage; figures of different vantages or levels are never added.

    ``level``: ``attempt`` (each request by itself) or ``call`` (what an SDK's call came to, retries and all).
    ``n`` is the number of requests it rests on, ``bad`` those against it, ``excluded`` throttles and customers' mistakes.
    ``low`` and ``high`` are the 95 % Jeffreys interval of the counted views; the SLA view is a census and has none.
    ``lost_seconds`` (SLA view) is the loss as seconds of a full outage. ``note`` is for people.
    """

    vantage: str
    level: str = "attempt"
    scope_kind: str
    scope: str
    view: View
    n: int
    bad: int
    excluded: int
    ratio: float | None
    low: float | None = None
    high: float | None = None
    objective: float
    verdict: Verdict
    intervals: int
    empty_intervals: int
    failing_intervals: int
    lost_seconds: float | None = None
    credit_percent: int | None = None
    note: str = ""

    @property
    def source(self) -> str:
        """Whose figure it is: the vantage, and the level when it is not that of attempts."""
        return source_of(self.vantage, self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalLine:
    """The region in one five-minute interval from one vantage; only intervals in which something was seen."""

    vantage: str
    level: str = "attempt"
    start: int
    processed: int
    errors: int
    attempted: int
    good: int
    bad: int
    excluded: int
    version: int

    @property
    def source(self) -> str:
        """Whose figure it is: the vantage, and the level when it is not that of attempts."""
        return source_of(self.vantage, self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageLine:
    """How much of the period one zone watched one endpoint: intervals with at least one attempt of each operation class.

    ``unobserved`` counts intended probes that were not asked or not believable.
    """

    zone: str
    endpoint: str
    intervals: int
    observed_intervals: int
    unobserved_minutes: int
    attempts: int
    unobserved: int
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """One incident of the period, as the report lists it."""

    id: str
    severity: str
    state: str
    scope: dict[str, str]
    operations: tuple[str, ...]
    side: str
    began_at: float
    paged_at: float | None
    closed_at: float | None
    duration_seconds: float | None
    summary: str

    @classmethod
    def of(cls, incident: Incident) -> "Interruption":
        """What the report needs of an incident; its duration counts from the first failed attempt."""
        closed = incident.closed_at
        return cls(
            id=incident.id,
            severity=incident.severity,
            state=incident.state,
            scope=incident.scope,
            operations=incident.operations,
            side=incident.side,
            began_at=incident.first_failure_at,
            paged_at=incident.paged_at,
            closed_at=closed,
            duration_seconds=None if closed is None else closed - incident.first_failure_at,
            summary=incident.summary,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What the figures were computed from: the same rows give the same digest, in whatever order they came.

    ``rows_by_version`` counts ledger rows by their version; 0 is an interval that was not sealed yet, so a report with
    such rows is provisional.
    """

    rows: int
    rows_by_version: dict[str, int]
    recused_rows: int
    digest: str
    excluded_attempts: dict[str, int] = field(default_factory=dict)
    """By source: attempts that ``fivenines ledger exclude`` took out; they are in no figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One period of one region. ``until`` is where the last judged interval ends; before ``end`` it is provisional."""

    region: str
    period: str
    start: int
    end: int
    until: int
    computed_at: float
    provisional: bool
    objective: float
    intervals: int
    excluded_intervals: int
    figures: tuple[Figure, ...]
    timeline: tuple[IntervalLine, ...]
    worst: tuple[IntervalLine, ...]
    coverage: tuple[CoverageLine, ...]
    unwatched_minutes: int
    incidents: tuple[Interruption, ...]
    provenance: Provenance
    accounting: tuple[str, ...]

    def pick(self, *, vantage: str, view: View, scope_kind: str = "region", level: str = "attempt") -> list[Figure]:
        """The figures of one kind, in the order of their scopes."""
        wanted = (vantage, level, view, scope_kind)
        return [one for one in self.figures if (one.vantage, one.level, one.view, one.scope_kind) == wanted]
