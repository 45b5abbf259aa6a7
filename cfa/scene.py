"""What one evaluation looks at, gathered once: believed rows, evidence, servers and rates at one moment (pure)."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from cfa.attempts import Failure, Rows
from cfa.cube import SIDES, Cube
from cfa.incident import Severity
from cfa.joins import Joins
from cfa.policy import KINDS, SCAN_WINDOW_SECONDS
from cfa.quadrant import ServersView
from cfa.scope import Scan

BURN_SEVERITIES: tuple[Severity | None, ...] = (None, "ticket", "page")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The moment ``at``; ``since`` is where the scan begins; ``change`` dates the change of a node and side.

    ``log_threshold`` is what a node needs now, with what others lend it (:func:`cfa.evidence.lent`); ``alone_log_threshold``
    without. ``burning``: :func:`cfa.burn_rate.severities`, where those rules are wanted.
    """

    at: float
    since: float
    region: str
    cube: Cube
    rows: Rows
    failures: list[Failure]
    log_evidence: NDArray[np.float64]
    change: Callable[[int, int], tuple[float, int, int]]
    log_threshold: float
    alone_log_threshold: float
    burning: NDArray[np.int8] | None = None
    updates_per_year: float
    allowed: Callable[[int], float]
    servers: ServersView
    joins: Joins
    recused: tuple[str, ...]
    silent: tuple[str, ...]

    def received_since(self, at: float) -> Rows:
        """Rows that arrived at or after ``at``: they are in the order of arrival."""
        return self.rows[int(np.searchsorted(self.rows["received"], at)) :]

    @property
    def lately(self) -> Rows:
        """Rows of the last minute by arrival."""
        return self.received_since(self.at - SCAN_WINDOW_SECONDS)

    @property
    def region_rate(self) -> float:
        """Attempts a second over the last minute, all believed canaries together."""
        rows = self.lately
        rows = rows[~rows["confirm"]]
        if not len(rows):
            return 0.0
        seconds = min(SCAN_WINDOW_SECONDS, max(5.0, self.at - float(rows["received"][0])))
        return float(rows["good"].sum() + rows["bad"].sum()) / seconds

    def evidence_of(self, node: int, side: str | None) -> float:
        """The logarithm of M of a node, the stronger of its sides unless one is named."""
        both = self.log_evidence[node]
        return float(both.max() if side is None else both[SIDES.index(side)])

    def burn_rule(self, node: int, side: str | None) -> Severity | None:
        """The severity of the burn-rate rules that a node meets, of either side unless one is named."""
        if self.burning is None or node >= len(self.burning):
            return None
        both = self.burning[node]
        return BURN_SEVERITIES[int(both.max() if side is None else both[SIDES.index(side)])]

    def burn_rate(self) -> tuple[int, str] | None:
        """The node and side that meets the gravest burn-rate rule, with the most evidence less the cost of its name; or None."""
        if self.burning is None or not self.burning.any():
            return None
        families = [family for family, _ in self.cube.nodes]
        met = [
            (
                int(self.burning[node, side]),
                float(self.log_evidence[node, side]) - log(families.count(families[node])),
                -node,
                side,
            )
            for node, side in np.argwhere(self.burning > 0).tolist()
            if families[node] in KINDS and KINDS[families[node]].pages
        ]
        _, _, node, side = max(met, default=(0, 0.0, 1, 0))
        return None if node > 0 else (-node, SIDES[side])

    def slow_burn(self) -> tuple[int, str] | None:
        """The node and side with the most evidence above the threshold, less what it costs to name it; or None.

        For burns so slow that a minute shows nothing. Only what may page is asked: witnesses and operations are not.
        """
        best: tuple[float, int, int] | None = None
        for node, side in np.argwhere(self.log_evidence >= self.log_threshold).tolist():
            kind = KINDS.get(self.cube.nodes[node][0])
            if kind is None or not kind.pages:
                continue
            peers = sum(family == self.cube.nodes[node][0] for family, _ in self.cube.nodes)
            worth = float(self.log_evidence[node, side]) - log(peers)
            if best is None or worth > best[0]:
                best = (worth, node, side)
        return None if best is None else (best[1], SIDES[best[2]])

    def scan(self, explained: NDArray[np.bool_], favoured: Collection[int] = ()) -> Scan | None:
        """A scan of what was asked after ``since``, without the ``explained`` rows; None when nothing failed."""
        rows = self.rows[~explained & (self.rows["at"] >= self.since)]
        if not len(rows) or not rows["bad"].any():
            return None
        places, inverse = np.unique(rows["place"], return_inverse=True)
        bad = np.bincount(inverse, rows["bad"]).astype(np.int64)
        good = np.bincount(inverse, rows["good"]).astype(np.int64)
        return Scan(self.cube, places, bad, bad + good, allowed=self.allowed(0), favoured=favoured)
