"""The lower left of the quadrants: servers fail requests while every canary is well (pure).

Retries mask it, or canaries do not ask there: customers who are heard say which (:mod:`cfa.customers`). The same detector runs over the servers' own counts, while the canaries
are well; what it finds is a ticket, never a page: nobody has yet been seen to suffer. While no canary is heard at all
the servers' word is all there is: if half of their requests fail, it is a page. A fail-over is shorter than the
gate. Routers speak for region, table and themselves; storage nodes for partitions and themselves: never added up.
"""

import datetime as dt
from dataclasses import dataclass, replace
from math import log
from typing import Any

import numpy as np

from cfa.cube import SIDES, Node, scope_of
from cfa.customers import CustomersView
from cfa.evidence import Evidence
from cfa.incident import (
    BlastRadius,
    Incident,
    IncidentEvent,
    Notify,
    Servers,
    TimelineEntry,
    ended,
    incident_id,
    once_in_years,
)
from cfa.incident import Evidence as Figures
from cfa.objective import Objective, jeffreys
from cfa.policy import MASKED_OVER_SECONDS, MASKED_SUSTAINED_SECONDS, MAX_NODES, SHARE_PAGES
from collector.observation import BAD, Outcome
from collector.series import FeedEntry, Series

PREFERRED = ("region", "table", "partition", "router", "node")
"""Of explanations with equal evidence, the widest."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """When a node × side was last and first seen failing, since the canaries were last unwell."""

    first_at: float
    last_at: float


def nodes_of(series: Series, region: str) -> list[Node]:
    """What a server's series speaks for."""
    if series.node is not None:
        own: list[Node] = [("node", (series.node,))]
        return own if series.partition is None else [*own, ("partition", (series.table, series.partition))]
    return [("region", (region,)), ("table", (series.table,)), ("router", (series.router or series.host,))]


