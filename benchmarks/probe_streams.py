"""Simulated probes: only failures are drawn, the successes between them are a number."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
FAR = np.int64(2**40)
"""A gap longer than any simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Probes that fail with probability ``share``, and with probability ``again`` directly after a failure.

    The share is kept whatever ``again`` is: failures then come in bursts, and bursts are rarer.
    """

    share: float
    again: float

    @classmethod
    def independent(cls, share: float) -> "Chain":
        """Every probe by itself."""
        return cls(share=share, again=share)

    @property
    def begins(self) -> float:
        """P(fail | the probe before succeeded), so that the share is kept."""
        return self.share * (1 - self.again) / (1 - self.share) if self.share < 1 else 1.0

    def gaps(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
        """Successes between a failure and the next."""
        waits = rng.geometric(self.begins, shape)
        return np.where(rng.random(shape) < self.again, 0, np.minimum(waits, FAR)).astype(np.int64)

    def first(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
        """Successes before the first failure, from a moment without one."""
        return np.minimum(rng.geometric(self.begins, shape) - 1, FAR).astype(np.int64)
