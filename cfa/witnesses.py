"""Whose word is believed: hosts that recuse themselves, and lone witnesses that nobody confirms (pure)."""

from dataclasses import dataclass

import numpy as np

from cfa.attempts import Rows
from cfa.cube import Cube
from cfa.scope import Explanation
from collector.series import Health

LONE_WITNESS = "lone_witness"
LONE_FAILURES_AT_LEAST = 5
CONFIRMED_SHARE = 0.2
"""Another host of the zone contradicts the witness when its own failing share is below this part of the witness's."""

BELIEVED_AGAIN_SECONDS = 20.0
BELIEVED_AGAIN_SUCCESSES = 46
"""A lone witness is believed again after so long and so many successes without a failure: ln(1/1 %) / 10 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recused:
    """A host whose word is kept but not believed, since when and why; ``itself`` when it says so of itself."""

    host: str
    zone: str
    since: float
    reasons: tuple[str, ...]
    itself: bool


class Witnesses:
    """The jury's list."""

    def __init__(self) -> None:
        self.recused: dict[str, Recused] = {}
        self.zones: dict[str, str] = {}
        self.heard_at: dict[str, float] = {}
        self.returned_at: dict[str, float] = {}

    def hear(self, host: str, zone: str, at: float) -> None:
        """Notes that a canary host was heard."""
        self.zones[host], self.heard_at[host] = zone, at

    def health(self, health: Health, at: float) -> bool:
        """Takes a host's own verdict; True when it is recused from now on."""
        known = self.recused.get(health.host)
        if health.recused:
            since = known.since if known is not None else at
            self.recused[health.host] = Recused(
                host=health.host, zone=health.zone, since=since, reasons=health.reasons, itself=True
            )
            return known is None
        if known is not None and known.itself:
            self._return(health.host, at)
        return False

    def contradicted(self, cube: Cube, rows: Rows, explanation: Explanation) -> bool:
        """Whether a believed host of the same zone saw the same targets well while this one alone failed."""
        host = cube.nodes[explanation.node][1][0]
        zone = self.zones.get(host)
        if explanation.failures < LONE_FAILURES_AT_LEAST:
            return False
        others = [h for h, z in self.zones.items() if z == zone and h != host and h not in self.recused]
        share = explanation.failures / explanation.attempts
        for other in others:
            mine = rows[cube.covered(cube.node(("observer", (other,))), rows["place"])]
            bad, good = int(mine["bad"].sum()), int(mine["good"].sum())
            if good >= LONE_FAILURES_AT_LEAST and bad / (bad + good) < CONFIRMED_SHARE * share:
                return True
        return False

    def recuse(self, host: str, at: float) -> None:
        """A lone witness: nobody beside it sees what it sees."""
        self.recused[host] = Recused(
            host=host, zone=self.zones.get(host, ""), since=at, reasons=(LONE_WITNESS,), itself=False
        )

    def readmit(self, cube: Cube, rows: Rows, at: float) -> list[str]:
        """Lone witnesses that have long enough seen no failure: believed again."""
        back = []
        for host in [h for h, r in self.recused.items() if not r.itself]:
            mine = rows[cube.covered(cube.node(("observer", (host,))), rows["place"])]
            lately = mine[mine["received"] >= at - BELIEVED_AGAIN_SECONDS]
            if not lately["bad"].any() and int(lately["good"].sum()) >= BELIEVED_AGAIN_SUCCESSES:
                self._return(host, at)
                back.append(host)
        return back

    def _return(self, host: str, at: float) -> None:
        del self.recused[host]
        self.returned_at[host] = at

    def believes(self, host: str, received: float) -> bool:
        """Whether what ``host`` said at ``received`` counts: not while it is recused, nor what it said before its return."""
        return host not in self.recused and received > self.returned_at.get(host, 0.0)

    def believed(self, cube: Cube, rows: Rows) -> Rows:
        """The rows whose witnesses are believed."""
        for host in sorted({*self.recused, *self.returned_at}):
            node, until = cube.node(("observer", (host,))), self.returned_at.get(host, 0.0)
            if node >= 0 and len(rows):
                doubted = rows["received"] <= (np.inf if host in self.recused else until)
                rows = rows[~(doubted & cube.covered(node, rows["place"]))] if doubted.any() else rows
        return rows

    def view(self) -> list[dict[str, object]]:
        """The ``recused`` of the status."""
        return [
            {"host": r.host, "zone": r.zone, "since": r.since, "reasons": list(r.reasons)}
            for _, r in sorted(self.recused.items())
        ]
