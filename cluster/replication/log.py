"""The log of a replica in memory: consecutive entries above a truncated prefix (pure)."""

from collections.abc import Sequence

from cluster.replication.messages import Entry


class Log:
    """Entries ``first`` … ``last`` without holes; every access by LSN is O(1)."""

    __slots__ = ("_entries", "first")

    def __init__(self, entries: Sequence[Entry] = (), first: int = 1) -> None:
        self.first = first
        self._entries = list(entries)

    @property
    def last(self) -> int:
        """The highest LSN held, or ``first - 1`` when empty."""
        return self.first + len(self._entries) - 1

    def get(self, lsn: int) -> Entry | None:
        """The entry at ``lsn``, if held."""
        index = lsn - self.first
        return self._entries[index] if 0 <= index < len(self._entries) else None

    def between(self, start: int, end: int) -> tuple[Entry, ...]:
        """Entries ``start`` … ``end``, both included, as far as held."""
        return tuple(self._entries[max(0, start - self.first) : max(0, end - self.first + 1)])

    def batch(self, start: int, end: int, entries: int, size: int) -> tuple[Entry, ...]:
        """Entries from ``start`` to at most ``end``: no more than ``entries``, about ``size`` bytes, at least one."""
        found = self.between(start, min(end, start + entries - 1))
        total = 0
        for count, entry in enumerate(found):
            total += len(entry.payload)
            if total > size and count:
                return found[:count]
        return found

    def append(self, entry: Entry) -> None:
        """Add the entry after the last."""
        assert entry.lsn == self.last + 1, (entry.lsn, self.last)
        self._entries.append(entry)

    def replace(self, entries: Sequence[Entry]) -> None:
        """Put consecutive ``entries`` in the place of everything from the first of them on."""
        start = entries[0].lsn - self.first
        assert 0 <= start <= len(self._entries), (entries[0].lsn, self.first, self.last)
        self._entries[start:] = entries

    def truncate(self, upto: int) -> None:
        """Forget everything up to and including ``upto``; a log that ends before ``upto`` becomes empty."""
        if upto >= self.first:
            del self._entries[: upto - self.first + 1]
            self.first = upto + 1
