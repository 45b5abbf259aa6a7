"""Evidence that the error budget burns faster than allowed: a mixture Shiryaev–Roberts detector per node × side (pure).

Each alternative p_k has a state ``R_k ← (1 + R_k) · likelihood ratio`` and M is their mean. While failures happen
with conditional probability at most p0, E[M] ≤ number of updates, so M reaches A at most once in A updates on average
(Shin, Ramdas & Rinaldo, "E-detectors"). Robust against bursts: a failure directly after a failure *of the same host*,
or of the same series (host and cell) before, may have had any probability up to c, and counts at most max(p_k, c)/c;
hosts are independent of each other, unless ``shared`` says that bursts are seen by all of them.

Beside it the start of each alternative's CUSUM path dates the change and counts what came since. Many failing nodes
lend each other strength in :func:`lent`.
"""

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfa.packing import pack, unpack
from cfa.policy import CLUSTERING, GRID, SECONDS_PER_YEAR

Floats = NDArray[np.float64]
Cell = tuple[str, ...]
"""A host and what it asks (endpoint, connection, operation): bursts are of one such series."""

CEILING = 1e280
"""States stop growing here (ln = 645): lowering a state never makes an alarm more likely."""

LATE_MOST = 3
"""Successes of the second in which a change began, told after the failures: up to so many are taken to be from before it."""

RATE_SECONDS = 600.0
"""Time constant of the measured updates per second."""


def alternatives(allowed: float) -> list[float]:
    """The grid of failure ratios p_k for a p0 of ``allowed``, each in (p0, 0.999]."""
    return [min(0.999, max(value * allowed if relative else value, 2 * allowed)) for value, relative in GRID]


def lent(log_evidence: Floats, log_threshold: float) -> float:
    """The threshold when k nodes lend each other strength: ``ln A − ln k`` for the largest k whose k-th M is ≥ A / k.

    The e-d-BH rule (Dandapanthula & Ramdas 2025, arXiv 2501.04130), whatever the nodes have in common. Some M_(k) ≥ A / k
    only if ΣM ≥ A, and ΣM grows by at most one per update of a node, so a fleet that meets its objective still reaches
    it at most once in A updates; while k nodes really fail, at most the promised *part* of what is reported is false.
    """
    high = log_evidence[log_evidence >= log_threshold - log(max(1, log_evidence.size))]
    found = np.sort(high)[::-1]
    passed = np.nonzero(found >= log_threshold - np.log(np.arange(1, found.size + 1)))[0]
    return log_threshold - (log(int(passed[-1]) + 1) if len(passed) else 0.0)


