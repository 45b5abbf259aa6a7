"""One incident of tables while it lasts: which rows, since when, how much, how calm it has become (pure)."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from cfa.incident import Incident
from cfa.packing import pack, unpack
from cfa.policy import BUDGET_PERIOD_SECONDS
from cfa.tables.columns import Counts, Rows
from cfa.tables.fleet import Fleet, Tick
from cfa.tables.policy import SEGMENTS, TICK_SECONDS
from cfa.tables.rings import BAD, GOOD
from cfa.tables.rowsets import distinct, minus, union

HOUR = next(i for i, segment in enumerate(SEGMENTS) if segment.name == "1h")
MONTH = len(SEGMENTS) - 1
MANY_ROWS = 50_000


@dataclass(slots=True, kw_only=True)
class Case:
    """``rows`` are of tables. ``good``, ``bad``: since the change; ``failing_seconds``: in how much of it something failed."""

    vantage: int
    kind: str
    scope: dict[str, str]
    rows: Rows
    since: float
    good: int = 0
    bad: int = 0
    failing_seconds: float = 0.0
    calm_good: int = 0
    calm_bad: int = 0
    calm_since: float | None = None
    asked_at: float = 0.0
    told_at: float = 0.0
    returns: int = 0
    log_e: float = 0.0
    log_m: float = 0.0
    log_a: float = 0.0
    incident: Incident | None = None
    children: list[str] = field(default_factory=list)

    @property
    def attempts(self) -> int:
        """Good and bad since the change."""
        return self.good + self.bad

    @property
    def share(self) -> float:
        """Failures of attempts, since the change."""
        return self.bad / self.attempts if self.bad else 0.0

    def subjects(self) -> Rows:
        """The tables."""
        return distinct(self.rows // 2)

    def widen(self, rows: Rows, fleet: Fleet) -> None:
        """More rows fail: what they have had since the change counts too."""
        more = minus(rows, self.rows)
        if len(more):
            self.rows = union(self.rows, more)
            found = self._slots(more, fleet)
            first = change_point([(good, bad) for _, good, bad in found], self._allowed(fleet, more))
            self._add([slot for slot in found if slot[0] >= min(self.since, found[first][0] if found else self.since)])

    def recount(self, fleet: Fleet) -> None:
        """Since when, and how much since: from the slots of the last hour, in which the change is most likely."""
        found = self._slots(self.rows, fleet)
        self.good = self.bad = 0
        self._add(found[change_point([(good, bad) for _, good, bad in found], self._allowed(fleet, self.rows)) :])

    @staticmethod
    def _slots(rows: Rows, fleet: Fleet) -> list[tuple[int, int, int]]:
        # what hits very many at once has just begun; an hour of all of them would take a second to add up
        return list(fleet.tables.rings.lately(rows, HOUR + 1 if len(rows) <= MANY_ROWS else 1))

    @staticmethod
    def _allowed(fleet: Fleet, rows: Rows) -> float:
        return float(fleet.tables.detector.allowed[fleet.tables.detector.level[rows]].mean())

    def _add(self, slots: list[tuple[int, int, int]]) -> None:
        self.good, self.bad = self.good + sum(s[1] for s in slots), self.bad + sum(s[2] for s in slots)
        failing = [at for at, _, bad in slots if bad]
        if failing:
            self.since = min(self.since, float(failing[0]))
            self.failing_seconds = max(self.failing_seconds, failing[-1] - self.since + TICK_SECONDS)

    def follow(self, tick: Tick) -> tuple[int, int]:
        """Counts a tick; what the rows had in it."""
        good, bad = tick.had(self.rows)
        self.good, self.bad = self.good + good, self.bad + bad
        if good + bad:
            self.asked_at = tick.at
        if bad:
            self.failing_seconds = max(self.failing_seconds, tick.at - self.since)
        return good, bad

    def burned(self, fleet: Fleet) -> float:
        """The part of its tables' 30-day budget that is gone since the change (the service's budget, if it is the service)."""
        block = fleet.rollups if self.kind == "service" else fleet.tables
        rows = np.arange(2 * self.vantage, 2 * self.vantage + 2) if self.kind == "service" else self.rows
        hour, month = (self._valid(block.rings.window(w, rows)) for w in (HOUR, MONTH))
        allowed = float(block.detector.allowed[block.detector.level[rows]].mean())
        expected = max(month, hour / SEGMENTS[HOUR].seconds * BUDGET_PERIOD_SECONDS, 1.0)
        return max(0.0, self.bad - allowed * self.attempts) / (allowed * expected)

    @staticmethod
    def _valid(counts: tuple[Counts, ...]) -> float:
        return float(counts[GOOD].sum() + counts[BAD].sum())


def change_point(slots: list[tuple[int, int]], allowed: float) -> int:
    """The slot from which on failures speak most against ``allowed``: the maximum of the likelihood ratio over beginnings."""
    if not slots:
        return 0
    good, bad = (np.cumsum(np.array([slot[k] for slot in slots], np.float64)[::-1])[::-1] for k in (0, 1))
    n = np.maximum(good + bad, 1.0)
    share = np.clip(bad / n, 1e-12, 1 - 1e-12)
    nats = bad * np.log(share / allowed) + good * np.log((1 - share) / (1 - allowed))
    nats = np.where((bad > 0) & (share > allowed), nats, -np.inf)
    return int(np.argmax(nats)) if np.isfinite(nats).any() else len(slots) - 1


def kept(case: Case) -> dict[str, Any]:
    """For the checkpoint."""
    plain = {f.name: getattr(case, f.name) for f in fields(case) if f.name not in ("rows", "incident")}
    return plain | {"rows": pack(case.rows), "incident": case.incident.to_json() if case.incident else None}


def restored(state: dict[str, Any]) -> Case:
    """The case of :func:`kept`."""
    incident = Incident.from_json(state["incident"]) if state["incident"] else None
    return Case(**{**state, "rows": unpack(state["rows"]), "incident": incident})
