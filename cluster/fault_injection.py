"""The faults installed in a zone process, and what they make of each thing that components do (shell).

The wrappers of the ports ask here: the transport for the fate of a message, the disk for its slowness, the front for errors
and certificates, everybody for the wall clock.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping

from cluster.faults import Fault, FaultKind, concerns_path
from cluster.transport import Fate

_DEFAULT_ERROR_STATUS = 500
_UNHARMED = Fate()


class FaultSet:
    """Installed faults by id, and questions about them. Questions are cheap while nothing is installed."""

    def __init__(
        self,
        zone_of: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._zone_of, self._clock, self._chance = zone_of, clock, chance
        self._installed: dict[str, Fault] = {}
        self._by_kind: dict[FaultKind, tuple[Fault, ...]] = {}
        self._dice: dict[tuple[Fault, str], random.Random] = {}

    def add(self, fault_id: str, fault: Fault) -> None:
        """Install (or replace) one."""
        self._installed[fault_id] = fault
        self._sort()

    def remove(self, fault_id: str) -> Fault | None:
        """Take one out; None when there is none of that id."""
        fault = self._installed.pop(fault_id, None)
        self._sort()
        return fault

    def installed(self) -> dict[str, Fault]:
        """All of them by id."""
        return dict(self._installed)

    def _sort(self) -> None:
        kinds = {fault.kind for fault in self._installed.values()}
        self._by_kind = {kind: tuple(f for f in self._installed.values() if f.kind == kind) for kind in kinds}
        kept = set(self._installed.values())
        self._dice = {place: dice for place, dice in self._dice.items() if place[0] in kept}

    def _happens(self, fault: Fault, where: str) -> bool:
        """Whether a fault with a probability strikes this time.

        A fault with a seed draws from it for each place by itself: what other places do in between changes nothing, so that
        two runs draw the same sequences.
        """
        if fault.probability is None:
            return True
        if fault.seed is None:
            return self._chance() < fault.probability
        dice = self._dice.get((fault, where))
        if dice is None:
            dice = self._dice[fault, where] = random.Random(f"{fault.seed}/{where}")
        return dice.random() < fault.probability

    def concerns(self, fault: Fault, component: str) -> bool:
        """Whether ``fault`` names ``component``, or its zone."""
        return component in (fault.node, fault.router) or (
            fault.zone is not None and fault.zone == self._zone_of.get(component)
        )

    def _of(self, kind: FaultKind, component: str) -> Iterable[Fault]:
        return (fault for fault in self._by_kind.get(kind, ()) if self.concerns(fault, component))

    # --- the front's questions ------------------------------------------------------------------------------------------

    def error_for(self, router: str, endpoint: str, operation: str, table: str | None) -> int | None:
        """The HTTP status to answer instead of serving; ``operation``: read or write."""
        for fault in self._by_kind.get(FaultKind.ERROR, ()):
            named = self.concerns(fault, router) or fault.endpoint in (endpoint, "any")
            if named and self._strikes(fault, router, operation, table):
                return fault.status or _DEFAULT_ERROR_STATUS
        for fault in self._of(FaultKind.VERSION, router):
            if self._strikes(fault, router, operation, table):
                return fault.status or _DEFAULT_ERROR_STATUS
        return None

    def version_of(self, router: str) -> str | None:
        """The version that a bad deployment has brought to this router, the newest; None: its own."""
        deployed: str | None = None
        for fault in self._of(FaultKind.VERSION, router):
            deployed = fault.version
        return deployed

    def _strikes(self, fault: Fault, component: str, operation: str, table: str | None) -> bool:
        if fault.operation not in (None, operation) or fault.table not in (None, table):
            return False
        return self._happens(fault, component)

    def tls_problem(self, endpoint: str) -> str | None:
        """``expired`` or ``unknown_ca``: the certificate to show for this endpoint."""
        for fault in self._by_kind.get(FaultKind.TLS, ()):
            if fault.endpoint in (endpoint, "any"):
                return fault.problem
        return None

    def metrics_muted(self, component: str) -> bool:
        """Whether the component's metrics page does not answer."""
        return any(True for _ in self._of(FaultKind.MUTE_METRICS, component))

    def wall_clock(self, component: str) -> float:
        """UTC epoch seconds as the component believes."""
        if FaultKind.SKEW not in self._by_kind:
            return self._clock()
        return self._clock() + sum(fault.seconds or 0.0 for fault in self._of(FaultKind.SKEW, component))

    # --- the node's and its disk's questions ----------------------------------------------------------------------------

    def node_fails(self, node: str, operation: str, table: str) -> bool:
        """Whether the storage node answers this with an internal error."""
        faults = self._by_kind.get(FaultKind.ERROR)
        if not faults:
            return False
        return any(fault.node == node and self._strikes(fault, node, operation, table) for fault in faults)

    def replica_down(self, node: str, table: str, partition: str) -> bool:
        """Whether the node's replica of this partition, if it has one, neither hears nor says anything."""
        if FaultKind.REPLICA_DOWN not in self._by_kind:
            return False
        return any((f.table, f.partition) == (table, partition) for f in self._of(FaultKind.REPLICA_DOWN, node))

    def fsync_factor(self, component: str) -> float:
        """How many times as long an fsync takes."""
        return max((fault.factor or 1.0 for fault in self._of(FaultKind.SLOW_DISK, component)), default=1.0)

    def disk_full(self, component: str) -> bool:
        """Whether the component's disk has no space left."""
        return any(True for _ in self._of(FaultKind.DISK_FULL, component))

    def archive_stalled(self, node: str) -> bool:
        """Whether the archive takes nothing from the node and gives it nothing."""
        return any(True for _ in self._of(FaultKind.ARCHIVE_STALL, node))

    # --- the transport's questions --------------------------------------------------------------------------------------

    def severed(self, sender: str, receiver: str) -> bool:
        """Whether a partition lies on the path."""
        faults = self._by_kind.get(FaultKind.PARTITION)
        if not faults:
            return False
        return any(concerns_path(fault, sender, receiver) for fault in faults)

    def fate(self, sender: str, receiver: str) -> Fate:
        """What happens to one message."""
        if not self._by_kind:
            return _UNHARMED
        dropped = any(
            concerns_path(fault, sender, receiver) and self._happens(fault, f"{sender}>{receiver}")
            for fault in self._by_kind.get(FaultKind.DROP, ())
        )
        delays = (
            (fault.ms or 0.0) / 1000.0
            for fault in self._by_kind.get(FaultKind.DELAY, ())
            if concerns_path(fault, sender, receiver)
        )
        return Fate(dropped or self.severed(sender, receiver), sum(delays))
