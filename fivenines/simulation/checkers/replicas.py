"""Replicas agree: one value at a log position, applied in order; one leader under a ballot; one lease at any instant (pure)."""

from collections.abc import Callable

from cluster.replication.messages import Apply, Ballot, Effect, Entry, Input, Recovered, RoleChanged, SnapshotInstalled
from cluster.watch import Watched
from fivenines.simulation.checkers.verdict import Verdict

Place = tuple[str, str]
"""Group and node."""


class Agreement:
    """A :class:`cluster.watch.Watch` over all nodes of a region."""

    def __init__(self, verdict: Verdict, now: Callable[[], float]) -> None:
        self._verdict, self._now = verdict, now
        self._chosen: dict[tuple[str, int], tuple[object, ...]] = {}
        self._applied: dict[Place, int] = {}
        self._offices: dict[tuple[str, Ballot], str] = {}
        self._leaders: dict[str, dict[str, Watched]] = {}
        self.elections = 0

    def opened(self, group: Watched, recovered: Recovered | None) -> None:  # noqa: ARG002 (asks the replica itself)
        """It goes on after what its table holds."""
        self._applied[group.name, group.node] = group.replica.applied_lsn

    def dropped(self, group: Watched) -> None:
        """It leads nothing any more."""
        self._leaders.get(group.name, {}).pop(group.node, None)

    def closed(self, node: str) -> None:
        """The node is down: it leads nothing."""
        for leaders in self._leaders.values():
            leaders.pop(node, None)

    def stepped(self, group: Watched, event: Input, effects: list[Effect]) -> None:
        """Look at one decision."""
        snapshot = event.lsn if isinstance(event, SnapshotInstalled) else 0
        place = group.name, group.node
        self._applied[place] = max(self._applied[place], snapshot)
        for effect in effects:
            if isinstance(effect, Apply):
                self._apply(group, effect.entries, snapshot)
            elif isinstance(effect, RoleChanged):
                self._role(group, effect)
        if group.replica.role == "leader":
            self._lease(group)

    def _apply(self, group: Watched, entries: tuple[Entry, ...], snapshot: int) -> None:
        """``snapshot``: with this step everything up to there is in the table, whatever is said of single entries below."""
        place = group.name, group.node
        for entry in entries:
            if entry.lsn != self._applied[place] + 1 and entry.lsn > snapshot:
                self._break("applied_in_order", f"{place} applies {entry.lsn} after {self._applied[place]}")
            self._applied[place] = max(self._applied[place], entry.lsn)
            value = _value(entry)
            known = self._chosen.setdefault((group.name, entry.lsn), value)
            if known != value:
                self._break("one_value", f"{group.name} has two values at LSN {entry.lsn}: {known}, {value}")

    def _role(self, group: Watched, effect: RoleChanged) -> None:
        leaders = self._leaders.setdefault(group.name, {})
        if effect.role != "leader":
            leaders.pop(group.node, None)
            return
        leaders[group.node] = group
        self.elections += 1
        known = self._offices.setdefault((group.name, effect.ballot), group.node)
        if known != group.node or effect.ballot.node != group.node:
            self._break("one_leader", f"{group.name}: {known} and {group.node} lead under {effect.ballot}")

    def _lease(self, group: Watched) -> None:
        """A lease begins, or goes on, with a step of its holder; so two that overlap are seen when the later one begins."""
        leaders = self._leaders[group.name]
        if len(leaders) < 2:
            return
        holders = [node for node, other in leaders.items() if other.holds_lease()]
        if len(holders) > 1:
            self._break("one_lease", f"{group.name}: {' and '.join(holders)} hold a lease at the same time")

    def _break(self, promise: str, text: str) -> None:
        self._verdict.breaks(promise, self._now(), text)


def _value(entry: Entry) -> tuple[object, ...]:
    """What is chosen: all of an entry but the ballot that it was proposed under."""
    return tuple(getattr(entry, name) for name in entry.__struct_fields__ if name != "ballot")
