"""The narrowest explanation of the failures: a Bernoulli scan over the cube with a description-length penalty (pure).

gain(S) = f ln(p̂/p0) + (n − f) ln((1 − p̂)/(1 − p0)) − what it costs to name S. Two greedy peels remove what is
explained and go on: (A) greatest gain against p0; (B) greatest contrast inside/outside (Kulldorff), accepted by gain.
The set with the larger total gain is the answer: A alone fails with two faults, B alone cannot say "everything".

Path semantics: a zone covers an attempt whose router or storage node is there; an observer covers what it saw itself.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from cfa.cube import NOWHERE, SIDES, Cube
from cfa.policy import KINDS
from collector.observation import Connection

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MOST_EXPLANATIONS = 4
LEAST_GAIN = 3.0
"""Nats that the first, best explanation of a peel by gain must be worth; with less, the scope is unknown."""

SPLIT_GAIN = 8.0
"""Nats that an explanation found by contrast must be worth against p0."""

REFINEMENT_NATS = log(3) + 1.0
"""What "only fresh", "only writes" costs each: three choices, and a preference for the plain answer."""

FAVOUR_NATS = 3.0
"""What the verdict of the last scan is worth in this one: two explanations that are as good do not take turns."""

RANK = {kind: rank for rank, kind in enumerate(KINDS)}

CONNECTIONS: tuple[str | None, ...] = (None, str(Connection.FRESH), str(Connection.POOLED))
"""Index of the connection axis; None is both."""

OPERATIONS: tuple[str | None, ...] = (None, *SIDES)
"""Index of the side axis; None is both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A node of the cube, perhaps refined, and what was seen of it within the scan."""

    node: int
    kind: str
    connection: str | None
    side: str | None
    failures: int
    attempts: int
    gain: float


def mask_of(
    cube: Cube, places: NDArray[np.int32], node: int, connection: str | None, side: str | None
) -> NDArray[np.bool_]:
    """Which of ``places`` an explanation covers."""
    mask = cube.covered(node, places)
    if connection is not None:
        mask &= cube.fresh[places] == (connection == Connection.FRESH)
    if side is not None:
        mask &= cube.side[places] == SIDES.index(side)
    return mask


class Scan:
    """One scan over counts per place; built anew for each evaluation."""

    def __init__(
        self,
        cube: Cube,
        places: NDArray[np.int32],
        failures: Ints,
        attempts: Ints,
        *,
        allowed: float,
        favoured: Collection[int] = (),
    ) -> None:
        self.cube, self.p0, self._favoured = cube, allowed, list(favoured)
        self.places, self.f, self.n = places, failures, attempts
        self._cells = (2 * (~cube.fresh[places]).astype(np.int64) + cube.side[places])[:, None]
        members = cube.membership[places].astype(np.int64)
        self._size = len(cube.nodes)
        self._slots = np.where(members == NOWHERE, self._size, members) * 4 + self._cells
        self._order = np.array([RANK.get(family, -1) for family, _ in cube.nodes], np.int64)

    def explain(self) -> tuple[Explanation, ...]:
        """The better of the two peels, best explanation first."""
        by_gain, by_contrast = self._peel(contrast=False), self._peel(contrast=True)
        total_gain, total_contrast = (sum(e.gain for e in peel) for peel in (by_gain, by_contrast))
        return by_contrast if total_contrast > total_gain else by_gain

    def gain_of(self, node: int, connection: str | None, side: str | None) -> float:
        """What an explanation is worth on all attempts of this scan."""
        f, n = self._tables(np.ones(len(self.places), np.bool_))
        value: float = self._gains(f, n)[node, CONNECTIONS.index(connection), OPERATIONS.index(side)]
        return value

    def _peel(self, *, contrast: bool) -> tuple[Explanation, ...]:
        left = np.ones(len(self.places), np.bool_)
        found: list[Explanation] = []
        while len(found) < MOST_EXPLANATIONS and self.f[left].sum():
            best = self._best(left, contrast=contrast)
            if best is None or best.gain < (SPLIT_GAIN if contrast else LEAST_GAIN):
                break
            found.append(best)
            left &= ~mask_of(self.cube, self.places, best.node, best.connection, best.side)
        return tuple(found)

    def _tables(self, left: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Failures and attempts of every node × connection (any, fresh, pooled) × side (any, read, write)."""
        slots, length = self._slots[left].ravel(), 4 * (self._size + 1)
        width = self._slots.shape[1]
        tables = []
        for counts in (self.f, self.n):
            flat = np.bincount(slots, np.repeat(counts[left], width), length)
            cells = flat.reshape(-1, 2, 2)[: self._size]
            cells = np.concatenate([cells.sum(axis=1, keepdims=True), cells], axis=1)
            tables.append(np.concatenate([cells.sum(axis=2, keepdims=True), cells], axis=2))
        return tables[0], tables[1]

    def _gains(self, f: Floats, n: Floats) -> Floats:
        gains = _log_ratio(f, n, self.p0) - self._penalty(n)
        gains[self._order < 0] = -np.inf
        return gains

    def _penalty(self, n: Floats) -> Floats:
        """ln(elements of the family) + ln(families + 1), and the refinements."""
        seen = np.bincount(self._order[(n[:, 0, 0] > 0) & (self._order >= 0)], minlength=len(KINDS))
        base = np.log(np.maximum(seen, 1))[np.maximum(self._order, 0)] + log(len(KINDS) + 1)
        base[self._favoured] -= FAVOUR_NATS
        steps = np.array([0.0, REFINEMENT_NATS, REFINEMENT_NATS])
        return np.asarray(base[:, None, None] + steps[None, :, None] + steps[None, None, :])

    def _best(self, left: NDArray[np.bool_], *, contrast: bool) -> Explanation | None:
        f, n = self._tables(left)
        gains = self._gains(f, n)
        score = _contrast(f, n, float(self.f[left].sum()), float(self.n[left].sum())) if contrast else gains
        score = np.where((gains > 0) & np.isfinite(gains), score, -np.inf)
        if not np.isfinite(score).any():
            return None
        # Equal scores: the kind listed first, then the plain before the refined, then the older node.
        near = np.argwhere(score >= score.max() - 1e-6)
        node, c, s = min(near.tolist(), key=lambda i: (self._order[i[0]], i[1] > 0, i[2] > 0, i))
        return Explanation(
            node=node,
            kind=self.cube.nodes[node][0],
            connection=CONNECTIONS[c],
            side=OPERATIONS[s],
            failures=int(f[node, c, s]),
            attempts=int(n[node, c, s]),
            gain=float(gains[node, c, s]),
        )


