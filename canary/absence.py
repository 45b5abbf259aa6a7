"""What a host meant to ask while it was not there (pure): a gap that nobody tells would look like nothing was wrong.

The schedule follows from the configuration and the time alone, so a host's next life knows what its last one missed.
"""

import math
from collections.abc import Iterator

from canary.config import CanaryConfig
from canary.plan import Cell, Host, groups, phases
from canary.tally import as_unobserved
from collector.interval import INTERVAL_SECONDS
from collector.observation import Connection, OperationClass
from collector.series import Unobserved

CANARY_DOWN = "canary_down"
TELL_MOST_SECONDS = 6 * 86400.0
"""The ledger takes nothing older than a week."""


def absent(config: CanaryConfig, host: Host, host_count: int, *, since: float, until: float) -> tuple[Unobserved, ...]:
    """The intended probes of ``host`` in ``[since, until)`` (UTC), by cell and five minutes."""
    since = max(since, until - TELL_MOST_SECONDS)
    counts: dict[tuple[str, Connection, OperationClass, int, str], int] = {}
    for cell, phase, cadence in _cells(config, host, host_count):
        first, last = (math.ceil(at / cadence - phase) for at in (since, until))
        start = since
        while first < last:
            end = min(until, (start // INTERVAL_SECONDS + 1) * INTERVAL_SECONDS)
            number = math.ceil(end / cadence - phase)
            if number > first:
                at = max(int(start), int(start // INTERVAL_SECONDS) * INTERVAL_SECONDS)
                counts[cell.endpoint, cell.connection, cell.operation, at, CANARY_DOWN] = number - first
            first, start = number, end
    return as_unobserved(counts)


def _cells(config: CanaryConfig, host: Host, host_count: int) -> Iterator[tuple[Cell, float, float]]:
    for group in groups(config):
        shares = phases(len(group.cells), host_count, host.rank)
        for cell, phase in zip(group.cells, shares, strict=True):
            yield cell, phase, group.cadence_seconds
