"""The fleet's health as autoadmin sees it: which storage nodes are alive, which are slow, how full they are (pure).

A node that is slow hurts customers as one that is dead does, and nobody's heartbeat says so (DynamoDB, USENIX ATC 2022, §5: gray
failures); so nodes report how long their fsyncs take, and are compared with each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from cluster.control.healing import FleetNode
from cluster.routing.messages import NodeReport

SILENT_SECONDS = 3.0
"""A node that has not reported for so long is not alive."""
SLOW_FSYNC_SECONDS = 0.1
SLOW_TIMES_MEDIAN = 5.0
"""An fsync is slow when it takes longer than both: a busy machine slows all nodes alike, and then none of them is to blame."""
SLOW_AFTER_SECONDS = 5.0
"""A node is called slow when its fsyncs have been slow for so long."""
WELL_AFTER_SECONDS = 15.0
"""A slow node is called well again when none of its fsyncs were slow for so long."""


@dataclass(slots=True)
class _Seen:
    report: NodeReport
    at: float
    slow_since: float | None = None
    well_since: float = 0.0
    slow: bool = False


class Fleet:
    """What has been reported, and what follows from it. Times are monotonic seconds of whoever keeps it."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def take(self, report: NodeReport, at: float) -> None:
        """A node's report of the last second."""
        seen = self._seen.setdefault(report.node, _Seen(report, at))
        seen.report, seen.at = report, at
        if self._is_slow(report):
            seen.slow_since = at if seen.slow_since is None else seen.slow_since
            seen.well_since = at
            seen.slow = seen.slow or at - seen.slow_since >= SLOW_AFTER_SECONDS
        else:
            seen.slow_since = None
            seen.slow = seen.slow and at - seen.well_since < WELL_AFTER_SECONDS

    def _is_slow(self, report: NodeReport) -> bool:
        others = [s.report.fsync_seconds for name, s in self._seen.items() if name != report.node]
        usual = median(others) if others else report.fsync_seconds
        return report.fsync_seconds > max(SLOW_FSYNC_SECONDS, SLOW_TIMES_MEDIAN * usual)

    def nodes(self, at: float) -> Mapping[str, FleetNode]:
        """Every node that has ever reported."""
        return {
            name: FleetNode(seen.report.zone, at - seen.at <= SILENT_SECONDS, seen.slow, seen.report.groups)
            for name, seen in sorted(self._seen.items())
        }