def _xlog(x: Floats, y: Floats) -> Floats:
    """The value of x · ln y, 0 where x is 0."""
    return np.asarray(x * np.log(np.where(x > 0, y, 1.0)))


def _log_ratio(f: Floats, n: Floats, p0: float) -> Floats:
    """Log likelihood ratio of p̂ = f/n against p0; −∞ where p̂ ≤ p0."""
    p = f / np.maximum(n, 1)
    ratio = _xlog(f, p / p0) + _xlog(n - f, (1 - p) / (1 - p0))
    return np.where(p > p0, ratio, -np.inf)


def _contrast(f: Floats, n: Floats, total_f: float, total_n: float) -> Floats:
    """Kulldorff's statistic: inside and outside apart against all alike; −∞ where inside is not the worse."""
    out_f, out_n = total_f - f, total_n - n
    p_in, p_out, p_all = f / np.maximum(n, 1), out_f / np.maximum(out_n, 1), total_f / max(total_n, 1)
    inside = _xlog(f, p_in) + _xlog(n - f, 1 - p_in)
    outside = _xlog(out_f, p_out) + _xlog(out_n - out_f, 1 - p_out)
    alike = total_f * log(max(p_all, 1e-300)) + (total_n - total_f) * log(max(1 - p_all, 1e-300))
    return np.where(p_in > p_out, inside + outside - (alike if p_all < 1 else 0.0), -np.inf)
