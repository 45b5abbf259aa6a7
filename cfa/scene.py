"""What one evaluation looks at, gathered once: believed rows, evidence, servers and rates at one moment (pure)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfa.attempts import Failure, Rows
from cfa.cube import SIDES, Cube
from cfa.policy import SCAN_WINDOW_SECONDS
from cfa.quadrant import ServersView
from cfa.scope import Scan


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The moment ``at``; ``since`` is where the scan begins."""

    at: float
    since: float
    region: str
    cube: Cube
    rows: Rows
    failures: list[Failure]
    log_evidence: NDArray[np.float64]
    log_threshold: float
    updates_per_year: float
    allowed: Callable[[int], float]
    servers: ServersView
    recused: tuple[str, ...]
    silent: tuple[str, ...]

    @property
    def lately(self) -> Rows:
        """Rows of the last minute by arrival."""
        return self.rows[self.rows["received"] >= self.at - SCAN_WINDOW_SECONDS]

    @property
    def region_rate(self) -> float:
        """Attempts a second over the last minute, all believed canaries together."""
        rows = self.lately
        if not len(rows):
            return 0.0
        seconds = min(SCAN_WINDOW_SECONDS, max(5.0, self.at - float(rows["received"][0])))
        return float(rows["good"].sum() + rows["bad"].sum()) / seconds

    def evidence_of(self, node: int, side: str | None) -> float:
        """The logarithm of M of a node, the stronger of its sides unless one is named."""
        both = self.log_evidence[node]
        return float(both.max() if side is None else both[SIDES.index(side)])

    def scan(self, explained: NDArray[np.bool_]) -> Scan | None:
        """A scan of what was asked after ``since``, without the ``explained`` rows; None when nothing failed."""
        rows = self.rows[~explained & (self.rows["at"] >= self.since)]
        if not len(rows) or not rows["bad"].any():
            return None
        places, inverse = np.unique(rows["place"], return_inverse=True)
        bad = np.bincount(inverse, rows["bad"]).astype(np.int64)
        good = np.bincount(inverse, rows["good"]).astype(np.int64)
        return Scan(self.cube, places, bad, bad + good, self.allowed(0))
