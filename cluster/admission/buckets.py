"""Token buckets: how much a partition may be asked a second (pure).

Units are DynamoDB's: a write unit is 1 KB, a read unit 4 KB read strongly, or 8 KB eventually. A request is admitted while
there is anything in the bucket and then takes what it cost, which for a read is known only afterwards: so a bucket may be in debt.
"""

import math
from dataclasses import dataclass

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096


@dataclass(slots=True)
class Bucket:
    """Refilled at ``rate`` units a second up to ``rate × burst_seconds``."""

    rate: float
    burst_seconds: float = 1.0
    level: float | None = None
    at: float = 0.0

    def admits(self, at: float) -> bool:
        """Whether a request may begin now."""
        capacity = self.rate * self.burst_seconds
        if self.level is None:
            self.level = capacity
        else:
            self.level = min(capacity, self.level + (at - self.at) * self.rate)
        self.at = at
        return self.level > 0

    def take(self, units: float) -> None:
        """What an admitted request has cost."""
        if self.level is not None:
            self.level -= units


def write_units(size_bytes: int) -> float:
    """The cost of writing an item of this size (the larger of before and after)."""
    return max(1, math.ceil(size_bytes / WRITE_UNIT_BYTES))


def read_units(size_bytes: int, *, strong: bool) -> float:
    """The cost of reading so much at once."""
    units = max(1, math.ceil(size_bytes / READ_UNIT_BYTES))
    return units if strong else units / 2