class Evidence:
    """Detector states of all nodes × sides; rows appear with the cube's nodes."""

    def __init__(self, clustering: float = CLUSTERING, *, shared: bool = False) -> None:
        """``clustering`` is c; ``shared``: a failure directly after *any* host's failure counts as part of a burst."""
        self.c, self.shared = clustering, shared
        self.failing: dict[Cell, float] = {}
        width = len(GRID)
        self.size = 0
        self.hosts: list[str] = []
        self._p0: Floats = np.zeros(0)
        self._pk: Floats = np.zeros((0, width))
        self._r: Floats = np.zeros((0, 2, width))
        self._path: Floats = np.zeros((0, 2, width))
        self._since: Floats = np.zeros((0, 2, width, 3))
        self._failed: NDArray[np.bool_] = np.zeros((0, 2, 0), np.bool_)
        self._updates_per_second = 0.0
        self._rated_at: float | None = None
        self._derive()

    def reserve(self, allowed: Sequence[float]) -> None:
        """Rows for new nodes, with the p0 of each; ``allowed`` holds those of all nodes."""
        new = list(allowed[self.size :])
        if not new:
            return
        width, more = len(GRID), len(new)
        self._p0 = np.concatenate([self._p0, np.array(new)])
        self._pk = np.concatenate([self._pk, np.array([alternatives(p0) for p0 in new])])
        self._r = np.concatenate([self._r, np.zeros((more, 2, width))])
        self._path = np.concatenate([self._path, np.zeros((more, 2, width))])
        self._since = np.concatenate([self._since, np.zeros((more, 2, width, 3))])
        self._failed = np.concatenate([self._failed, np.zeros((more, 2, len(self.hosts)), np.bool_)])
        self.size += more
        self._derive()

    def _derive(self) -> None:
        p0 = self._p0[:, None]
        self._first = self._pk / p0 if self.size else self._pk
        self._again = np.maximum(self._pk, self.c) / self.c
        self._good = (1 - self._pk) / (1 - p0)
        self._good_after = np.where(self._pk >= self.c, (1 - self._pk) / (1 - self.c), self._good)

    def host(self, name: str) -> int:
        """The index of a host, new or known."""
        if name not in self.hosts:
            self.hosts.append(name)
            self._failed = np.concatenate([self._failed, np.zeros((self.size, 2, 1), np.bool_)], axis=2)
        return self.hosts.index(name)

    def follows(self, series: Cell, at: float) -> bool:
        """Notes a failure of a series (host and cell) at ``at``; whether its attempt before had failed, too."""
        again = series in self.failing
        self.failing[series] = max(at, self.failing.get(series, at))
        return again

    def answered(self, series: Cell, at: float) -> None:
        """A series' attempt in the second ``at`` succeeded: what fails next is not of a burst."""
        if self.failing and self.failing.get(series, at) < at:
            del self.failing[series]

    def failures(
        self, nodes: NDArray[np.int32], side: int, host: int, count: int, at: Any, *, again: bool = False
    ) -> None:
        """``count`` failed attempts in a row of one host, in each of ``nodes``; ``again``: its series failed before.

        ``at`` is one time, or one for each of ``nodes``.
        """
        flags = self._failed[nodes, side]
        was = ((flags.any(axis=1) if self.shared else flags[:, host]) | again)[:, None]
        factor = np.where(was, self._again[nodes], self._first[nodes])
        r = np.minimum((1 + self._r[nodes, side]) * factor, CEILING)
        if count > 1:
            r = np.minimum(_run(r, self._again[nodes], min(count - 1, 100)), CEILING)
        self._r[nodes, side] = r
        self._failed[nodes, side, host] = True
        rise = np.log(factor) + (count - 1) * np.log(self._again[nodes])
        self._move(nodes, side, rise, bad=count, good=0, at=at)

    def successes(self, counts: NDArray[np.int64], host: int, at: Any, *, asked: float | None = None) -> None:
        """``counts[node, side]`` successful attempts of one host, in closed form; ``at`` one time or ``at[node, side]``.

        ``asked``: the second in which they were asked. Failures are told at once, successes when their second is over: a
        few of the second in which a total failure began do not speak against it.
        """
        nodes, sides = np.nonzero(counts)
        if not len(nodes):
            return
        at = at if np.ndim(at) == 0 else at[nodes, sides]
        n = counts[nodes, sides].astype(np.float64)[:, None]
        was = self._failed[nodes, sides, host][:, None]
        good, r = self._good[nodes], self._r[nodes, sides]
        r = np.where(was, (1 + r) * self._good_after[nodes], r)
        left = n - was
        r = np.where(left > 0, _run(r, good, left), r)
        late = self._late(nodes, sides, n, asked)
        # Only what began before the change is multiplied; q/(1 − q) stands for that, so its part of R is q.
        self._r[nodes, sides] = np.where(late, self._r[nodes, sides] * (1 - good + good ** (n + 1)), r)
        self._failed[nodes, sides, host] = False
        self._move(nodes, sides, np.where(late, 0, n * np.log(good)), bad=0, good=np.where(late, 0, n), at=at)

    def _late(self, nodes: Any, sides: Any, n: Floats, asked: float | None) -> NDArray[np.bool_]:
        """Which alternatives of a greater part failing began in the second of these ``n`` successes, or after it."""
        if asked is None:
            return np.zeros((1, 1), np.bool_)
        began = np.floor(self._since[nodes, sides, :, 0]) >= asked
        return np.asarray(began & (self._path[nodes, sides] > 0) & (self._pk[nodes] >= self.c) & (n <= LATE_MOST))

    def _move(self, nodes: Any, sides: Any, rise: Floats, *, bad: int, good: Any, at: Any) -> None:
        """Moves the CUSUM paths; one that falls to 0 starts anew: the change, if any, is later than ``at``."""
        since, when = self._since[nodes, sides], np.asarray(at, np.float64).reshape(-1, 1)
        since[:, :, 0] = np.where(self._path[nodes, sides] <= 0, when, since[:, :, 0])
        since[:, :, 1] += bad
        since[:, :, 2] += good
        path = np.maximum(self._path[nodes, sides] + rise, 0)
        since[path <= 0] = 0
        self._path[nodes, sides], self._since[nodes, sides] = path, since

    def log_evidence(self) -> Floats:
        """The logarithm of M of every node × side."""
        return np.log(np.maximum(self._r.mean(axis=2), 1e-300)) if self.size else np.zeros((0, 2))

    def change(self, node: int, side: int) -> tuple[float, int, int]:
        """When the change began by the best CUSUM path, and the failures and successes since."""
        k = int(np.argmax(self._path[node, side]))
        at, bad, good = self._since[node, side, k]
        return float(at), int(bad), int(good)

    def reset(self, keep: NDArray[np.bool_]) -> None:
        """Forgets the evidence of all nodes but ``keep``; always allowed, it only lowers states.

        Who failed last is remembered: what follows may be of the same burst.
        """
        self._r[~keep] = 0
        self._path[~keep] = 0
        self._since[~keep] = 0

    def rate(self, updates: int, at: float) -> None:
        """Measures updates per second over all nodes, for the threshold."""
        if self._rated_at is None:
            self._rated_at = at
        passed = max(0.0, at - self._rated_at)
        keep = float(np.exp(-passed / RATE_SECONDS))
        self._updates_per_second = self._updates_per_second * keep + updates / RATE_SECONDS
        self._rated_at = at

    def updates_per_year(self) -> float:
        """Measured, but at least one a second for every node × side: a quiet start must not lower the threshold."""
        return SECONDS_PER_YEAR * max(self._updates_per_second, 2.0 * self.size, 1.0)

    def log_threshold(self, false_pages_per_year: float) -> float:
        """The logarithm of A = updates of all nodes in a year / false pages allowed in a year (Σ over nodes of P(alarm) ≤ t/A)."""
        return log(self.updates_per_year() / false_pages_per_year)

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        arrays = {n: pack(getattr(self, n)) for n in ("_p0", "_r", "_path", "_since", "_failed")}
        rate = [self._updates_per_second, self._rated_at]
        return arrays | {"hosts": list(self.hosts), "rate": rate, "failing": list(self.failing.items())}

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        for name in ("_p0", "_r", "_path", "_since", "_failed"):
            setattr(self, name, unpack(state[name]))
        self.size, self.hosts = len(self._p0), state["hosts"]
        self._pk = np.array([alternatives(p0) for p0 in self._p0]).reshape(-1, len(GRID))
        self._updates_per_second, self._rated_at = state["rate"]
        self.failing = {tuple(series): at for series, at in state.get("failing", [])}
        self._derive()


def _run(r: Floats, factor: Floats, n: Any) -> Floats:
    """``n`` times ``r ← (1 + r) · factor`` in closed form: ``qⁿ r + q (1 − qⁿ) / (1 − q)``; factor 1 adds 1 each time."""
    power = factor**n
    near = np.abs(1 - factor) < 1e-12
    safe = np.where(near, 0.5, factor)
    return np.asarray(np.where(near, r + n, power * r + safe * (1 - power) / (1 - safe)))
