"""Which places have just failed and are to be asked more often, within a budget (pure).

After CockroachDB's kvprober: ranges that failed wait in a quarantine pool that is probed beside the plan until they are well, so that an
outage of one partition is seen at once and its end, too. A *place* is a cell and a partition key. It comes in with a failure, is asked
again ``GAP_SECONDS`` after its last answer, and leaves when it has been well for ``CALM_SECONDS`` and at least ``CALM_ANSWERS`` answers.

The budget is a token bucket for all places of a host together; the place that waited longest comes first, so a large outage is asked evenly
and never more often than a small one. Extra probes are observations like any other.
"""

from dataclasses import dataclass

import msgspec

from canary.plan import Cell, Key

GAP_SECONDS = 0.5
CALM_SECONDS = 10.0
CALM_ANSWERS = 3
MAX_PLACES = 256


class Place(msgspec.Struct, frozen=True, gc=False):
    """What is asked again."""

    cell: Cell
    key: Key


@dataclass(slots=True)
class _Stay:
    asked_at: float
    failed_at: float
    good: int = 0
    under_way: bool = False


class Quarantine:
    """The pool of one host; ``per_second`` 0 keeps it empty."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._most = max(1.0, per_second)
        self._tokens = self._most
        self._filled_at: float | None = None
        self._stays: dict[Place, _Stay] = {}

    def __len__(self) -> int:
        """How many places are in quarantine."""
        return len(self._stays)

    def answered(self, place: Place, *, bad: bool, at: float) -> None:
        """A probe of the plan, or an extra one, came back."""
        stay = self._stays.get(place)
        if stay is None:
            if bad and self._rate > 0 and len(self._stays) < MAX_PLACES:
                self._stays[place] = _Stay(at, at)
            return
        stay.under_way = False
        stay.asked_at = max(stay.asked_at, at)
        stay.good = 0 if bad else stay.good + 1
        if bad:
            stay.failed_at = at
        elif stay.good >= CALM_ANSWERS and at - stay.failed_at >= CALM_SECONDS:
            del self._stays[place]

    def gave_up(self, place: Place) -> None:
        """An extra probe said nothing (our own fault)."""
        stay = self._stays.get(place)
        if stay is not None:
            stay.under_way = False

    def keep(self, keys: frozenset[Key]) -> None:
        """Keys were planned anew: others are not asked any more."""
        self._stays = {place: stay for place, stay in self._stays.items() if place.key in keys}

    def due(self, at: float) -> tuple[Place, ...]:
        """The extra probes to start now; they count as under way."""
        self._fill(at)
        waiting = sorted(
            (
                (stay.asked_at, place.cell.index, place.key.pk, place)
                for place, stay in self._stays.items()
                if not stay.under_way and at - stay.asked_at >= GAP_SECONDS
            ),
            key=lambda waited: waited[:3],
        )
        chosen = tuple(waited[3] for waited in waiting[: int(self._tokens)])
        self._tokens -= len(chosen)
        for place in chosen:
            self._stays[place].under_way = True
            self._stays[place].asked_at = at
        return chosen

    def _fill(self, at: float) -> None:
        if self._filled_at is not None:
            self._tokens = min(self._most, self._tokens + (at - self._filled_at) * self._rate)
        self._filled_at = at
