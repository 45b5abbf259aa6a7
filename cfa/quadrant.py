"""The servers' own word, joined with the canaries': who is hurt, who sees it (pure).

| canaries | servers say | side     | meaning                                        |
|----------|-------------|----------|------------------------------------------------|
| bad      | ok          | client   | gray failure: DNS, TLS, path, deadline         |
| bad      | bad, silent | both     | the service; silent: requests never arrive     |
| ok       | bad         | server   | masked by retries, or nobody asks there        |
| bad      | unknown     | by phase | DNS and TLS fail before a server can know      |
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cfa.incident import Servers, Side
from collector.observation import Outcome, Phase
from collector.series import FeedEntry, TargetState

REMEMBERED_SECONDS = 60.0
BAD_COUNT_AT_LEAST = 3
BAD_PART_OF_CLIENTS = 0.25
"""Servers are bad when they count at least this part of the failures that the canaries saw in the same minute."""

WELL_AFTER_SECONDS = 2.5
"""Servers are well only by a scrape this long after the first failure: an earlier one speaks mostly of before."""

BEFORE_SERVERS = frozenset({str(Phase.DNS), str(Phase.TLS)})
"""Phases that fail before a server can count a request."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one server counted since its last scrape."""

    at: float
    target: str
    zone: str
    endpoint: str | None
    table: str
    partition: str | None
    by_router: bool
    good: int
    bad: int
    version: str | None = None


class ServersView:
    """Scrape states and the counts of the last minute."""

    def __init__(self) -> None:
        self.targets: dict[str, TargetState] = {}
        self.counted: deque[Counted] = deque()
        self.heard_at: dict[str, float] = {}

    def take(self, entry: FeedEntry) -> None:
        """Takes what a scrape brought: states of targets, and counts when it is of the server vantage."""
        for state in entry.targets:
            self.targets[state.target] = state
        for reading in entry.readings:
            s, counts = reading.series, reading.counts
            bad = sum(n for outcome, n in counts.items() if outcome.is_bad)
            target = s.router or s.node or s.host
            self.heard_at[target] = entry.received_at
            good = counts.get(Outcome.SUCCESS, 0)
            by_router = s.node is None
            self.counted.append(
                Counted(
                    entry.received_at,
                    target,
                    s.zone,
                    s.endpoint,
                    s.table,
                    s.partition,
                    by_router,
                    good,
                    bad,
                    s.software_version,
                )
            )

    def forget(self, at: float) -> None:
        """Drops counts older than a minute."""
        while self.counted and self.counted[0].at < at - REMEMBERED_SECONDS:
            self.counted.popleft()

    def about(self, scope: Mapping[str, str], since: float, client_failures: int) -> Servers:
        """What the servers within ``scope`` say of the time after ``since``; old words say nothing."""
        members = [t for t in self._latest() if _is_asked(t, scope)]
        asked = [t for t in members if t.at > since]
        if not asked:
            return Servers(verdict="unknown", detail="not scraped since")
        silent = sorted(t.target for t in asked if not t.up)
        # Half of all, not of those asked so far: one slow scrape does not make the servers silent.
        if 2 * len(silent) >= len(members):
            return Servers(
                verdict="silent", detail=f"{_some(silent)} {'does' if len(silent) == 1 else 'do'} not answer"
            )
        bad, valid = self._counts(scope, since)
        detail = (
            f"{len(asked) - len(silent)} of {len(asked)} answer; by their own count {bad} of {valid} requests failed"
        )
        if bad >= max(BAD_COUNT_AT_LEAST, BAD_PART_OF_CLIENTS * client_failures):
            return Servers(verdict="bad", detail=detail)
        known = any(t.at >= since + WELL_AFTER_SECONDS for t in asked)
        return Servers(verdict="ok" if known else "unknown", detail=detail)

    def _counts(self, scope: Mapping[str, str], since: float) -> tuple[int, int]:
        """Failed and valid requests by routers' or by nodes' count, whichever knows of more failures: never their sum."""
        views = []
        for by_router in (True, False):
            mine = [c for c in self.counted if c.by_router is by_router and c.at > since and _matches(c, scope)]
            views.append((sum(c.bad for c in mine), sum(c.bad + c.good for c in mine)))
        return max(views)

    def _latest(self) -> list[TargetState]:
        """Every target as last heard of: who brings counts is up, though nobody says so again until it changes."""
        found = []
        for name, state in sorted(self.targets.items()):
            heard = self.heard_at.get(name, 0.0)
            found.append(replace(state, up=True, at=heard) if heard > state.at else state)
        return found

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {"targets": list(self.targets.values()), "counted": list(self.counted), "heard_at": dict(self.heard_at)}

    def load(self, targets: list[TargetState], counted: list[Counted], heard_at: dict[str, float]) -> None:
        """Takes a :meth:`state` back."""
        self.heard_at = heard_at
        self.targets = {t.target: t for t in targets}
        self.counted = deque(counted)


def side_of(servers: Servers, phases: Mapping[str | None, int]) -> Side:
    """``client``, or ``both``: see the table above. Without the servers' word the failed phases tell."""
    if servers.verdict in ("bad", "silent"):
        return "both"
    if servers.verdict == "ok":
        return "client"
    total = sum(phases.values())
    before = sum(n for phase, n in phases.items() if phase in BEFORE_SERVERS)
    return "client" if total and before >= 0.9 * total else "both"


def _is_asked(target: TargetState, scope: Mapping[str, str]) -> bool:
    for name in ("router", "node"):
        if name in scope:
            return target.target == scope[name]
    if "zone" in scope:
        return target.zone == scope["zone"]
    return target.role == "router"


def _matches(counted: Counted, scope: Mapping[str, str]) -> bool:
    name = scope.get("router") or scope.get("node")
    if name is not None and counted.target != name:
        return False
    if "version" in scope and counted.version != scope["version"]:
        return False
    if "endpoint" in scope and counted.endpoint != scope["endpoint"]:
        return False
    if "table" in scope and counted.table != scope["table"]:
        return False
    return scope.get("partition") in (None, counted.partition) or counted.partition is None


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
