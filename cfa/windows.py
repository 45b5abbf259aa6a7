"""Rolling good, bad and excluded counts of every node × side over all windows (pure).

Three rings of integer counts (10 s for an hour, 5 min for a day, 1 h for 30 days) and the running sum of each window:
adding and moving on cost O(nodes), asking costs O(1). A window's edge is as fine as its ring: 5 m ends on 10 s.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfa.packing import pack, unpack
from cfa.policy import WINDOWS

Counts = NDArray[np.int64]
KINDS = 3
GOOD, BAD, EXCLUDED = range(KINDS)


@dataclass(frozen=True, slots=True)
class Resolution:
    """One ring: the width of a bucket in seconds, and the windows (indices into ``WINDOWS``) that it serves."""

    seconds: int
    windows: tuple[int, ...]

    @property
    def slots(self) -> int:
        """Buckets of the longest window that it serves."""
        return max(WINDOWS[w][1] for w in self.windows) // self.seconds


RESOLUTIONS = (Resolution(10, (0, 1, 2)), Resolution(300, (3, 4)), Resolution(3_600, (5, 6)))


class Windows:
    """``sums[window, node, side, kind]`` are the counts of each rolling window as of the last :meth:`advance`."""

    def __init__(self) -> None:
        self.capacity = 64
        self._now: list[int | None] = [None] * len(RESOLUTIONS)
        self._rings: list[NDArray[np.int32]] = [
            np.zeros((r.slots, self.capacity, 2, KINDS), np.int32) for r in RESOLUTIONS
        ]
        self.sums: Counts = np.zeros((len(WINDOWS), self.capacity, 2, KINDS), np.int64)

    def reserve(self, nodes: int) -> None:
        """Makes room for ``nodes`` nodes."""
        if nodes <= self.capacity:
            return
        more = max(nodes, 2 * self.capacity) - self.capacity
        self._rings = [np.pad(ring, ((0, 0), (0, more), (0, 0), (0, 0))) for ring in self._rings]
        self.sums = np.pad(self.sums, ((0, 0), (0, more), (0, 0), (0, 0)))
        self.capacity += more

    def advance(self, at: float) -> None:
        """Lets what is too old by ``at`` leave; time never goes back."""
        for i, resolution in enumerate(RESOLUTIONS):
            bucket = int(at // resolution.seconds)
            now = self._now[i]
            if now is None:
                self._now[i] = bucket
                continue
            for new in range(now + 1, min(bucket, now + resolution.slots) + 1):
                self._enter(i, resolution, new)
            self._now[i] = max(now, bucket)

    def _enter(self, i: int, resolution: Resolution, bucket: int) -> None:
        ring = self._rings[i]
        for w in resolution.windows:
            leaving = bucket - WINDOWS[w][1] // resolution.seconds
            self.sums[w] -= ring[leaving % resolution.slots]
        ring[bucket % resolution.slots] = 0

    def add(self, at: float, counts: Counts) -> None:
        """Adds ``counts[node, side, kind]`` (negative to take back) of the moment ``at``; the future counts as now."""
        size = counts.shape[0]
        for i, resolution in enumerate(RESOLUTIONS):
            now = self._now[i]
            if now is None:
                continue
            bucket = min(int(at // resolution.seconds), now)
            if now - bucket >= resolution.slots:
                continue
            self._rings[i][bucket % resolution.slots, :size] += counts.astype(np.int32)
            for w in resolution.windows:
                if now - bucket < WINDOWS[w][1] // resolution.seconds:
                    self.sums[w, :size] += counts

    def over(self, seconds: int) -> Counts:
        """``[node, side, kind]`` counts of the last ``seconds``: kept for the windows of the policy, else added up.

        As fine as the ring that holds it: 2 h ends on 5 minutes, 3 d and a month on an hour. At most 30 days.
        """
        for w, (_, width) in enumerate(WINDOWS):
            if width == seconds:
                return np.asarray(self.sums[w])
        i, resolution = next(
            ((i, r) for i, r in enumerate(RESOLUTIONS) if seconds <= r.slots * r.seconds),
            (len(RESOLUTIONS) - 1, RESOLUTIONS[-1]),
        )
        return self._last(i, -(-seconds // resolution.seconds))

    def _last(self, i: int, slots: int) -> Counts:
        """Counts of the newest ``slots`` buckets of a ring, the present one among them."""
        now, kept = self._now[i], min(RESOLUTIONS[i].slots, slots)
        if now is None:
            return np.zeros_like(self.sums[0])
        rows = [(now - back) % RESOLUTIONS[i].slots for back in range(kept)]
        return np.asarray(self._rings[i][rows].sum(axis=0, dtype=np.int64))

    def month(self, at: float) -> tuple[Counts, bool]:
        """Counts of the calendar month (UTC) of ``at`` so far, and whether all of it is kept.

        The hours of a ring of 30 days: on the 31st the first day is lost, and the answer says so. What was before this
        judgement began to listen was never observed here; the report asks the ledger for that.
        """
        moment = dt.datetime.fromtimestamp(at, tz=dt.UTC)
        begun = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0).timestamp()
        hours = int(at // 3_600) - int(begun // 3_600) + 1
        return self._last(len(RESOLUTIONS) - 1, hours), hours <= RESOLUTIONS[-1].slots

    def state(self) -> dict[str, Any]:
        """For the snapshot."""
        return {"now": list(self._now), "rings": [pack(ring) for ring in self._rings], "sums": pack(self.sums)}

    def load(self, state: dict[str, Any]) -> None:
        """Takes a :meth:`state` back."""
        self._now = state["now"]
        self._rings = [unpack(ring) for ring in state["rings"]]
        self.sums = unpack(state["sums"])
        self.capacity = self.sums.shape[1]