class Masked:
    """The detector over server counts, and at most one open ticket."""

    def __init__(self, region: str, objective: Objective, false_pages_per_year: float) -> None:
        self._region, self._objective, self._allowed_pages = region, objective, false_pages_per_year
        self.customers = CustomersView()
        self.evidence = Evidence()
        self.nodes: list[Node] = []
        self._index: dict[Node, int] = {}
        self._allowed: list[float] = []
        self.seen: dict[tuple[int, int], Seen] = {}
        self.incident: Incident | None = None
        self.at_node: tuple[int, int] | None = None
        self.closed: list[Incident] = []
        self.blind = False

    def take(self, entry: FeedEntry) -> None:
        """Takes the counts of one scrape."""
        updates = 0
        for reading in entry.readings:
            nodes = np.array([i for n in nodes_of(reading.series, self._region) if (i := self._node(n)) >= 0], np.int32)
            side = SIDES.index(reading.series.operation.side)
            bad = sum(reading.counts.get(o, 0) for o in BAD)
            good = reading.counts.get(Outcome.SUCCESS, 0)
            self._count(nodes, side, (good, bad), reading.series.host, entry.received_at)
            updates += (good + bad) * len(nodes)
        self.evidence.rate(updates, entry.received_at)

    def _node(self, node: Node) -> int:
        index = self._index.get(node)
        if index is None:
            if len(self.nodes) >= MAX_NODES:
                return -1
            index = self._index[node] = len(self.nodes)
            self.nodes.append(node)
            self._allowed.append(self._objective.allowed(node[1][0] if node[0] in ("table", "partition") else None))
            self.evidence.reserve(self._allowed)
        return index

    def _count(self, nodes: Any, side: int, counts: tuple[int, int], host: str, at: float) -> None:
        good, bad = counts
        who = self.evidence.host(host)
        if bad:
            self.evidence.failures(nodes, side, who, bad, at)
            for node in nodes.tolist():
                seen = self.seen.setdefault((node, side), Seen(first_at=at, last_at=at))
                seen.last_at = at
        if good:
            counts_by_node = np.zeros((len(self.nodes), 2), np.int64)
            counts_by_node[nodes, side] = good
            self.evidence.successes(counts_by_node, who, at)

    def evaluate(self, at: float, *, seen_by: str | None, blind: bool) -> list[IncidentEvent]:
        """Opens or closes the incident; while canaries or customers see failures, they speak and this forgets.

        ``blind``: no canary is heard; then half of the requests failing is a page on the servers' word alone.
        """
        self.blind = blind
        if seen_by is not None:
            self._forget()
            return self._close(at, f"seen_by_{seen_by}")
        if self.incident is not None and self.at_node is not None:
            seen = self.seen.get(self.at_node)
            over = seen is None or at - seen.last_at >= MASKED_OVER_SECONDS
            return self._close(at, "recovered") if over else []
        return self._open(at)

    def resolve(self, identity: str, at: float) -> list[IncidentEvent]:
        """An operator says that it is over: what the servers counted until now is forgotten."""
        known = self.incident is not None and self.incident.id == identity
        return self._close(at, "resolved_by_hand") if known else []

    def _forget(self) -> None:
        if self.seen:
            self.seen = {}
            self.evidence.reset(np.zeros(self.evidence.size, np.bool_))

    def _open(self, at: float) -> list[IncidentEvent]:
        if not self.seen:
            return []
        evidence, threshold = self.evidence.log_evidence(), self.evidence.log_threshold(self._allowed_pages)
        lasting = [
            key
            for key, seen in self.seen.items()
            if evidence[key] >= threshold
            and seen.last_at - seen.first_at >= MASKED_SUSTAINED_SECONDS
            and at - seen.last_at < MASKED_SUSTAINED_SECONDS
        ]
        if not lasting:
            return []
        self.at_node = max(lasting, key=lambda key: (self._worth(key), -PREFERRED.index(self.nodes[key[0]][0])))
        incident = self._describe(at, self.at_node)
        is_page, reason = incident.severity == "page", incident.reason
        entry = TimelineEntry(at=at, event="paged" if is_page else "opened", severity=incident.severity, reason=reason)
        self.incident = replace(incident, timeline=(entry,), paged_at=at if is_page else None)
        told: Notify | None = "trigger" if is_page else None
        return [IncidentEvent(incident=self.incident, event=entry.event, at=at, reason=reason, notify=told)]

    def _worth(self, key: tuple[int, int]) -> float:
        """How well a node explains: ln(likelihood ratio of its own share) since the change, less the cost of its name."""
        _, bad, good = self.evidence.change(*key)
        share, p0 = bad / max(1, bad + good), self._allowed[key[0]]
        peers = sum(family == self.nodes[key[0]][0] for family, _ in self.nodes)
        rest = good * log((1 - share) / (1 - p0)) if good and share < 1 else 0.0
        return (bad * log(share / p0) if bad else 0.0) + rest - log(peers)

    def _describe(self, at: float, key: tuple[int, int]) -> Incident:
        node, side = key
        change, bad, good = self.evidence.change(node, side)
        low, high = jeffreys(bad, bad + good)
        scope, operation = scope_of(self.nodes[node]), SIDES[side]
        log_m = float(self.evidence.log_evidence()[node, side])
        figures = f"{bad} of {bad + good} requests"
        since = dt.datetime.fromtimestamp(change, tz=dt.UTC).strftime("%H:%M:%S")
        name = " ".join(f"{k} {v}" for k, v in scope.items())
        word = self.customers.about(scope, operation, change)
        masked = "masked_by_retries" if word.masked else "servers_bad_canaries_well"
        canaries = "no canary is heard" if self.blind else "every canary is well"
        return Incident(
            id=incident_id(at, scope),
            severity="page" if self.blind and bad >= SHARE_PAGES * (bad + good) else "ticket",
            scope=scope,
            finding="outage" if self.blind else "masked_by_retries",
            operations=(operation,),
            side="server",
            opened_at=at,
            first_failure_at=change,
            reason="servers_bad_canaries_silent" if self.blind else masked,
            summary=f"{name}: servers fail {figures} ({operation}s) since {since} UTC; {canaries}; {word.text}",
            evidence=Figures(
                failures=bad,
                attempts=bad + good,
                share=bad / max(1, bad + good),
                share_low=low,
                share_high=high,
                log_evidence=log_m,
                log_threshold=self.evidence.log_threshold(self._allowed_pages),
                would_happen_once_in_years=once_in_years(log_m - log(self.evidence.updates_per_year())),
            ),
            servers=Servers(verdict="bad", detail=f"by their own count {figures} failed"),
            blast_radius=BlastRadius(tables=(scope["table"],) if "table" in scope else ()),
        )

    def _close(self, at: float, reason: str) -> list[IncidentEvent]:
        if self.incident is None:
            return []
        event = ended(self.incident, at, reason)
        self.closed = [*self.closed[-9:], event.incident]
        self.incident = self.at_node = None
        self._forget()
        return [event]

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {
            "customers": self.customers.state(),
            "evidence": self.evidence.state(),
            "nodes": list(self.nodes),
            "seen": [[*key, seen.first_at, seen.last_at] for key, seen in self.seen.items()],
            "incident": None if self.incident is None else self.incident.to_json(),
            "at_node": self.at_node,
            "closed": [incident.to_json() for incident in self.closed],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        for family, values in state["nodes"]:
            self._node((family, tuple(values)))
        self.evidence.load(state["evidence"])
        self.customers.load(state.get("customers", []))
        self.seen = {(n, s): Seen(first_at=first, last_at=last) for n, s, first, last in state["seen"]}
        self.incident = None if state["incident"] is None else Incident.from_json(state["incident"])
        self.at_node = None if state["at_node"] is None else tuple(state["at_node"])
        self.closed = [Incident.from_json(i) for i in state["closed"]]
