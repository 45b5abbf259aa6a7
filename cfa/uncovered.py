"""Customers are hurt where no canary asks: calls of their own programs fail while every canary is well (pure).

A call that fails has been retried by its SDK already: somebody did not get an answer. The detector of :mod:`cfa.evidence` runs
over customers' calls by table and side. One customer alone may be at fault itself (its network, its deployment), so a second one
must have seen it, or the servers must count failures there too. Material (half of the calls) it is a page, else a ticket.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import numpy as np

from cfa.cube import SIDES, Node, scope_of
from cfa.evidence import Evidence
from cfa.incident import (
    BlastRadius,
    Incident,
    IncidentEvent,
    Notify,
    Servers,
    Severity,
    TimelineEntry,
    ended,
    incident_id,
    once_in_years,
)
from cfa.incident import Evidence as Figures
from cfa.incident import Witnesses as SeenBy
from cfa.objective import Objective, jeffreys
from cfa.policy import (
    CUSTOMER_VOTES,
    CUSTOMERS_SUSTAINED_SECONDS,
    MASKED_OVER_SECONDS,
    MAX_NODES,
    SHARE_PAGES,
)
from collector.observation import BAD, Level, Outcome
from collector.series import FeedEntry

REASON = "customers_hurt_canaries_well"
CLOSED_KEPT = 10
Key = tuple[int, int]
"""Node and side."""


@dataclass(slots=True, kw_only=True)
class Spell:
    """Calls of one node and side since the first that failed; ``bad`` and ``good`` by customer host."""

    first_at: float
    last_at: float
    bad: dict[str, int] = field(default_factory=dict)
    good: dict[str, int] = field(default_factory=dict)

    @property
    def calls(self) -> tuple[int, int]:
        """Failed calls, and all."""
        failed = sum(self.bad.values())
        return failed, failed + sum(self.good.values())

    @property
    def voters(self) -> list[str]:
        """Hosts that failed often enough to be heard."""
        return sorted(host for host, n in self.bad.items() if n >= CUSTOMER_VOTES)


class Uncovered:
    """The detector over customers' calls, and at most one open incident."""

    def __init__(self, region: str, objective: Objective, false_pages_per_year: float) -> None:
        self._region, self._objective, self._allowed_pages = region, objective, false_pages_per_year
        self.evidence = Evidence()
        self.nodes: list[Node] = []
        self._index: dict[Node, int] = {}
        self._allowed: list[float] = []
        self.spells: dict[Key, Spell] = {}
        self.incident: Incident | None = None
        self.at_key: Key | None = None
        self.closed: list[Incident] = []

    def take(self, entry: FeedEntry) -> None:
        """Takes the calls of a customer's entry; single attempts are not calls."""
        updates = 0
        for reading in entry.readings:
            series, counts = reading.series, reading.counts
            good, bad = counts.get(Outcome.SUCCESS, 0), sum(counts.get(o, 0) for o in BAD)
            if series.level is not Level.CALL or not (good or bad):
                continue
            side = SIDES.index(series.operation.side)
            for node in (self._node(("region", (self._region,))), self._node(("table", (series.table,)))):
                if node >= 0:
                    self._count((node, side), good, bad, series.host, entry.received_at)
                    updates += good + bad
        self.evidence.rate(updates, entry.received_at)

    def _node(self, node: Node) -> int:
        index = self._index.get(node)
        if index is None:
            if len(self.nodes) >= MAX_NODES:
                return -1
            index = self._index[node] = len(self.nodes)
            self.nodes.append(node)
            self._allowed.append(self._objective.allowed(node[1][0] if node[0] == "table" else None))
            self.evidence.reserve(self._allowed)
        return index

    def _count(self, key: Key, good: int, bad: int, host: str, at: float) -> None:
        node, side = key
        spell = self.spells.get(key)
        if bad:
            spell = spell or self.spells.setdefault(key, Spell(first_at=at, last_at=at))
            spell.last_at = at
            spell.bad[host] = spell.bad.get(host, 0) + bad
        if spell is not None and good:
            spell.good[host] = spell.good.get(host, 0) + good
        self._weigh(node, side, (good, bad), host, at)

    def _weigh(self, node: int, side: int, counts: tuple[int, int], host: str, at: float) -> None:
        good, bad = counts
        who = self.evidence.host(host)
        if bad:
            self.evidence.failures(np.array([node], np.int32), side, who, bad, at)
        if good:
            table = np.zeros((len(self.nodes), 2), np.int64)
            table[node, side] = good
            self.evidence.successes(table, who, at)

    def evaluate(
        self, at: float, *, canaries_well: bool, servers: Callable[[Mapping[str, str], float, int], Servers]
    ) -> list[IncidentEvent]:
        """Opens, raises or closes the incident; while canaries see failures, they speak and this forgets."""
        if not canaries_well:
            self._forget()
            return self._close(at, "seen_by_canaries")
        for key in [k for k, spell in self.spells.items() if at - spell.last_at >= MASKED_OVER_SECONDS]:
            del self.spells[key]
        if self.incident is None:
            return self._open(at, servers)
        if self.at_key not in self.spells:
            return self._close(at, "recovered")
        return self._raise(at, servers)

    def _open(self, at: float, servers: Callable[[Mapping[str, str], float, int], Servers]) -> list[IncidentEvent]:
        if not self.spells:
            return []
        evidence, threshold = self.evidence.log_evidence(), self.evidence.log_threshold(self._allowed_pages)
        lasting = [
            key
            for key, spell in self.spells.items()
            if evidence[key] >= threshold and spell.last_at - spell.first_at >= CUSTOMERS_SUSTAINED_SECONDS
        ]
        heard = {}
        for key in lasting:
            spell = self.spells[key]
            said = servers(scope_of(self.nodes[key[0]]), spell.first_at, spell.calls[0])
            if len(spell.voters) > 1 or (spell.voters and said.verdict == "bad"):
                heard[key] = said
        if not heard:
            return []
        self.at_key = max(heard, key=lambda key: (self._worth(key), -key[0]))
        incident = self._describe(at, self.at_key, heard[self.at_key])
        return self._tell(incident, at, "opened")

    def _raise(self, at: float, servers: Callable[[Mapping[str, str], float, int], Servers]) -> list[IncidentEvent]:
        """A ticket becomes a page when it has become material."""
        old, key = self.incident, self.at_key
        if old is None or key is None or old.severity == "page" or self._severity(key) != "page":
            return []
        said = servers(old.scope, self.spells[key].first_at, self.spells[key].calls[0])
        new = replace(self._describe(at, key, said), id=old.id, opened_at=old.opened_at, timeline=old.timeline)
        return self._tell(new, at, "updated")

    def _tell(self, incident: Incident, at: float, event: str) -> list[IncidentEvent]:
        lines = [TimelineEntry(at=at, event=event, severity=incident.severity, reason=REASON)]  # type: ignore[arg-type]
        is_page = incident.severity == "page"
        if is_page:
            lines.append(TimelineEntry(at=at, event="paged", severity="page", reason=REASON))
            incident = replace(incident, paged_at=at)
        self.incident = replace(incident, timeline=(*incident.timeline, *lines))
        told: Notify | None = "trigger" if is_page else None
        return [
            IncidentEvent(
                incident=self.incident, event="paged" if is_page else "opened", at=at, reason=REASON, notify=told
            )
        ]

    def _severity(self, key: Key) -> Severity:
        failed, calls = self.spells[key].calls
        return "page" if failed >= SHARE_PAGES * calls else "ticket"

    def _worth(self, key: Key) -> float:
        """How well a node explains: ln(likelihood ratio) of its own share, less the cost of its name."""
        failed, calls = self.spells[key].calls
        share, p0 = failed / max(1, calls), self._allowed[key[0]]
        peers = sum(family == self.nodes[key[0]][0] for family, _ in self.nodes)
        rest = (calls - failed) * log((1 - share) / (1 - p0)) if failed < calls else 0.0
        return failed * log(max(share, 1e-12) / p0) + rest - log(peers)

    def _describe(self, at: float, key: Key, servers: Servers) -> Incident:
        spell, scope, operation = self.spells[key], scope_of(self.nodes[key[0]]), SIDES[key[1]]
        failed, calls = spell.calls
        low, high = jeffreys(failed, calls)
        log_m = float(self.evidence.log_evidence()[key])
        since = dt.datetime.fromtimestamp(spell.first_at, tz=dt.UTC).strftime("%H:%M:%S")
        name = " ".join(f"{k} {v}" for k, v in scope.items())
        well = sorted(set(spell.good) - set(spell.bad))
        return Incident(
            id=f"{incident_id(at, scope)}-customers",
            severity=self._severity(key),
            scope=scope,
            finding="not_covered",
            operations=(operation,),
            side="both" if servers.verdict == "bad" else "client",
            opened_at=at,
            first_failure_at=spell.first_at,
            reason=REASON,
            summary=f"{name}: {operation}s fail for customers, retries and all: {failed} of {calls} calls since {since} UTC, of "
            f"{', '.join(sorted(spell.bad))}; every canary is well: canaries do not cover what these customers do",
            evidence=Figures(
                failures=failed,
                attempts=calls,
                share=failed / max(1, calls),
                share_low=low,
                share_high=high,
                log_evidence=log_m,
                log_threshold=self.evidence.log_threshold(self._allowed_pages),
                hosts=tuple(sorted(spell.bad)),
                would_happen_once_in_years=once_in_years(log_m - log(self.evidence.updates_per_year())),
            ),
            witnesses=SeenBy(bad=tuple(sorted(spell.bad)), good=tuple(well)),
            servers=servers,
            blast_radius=BlastRadius(operations=(operation,), tables=(scope["table"],) if "table" in scope else ()),
        )

    def resolve(self, identity: str, at: float) -> list[IncidentEvent]:
        """An operator says that it is over: what customers told until now is forgotten."""
        known = self.incident is not None and self.incident.id == identity
        return self._close(at, "resolved_by_hand") if known else []

    def _forget(self) -> None:
        if self.spells:
            self.spells = {}
            self.evidence.reset(np.zeros(self.evidence.size, np.bool_))

    def _close(self, at: float, reason: str) -> list[IncidentEvent]:
        if self.incident is None:
            return []
        event = ended(self.incident, at, reason)
        self.closed = [*self.closed[1 - CLOSED_KEPT :], event.incident]
        self.incident = self.at_key = None
        self._forget()
        return [event]

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {
            "evidence": self.evidence.state(),
            "nodes": list(self.nodes),
            "spells": [[*key, s.first_at, s.last_at, s.bad, s.good] for key, s in self.spells.items()],
            "incident": None if self.incident is None else self.incident.to_json(),
            "at_key": self.at_key,
            "closed": [one.to_json() for one in self.closed],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        for family, values in state["nodes"]:
            self._node((family, tuple(values)))
        self.evidence.load(state["evidence"])
        self.spells = {
            (node, side): Spell(first_at=first, last_at=last, bad=bad, good=good)
            for node, side, first, last, bad, good in state["spells"]
        }
        self.incident = None if state["incident"] is None else Incident.from_json(state["incident"])
        self.at_key = None if state["at_key"] is None else tuple(state["at_key"])
        self.closed = [Incident.from_json(one) for one in state["closed"]]
