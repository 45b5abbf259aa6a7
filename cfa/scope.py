"""The narrowest explanation of the failures: a Bernoulli scan over the cube with a description-length penalty (pure).

gain(S) = f ln(p̂/p0) + (n − f) ln((1 − p̂)/(1 − p0)) − what it costs to name S. Greedy peels remove what is explained
and go on: (A) greatest gain against p0; (B) greatest contrast inside/outside (Kulldorff), accepted by gain; (C) as A,
but without what A named first: two faults may explain more than what holds both. The parts of each are then chosen
anew, each beside the others. The set with the largest total gain is the answer: A alone fails with two faults, B alone
cannot say "everything".

Path semantics: a zone covers an attempt whose router or storage node is there; an observer covers what it saw itself.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from cfa.cube import NOWHERE, SIDES, Cube
from cfa.policy import KINDS
from collector.observation import Connection

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

MOST_EXPLANATIONS = 4
LEAST_GAIN = 3.0
"""Nats that the first, best explanation of a peel by gain must be worth; with less, the scope is unknown."""

SPLIT_GAIN = 8.0
"""Nats that an explanation found by contrast must be worth against p0."""

ALTERNATIVES = 2
"""So many first explanations are left out, one after the other, to see whether others do better without them."""

REFINEMENT_NATS = log(3) + 1.0
"""What "only fresh", "only writes" costs each: three choices, and a preference for the plain answer."""

LOGICAL = "operation"
LOGICAL_NATS = log(100)
"""What naming an operation costs beside its place in its family: it is no component that could break by itself."""

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


Peel = tuple[Explanation, ...]


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
        self._all = self._count(np.ones(len(places), np.bool_))
        self._penalty = self._costs()

    def explain(self) -> Peel:
        """The set of explanations with the largest total gain, best explanation first."""
        peels = [self._peel(), self._peel(contrast=True)]
        if peels[0]:
            peels += self._alternatives(peels[0][0].node)
        peels += [self._settled(peel) for peel in peels if len(peel) > 1]
        return max(peels, key=lambda peel: sum(e.gain for e in peel))

    def gain_of(self, node: int, connection: str | None, side: str | None) -> float:
        """What an explanation is worth on all attempts of this scan."""
        inside = mask_of(self.cube, self.places, node, connection, side)
        gain, _, _ = self._worth(inside, node, CONNECTIONS.index(connection), OPERATIONS.index(side))
        return gain

    def _alternatives(self, first: int) -> list[Peel]:
        """Peels that begin with the second, the third best of single explanations."""
        without, found = [first], list[Peel]()
        while len(found) < ALTERNATIVES:
            peel = self._peel(without=without)
            if not peel:
                break
            found.append(peel)
            without.append(peel[0].node)
        return found

    def _peel(self, *, contrast: bool = False, without: Collection[int] = ()) -> Peel:
        left = np.ones(len(self.places), np.bool_)
        found: list[Explanation] = []
        while len(found) < MOST_EXPLANATIONS and self.f[left].sum():
            best = self._best(left, contrast=contrast, without=without if not found else ())
            if best is None or best.gain < (SPLIT_GAIN if contrast else LEAST_GAIN):
                break
            found.append(best)
            left &= ~self._mask(best)
        return tuple(found)

    def _settled(self, peel: Peel) -> Peel:
        """Each part chosen anew beside the others: the first was chosen when nobody knew of the second."""
        parts = list(peel)
        masks = [self._mask(e) for e in parts]
        for i in range(len(parts)):
            best = self._best(~np.any(masks[:i] + masks[i + 1 :], axis=0))
            if best is not None:
                parts[i], masks[i] = best, self._mask(best)
        left, found = np.ones(len(self.places), np.bool_), list[Explanation]()
        for e, mask in zip(parts, masks, strict=True):
            gain, failures, attempts = self._worth(
                mask & left, e.node, CONNECTIONS.index(e.connection), OPERATIONS.index(e.side)
            )
            if gain >= LEAST_GAIN:
                found.append(replace(e, failures=failures, attempts=attempts, gain=gain))
                left &= ~mask
        return tuple(found)

    def _mask(self, e: Explanation) -> Mask:
        return mask_of(self.cube, self.places, e.node, e.connection, e.side)

    def _worth(self, inside: Mask, node: int, c: int, s: int) -> tuple[float, int, int]:
        """Gain, failures and attempts of an explanation on the rows ``inside``."""
        f, n = int(self.f[inside].sum()), int(self.n[inside].sum())
        ratio = float(_log_ratio(np.array([float(f)]), np.array([float(n)]), self.p0)[0])
        return ratio - float(self._penalty[node, c, s]), f, n

    def _tables(self, left: Mask) -> tuple[Floats, Floats]:
        """Failures and attempts of every node × connection (any, fresh, pooled) × side (any, read, write)."""
        gone = ~left
        if gone.any() and 2 * gone.sum() < len(gone):
            f, n = self._count(gone)
            return self._all[0] - f, self._all[1] - n
        return self._count(left) if gone.any() else self._all

    def _count(self, rows: Mask) -> tuple[Floats, Floats]:
        slots, length = self._slots[rows].ravel(), 4 * (self._size + 1)
        width = self._slots.shape[1]
        tables = []
        for counts in (self.f, self.n):
            flat = np.bincount(slots, np.repeat(counts[rows], width), length)
            cells = flat.reshape(-1, 2, 2)[: self._size]
            cells = np.concatenate([cells.sum(axis=1, keepdims=True), cells], axis=1)
            tables.append(np.concatenate([cells.sum(axis=2, keepdims=True), cells], axis=2))
        return tables[0], tables[1]

    def _costs(self) -> Floats:
        """ln(elements of the family) + ln(families + 1), and the refinements; infinite for what is not asked."""
        seen = np.bincount(self._order[(self._all[1][:, 0, 0] > 0) & (self._order >= 0)], minlength=len(KINDS))
        base = np.log(np.maximum(seen, 1))[np.maximum(self._order, 0)] + log(len(KINDS) + 1)
        base[self._order == RANK[LOGICAL]] += LOGICAL_NATS
        base[self._favoured] -= FAVOUR_NATS
        base[self._order < 0] = np.inf
        steps = np.array([0.0, REFINEMENT_NATS, REFINEMENT_NATS])
        return np.asarray(base[:, None, None] + steps[None, :, None] + steps[None, None, :])

    def _best(self, left: Mask, *, contrast: bool = False, without: Collection[int] = ()) -> Explanation | None:
        f, n = self._tables(left)
        gains = _log_ratio(f, n, self.p0) - self._penalty
        score = _contrast(f, n, float(self.f[left].sum()), float(self.n[left].sum())) if contrast else gains
        score = np.where((gains > 0) & np.isfinite(gains), score, -np.inf)
        score[list(without)] = -np.inf
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
