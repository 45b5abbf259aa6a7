"""Operators' actions in the lane of tables: the judgement's desk once more, for the incidents of tables (pure).

Actions come out of the judgement's journal. Each takes its place after a tick here, and that place is written down in the
transaction of what followed from it, so a lane that reads its feed again takes it at the same place.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from cfa.desk import Desk, Dossier
from cfa.incident import Incident, IncidentEvent
from cfa.operators import Recorded
from cfa.silence import widened
from cfa.tables.fleet import Fleet
from cfa.tables.incidents import TableIncidents

Place = tuple[int, float]
"""An action's number, and the tick that it comes after."""


class Operated:
    """The desk of the tables' incidents, and the script of what an earlier life did. ``group_of`` knows a table's group."""

    def __init__(self, region: str, incidents: TableIncidents, group_of: Callable[[str], str]) -> None:
        self._region, self._incidents, self._group_of = region, incidents, group_of
        self.desk = Desk(self._widened)
        self._script: deque[tuple[Recorded, float]] = deque()
        self._reached = 0.0

    def _widened(self, scope: Mapping[str, str]) -> Mapping[str, str]:
        group = self._group_of(scope["table"]) if "table" in scope else ""
        return {**({"group": group} if group else {}), **widened(scope, self._region, {})}

    def follow(self, known: Iterable[Recorded], places: Iterable[Place], reached: float) -> None:
        """What an earlier life took after which tick; it came to ``reached``, before which nothing new has its place."""
        placed = dict(places)
        self._script = deque((one, placed[one.number]) for one in known if one.number in placed)
        self._reached = reached

    def replay(self, fleet: Fleet) -> list[IncidentEvent]:
        """Takes what an earlier life took after the last tick or before it."""
        events: list[IncidentEvent] = []
        while self._script and self._script[0][1] <= (fleet.at or 0):
            events += self.take(self._script.popleft()[0], fleet)
        return events

    def may_take(self, fleet: Fleet) -> bool:
        """Whether new actions may be taken now: what an earlier life did has been done again."""
        return not self._script and (fleet.at or 0) >= self._reached

    def take(self, recorded: Recorded, fleet: Fleet) -> list[IncidentEvent]:
        """One action after the last tick; it carries that tick's time, so that what the next tick says is newer."""
        action, at = recorded.action, float(fleet.at or 0)
        self.desk.applied = recorded.number
        closed: list[IncidentEvent] = []
        if action.kind == "resolve":
            self.desk.sign(action, at)
            closed = self._incidents.resolve(action.subject, fleet)
        return [*self.desk.take(action, at), *self.desk.tell(closed, at)]

    def open(self) -> list[Incident]:
        """Open incidents as people see them."""
        return [self.desk.view(case.incident) for case in self._incidents.open if case.incident is not None]

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        plain: dict[str, Any] = msgspec.to_builtins(self.desk.state())
        return plain

    def load(self, state: dict[str, Any] | None) -> None:
        """Takes a :meth:`state` back; a checkpoint without one knows what is open, and that whoever was paged was told."""
        if state is not None:
            self.desk.load(state)
            return
        for case in self._incidents.open:
            if case.incident is not None:
                paged = case.incident.paged_at
                dossier = Dossier(
                    incident=case.incident, wants=paged is not None, told=paged is not None, told_at=paged
                )
                self.desk.dossiers[case.incident.id] = dossier
