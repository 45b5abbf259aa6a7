"""Which requests a router has seen, for those who ask a moment later what became of theirs (pure).

Requests under way, the last good ones, and (kept apart, so that many good ones do not push them out) the last that failed, were
refused or were slow. A request is known by the id that we gave it and by the one that its client did (``amz-sdk-invocation-id``).
Written for each request and read for a few: writing costs less than a microsecond, reading walks through all of it.
"""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

KEPT_GOOD = 8192
KEPT_OTHERS = 8192
SLOW_SECONDS = 0.5
IDS_MAX = 100
"""Of one question."""
ID_LENGTH_MAX = 64
ASKED_PER_SECOND = 10
"""Questions that a router answers; each costs it about a millisecond."""

Entry = tuple[int, str, float, int, str, float]
"""Our id, the client's, arrival (UTC epoch seconds), HTTP status (0: under way), error, duration (seconds)."""


@dataclass(frozen=True, slots=True)
class Found:
    """One request of those asked for, as it goes out. ``status`` 0: still under way; ``error`` is empty on success."""

    id: str
    at: float
    status: int
    error: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Remembered:
    """``since``: all requests that arrived from then on are known; of earlier ones, some have been forgotten."""

    since: float
    found: tuple[Found, ...]


class SeenRequests:
    """One router's memory; times are its wall clock's."""

    def __init__(self, now: float) -> None:
        self._under_way: dict[int, tuple[str, float]] = {}
        self._good: deque[Entry] = deque(maxlen=KEPT_GOOD)
        self._others: deque[Entry] = deque(maxlen=KEPT_OTHERS)
        self._began = now
        self._second, self._asked = 0, 0

    def arrived(self, request_id: int, client_id: str, at: float) -> None:
        """A request is here."""
        self._under_way[request_id] = (client_id[:ID_LENGTH_MAX], at)

    def answered(self, request_id: int, status: int, error: str, seconds: float) -> None:
        """Its answer is on its way back."""
        client_id, at = self._under_way.pop(request_id)
        kept = self._good if status == 200 and seconds < SLOW_SECONDS else self._others
        kept.append((request_id, client_id, at, status, error, seconds))

    def admits(self, now: float) -> bool:
        """Whether one more question may be asked in this second; counts it."""
        if int(now) != self._second:
            self._second, self._asked = int(now), 0
        self._asked += 1
        return self._asked <= ASKED_PER_SECOND

    def find(self, ids: Iterable[str], now: float) -> Remembered:
        """What is known about these ids, at most :data:`IDS_MAX`; a client's id may stand for several attempts."""
        wanted = set(itertools.islice(ids, IDS_MAX))
        ours = {int(text, 16): text for text in wanted if len(text) == 52 and _is_hex(text)}
        going = ((i, client, at, 0, "", now - at) for i, (client, at) in self._under_way.items())
        found = [
            Found(ours.get(number) or client, at, status, error, round(seconds * 1000, 3))
            for number, client, at, status, error, seconds in itertools.chain(going, self._good, self._others)
            if client in wanted or number in ours
        ]
        return Remembered(self._since(), tuple(sorted(found, key=lambda one: one.at)))

    def _since(self) -> float:
        full = [kept[0][2] for kept in (self._good, self._others) if len(kept) == kept.maxlen]
        return max((self._began, *full))


def _is_hex(text: str) -> bool:
    try:
        int(text, 16)
    except ValueError:
        return False
    return True
