"""What was acknowledged is on disks: in two zones when a client is told, and still there when a node comes back (pure)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.replication.messages import (
    NO_BALLOT,
    Accepted,
    Append,
    Ballot,
    Effect,
    Input,
    Persisted,
    Recovered,
    SnapshotInstalled,
)
from cluster.watch import Watched
from fivenines.simulation.checkers.verdict import Verdict

COPIES = 2
"""An acknowledged write is in two WALs, fsynced, in two zones."""


@dataclass(slots=True)
class _Stored:
    """What one replica was told to be durable. ``table``: everything up to this LSN is in its items, durably."""

    promised: Ballot = NO_BALLOT
    entries: dict[int, Ballot] = field(default_factory=dict)
    table: int = 0
    under_way: list[Append] = field(default_factory=list)
    ballot: Ballot = NO_BALLOT
    """Whom the replica belonged to when it last decided something."""

    def persisted(self, token: int) -> None:
        """Appends up to ``token`` are on the disk."""
        while self.under_way and self.under_way[0].token <= token:
            append = self.under_way.pop(0)
            self.promised = max(self.promised, append.promised)
            if append.entries:
                first = append.entries[0].lsn
                for lsn in [lsn for lsn in self.entries if lsn >= first]:
                    del self.entries[lsn]
                self.entries.update((entry.lsn, entry.ballot) for entry in append.entries)

    def sure(self) -> dict[int, Ballot]:
        """Entries that no append under way at the power-off can have replaced."""
        first = min((append.entries[0].lsn for append in self.under_way if append.entries), default=None)
        return {lsn: ballot for lsn, ballot in self.entries.items() if first is None or lsn < first}


class Durability:
    """A :class:`cluster.watch.Watch` over all nodes of a region. ``zone_of``: by node."""

    def __init__(self, verdict: Verdict, now: Callable[[], float], zone_of: dict[str, str]) -> None:
        self._verdict, self._now, self._zone_of = verdict, now, zone_of
        self._stored: dict[str, dict[str, _Stored]] = {}
        self._excused: set[str] = set()
        self._gone: dict[tuple[str, str], dict[int, Ballot]] = {}
        """What the unlucky node had stored, and said so, before it was damaged: one copy of two may be lost so."""
        self.acknowledged = 0

    def excuse(self, node: str, *, forget: bool) -> None:
        """The node's disk is damaged on purpose: it need not come back with what it had. ``forget``: it is down, and holds nothing."""
        self._excused.add(node)
        for group, stored in self._stored.items() if forget else ():
            if (gone := stored.pop(node, None)) is not None:
                self._gone.setdefault((group, node), {}).update(gone.entries)

    def dropped(self, group: Watched) -> None:
        """Whoever is no member any more need not remember anything; the members that are left do."""
        self._stored.get(group.name, {}).pop(group.node, None)

    def opened(self, group: Watched, recovered: Recovered | None) -> None:
        """Everything that the replica was told to be durable is there again; what else is there counts from now on."""
        found = recovered or Recovered(NO_BALLOT, 0, ())
        stored = self._of(group)
        if group.node not in self._excused:
            self._compare(group, stored, found)
        stored.under_way.clear()
        stored.promised, stored.ballot = found.promised, found.promised
        stored.entries = {entry.lsn: entry.ballot for entry in found.entries}
        stored.table = found.applied

    def _compare(self, group: Watched, stored: _Stored, found: Recovered) -> None:
        place = f"{group.node} {group.name}"
        if found.promised < stored.promised:
            self._break("durable_stays", f"{place} has promised {stored.promised} and comes back with {found.promised}")
        held = {entry.lsn: entry.ballot for entry in found.entries}
        for lsn, ballot in stored.sure().items():
            if lsn > max(found.applied, stored.table) and held.get(lsn, NO_BALLOT) < ballot:
                last = found.entries[-1].lsn if found.entries else found.applied
                self._break(
                    "durable_stays", f"{place} had LSN {lsn} on its disk and comes back without it, up to {last}"
                )
                return

    def stepped(self, group: Watched, event: Input, effects: list[Effect]) -> None:
        """Look at one decision."""
        stored = self._of(group)
        if isinstance(event, Persisted):
            stored.persisted(event.token)
        elif isinstance(event, SnapshotInstalled):
            stored.table = max(stored.table, event.lsn)
        for effect in effects:
            if isinstance(effect, Append):
                stored.under_way.append(effect)
            elif isinstance(effect, Accepted):
                self._accepted(group, effect.lsn, stored.ballot)
        # A leader may accept and resign in one step: what it accepted was under the ballot that it came with.
        stored.ballot = group.replica.ballot

    def _of(self, group: Watched) -> _Stored:
        return self._stored.setdefault(group.name, {}).setdefault(group.node, _Stored())

    def _accepted(self, group: Watched, lsn: int, ballot: Ballot) -> None:
        self.acknowledged += 1
        holders = {
            node: True
            for node, stored in self._stored[group.name].items()
            if stored.entries.get(lsn) == ballot or lsn <= stored.table
        }
        holders |= {node: True for node in self._excused if self._gone.get((group.name, node), {}).get(lsn) == ballot}
        zones = {self._zone_of[node] for node in holders}
        if len(holders) < COPIES or len(zones) < COPIES:
            self._break(
                "two_copies", f"{group.name} acknowledges LSN {lsn} with copies on {sorted(holders) or 'no disk'} only"
            )

    def _break(self, promise: str, text: str) -> None:
        self._verdict.breaks(promise, self._now(), text)
