"""From folded counts to the report's figures (pure)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from cfa.report.figures import CoverageLine, Figure, Interruption, IntervalLine, Provenance, Report, View
from cfa.report.fold import Counts, Fold, ScopeKey
from cfa.report.period import Period
from cfa.sla import (
    OBJECTIVES,
    Verdict,
    credit_percent,
    request_availability,
    requests_needed,
    uptime,
    verdict,
)
from collector.interval import INTERVAL_SECONDS
from collector.wire import IntervalRow, UnobservedRow

WORST_INTERVALS = 12
CUSTOMERS_REASONS = frozenset({"csm_dropped", "csm_lost", "hook_overflow"})
"""Why customers' counts are missing: no canary was meant to watch there, so that no minutes are missing."""
TABLES_MOST = 200

ACCOUNTING: tuple[str, ...] = (
    (
        "SLA view: for each five-minute interval (UTC), 1 − errors/requests, where errors are answers with 500 or 503 and "
        "requests are all that the service answered, throttles and customers' mistakes included; an interval without requests "
        "is 100 %; the figure is the mean over all intervals of the period."
    ),
    (
        "Request availability: good/(good + bad) of answered requests by count, with a 95 % Jeffreys interval; throttles and "
        "customers' mistakes count in neither."
    ),
    (
        "Customer view: good/(good + bad) of attempts by count; timeouts, refused connections, DNS and TLS failures are bad. "
        "By the letter of the SLA a name that does not resolve is 100 % available; here it is not."
    ),
    (
        "Vantages stand side by side and are never added: the servers' figure is counted at the routers, the canaries' and "
        "customers' at the client, one attempt each; an SDK's retry is a further request. Calls, retries and all, are figures of "
        "their own beside the attempts: what the attempts failed and the calls did not, retries have masked."
    ),
    (
        "A canary host that recused itself is not believed: its rows are left out of every figure. Canaries count as errors "
        "every answer that a good request should not get, also a 4xx."
    ),
    "“Not enough evidence” means that this many requests cannot tell whether the objective was met; it is not a pass.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the report is measured against; ``tables`` may have objectives of their own."""

    region: str
    objective: float
    tables: dict[str, float]

    def objective_of(self, kind: str, scope: str) -> float:
        """The objective that holds for a scope."""
        return self.tables.get(scope, self.objective) if kind == "table" else self.objective


def build(
    terms: Terms,
    week: str | Period,
    intervals: Iterable[IntervalRow],
    unobserved: Iterable[UnobservedRow] = (),
    incidents: Sequence[Interruption] = (),
    *,
    now: float,
    excluded: frozenset[int] = frozenset(),
) -> Report:
    """The report of a week or month; raises ``ValueError`` on an unknown form of ``week``."""
    period = week if isinstance(week, Period) else Period.parse(week)
    fold = Fold(period.starts_until(now), excluded)
    fold.add(intervals)
    fold.add_unobserved(unobserved)
    return report_of(terms, period, fold, incidents, now=now)


def report_of(terms: Terms, period: Period, fold: Fold, incidents: Sequence[Interruption], *, now: float) -> Report:
    """The report of what was folded."""
    fold.take_tables(TABLES_MOST)
    until = period.start + len(fold.starts) * INTERVAL_SECONDS
    timeline = tuple(_timeline(fold))
    return Report(
        region=terms.region,
        period=period.name,
        start=period.start,
        end=period.end,
        until=until,
        computed_at=now,
        provisional=until < period.end or fold.rows_by_version[0] > 0,
        objective=terms.objective,
        intervals=len(fold.starts),
        excluded_intervals=sum(start in fold.excluded for start in fold.starts),
        figures=tuple(_figures(terms, fold)),
        timeline=timeline,
        worst=_worst(timeline),
        coverage=tuple(_coverage(fold)),
        unwatched_minutes=_unwatched(fold) * INTERVAL_SECONDS // 60,
        incidents=tuple(sorted(incidents, key=lambda one: one.began_at)),
        provenance=_provenance(fold),
        accounting=ACCOUNTING,
    )


def _figures(terms: Terms, fold: Fold) -> Iterable[Figure]:
    tables = 0
    for key in sorted(fold.scopes, key=_figure_order):
        tables += key[1] == "table"
        if key[1] == "table" and tables > TABLES_MOST:
            continue
        objective = terms.objective_of(key[1], key[2])
        yield _sla_figure(key, fold, objective)
        yield _counted_figure(key, fold, objective, "requests")
        if key[0] != "server":
            yield _counted_figure(key, fold, objective, "customer")


def _figure_order(key: ScopeKey) -> tuple[int, str, str, str]:
    kinds = ("region", "side", "table", "endpoint", "zone")
    return kinds.index(key[1]), key[2], key[0], key[3]


def _sla_figure(key: ScopeKey, fold: Fold, objective: float) -> Figure:
    by_start = fold.scopes[key]
    seen = uptime({start: counts.tally for start, counts in by_start.items()}, fold.starts, fold.excluded)
    target = Fraction(str(objective))
    agreement = next((name for name, bound in OBJECTIVES.items() if bound == target), None)
    judged: Verdict = "unobserved" if not seen.requests else "ok" if seen.ratio >= target else "breach"
    return Figure(
        vantage=key[0],
        level=key[3],
        scope_kind=key[1],
        scope=key[2],
        view="sla",
        n=seen.requests,
        bad=seen.errors,
        excluded=0,
        ratio=float(seen.ratio),
        objective=objective,
        verdict=judged,
        intervals=seen.intervals,
        empty_intervals=seen.empty,
        failing_intervals=seen.failing,
        lost_seconds=seen.lost_seconds,
        credit_percent=credit_percent(seen.ratio, agreement) if agreement and key[1] == "region" else None,
        note=f"{seen.empty} intervals without requests count as 100 %" if seen.empty else "",
    )


def _counted_figure(key: ScopeKey, fold: Fold, objective: float, view: View) -> Figure:
    rows = [counts for start, counts in fold.scopes[key].items() if start not in fold.excluded]
    bad = sum(one.bad - (one.unanswered if view == "requests" else 0) for one in rows)
    seen = request_availability(sum(one.good for one in rows), bad)
    judged = verdict(seen, objective)
    return Figure(
        vantage=key[0],
        level=key[3],
        scope_kind=key[1],
        scope=key[2],
        view=view,
        n=seen.good + seen.bad,
        bad=seen.bad,
        excluded=sum(one.excluded for one in rows),
        ratio=seen.ratio,
        low=seen.low,
        high=seen.high,
        objective=objective,
        verdict=judged,
        intervals=len(fold.starts) - sum(start in fold.excluded for start in fold.starts),
        empty_intervals=len(fold.starts) - len(rows),
        failing_intervals=sum(_is_failing(one, view) for one in rows),
        note=_resolvable_note(seen.good + seen.bad, objective) if judged == "not_enough_evidence" else "",
    )


def _is_failing(counts: Counts, view: View) -> bool:
    return counts.bad > (counts.unanswered if view == "requests" else 0)


def _resolvable_note(n: int, objective: float) -> str:
    needed = requests_needed(objective)
    if n < needed:
        return f"not resolvable with {n:,} requests: {needed:,} without a failure would prove {objective * 100:.10g} %"
    return "the interval holds the objective: it may or may not have been met"


def _timeline(fold: Fold) -> Iterable[IntervalLine]:
    for (vantage, kind, _, level), by_start in sorted(fold.scopes.items()):
        if kind != "region":
            continue
        for start, counts in sorted(by_start.items()):
            yield IntervalLine(
                vantage=vantage,
                level=level,
                start=start,
                processed=counts.processed,
                errors=counts.errors,
                attempted=counts.attempted,
                good=counts.good,
                bad=counts.bad,
                excluded=counts.excluded,
                version=fold.versions[vantage, start],
            )


def _worst(timeline: tuple[IntervalLine, ...]) -> tuple[IntervalLine, ...]:
    failing = [one for one in timeline if one.bad]
    failing.sort(key=lambda one: (-one.bad / (one.good + one.bad), -one.bad, one.start, one.vantage))
    return tuple(failing[:WORST_INTERVALS])


def _coverage(fold: Fold) -> Iterable[CoverageLine]:
    for cell in sorted(set(fold.cells) | set(fold.unobserved)):
        asked = fold.cells.get(cell, {})
        observed = sum(operations >= fold.operations for operations in asked.values())
        reasons: dict[str, int] = dict(fold.unobserved.get(cell, {}))
        is_customers = not asked and bool(reasons) and reasons.keys() <= CUSTOMERS_REASONS
        yield CoverageLine(
            zone=cell[0],
            endpoint=cell[1],
            intervals=len(fold.starts),
            observed_intervals=observed,
            unobserved_minutes=0 if is_customers else (len(fold.starts) - observed) * INTERVAL_SECONDS // 60,
            attempts=fold.attempts[cell],
            unobserved=sum(reasons.values()),
            reasons=reasons,
        )


def _unwatched(fold: Fold) -> int:
    """Intervals in which no canary asked anything at all."""
    seen = {start for by_start in fold.cells.values() for start in by_start}
    return len(fold.starts) - len(seen)


def _provenance(fold: Fold) -> Provenance:
    return Provenance(
        rows=fold.rows,
        rows_by_version={str(version): count for version, count in sorted(fold.rows_by_version.items())},
        recused_rows=fold.recused_rows,
        excluded_attempts=dict(sorted(fold.excluded_attempts.items())),
        digest=fold.digest,
    )
