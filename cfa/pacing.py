"""When a destination's waiting notices are sent, alone or together: grouping and the limit per minute (pure).

Nothing is dropped: what may not go now goes later, in one message with what else waits. A page is held back by grouping only
if another page went to the same destination within ``group_seconds``, so the first is never delayed.
"""

from collections import deque
from collections.abc import Collection, Sequence

from cfa.notices import Pending

LOOK_SECONDS_MOST = 5.0
MINUTE = 60.0
TOGETHER_MOST = 100
"""Notices in one message; the next message has the rest."""

Batch = tuple[Pending, ...]


class Pace:
    """What was sent lately to one destination."""

    def __init__(self, *, gathers: bool, group_seconds: float = 0.0, most_per_minute: int | None = None) -> None:
        self._gathers = gathers
        self._group_seconds = group_seconds
        self._most = most_per_minute
        self._sent: deque[float] = deque()
        self._paged_at = float("-inf")
        self._told_at = float("-inf")

    @property
    def paced(self) -> bool:
        """Whether anything is ever held back."""
        return self._group_seconds > 0 or self._most is not None

    @property
    def gathers(self) -> bool:
        """Whether notices are told together, one message at a time."""
        return self._gathers and self.paced

    def choose(self, waiting: Sequence[Pending], busy: Collection[str], now: float) -> tuple[list[Batch], float]:
        """What to send now, each batch one message, and when to look again, in seconds. ``busy``: incidents under way."""
        by_incident: dict[str, list[Pending]] = {}
        for one in waiting:
            by_incident.setdefault(one.notice.incident.id, []).append(one)
        free = {name: rows for name, rows in by_incident.items() if name not in busy}
        due = [rows for rows in free.values() if rows[0].next_at <= now]
        wait = min(
            (rows[0].next_at - now for rows in free.values() if rows[0].next_at > now), default=LOOK_SECONDS_MOST
        )
        wait = min(wait, LOOK_SECONDS_MOST)
        if not due:
            return [], wait
        due.sort(key=lambda rows: (rows[0].notice.notify != "trigger", rows[0].number))
        left = self._left(now)
        if left <= 0:
            return [], min(wait, self._sent[0] + MINUTE - now)
        if not self.gathers:
            return [(rows[0],) for rows in due[: int(min(left, len(due)))]], wait
        if busy:
            return [], wait
        held = self._held_until(due, now)
        if held > now:
            return [], min(wait, held - now)
        if not self._group_seconds and len(due) <= left:
            return [(rows[0],) for rows in due[:1]], 0.0
        together = tuple(one for rows in due for one in rows)[:TOGETHER_MOST]
        return [together], wait

    def sent(self, batch: Batch, now: float) -> None:
        """A message is on its way."""
        self._sent.append(now)
        self._told_at = now
        if any(one.notice.notify == "trigger" for one in batch):
            self._paged_at = now

    def _left(self, now: float) -> float:
        """How many messages this minute has left."""
        if self._most is None:
            return float("inf")
        while self._sent and self._sent[0] <= now - MINUTE:
            self._sent.popleft()
        return self._most - len(self._sent)

    def _held_until(self, due: Sequence[Sequence[Pending]], now: float) -> float:
        """A page waits for the end of the last page's window, anything else for that of the last message."""
        if not self._group_seconds:
            return now
        pages = any(rows[0].notice.notify == "trigger" for rows in due)
        return (self._paged_at if pages else self._told_at) + self._group_seconds
