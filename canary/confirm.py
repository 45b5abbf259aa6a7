"""Whether an ask of another zone is answered, and with what (pure): one attempt at the same cell, at once, within a budget.

What is asked because something failed is evidence, but no sample of what customers get: it is counted at a level of its own
(:attr:`~collector.observation.Level.CONFIRM`). The reasons: ``docs/decisions/0025-confirm-burst.md``.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from canary.plan import Cell, Key
from collector.ask import Ask

MINUTE_SECONDS = 60.0
TWICE_SECONDS = 5.0
"""The same cell again so soon: another collector has heard of the same fault."""


class Confirmation(msgspec.Struct, frozen=True):
    """An extra attempt. ``key``, ``address``: where it failed for the other one; None: wherever the turn goes."""

    cell: Cell
    key: Key | None = None
    address: str | None = None


class Confirmer:
    """One host's answers to asks; ``per_minute`` is its budget."""

    def __init__(self, zone: str, cells: Iterable[Cell], per_minute: int) -> None:
        self._zone = zone
        self._cells = {(cell.endpoint, cell.operation, cell.connection): cell for cell in cells}
        self._per_minute = per_minute
        self._spent: deque[float] = deque()
        self._looked_at: dict[Cell, float] = {}
        self.counts = dict.fromkeys(("looked", "own_zone", "unknown_cell", "twice", "budget"), 0)
        """What became of asks."""

    def take(self, ask: Ask, keys: Iterable[Key], at: float) -> Confirmation | None:
        """The attempt to make at monotonic ``at``, None for none."""
        cell = self._cells.get((ask.endpoint, ask.operation, ask.connection))
        why = self._why_not(ask, cell, at)
        self.counts[why or "looked"] += 1
        if why is not None or cell is None:
            return None
        self._spent.append(at)
        self._looked_at[cell] = at
        key = next((key for key in keys if ask.partition is not None and key.partition == ask.partition), None)
        return Confirmation(cell, key, ask.address)

    def _why_not(self, ask: Ask, cell: Cell | None, at: float) -> str | None:
        while self._spent and self._spent[0] <= at - MINUTE_SECONDS:
            self._spent.popleft()
        if ask.zone == self._zone:
            return "own_zone"
        if cell is None:
            return "unknown_cell"
        if at - self._looked_at.get(cell, float("-inf")) < TWICE_SECONDS:
            return "twice"
        return "budget" if len(self._spent) >= self._per_minute else None
