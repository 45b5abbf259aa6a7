"""Items that were written or read a moment ago, so that the next look at them needs no SQLite (pure).

Each call into SQLite lets go of the interpreter's lock, and takes longer than all the rest of a read.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

RECENT_BYTES = 4 * 1024 * 1024
"""So much is kept for one node, about."""
_ENTRY_BYTES = 256
"""What an entry takes beside the item."""


@dataclass(slots=True)
class RecentItems:
    """Bodies by place, None for a place that is known to be empty; the oldest go when there are too many."""

    most_bytes: int = RECENT_BYTES
    _bodies: dict[Hashable, bytes | None] = field(default_factory=dict)
    _bytes: int = 0

    def find(self, place: Hashable) -> tuple[bytes | None] | None:
        """What is at ``place`` (in a tuple, as there may be nothing there); None: that is not known here."""
        return (self._bodies[place],) if place in self._bodies else None

    def put(self, place: Hashable, body: bytes | None) -> None:
        """This is at ``place`` now."""
        self._take(place)
        self._bodies[place] = body
        self._bytes += _size(body)
        while self._bytes > self.most_bytes:
            self._take(next(iter(self._bodies)))

    def _take(self, place: Hashable) -> None:
        if place in self._bodies:
            self._bytes -= _size(self._bodies.pop(place))

    def clear(self) -> None:
        """Nothing is known any more."""
        self._bodies.clear()
        self._bytes = 0


def _size(body: bytes | None) -> int:
    return _ENTRY_BYTES + (len(body) if body is not None else 0)
